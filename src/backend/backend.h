/*
 * backend.h: opens a route's backend, for a client or as a hub's trunk.
 *
 *   front, hub -> backend_open -> kind->open: dial, handshake, spawn ... -> done
 *
 * The 101 leaves only when done brings an end, so that a dead backend is an
 * honest 502 or 504.
 */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"

struct attempt;
struct captures;
struct client;
struct end;
struct request;
struct tunnel_proxy;
struct worker;

/* How an opening ended: that of a backend, or a client's joining of a hub. */
struct outcome {
	enum reason reason; /* REASON_NONE: it is open */
	/* Borrowed until done returns. */
	const char *detail;  /* why not, for the log; may be NULL */
	struct str protocol; /* that a ws backend selected */
};

struct backend_result {
	struct outcome outcome;
	struct end *end; /* when it is open: the receiver's */
	/*
	 * BACKEND_STATUS: the ws backend's own refusal, to be passed on to a
	 * client. Borrowed until done returns.
	 */
	int status;
	struct str fields; /* those of it that are passed on, as lines */
	struct str body;   /* what came of its body */
};

struct backend_params {
	struct worker *worker;
	const struct client *client;     /* until done or cancel */
	const struct request *request;   /* until backend_open returns */
	const struct captures *captures; /* likewise */
	int client_fd; /* for its local address; borrowed until done */
	/*
	 * An HTTP proxy on the way to a backend with an address, until done or
	 * cancel; NULL: there is none.
	 */
	const struct tunnel_proxy *proxy;
	/*
	 * It is opened for the relay itself, not for a client: a ws backend is
	 * told of none.
	 */
	bool own;
	/* Called once, never from within backend_open. */
	void (*done)(void *owner, const struct backend_result *r);
	void *owner;
	int64_t begun_ms; /* set by backend_open: loop_now */
};

/* NULL: no memory. */
MUST_CHECK struct attempt *backend_open(const struct backend_params *p);
/* Before done: it will not be called, what was opened is closed. */
void backend_cancel(struct attempt *a);

/* The programs that a worker is to start. -1 without memory. */
MUST_CHECK int backend_programs_init(struct worker *w);
void backend_programs_fini(struct worker *w);

#endif
