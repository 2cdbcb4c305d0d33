/*
 * closed.h: the newest closes and refusals of a worker, for "wsrelayctl closed":
 * why was this client thrown out at 14:03?
 *
 * Bounded in number and bytes over all workers together, closes apart from
 * refusals: a flood of refused clients does not push out how sessions ended.
 * Connections are spread evenly, so each worker keeps its part.
 */
#ifndef GATE_CLOSED_H
#define GATE_CLOSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "base/walk.h"

struct client;
struct worker;

/* Of each kind, over all workers. */
#define CLOSED_MAX   10000
#define CLOSED_BYTES (4u << 20)
/* Longer texts are cut. */
#define CLOSED_TEXT 256

struct closed {
	TAILQ_ENTRY(closed) next;
	size_t size;    /* all of it */
	int64_t at_ms;  /* Unix time */
	int64_t age_ms; /* of a session */
	uint64_t id;
	uint64_t messages[2]; /* by enum end_side */
	struct addr peer;
	const char *side; /* that ended it; static; NULL = refused */
	uint16_t code;    /* of its close frame; 0 = none was sent */
	uint8_t reason;   /* enum reason */
	/* In text; NULL = none. */
	const char *route, *identity, *path, *detail;
	char text[];
};

enum closed_kind { CLOSED_SESSIONS, CLOSED_REFUSALS, CLOSED_KINDS };

struct closed_list { /* the oldest first */
	TAILQ_HEAD(, closed) list;
	struct walks walks; /* over it */
	size_t n, bytes;
};

struct closed_here {
	struct closed_list lists[CLOSED_KINDS];
	size_t n_max, bytes_max; /* of each */
};

/* workers: how many there are. -1 without memory; then fini is of use, too. */
MUST_CHECK int closed_init(struct worker *w, size_t workers);
void closed_fini(struct worker *w);

struct closed_note {
	const struct client *client;
	enum reason reason;
	uint16_t code;
	const char *side;   /* static */
	const char *path;   /* of a hub, or a request; may be NULL */
	const char *detail; /* likewise */
	int64_t age_ms;
	uint64_t messages[2];
};

/* The oldest give way. Without memory it is not kept. */
void closed_add(struct worker *w, enum closed_kind kind,
	const struct closed_note *note);

#endif
