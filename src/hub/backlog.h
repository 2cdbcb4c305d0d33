/*
 * backlog.h: whole messages that wait for a slow receiver, and what gives way
 * when there are too many.
 */
#ifndef HUB_BACKLOG_H
#define HUB_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "base/idmap.h"
#include "base/waiting.h"

struct backlog_item;
struct budget;
struct conf_route;
struct message;

/* Items of one kind wait in their own order; together in that of order. */
enum backlog_kind { BACKLOG_TEXT, BACKLOG_BINARY, BACKLOG_CLOSE };
#define BACKLOG_KINDS 3
TAILQ_HEAD(backlog_items, backlog_item);

struct backlog {
	struct waiting waiting;      /* all of it */
	struct backlog_items replay; /* in front of all others */
	struct backlog_items items[BACKLOG_KINDS];
	struct idmap latest[BACKLOG_KINDS]; /* shared: by message.to */
	uint64_t order;                     /* of the newest item */
	size_t n;
	size_t exempt;   /* cost of replay and latest: no limit counts them */
	size_t replay_n; /* items of replay */
	size_t replay_of[BACKLOG_KINDS];
	bool shared;
};

void backlog_init(struct backlog *b, struct budget *budget);
/*
 * For many receivers at once: a message for one of them (message.to) makes
 * older ones worthless for that one only.
 */
void backlog_init_shared(struct backlog *b, struct budget *budget);
/*
 * Adds a message (a reference is taken) as the route's slow, slow_text or
 * slow_binary says. Returns how many older ones gave way, or why the receiver
 * is to be closed: BACKLOG_SLOW: it is over queue_limit with slow = close;
 * BACKLOG_MEMORY: the daemon's budget is full, and this backlog is not small
 * (WAITING_SMALL), or there is no memory. An empty backlog always takes one.
 * The end of a client (WS_CLOSE) gives way to nothing. What this costs does not
 * depend on how many messages wait.
 */
enum { BACKLOG_SLOW = -1, BACKLOG_MEMORY = -2 };
MUST_CHECK int backlog_add(
	struct backlog *b, struct message *m, const struct conf_route *r);
/* Whether a newer one would make this one give way: slow = latest. */
bool backlog_is_latest(const struct message *m, const struct conf_route *r);
/*
 * Without a limit, before all others: for replay, and for what is bounded by its
 * source, which is held up. -1 without memory.
 */
MUST_CHECK int backlog_add_replay(struct backlog *b, struct message *m);
/* Up to max of the oldest, borrowed. */
size_t backlog_peek(const struct backlog *b, struct message **v, size_t max);
/* The n oldest are gone. */
void backlog_drop(struct backlog *b, size_t n);
void backlog_free(struct backlog *b);

#endif
