/*
 * section.h: what of a section outlives a configuration. A section is known by
 * its kind and its name: when a configuration is read anew, a route or listener
 * with the name of an earlier one is the same, wherever it is in the file, and
 * goes on with the same counts, hubs and tickets.
 *
 * Snapshots of the configuration refer to these (conf.h: state), so what is
 * counted here is there until the last connection under any of them is gone.
 * sections.c makes and frees them.
 */
#ifndef WORKER_SECTION_H
#define WORKER_SECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/table.h"

struct counts;
struct route_counters;
struct hub_route;
struct runs;
struct sections;
struct tls_tickets;
struct trouble;

struct section_state { /* private to sections.c, but for number */
	struct table_entry by_name;
	struct sections *of;
	unsigned references; /* of snapshots */
	char *name;
	uint32_t number; /* no other section of this process has it */
};

struct route_state {
	struct section_state section;
	TAILQ_ENTRY(route_state) next; /* likewise */
	/* admission.c */
	atomic_int_least64_t connections, processes;
	struct counts *subjects; /* connections by identity */
	/* By worker; those of its name outlive it, see route_counters.h. */
	struct route_counters *counters;
	struct hub_route *hubs;  /* hub/directory.c */
	struct trouble *trouble; /* with its backend */
	struct runs *runs;       /* backend/runs.h; of an [attach] */
	/* Unix ms: when a session was last opened, and so its backend. */
	atomic_int_least64_t opened_at;
	/* That no subprotocol was selected was said. */
	atomic_bool unselected_told;
	/* As the operator wants it; in each case no new client comes in. */
	atomic_bool paused;   /* its hubs have no trunk */
	atomic_bool draining; /* its sessions end by themselves */
	atomic_bool closing;  /* they are ended, over drain_timeout */
};

static inline bool route_state_lets_in(const struct route_state *r)
{
	return !atomic_load(&r->paused) && !atomic_load(&r->draining);
}

static inline const char *route_state_word(const struct route_state *r)
{
	if (atomic_load(&r->paused))
		return "paused";
	return atomic_load(&r->draining) ? "draining" : "open";
}

static inline void route_state_open(struct route_state *r)
{
	atomic_store(&r->paused, false);
	atomic_store(&r->draining, false);
	atomic_store(&r->closing, false);
}

struct listen_state {
	struct section_state section;
	atomic_int_least64_t pending; /* admission.c: incomplete requests */
	/* Made when it has certificates for the first time; else NULL. */
	struct tls_tickets *tickets;
	atomic_bool distrust_told; /* that a proxy is not trusted was said */
};

#endif
