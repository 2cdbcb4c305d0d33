/*
 * A turn of the loop:
 *
 *   epoll_wait -> callbacks of ready sockets -> alarm: due timers
 *              -> deferred work (frees)      -> the clock is forgotten
 *
 * Timers are a binary heap of our own: connections re-arm theirs lazily (a
 * timer that fires too early looks at the time of the last byte and sets
 * itself again), so nothing is moved per message, and a timer costs 32 bytes
 * instead of libevent's 128.
 */
#include "net/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/thread.h>

#define ALARM_NONE INT64_MAX
/* So many that reads of LOOP_SCRATCH alone would fill the turn. */
#define CROWD 16

static void alarm_fired(evutil_socket_t fd, short what, void *arg);

static void call_wakers(struct loop *l)
{
	struct waker *w;

	LIST_FOREACH (w, &l->wakers, next)
		w->woken(w);
}

static void wake_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0)
		return; /* this wake-up was read together with another */
	call_wakers(l);
}

static struct event_base *base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (!config)
		return NULL;
	/* Without it, epoll_ctl is called for each change of interest. */
	if (event_config_set_flag(
		    config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0 &&
		/* A base is its thread's own: no lock is taken per event. */
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

struct loop *loop_new(struct budget *budget)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->budget = budget;
	l->wake_fd = -1;
	l->alarm_due = ALARM_NONE;
	STAILQ_INIT(&l->deferred);
	STAILQ_INIT(&l->deferred_next);
	LIST_INIT(&l->procs);
	SLIST_INIT(&l->parts);
	LIST_INIT(&l->wakers);
	atomic_init(&l->stopped, false);
	l->base = base_new();
	l->scratch_memory = malloc(LOOP_HEADROOM + LOOP_SCRATCH);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!l->base || !l->scratch_memory || l->wake_fd < 0)
		goto fail;
	l->scratch = l->scratch_memory + LOOP_HEADROOM;
	l->alarm = evtimer_new(l->base, alarm_fired, l);
	l->wake = event_new(
		l->base, l->wake_fd, EV_READ | EV_PERSIST, wake_fired, l);
	if (!l->alarm || !l->wake || event_add(l->wake, NULL) < 0)
		goto fail;
	return l;
fail:
	loop_free(l);
	return NULL;
}

void loop_run_deferred(struct loop *l)
{
	struct deferred *d;

	STAILQ_CONCAT(&l->deferred, &l->deferred_next);
	while ((d = STAILQ_FIRST(&l->deferred))) {
		void (*cb)(struct deferred *) = d->cb;

		STAILQ_REMOVE_HEAD(&l->deferred, next);
		d->cb = NULL;
		cb(d);
	}
}

void loop_part_add(struct loop *l, struct loop_part *p,
	void (*part_free)(struct loop_part *p))
{
	p->free = part_free;
	SLIST_INSERT_HEAD(&l->parts, p, next);
}

struct loop_part *loop_part_find(
	const struct loop *l, void (*part_free)(struct loop_part *p))
{
	struct loop_part *p;

	SLIST_FOREACH (p, &l->parts, next) {
		if (p->free == part_free)
			return p;
	}
	return NULL;
}

void loop_free(struct loop *l)
{
	struct loop_part *p;

	if (!l)
		return;
	if (l->base)
		loop_run_deferred(l);
	while ((p = SLIST_FIRST(&l->parts))) {
		SLIST_REMOVE_HEAD(&l->parts, next);
		p->free(p);
	}
	if (l->dns)
		evdns_base_free(l->dns, 0);
	if (l->alarm)
		event_free(l->alarm);
	if (l->wake)
		event_free(l->wake);
	if (l->base)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	free(l->heap);
	free(l->scratch_memory);
	free(l);
}

/* One that did not look at the clock has done nothing that takes time. */
static void note_turn(struct loop *l)
{
	if (l->now_known)
		histogram_add(&l->stats.turns, &histogram_work,
			(uint64_t)(loop_clock_ns() - l->now_ns));
}

int loop_run(struct loop *l)
{
	while (!atomic_load_explicit(&l->stopped, memory_order_acquire)) {
		int flags = STAILQ_EMPTY(&l->deferred_next)
				    ? EVLOOP_ONCE
				    : EVLOOP_ONCE | EVLOOP_NONBLOCK;

		l->now_known = false;
		l->eager_before = l->eager;
		l->eager = 0;
		l->turn_until = 0;
		if (event_base_loop(l->base, flags) < 0)
			return -1;
		loop_run_deferred(l);
		note_turn(l);
	}
	return 0;
}

void loop_wake(struct loop *l)
{
	uint64_t one = 1;

	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it will wake up anyway */
}

void loop_on_wake(
	struct loop *l, struct waker *w, void (*woken)(struct waker *w))
{
	w->woken = woken;
	LIST_INSERT_HEAD(&l->wakers, w, next);
}

void loop_on_wake_no_more(struct waker *w)
{
	LIST_REMOVE(w, next);
}

int loop_use_threads(void)
{
	return evthread_use_pthreads();
}

void loop_stop(struct loop *l)
{
	atomic_store_explicit(&l->stopped, true, memory_order_release);
	loop_wake(l);
}

int64_t loop_now(struct loop *l)
{
	if (!l->now_known) {
		l->now_ns = loop_clock_ns();
		l->now = l->now_ns / 1000000;
		l->now_known = true;
	}
	return l->now;
}

int64_t loop_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void loop_note_lag(struct loop *l, int64_t due)
{
	histogram_add_ms(&l->stats.lags, &histogram_work, loop_now(l) - due);
}

/* --- shares ---------------------------------------------------------------*/

void loop_share_begin(struct loop *l)
{
	l->share_steps = 0;
	l->share_used = false;
	l->share_until = 0;
}

