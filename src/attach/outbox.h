/*
 * outbox.h: the run's messages on their way to the relay: those that wait, what
 * gives way when there are too many, and how many have.
 *
 *   outbox_add -> backlog -> outbox_send -> the end, when nothing waits there
 *
 * Whole messages wait, so that none is continued on another connection. Nothing
 * is sent twice.
 */
#ifndef ATTACH_OUTBOX_H
#define ATTACH_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hub/backlog.h"

struct budget;
struct conf_route;
struct end;
struct loop;

/* Why messages did not get to the relay. */
enum outbox_lost {
	OUTBOX_WAITED,   /* newer ones came, and the line was full or away */
	OUTBOX_TOO_LONG, /* longer than the relay or the framing takes */
	OUTBOX_NOT_TEXT, /* a line that is not UTF-8 */
	OUTBOX_NO_LINE,  /* on a connection that broke, or there will be none */
	OUTBOX_LOST,
};

struct outbox {
	struct backlog backlog;
	const struct conf_route
		*route;             /* slow_text, slow_binary, queue_limit */
	uint64_t lost[OUTBOX_LOST]; /* since they were last said */
};

void outbox_init(struct outbox *o, struct budget *budget,
	const struct conf_route *route);
void outbox_free(struct outbox *o);
/* A whole message of the run; its bytes are copied. */
void outbox_add(struct outbox *o, uint8_t opcode, const uint8_t *p, size_t n);
void outbox_count(struct outbox *o, enum outbox_lost why, uint64_t n);
/*
 * Sends what the end takes now, none longer than max. True: its share of the
 * turn is over, and there is more.
 */
MUST_CHECK bool outbox_send(
	struct outbox *o, struct loop *l, struct end *e, size_t max);
/* Nothing waits here. */
static inline bool outbox_is_empty(const struct outbox *o)
{
	return o->backlog.n == 0;
}
/* So much waits that a run which is to wait waits. */
#define OUTBOX_FULL (16u << 20)
bool outbox_is_full(const struct outbox *o);
/* Says on standard error how many were lost since the last call, and why. */
void outbox_say_lost(struct outbox *o);

#endif
