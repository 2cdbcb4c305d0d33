/*
 * worker.h: what one thread owns: its loop, the letters to it, its counters,
 * its random bytes. A connection, its end and its pair live and die on one
 * worker. It knows nothing of what is built on it: that is begun, told to drain
 * and stopped by daemon/worker.c.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/compiler.h"
#include "base/histogram.h"
#include "base/reason.h"
#include "net/loop.h"
#include "net/proc.h"
#include "worker/mailbox.h"

struct admission;
struct closed_here;
struct conf;
struct conf_route;
struct credentials;
struct farewell;
struct fronts_here;
struct hubs_here;
struct letter;
struct pairs_here;
struct sessions_here;
struct taps_here;
struct cgroups;
struct programs_here;
struct route_counters;
struct revocations;
struct route_records;
struct verified;

/* One writer, the worker; readers elsewhere read relaxed. */
struct counters {
	atomic_uint_least64_t accepted, opened, closed;
	atomic_uint_least64_t reasons[REASON_COUNT];
	/* TLS, by enum count_result, and how long good ones took. */
	atomic_uint_least64_t tls_handshakes[2];
	struct histogram tls_handshake_times;
};

struct reloads {                       /* the main thread writes */
	atomic_uint_least64_t done[2]; /* by enum count_result */
	atomic_bool last_good;
	atomic_int_least64_t good_ms; /* Unix time, of the last good one */
};

/* What all workers share; see admission.h for what of it locks. */
struct shared {
	struct admission *admission;
	struct verified *verified; /* signatures, see verified.h */
	struct revocations *revocations;
	struct worker **workers; /* fixed once they run */
	size_t workers_n;
	struct budget budget;      /* of all that waits: max_memory */
	atomic_size_t connections; /* client connections */
	/* The configuration's, or what descriptors allow if that is less. */
	atomic_size_t max_connections;
	atomic_uint_least64_t next_id;
	int64_t started_ms; /* Unix time */
	/*
	 * Unix time: tokens that were used since then are known: from the start
	 * on, or from further back when they were kept (daemon/store.h).
	 */
	int64_t used_since_ms;
	struct proc_limits limits; /* as they were before we changed them */
	int step; /* what starts programs, see step.h; -1: it is not there */
	struct cgroups *groups; /* of programs that have limits, or NULL */
	atomic_size_t programs; /* that live, or have left something */
	/* No new client should come: /readyz says so. */
	atomic_bool leaving;
	atomic_bool draining; /* none is let in: the operator's drain --soft */
	struct route_records *records; /* made with the sections */
	struct reloads reloads;        /* what became of them */
};

#define WORKER_RANDOM  4096
#define WORKER_TICK_MS 1000

struct worker {
	struct loop *loop;
	struct mailbox mailbox;       /* from any thread */
	atomic_size_t connections;    /* given to it, not yet gone */
	atomic_int_least64_t tick_ms; /* when it was last seen alive */
	pthread_t thread;
	bool has_thread;
	bool borrowed_loop; /* the main thread's */
	bool draining;      /* nothing new is begun */
	struct shared *shared;
	struct conf *conf; /* a reference; what new connections get */
	struct credentials *credentials; /* made of it */
	size_t index;                    /* in shared->workers */
	struct counters counters;
	struct timer tick; /* once a second, see daemon/worker.c */
	/* What the rooms above have on this thread, and know alone. */
	struct fronts_here *fronts;
	struct programs_here *programs;
	struct closed_here *closed; /* NULL: none are kept */
	struct sessions_here *sessions;
	struct farewell *farewell;
	struct pairs_here *pairs;
	struct hubs_here *hubs;
	struct taps_here *taps;
	bool tapped; /* there are some: messages are shown to them, end/tap.h */
	/* Memory is short: see worker_make_room. NULL: nothing gives way. */
	bool (*make_room)(struct worker *w);
	size_t random_n; /* bytes of random left */
	uint8_t random[WORKER_RANDOM];
};

/*
 * The worker's loop is one of its own, or the main thread's when there is only
 * one worker and no other thread is needed. NULL without memory.
 */
MUST_CHECK struct worker *worker_new(
	struct shared *s, struct conf *conf, struct loop *main_loop);
/* Its thread has ended. */
void worker_free(struct worker *w);
/* Runs it in a thread of its own. -1 with errno. */
MUST_CHECK int worker_start(struct worker *w, unsigned index);
/* Tells its thread to end and waits for that. */
void worker_join(struct worker *w);

/* Any thread. Takes l (letter.h): it is opened on the worker's thread. */
void worker_post(struct worker *w, struct letter *l);

/*
 * From now on new connections get this configuration. -1 with a line in the
 * log: the old one stays.
 */
MUST_CHECK int worker_set_conf(struct worker *w, struct conf *conf);
/* A client connection of it is gone. */
void worker_left(struct worker *w);
/* Four unpredictable bytes for a mask (RFC 6455 section 10.3). */
void worker_random(struct worker *w, uint8_t *out, size_t n);
void worker_count_reason(struct worker *w, enum reason r);
/* What this worker counts for a route; NULL: before one is known. */
struct route_counters *worker_route(
	const struct worker *w, const struct conf_route *r);
/* Over max_memory: sources pause. */
bool worker_memory_full(const struct worker *w);
/*
 * max_memory is in the way of something: whether what is only a convenience
 * (replays) has given way, and that was enough.
 */
bool worker_make_room(struct worker *w);

#endif
