/*
 * worker.h: what one thread owns: its loop, its connections, its counters.
 * A connection, its end and its pair live and die on one worker.
 */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "base/budget.h"
#include "base/compiler.h"
#include "base/idmap.h"
#include "base/reason.h"
#include "net/loop.h"
#include "net/proc.h"
#include "relay/log_quota.h"

struct admission;
struct conf;
struct conf_address;
struct conf_listen;
struct credentials;
struct exec_attempt;
struct front;
struct hub;
struct hubs;
struct keeper;
struct mail;
struct pair;
struct shard;
struct verified;
struct tls_tickets;

/* A connection that a listener has accepted. */
struct accepted {
	int fd;
	struct addr peer; /* of the socket */
	/* What it was accepted under: a worker may know a newer one by now. */
	struct conf *conf;
	const struct conf_listen *listen;
	const struct conf_address *address;
};

/* One writer, the worker; readers elsewhere read relaxed. */
struct counters {
	atomic_uint_least64_t accepted, opened, closed;
	atomic_uint_least64_t reasons[REASON_COUNT];
	atomic_uint_least64_t messages[2], bytes[2]; /* by enum end_side */
};

/* What all workers share; see admission.h for what of it locks. */
struct shared {
	struct admission *admission;
	struct verified *verified;    /* signatures, see verified.h */
	struct hubs *hubs;            /* the directory, see hub.h */
	struct tls_tickets **tickets; /* by place in conf->listens */
	/* Likewise: that a proxy is not trusted was said. */
	atomic_bool *distrust_told;
	/* By place in conf->routes: that no subprotocol was selected was said. */
	atomic_bool *unselected_told;
	struct worker **workers; /* fixed once they run */
	size_t workers_n;
	struct budget budget;      /* of all that waits: max_memory */
	atomic_size_t connections; /* client connections */
	/* The configuration's, or what descriptors allow if that is less. */
	size_t max_connections;
	atomic_uint_least64_t next_id;
	int64_t started_ms;        /* Unix time */
	struct proc_limits limits; /* as they were before we changed them */
	atomic_size_t programs;    /* that live, or have left something */
};

#define WORKER_RANDOM  4096
#define WORKER_TICK_MS 1000

struct worker {
	struct loop *loop;
	/* From other threads: see mailbox in worker.c. */
	pthread_mutex_t mail_lock;
	STAILQ_HEAD(, mail) mail;
	atomic_size_t connections;    /* given to it, not yet gone */
	atomic_int_least64_t tick_ms; /* when it was last seen alive */
	pthread_t thread;
	bool has_thread;
	bool borrowed_loop; /* the main thread's */
	struct shared *shared;
	struct conf *conf; /* a reference; what new connections get */
	struct credentials *credentials;  /* made of it */
	TAILQ_HEAD(fronts, front) fronts; /* oldest request first */
	struct fronts line, late_line;    /* of tokens, see front_line.c */
	struct deferred line_turn;
	bool verified; /* a token, in this turn of the loop */
	/* Programs that are to be started: see backend_exec.c. */
	TAILQ_HEAD(, exec_attempt) programs;
	struct deferred programs_turn;
	TAILQ_HEAD(, pair) pairs;
	TAILQ_HEAD(, hub) hubs;       /* those at home here */
	TAILQ_HEAD(, keeper) keepers; /* of hubs that are always there */
	TAILQ_HEAD(, shard) shards;   /* members here, by hub */
	struct idmap joins;           /* clients that wait for a seat, by id */
	size_t index;                 /* in shared->workers */
	struct counters counters;
	struct timer tick; /* once a second: memory, refusals' log limit */
	bool draining;
	size_t random_n; /* bytes of random left */
	uint8_t random[WORKER_RANDOM];
	struct log_quota refusals, backend_errors;
};

/*
 * The worker's loop is one of its own, or the main thread's when there is only
 * one worker and no other thread is needed.
 */
MUST_CHECK struct worker *worker_new(
	struct shared *s, struct conf *conf, struct loop *main_loop);
void worker_free(struct worker *w);
/* Runs it in a thread of its own. -1 with errno. */
MUST_CHECK int worker_start(struct worker *w, unsigned index);
/* Tells its thread to end and waits for that. */
void worker_join(struct worker *w);

/*
 * Any thread: the worker takes the socket, or closes it when there is no
 * memory to tell it.
 */
void worker_post_accepted(struct worker *w, const struct accepted *a);
/* Any thread. Takes m (mail.h). */
void worker_post(struct worker *w, struct mail *m);
/* Any thread: the hubs that are always there are opened (hub.h: hubs_keep). */
MUST_CHECK int worker_post_keep(struct worker *w);
/*
 * Any thread: from now on new connections get this configuration, which has
 * the same settings as the one before: only what was read from files may be
 * new.
 */
void worker_post_conf(struct worker *w, struct conf *conf);
/* Any thread: worker_drain. */
void worker_post_drain(struct worker *w);

/* Takes an accepted socket. */
void worker_accepted(struct worker *w, const struct accepted *a);
/* The worker's thread: what worker_post_conf asks for. */
void worker_set_conf(struct worker *w, struct conf *conf);
/* Ends every connection; those that wait for their request at once. */
void worker_drain(struct worker *w);
/* Cuts off whatever still lives. The loop must not be running. */
void worker_stop(struct worker *w);
/* A client connection of it is gone. */
void worker_left(struct worker *w);
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
