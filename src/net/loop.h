/*
 * loop.h: the event loop of one thread.
 *
 * A loop belongs to the thread that runs it; nothing here may be called from
 * another one but loop_stop and loop_wake. A turn is: wait, run what is ready,
 * then what was deferred. Objects are freed by deferring, so that no callback
 * of the same turn meets a freed one.
 *
 * A turn is bounded for all in it: whatever could go on and on (a read full of
 * messages, mail, a file, handshakes) asks for its share of the turn and does
 * the rest in the next one.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/histogram.h"

struct budget;
struct conn;
struct proc;
struct event;
struct event_base;
struct evdns_base;

/*
 * Bytes of one read. Measured: with 32 or 64 KiB a relay of 16 KiB messages
 * with many in flight costs twice. A little over 256 KiB, so that a message of
 * that size comes in one read with its head.
 */
#define LOOP_SCRATCH (256u * 1024 + 4096)
/*
 * Free bytes in front of it: room for the head that the next hop puts before
 * the payload, so that both leave as one run of bytes.
 */
#define LOOP_HEADROOM 16

/* A timer, part of its owner: 24 bytes. Zeros are a timer that is not set. */
struct timer {
	int64_t due; /* ms, by loop_now */
	void (*cb)(struct timer *t);
	uint32_t at; /* place in the heap, 0 = not set */
};

/* What is to be done when the loop was woken, part of its owner. */
struct waker {
	LIST_ENTRY(waker) next;
	void (*woken)(struct waker *w);
};

/* Something to do at the end of the turn, part of its owner. */
struct deferred {
	STAILQ_ENTRY(deferred) next;
	void (*cb)(struct deferred *d); /* NULL = not waiting */
};

/*
 * What the running read has produced for one connection, sent as one write
 * when the read is done: see conn_send.c.
 */
#define CORK_PARTS 128
struct cork {
	struct conn *to;
	int parts;
	size_t heads_n;
	struct iovec v[CORK_PARTS];
	uint8_t heads[CORK_PARTS * 16];
};

/* What another module keeps once for a loop; freed with it. */
struct loop_part {
	SLIST_ENTRY(loop_part) next;
	void (*free)(struct loop_part *p);
};

/*
 * How long its turns take, how late its timers are, and how long messages are in
 * the relay: from the read to the write that they leave with, of one read in
 * LOOP_SAMPLE. The loop's thread writes, any reads.
 */
#define LOOP_SAMPLE 64
enum loop_delay { LOOP_DELAY_PAIR, LOOP_DELAY_HUB, LOOP_DELAYS };
struct loop_stats {
	struct histogram turns;               /* ns, waits left out */
	struct histogram lags;                /* ns, see loop_note_lag */
	struct histogram delays[LOOP_DELAYS]; /* ns */
};

struct loop {
	struct event_base *base;
	struct evdns_base *dns; /* made at the first name, see dial.c */
	int64_t dns_checked;    /* ms, when its files were last looked at */
	/* Times of change then, ns: of resolv.conf, hosts. */
	int64_t dns_mtime, dns_hosts_mtime;

	/* For the read under way: LOOP_SCRATCH bytes behind LOOP_HEADROOM. */
	uint8_t *scratch;
	struct cork cork;
	struct conn *reader; /* its input callback is running; NULL: none is */
	/* Of that read: loop_clock_ns when it began; 0 = it is not sampled. */
	int64_t sampled_ns;
	bool sample_carries; /* it brought a message for a pair */
	unsigned sample_steps;
	struct loop_stats stats;

	LIST_HEAD(, proc) procs; /* the children of this loop, see proc.c */

	struct budget *budget; /* the daemon's, over all its loops */

	/* Private to loop.c. */
	SLIST_HEAD(, loop_part) parts;
	int64_t now;
	int64_t now_ns; /* the same, finer: about when the turn began */
	bool now_known;
	struct timer **heap; /* from 1 */
	uint32_t heap_n, heap_capacity, timers;
	uint8_t *scratch_memory;
	struct event *alarm;
	int64_t alarm_due;
	struct event *wake;
	LIST_HEAD(, waker) wakers;
	int wake_fd;
	atomic_bool stopped;
	STAILQ_HEAD(deferred_list, deferred) deferred, deferred_next;
	/* The share under way: see loop_share_begin. */
	unsigned share_steps;
	bool share_used;
	int64_t share_until; /* ns, 0 = the clock was not looked at yet */
	/* How many used theirs up in this turn, and in the one before. */
	unsigned eager, eager_before;
	int64_t turn_until; /* ns, likewise, of the turn's time */
};

