/*
 * backlog.h: whole messages that wait for a slow receiver, and what gives way
 * when there are too many.
 */
#ifndef RELAY_BACKLOG_H
#define RELAY_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"

struct conf_route;
struct message;

struct backlog_item;

struct backlog {
	STAILQ_HEAD(, backlog_item) items;
	size_t n;
	size_t bytes;
	size_t exempt; /* of them: replay and latest, which no limit counts */
	size_t replay; /* how many at its front are replay */
	bool shared;
};

void backlog_init(struct backlog *b);
/*
 * For many receivers at once: a message for one of them (message.to) makes
 * older ones worthless for that one only.
 */
void backlog_init_shared(struct backlog *b);
/*
 * Adds a message (a reference is taken) as the route's slow, slow_text or
 * slow_binary says. Returns how many older ones gave way, -1 when the receiver
 * is to be closed: over queue_limit with slow = close, or no memory. An empty
 * backlog always takes one. The end of a client (WS_CLOSE) gives way to nothing.
 */
MUST_CHECK int backlog_add(
	struct backlog *b, struct message *m, const struct conf_route *r);
/* Whether a newer one would make this one give way: slow = latest. */
bool backlog_is_latest(const struct message *m, const struct conf_route *r);
/* Without a limit: for replay, before all others. -1 without memory. */
MUST_CHECK int backlog_add_replay(struct backlog *b, struct message *m);
/* Up to max of the oldest, borrowed. */
size_t backlog_peek(const struct backlog *b, struct message **v, size_t max);
/* The n oldest are gone. */
void backlog_drop(struct backlog *b, size_t n);
void backlog_free(struct backlog *b);

#endif
