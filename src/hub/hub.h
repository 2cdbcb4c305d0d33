/*
 * hub.h: one simulation, many browsers.
 *
 *   home worker                      each worker that has members
 *   trunk -> hub: frame once,   -->  shard -> member -> client ws_end
 *            replay, count    letters       -> member ...
 *   trunk <- hub: driver, limits <-- member: rights, whole messages
 *
 * A hub is for a route and one set of captures: one normalised path. Its
 * backend connection, the trunk, lives on the worker where the first client
 * came in: its home. The home decides the order of everything. What crosses
 * threads is letters: one per worker and turn, whatever its number of members; messages by reference. With addressing = tagged a message may be for
 * one client (message.to); one of opcode WS_CLOSE, the payload of a close
 * frame, ends that client when what came before has been delivered.
 *
 * Functions that say "home" run on the home worker, "any" on any; members
 * belong to their own worker (member.h).
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"

struct captures;
struct client;
struct conf_route;
struct end;
struct ending;
struct hub;
struct hub_join;
struct hub_leave;
struct hub_route;
struct message;
struct piece;
struct route_state;
struct seat;
struct shared;
struct walk;
struct worker;

/* Messages that a shard is given at one time, at most. */
#define HUB_BATCH_MAX 1024

/* The hubs of one route, by path: any thread, a short lock. NULL: no memory. */
MUST_CHECK struct hub_route *hub_route_new(void);
/*
 * At the end, when all threads are gone: one that was made and that no letter
 * has reached is let go, and with it perhaps the route. False: there is none.
 */
MUST_CHECK bool hub_route_forget_one(struct hub_route *r);
/* How many there are. */
size_t hub_route_count(struct hub_route *r);
/* There is none left. */
void hub_route_free(struct hub_route *r);

/*
 * any: the hub of this route and path; made here when there is none, then
 * this worker is its home, and where max_hubs is reached an empty one of the
 * route gives way. The route is of the client's snapshot. Counts a join that the home has not yet seen. NULL: *reason is LIMIT_HUBS or INTERNAL. The reference is the caller's.
 */
MUST_CHECK struct hub *hubs_join(struct worker *w, const struct client *c,
	const struct conf_route *route, struct str path, enum reason *reason);
struct hub *hub_ref(struct hub *h);
/* any: lives as long as the hub. */
const char *hub_path(const struct hub *h);
void hub_unref(struct hub *h);

/*
 * any: asks the home for a seat. Takes j (letters.h), which comes back with
 * the answer.
 */
void hub_ask_seat(struct hub *h, struct hub_join *j);
/*
 * any: the client is gone, or was never let in. Takes l, which was made before
 * it joined; seat NULL: it was not told that it has one.
 */
void hub_leave(struct hub *h, struct hub_leave *l, struct seat *seat,
	enum reason reason);
/*
 * any: a whole message from a client. Returns whether more is welcome: if not,
 * the shard is told when it is again. -1 without memory.
 */
MUST_CHECK int hub_input(struct hub *h, struct worker *from, struct seat *seat,
	const struct piece *whole);

/* any, before hub_leave: messages that the seat had no right to send. */
unsigned hub_denied(const struct seat *s);

/*
 * home, once: opens the hubs of routes with trunk = always that are at home
 * here, and sees to it from now on that they are there. -1 without memory.
 */
MUST_CHECK int hubs_keep(struct worker *w);

/* All of a worker's. -1 without memory; after that fini is of use, too. */
MUST_CHECK int hubs_init(struct worker *w);
void hubs_fini(struct worker *w);
/* A reload: the worker has a newer snapshot. */
void hubs_renew(struct worker *w);
/*
 * home: the hubs of a route that was paused, or is not any more, do what that
 * means for them (route_state.paused): one with each call, in a walk that
 * begins with the first. False: there was none left. Counts what has become of
 * them; again and again is harmless.
 */
struct hub_pauses {
	int64_t waiting, waiting_members; /* without a trunk */
	int64_t closed, closed_members;
};
bool hubs_heed_pause(struct worker *w, const struct route_state *route,
	struct walk *walk, struct hub_pauses *n);
/* home: a client becomes the driver, and the backend is told of it. */
enum hub_driven {
	HUB_DRIVE_DONE,
	HUB_DRIVE_NOT_HERE,   /* it has no seat in this hub */
	HUB_DRIVE_NO_DRIVERS, /* input = all */
	HUB_DRIVE_NO_RIGHT,   /* its token lets it read only */
};
MUST_CHECK enum hub_driven hub_drive(struct hub *h, uint64_t id);
/* home: the relay stops. */
void hubs_drain(struct worker *w);
/*
 * home, when memory is short: whether the replays of its hubs were enough; those
 * without members come first. Of the rest the one for whose backend most waits,
 * and how much that is.
 */
MUST_CHECK bool hubs_give_replay(struct worker *w);
size_t hubs_largest(struct worker *w, struct hub **largest);
/* home: the hub ends, and all its members. */
void hub_end(struct hub *h, const struct ending *why);
/* home: it ends for want of memory, and what waits for its backend is lost. */
void hub_abort(struct hub *h);
/* home: what is left of all its hubs is cut off. */
void hubs_stop(struct worker *w);

/* The shard of a worker; only that worker's thread may ask. */
struct shard **hub_shard(struct hub *h, const struct worker *w);

#endif
