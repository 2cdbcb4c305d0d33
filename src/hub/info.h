/*
 * info.h: what the rooms above may know of a hub.
 */
#ifndef HUB_INFO_H
#define HUB_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "base/reason.h"

struct conf_route;
struct hub;
struct walk;
struct worker;

/* Borrowed; times of the loop, in ms. */
struct hub_info {
	uint64_t id; /* of its trunk, as in the log; 0: it has none yet */
	const struct conf_route *route;
	const char *path;
	const char *state; /* new, opening, open, held, paused, ending */
	size_t members, members_most;
	uint64_t driver;             /* a client's id; 0: none */
	int64_t opened_ms;           /* its trunk, last; 0: never */
	int64_t last_ms;             /* the last data of its backend; 0: none */
	uint64_t messages[2];        /* by enum end_side */
	size_t queued;               /* bytes that wait for the backend */
	size_t replay, replay_bytes; /* messages that it keeps */
	/* Why its trunk was last lost, or could not be opened; NONE: never. */
	enum reason reason;
	const char *detail; /* "" = none */
	int64_t lost_ms;
};

/*
 * home: the next of the hubs that are at home here; walk is begun with the
 * first. NULL: there is no further one.
 */
struct hub *hubs_next(struct worker *w, struct walk *walk);
/* home. */
void hub_info_get(const struct hub *h, struct hub_info *out);

#endif