size_t loop_read_size(const struct loop *l)
{
	bool crowded = l->eager > CROWD || l->eager_before > CROWD;

	return crowded ? LOOP_READ_MIN : LOOP_SCRATCH;
}

static int64_t share_ns(struct loop *l, int64_t now)
{
	int64_t ns = LOOP_TURN_NS / (l->eager_before + 1);

	if (l->turn_until == 0)
		l->turn_until = now + LOOP_TURN_NS;
	if (ns > LOOP_SHARE_MAX_NS)
		ns = LOOP_SHARE_MAX_NS;
	/* Many that use a little less than their shares fill it, too. */
	if (now >= l->turn_until)
		ns = LOOP_SHARE_MIN_NS;
	return ns < LOOP_SHARE_MIN_NS ? LOOP_SHARE_MIN_NS : ns;
}

bool loop_share_left_now(struct loop *l)
{
	int64_t now;

	if (l->share_used)
		return false;
	now = loop_clock_ns();
	/* The share begins with the first look: steps before it are free. */
	if (l->share_until == 0)
		l->share_until = now + share_ns(l, now);
	if (now < l->share_until)
		return true;
	l->share_used = true;
	l->eager++;
	return false;
}

bool loop_share_left(struct loop *l)
{
	if (l->share_used)
		return false;
	if (++l->share_steps % LOOP_SHARE_STEPS != 0)
		return true;
	return loop_share_left_now(l);
}

/* --- deferred work --------------------------------------------------------*/

void loop_defer(
	struct loop *l, struct deferred *d, void (*cb)(struct deferred *))
{
	if (d->cb) {
		assert(d->cb == cb);
		return;
	}
	d->cb = cb;
	STAILQ_INSERT_TAIL(&l->deferred, d, next);
	/*
	 * Outside of a turn (at the start) nothing else would end the wait;
	 * inside of one the alarm is not reached, for the turn ends first.
	 */
}

void loop_defer_next(
	struct loop *l, struct deferred *d, void (*cb)(struct deferred *))
{
	if (d->cb)
		return;
	d->cb = cb;
	STAILQ_INSERT_TAIL(&l->deferred_next, d, next);
}

static bool list_remove(struct deferred_list *list, struct deferred *d)
{
	struct deferred *i;

	STAILQ_FOREACH (i, list, next) {
		if (i != d)
			continue;
		STAILQ_REMOVE(list, d, deferred, next);
		return true;
	}
	return false;
}

void loop_undefer(struct loop *l, struct deferred *d)
{
	if (d->cb && !list_remove(&l->deferred, d))
		(void)list_remove(&l->deferred_next, d);
	d->cb = NULL;
}

/* --- timers ---------------------------------------------------------------*/

int timer_init(struct loop *l, struct timer *t, void (*cb)(struct timer *))
{
	*t = (struct timer){ .cb = cb };
	if (l->timers + 2 > l->heap_capacity) {
		uint32_t capacity = l->heap_capacity ? l->heap_capacity * 2
						     : 64;
		struct timer **heap = realloc(
			l->heap, capacity * sizeof(*heap));

		if (!heap)
			return -1;
		l->heap = heap;
		l->heap_capacity = capacity;
	}
	l->timers++;
	return 0;
}

void timer_fini(struct loop *l, struct timer *t)
{
	if (!t->cb)
		return;
	timer_clear(l, t);
	t->cb = NULL;
	l->timers--;
}

static void heap_put(struct loop *l, uint32_t at, struct timer *t)
{
	l->heap[at] = t;
	t->at = at;
}

static void heap_up(struct loop *l, uint32_t at, struct timer *t)
{
	while (at > 1 && l->heap[at / 2]->due > t->due) {
		heap_put(l, at, l->heap[at / 2]);
		at /= 2;
	}
	heap_put(l, at, t);
}

static void heap_down(struct loop *l, uint32_t at, struct timer *t)
{
	for (;;) {
		uint32_t child = at * 2;

		if (child > l->heap_n)
			break;
		if (child < l->heap_n &&
			l->heap[child + 1]->due < l->heap[child]->due)
			child++;
		if (l->heap[child]->due >= t->due)
			break;
		heap_put(l, at, l->heap[child]);
		at = child;
	}
	heap_put(l, at, t);
}

/* libevent is asked for the earliest time only, and only when it is sooner. */
static void alarm_update(struct loop *l)
{
	int64_t due = l->heap_n ? l->heap[1]->due : ALARM_NONE;
	int64_t wait;
	struct timeval tv;

	if (due >= l->alarm_due)
		return; /* the alarm may ring too early, never too late */
	wait = due - loop_now(l);
	if (wait < 0)
		wait = 0;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	l->alarm_due = due;
	evtimer_add(l->alarm, &tv);
}

static void alarm_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	int64_t now = loop_now(l);

	(void)fd;
	(void)what;
	l->alarm_due = ALARM_NONE;
	while (l->heap_n > 0 && l->heap[1]->due <= now) {
		struct timer *t = l->heap[1];

		timer_clear(l, t);
		t->cb(t);
	}
	alarm_update(l);
}

void timer_set(struct loop *l, struct timer *t, int64_t due)
{
	assert(t->cb);
	timer_clear(l, t);
	t->due = due;
	heap_up(l, ++l->heap_n, t);
	alarm_update(l);
}

void timer_clear(struct loop *l, struct timer *t)
{
	struct timer *last;
	uint32_t at = t->at;

	if (!at)
		return;
	assert(l->heap[at] == t);
	t->at = 0;
	last = l->heap[l->heap_n--];
	if (last == t)
		return;
	if (at > 1 && l->heap[at / 2]->due > last->due)
		heap_up(l, at, last);
	else
		heap_down(l, at, last);
}