/* NULL: no memory or descriptor. The budget outlives the loop. */
MUST_CHECK struct loop *loop_new(struct budget *budget);
void loop_free(struct loop *l);
/* Runs turns until loop_stop. -1: the event base failed. */
MUST_CHECK int loop_run(struct loop *l);
/* Any thread. The running turn is finished. */
void loop_stop(struct loop *l);
/* Any thread: its wakers are called in the loop's, soon, at least once. */
void loop_wake(struct loop *l);
/* They are few: mailboxes. None goes while they are called. */
void loop_on_wake(
	struct loop *l, struct waker *w, void (*woken)(struct waker *w));
void loop_on_wake_no_more(struct waker *w);
/* Once, before the first loop: the library's own locks, for many threads. */
MUST_CHECK int loop_use_threads(void);

/* A part is found by its function; NULL: it was not added. */
void loop_part_add(struct loop *l, struct loop_part *p,
	void (*part_free)(struct loop_part *p));
struct loop_part *loop_part_find(
	const struct loop *l, void (*part_free)(struct loop_part *p));

/* Monotonic ms; read once in a turn, so that it costs nothing per message. */
int64_t loop_now(struct loop *l);
/* Monotonic ns, as precise as the clock is: not for each message. */
int64_t loop_clock_ns(void);
/* Once in a while: a timer that was due then, a time of loop_now, fires. */
void loop_note_lag(struct loop *l, int64_t due);

/*
 * A share of the turn. Code that does many things in a row begins one, and asks
 * before each further thing whether it may go on; if not, it does the rest in
 * the next turn (loop_defer_next, loop_wake), in which all others come first. A
 * share is a time: all that used theirs up in the turn before divide
 * LOOP_TURN_NS among them, each gets LOOP_SHARE_MIN_NS at least, no more than
 * that when LOOP_TURN_NS are over, and a first thing is always done. The clock
 * is looked at once in LOOP_SHARE_STEPS questions, so that asking costs nothing
 * per message; loop_share_left_now looks at it each time: for steps that take
 * long themselves. One share is under way at a time.
 */
#define LOOP_TURN_NS      INT64_C(8000000)
#define LOOP_SHARE_MAX_NS INT64_C(2000000)
#define LOOP_SHARE_MIN_NS INT64_C(50000)
#define LOOP_SHARE_STEPS  16
void loop_share_begin(struct loop *l);
MUST_CHECK bool loop_share_left(struct loop *l);
MUST_CHECK bool loop_share_left_now(struct loop *l);
/*
 * How many bytes a read may take, LOOP_SCRATCH at most: when many use their
 * shares up, not many more than these allow, for the rest must be kept.
 */
#define LOOP_READ_MIN (64u * 1024)
size_t loop_read_size(const struct loop *l);
/* Whether the share under way, or the last, was used up. */
static inline bool loop_share_is_used(const struct loop *l)
{
	return l->share_used;
}

/*
 * A timer is used between timer_init, which makes room for it (-1 without
 * memory), and timer_fini; so setting one cannot fail.
 */
MUST_CHECK int timer_init(
	struct loop *l, struct timer *t, void (*cb)(struct timer *));
void timer_fini(struct loop *l, struct timer *t);
/* Sets or moves it to a time of loop_now; it fires once. */
void timer_set(struct loop *l, struct timer *t, int64_t due);
void timer_clear(struct loop *l, struct timer *t);

/* Does cb(d) at the end of this turn; once, however often it is asked for. */
void loop_defer(
	struct loop *l, struct deferred *d, void (*cb)(struct deferred *));
/*
 * At the end of the next turn, which does not wait: for one of many steps,
 * between which others get their turn.
 */
void loop_defer_next(
	struct loop *l, struct deferred *d, void (*cb)(struct deferred *));
/* Forgets it, if it waits: its owner is about to go. */
void loop_undefer(struct loop *l, struct deferred *d);
/*
 * Does at once what was deferred, to the next turn, too: for the end, when no
 * turn will come. What is deferred to a next one meanwhile is not done.
 */
void loop_run_deferred(struct loop *l);

#endif
