/*
 * join.h: how a client joins a hub: it asks the hub's home for a seat.
 */
#ifndef HUB_JOIN_H
#define HUB_JOIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "backend/backend.h"

struct client;
struct hub;
struct hub_attempt;
struct hub_leave;
struct message;
struct request;
struct seat;

/*
 * How it ended, and what a joined client becomes a member with: all of that is
 * 0 when it was refused. Borrowed until done returns.
 */
struct hub_joined {
	struct outcome outcome;
	struct hub *hub; /* the receiver takes the reference */
	struct seat *seat;
	struct hub_leave *leave; /* the receiver's, for hub_leave */
	struct message *const *replay;
	size_t replay_n;
	uint64_t since; /* the serial of the newest that it has, or missed */
};

struct hub_join_params {
	struct worker *worker;
	const struct client *client;   /* until done or cancel */
	const struct request *request; /* until hub_join_open returns */
	/* Called once, never from within hub_join_open. */
	void (*done)(void *owner, const struct hub_joined *j);
	void *owner;
};

/* NULL: no memory. */
MUST_CHECK struct hub_attempt *hub_join_open(const struct hub_join_params *p);
/* Before done: it will not be called, and the seat is given back. */
void hub_join_cancel(struct hub_attempt *a);

/* It is joined, and can't take its seat. */
void hub_join_discard(const struct hub_joined *j);

#endif
