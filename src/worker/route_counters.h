/*
 * route_counters.h: what is counted for each route, by each worker for itself.
 *
 *   worker i --counter_add--> record of the route, of[i] <--read-- /metrics
 *
 * A record is known by the route's name and stays until the daemon ends, so
 * that no series of /metrics goes back when a reload removes a route, or brings
 * it back. Gauges are differences of two counters: what is there is what came
 * less what went.
 */
#ifndef WORKER_ROUTE_COUNTERS_H
#define WORKER_ROUTE_COUNTERS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/histogram.h"
#include "base/reason.h"
#include "base/table.h"

/* Of the hardware: what two workers write does not lie in one. */
#define CACHE_LINE 64

enum count_side { COUNT_CLIENT, COUNT_BACKEND }; /* as enum end_side */
enum count_result { COUNT_OK, COUNT_FAILED };
enum count_pause { COUNT_PAUSE_QUEUE, COUNT_PAUSE_RATE };

/* Of one worker. */
struct route_counters {
	/* WebSockets of clients; [side]: what came from it. */
	alignas(CACHE_LINE) atomic_uint_least64_t opened;
	atomic_uint_least64_t closed;
	atomic_uint_least64_t bytes[2]; /* of messages, complete or not */
	struct histogram messages[2];   /* their sizes */
	atomic_uint_least64_t dropped_messages[2], dropped_bytes[2];
	atomic_uint_least64_t pauses[2][2]; /* [side][enum count_pause] */
	/* Requests for a WebSocket: COUNT_OK are those that were opened. */
	atomic_uint_least64_t handshakes[2];
	atomic_uint_least64_t refusals[REASON_COUNT];
	atomic_uint_least64_t closes[REASON_COUNT];
	struct histogram pings[2]; /* [side]: round trips */
	/* Backends of pairs and trunks of hubs. */
	atomic_uint_least64_t connects[2]; /* by enum count_result */
	struct histogram connect_times;    /* of those that opened */
	atomic_uint_least64_t programs_begun, programs_over;
	atomic_uint_least64_t hubs_begun, hubs_over;
	atomic_uint_least64_t members_in, members_out;
	atomic_uint_least64_t hub_messages[2]; /* [side]: from members, trunk */
	atomic_uint_least64_t hub_closes[REASON_COUNT];
};

struct route_record {
	struct table_entry by_name;
	char *name; /* "": what was counted before a route was known */
	struct route_counters *of; /* by worker */
	_Atomic(struct route_record *) next;
};

struct route_records {
	struct table by_name;
	size_t workers_n;
	size_t n;
	struct route_record *first; /* that of "" */
	struct route_record *last;
};

/* Names that may come and go beside those of the configuration in force. */
#define ROUTE_RECORDS_GONE 1000

/* -1 without memory, or random bytes. */
MUST_CHECK int route_records_init(struct route_records *r, size_t workers_n);
/* Nothing counts any more. Also when init failed. */
void route_records_fini(struct route_records *r);
/*
 * That of a route, made when there is none; that of "" when there are most
 * others. One thread at a time; readers follow next meanwhile. NULL: no memory.
 */
MUST_CHECK struct route_record *route_records_get(
	struct route_records *r, const char *name, size_t most);

/* Of all routes and workers; [side]: what came from it. */
struct route_traffic {
	uint64_t messages[2], bytes[2];
};
struct route_traffic route_records_traffic(const struct route_records *r);

static inline struct route_record *route_record_next(
	const struct route_record *r)
{
	return atomic_load_explicit(&r->next, memory_order_acquire);
}

#endif
