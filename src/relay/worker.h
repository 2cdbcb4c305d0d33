/*
 * worker.h: what one thread owns: its loop, its connections, its counters.
 * A connection, its end and its pair live and die on one worker.
 */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "net/loop.h"

struct admission;
struct conf;
struct conf_address;
struct conf_listen;
struct front;
struct pair;

/* One writer, the worker; readers elsewhere read relaxed. */
struct counters {
	atomic_uint_least64_t accepted, opened, closed;
	atomic_uint_least64_t reasons[REASON_COUNT];
	atomic_uint_least64_t messages[2], bytes[2]; /* by enum end_side */
};

/* What all workers share; see admission.h for what of it locks. */
struct shared {
	struct admission *admission;
	atomic_size_t queued;       /* bytes in all queues */
	atomic_size_t connections;  /* client connections */
	atomic_uint_least64_t next_id;
	int64_t started_ms;         /* Unix time */
	struct rlimit nofile;       /* as it was before we raised it */
};

#define WORKER_RANDOM 4096

struct worker {
	struct loop *loop;
	struct shared *shared;
	struct conf *conf; /* a reference; what new connections get */
	TAILQ_HEAD(fronts, front) fronts; /* oldest request first */
	TAILQ_HEAD(, pair) pairs;
	struct counters counters;
	struct timer tick; /* once a second: memory, refusals' log limit */
	size_t pending; /* fronts that wait for a complete request */
	bool draining;
	size_t random_n; /* bytes of random left */
	uint8_t random[WORKER_RANDOM];
	/* Refusals logged in this second, and those that were not. */
	unsigned refusals, refusals_hidden;
};

MUST_CHECK struct worker *worker_new(struct shared *s, struct conf *conf);
void worker_free(struct worker *w);
/* Takes an accepted socket. */
void worker_accepted(struct worker *w, int fd, const struct addr *peer,
	const struct conf_listen *listen, const struct conf_address *address);
/* Ends every connection; those that wait for their request at once. */
void worker_drain(struct worker *w);
/* Cuts off whatever still lives. The loop must not be running. */
void worker_stop(struct worker *w);
/* Whether nothing is left. */
bool worker_idle(const struct worker *w);
/* Four unpredictable bytes for a mask (RFC 6455 section 10.3). */
void worker_random(struct worker *w, uint8_t *out, size_t n);
void worker_count_reason(struct worker *w, enum reason r);
/* Over max_memory: sources pause. */
bool worker_memory_full(const struct worker *w);

static inline void counter_add(atomic_uint_least64_t *c, uint64_t n)
{
	/* One writer: a load and a store are enough, and cheaper than a lock. */
	atomic_store_explicit(c,
		atomic_load_explicit(c, memory_order_relaxed) + n,
		memory_order_relaxed);
}

#endif
