/*
 * source.h: the program's side: its output, cut into messages, and its input.
 *
 *   the program's output -> conn -> cb->bytes, as they came
 *                             `---> framing -> cb->message
 *   source_send -> framing -> conn -> the program's input
 *
 * No fault of the program ends it: what is no message is passed over.
 */
#ifndef ATTACH_SOURCE_H
#define ATTACH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "codec/framing.h"

struct conn;
struct loop;
struct source;

struct source_cb {
	/* What it wrote; may stop reading (source_set_reading). */
	void (*bytes)(void *owner, const uint8_t *p, size_t n);
	/* Of these, a whole message; may stop reading, too. */
	void (*message)(void *owner, uint8_t opcode, uint8_t *p, size_t n);
	/* A message longer than SOURCE_LONGEST was passed over. */
	void (*too_long)(void *owner);
	/*
	 * Its output is over: at its end (error 0), or it broke. The owner
	 * calls source_close.
	 */
	void (*ended)(void *owner, int error);
};

#define SOURCE_LONGEST (64u << 20)
/* What waits for the program: more is dropped, for it may never read. */
#define SOURCE_INPUT_MAX (1u << 20)

struct source {
	struct conn *conn; /* NULL: closed */
	/* Private to source.c. */
	const struct source_cb *cb;
	void *owner;
	const struct framing *framing;
	struct framing_skip skip;
	size_t scanned;   /* see framing.h */
	size_t passed;    /* of what comes again: bytes were told of it */
	bool unframed;    /* a fault: there are no messages any more */
	uint64_t dropped; /* messages to the program */
	int64_t told_ms;  /* when that was said last; 0: never */
};

/*
 * Takes both descriptors (in is out for a socket): non-blocking. It is read. -1
 * without memory: they are closed.
 */
MUST_CHECK int source_open(struct source *s, struct loop *l, int out, int in,
	enum framing_id framing);
/* Before anything is read. */
void source_set_owner(
	struct source *s, const struct source_cb *cb, void *owner);
void source_set_reading(struct source *s, bool on);
/* A message to the program. */
void source_send(struct source *s, uint8_t opcode, uint8_t *p, size_t n);
/* Also when it is closed. */
void source_close(struct source *s);

#endif
