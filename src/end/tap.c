/*
 *   main thread: tap_open --letter--> each worker: listed; tapped = true
 *   worker: tap_piece, tap_message -> offer: fits? room? match? -> enqueue
 *           --letter, if the reader waits--> main thread: called
 *   main thread: tap_take, tap_item_free ... tap_wait
 *
 * The queue is behind a short lock, taken for a message that is kept and for
 * each that is read. A tap lives as long as a worker lists it, a letter of it is
 * under way, or its reader has it.
 */
#include "end/tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/idmap.h"
#include "base/message.h"
#include "base/str.h"
#include "base/waiting.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "worker/letter.h"
#include "worker/mailbox.h"
#include "worker/worker.h"

/* A tap on one worker: that worker's alone, but for the letters' posting. */
struct tap_here {
	LIST_ENTRY(tap_here) next;
	struct tap *tap;
	struct worker *worker;
	struct letter begin, end;
	bool listed;
};

/* Whether its reader knows that there is something to take. */
enum tap_reader {
	READER_BUSY,   /* it takes, and looks again before it waits */
	READER_WAITS,  /* the next that comes calls it */
	READER_CALLED, /* the letter is under way */
};

struct queued {
	STAILQ_ENTRY(queued) next;
	struct tap_item item;
	struct message *message; /* a reference, for item.data; NULL: in here */
	char bytes[];            /* route, hub, data */
};

struct tap {
	atomic_uint references;
	struct tap_filter filter;
	struct shared *shared;
	struct waiting waiting;
	atomic_uint_least64_t dropped; /* behind the newest of the queue */
	atomic_size_t begun;           /* workers that list it, or did */
	atomic_bool stopped;
	pthread_mutex_t lock;
	STAILQ_HEAD(, queued) queue; /* under the lock */
	uint64_t taken;              /* likewise: messages that were queued */
	_Atomic(enum tap_reader) reader;
	struct letter call;
	struct mailbox *mailbox; /* the reader's */
	/* The main thread's; NULL: it has closed it. */
	void (*called)(void *owner);
	void *owner;
	bool ended;             /* workers were told */
	struct tap_here here[]; /* by worker index */
};

struct part { /* a message of a pair in the making */
	LIST_ENTRY(part) next;
	struct idmap_entry by_key;
	struct buf kept;
	uint64_t size;
};

struct taps_here {
	LIST_HEAD(, tap_here) list;
	LIST_HEAD(, part) parts;
	struct idmap parts_by_key;
	size_t parts_bytes;
};

void tap_filter_free(struct tap_filter *f)
{
	free(f->route);
	free(f->hub);
	free(f->match);
	*f = (struct tap_filter){ 0 };
}

/* --- the queue ------------------------------------------------------------*/

static void unref(struct tap *t)
{
	struct queued *q;

	if (atomic_fetch_sub_explicit(
		    &t->references, 1, memory_order_acq_rel) != 1)
		return;
	while ((q = STAILQ_FIRST(&t->queue))) {
		STAILQ_REMOVE_HEAD(&t->queue, next);
		tap_item_free(t, &q->item);
	}
	pthread_mutex_destroy(&t->lock);
	tap_filter_free(&t->filter);
	free(t);
}

/* Something came: one that waits for it is called, once. */
static void call(struct tap *t)
{
	enum tap_reader waits = READER_WAITS;

	if (atomic_load(&t->reader) != READER_WAITS ||
		!atomic_compare_exchange_strong(
			&t->reader, &waits, READER_CALLED))
		return;
	atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
	mailbox_post(t->mailbox, &t->call);
}

static void drop(struct tap *t)
{
	if (atomic_load(&t->stopped))
		return;
	atomic_fetch_add(&t->dropped, 1);
	call(t);
}

/* How much is kept of a message of which n bytes are in hand. */
static size_t kept_of(
	const struct tap *t, const uint8_t *p, size_t n, bool text, bool cut)
{
	if (n > t->filter.keep) {
		n = t->filter.keep;
		cut = true;
	}
	if (!text || !cut)
		return n;
	/* No part of a character at its end. */
	for (size_t i = 1; i <= 4 && i <= n; i++)
		if ((p[n - i] & 0xc0) != 0x80)
			return str_character((struct str){
				       (const char *)p + n - i, i }) == i
				       ? n
				       : n - i;
	return n;
}

struct sight { /* a message, or what is in hand of it */
	const struct tap_source *source;
	uint8_t opcode;
	const uint8_t *data;
	size_t n;
	uint64_t size;
	struct message *message; /* that has the data; or NULL */
	int64_t at_us;           /* 0: the clock was not looked at yet */
};

/* NULL without memory. */
static struct queued *queued_new(const struct tap *t, const struct sight *x)
{
	const struct tap_source *s = x->source;
	size_t route_n = strlen(s->route->section.name) + 1;
	size_t hub_n = s->hub ? strlen(s->hub) + 1 : 0;
	size_t n = kept_of(
		t, x->data, x->n, x->opcode == WS_TEXT, x->n < x->size);
	struct queued *q = malloc(
		sizeof(*q) + route_n + hub_n + (x->message ? 0 : n));
	char *data;

	if (!q)
		return NULL;
	data = q->bytes + route_n + hub_n;
	memcpy(q->bytes, s->route->section.name, route_n);
	if (s->hub)
		memcpy(q->bytes + route_n, s->hub, hub_n);
	if (!x->message && n > 0)
		memcpy(data, x->data, n);
	q->message = x->message ? message_ref(x->message) : NULL;
	q->item = (struct tap_item){ .at_us = x->at_us,
		.id = s->id,
		.from = s->from,
		.opcode = x->opcode,
		.route = q->bytes,
		.hub = s->hub ? q->bytes + route_n : NULL,
		.data = x->message ? x->data : (const uint8_t *)data,
		.n = n,
		.size = x->size };
	return q;
}

/* Of a message that is only referred to all is held, however much is shown. */
static size_t cost_of(const struct queued *q)
{
	return sizeof(*q) + (q->message ? q->message->n : q->item.n);
}

static void enqueue(struct tap *t, struct queued *q)
{
	bool wanted;

	if (q->message)
		waiting_add_shared(&t->waiting, cost_of(q));
	else
		waiting_add(&t->waiting, cost_of(q));
	pthread_mutex_lock(&t->lock);
	wanted = !atomic_load(&t->stopped);
	if (wanted) {
		t->taken++;
		if (t->taken == t->filter.limit)
			atomic_store(&t->stopped, true);
		q->item.dropped = atomic_exchange(&t->dropped, 0);
		STAILQ_INSERT_TAIL(&t->queue, q, next);
	}
	pthread_mutex_unlock(&t->lock);
	if (wanted)
		call(t);
	else
		tap_item_free(t, &q->item);
}

/* --- what fits ------------------------------------------------------------*/

/* The newest snapshot decides, also for what lives under an older one. */
static bool is_shown(const struct worker *w, const struct tap_source *s)
{
	const struct conf_route *now = conf_same_route(w->conf, s->route);

	return (now ? now : s->route)->tap;
}

static bool same(const char *wanted, const char *is)
{
	return !wanted || (is && strcmp(wanted, is) == 0);
}

static bool is_of(const struct tap_source *s, uint64_t client)
{
	return s->id == client || (s->reaches && s->reaches(s->arg, client));
}

static bool fits(const struct tap_filter *f, const struct tap_source *s)
{
	return !f->not_from[s->from] && (!f->for_all || s->for_all) &&
	       same(f->route, s->route->section.name) && same(f->hub, s->hub) &&
	       (f->client == 0 || is_of(s, f->client));
}

static bool matches(const struct tap_filter *f, const struct sight *x)
{
	return f->match_n == 0 ||
	       (x->n >= f->match_n &&
		       memmem(x->data, x->n, f->match, f->match_n));
}

static void offer(struct tap *t, struct sight *x)
{
	struct queued *q;

	if (!fits(&t->filter, x->source) || atomic_load(&t->stopped))
		return;
	if (waiting_is_over(&t->waiting, TAP_QUEUE_BYTES)) {
		drop(t);
		return;
	}
	if (!matches(&t->filter, x))
		return;
	if (!x->at_us)
		x->at_us = clock_unix_us();
	q = t->filter.whole && x->size > t->filter.keep ? NULL
							: queued_new(t, x);
	if (q)
		enqueue(t, q);
	else
		drop(t);
}

static void offer_to_all(struct worker *w, struct sight *x)
{
	struct tap_here *h;

	LIST_FOREACH (h, &w->taps->list, next)
		offer(h->tap, x);
}

void tap_message(
	struct worker *w, const struct tap_source *s, struct message *m)
{
	if (is_shown(w, s))
		offer_to_all(w, &(struct sight){ .source = s,
					.opcode = m->opcode,
					.data = m->bytes + m->head_n,
					.n = m->n - m->head_n,
					.size = m->n - m->head_n,
					.message = m });
}

/* --- messages in the making -----------------------------------------------*/

/* Ids are microseconds since 1970, so there is room for one bit more. */
static uint64_t key_of(uint64_t id, enum end_side from)
{
	return id << 1 | (uint64_t)from;
}

static struct part *part_find(struct worker *w, uint64_t key)
{
	struct idmap_entry *e = idmap_find(&w->taps->parts_by_key, key);

	return e ? CONTAINER_OF(e, struct part, by_key) : NULL;
}

static void part_free(struct worker *w, struct part *x)
{
	struct taps_here *here = w->taps;

	LIST_REMOVE(x, next);
	idmap_remove(&here->parts_by_key, &x->by_key);
	here->parts_bytes -= sizeof(*x) + x->kept.n;
	budget_sub(&w->shared->budget, sizeof(*x) + x->kept.n);
	buf_free(&x->kept);
	free(x);
}

static size_t parts_room(const struct worker *w)
{
	size_t used = w->taps->parts_bytes;

	if (budget_is_full(&w->shared->budget) || used >= TAP_PARTS_BYTES)
		return 0;
	return TAP_PARTS_BYTES - used;
}

/* NULL: no memory, or too much is in the making. */
static struct part *part_new(struct worker *w, uint64_t key)
{
	struct part *x;

	if (parts_room(w) < sizeof(*x))
		return NULL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	LIST_INSERT_HEAD(&w->taps->parts, x, next);
	idmap_add(&w->taps->parts_by_key, &x->by_key, key);
	w->taps->parts_bytes += sizeof(*x);
	budget_add(&w->shared->budget, sizeof(*x));
	return x;
}

static void part_add(
	struct worker *w, struct part *x, const struct piece *p, size_t keep)
{
	size_t room = parts_room(w), n = p->n;

	/* What it has is its beginning: behind a gap nothing is kept. */
	if (x->kept.n < x->size)
		n = 0;
	if (n > keep - x->kept.n)
		n = keep - x->kept.n;
	if (n > room)
		n = room;
	x->size += p->n;
	if (n == 0 || buf_add(&x->kept, p->data, n, SIZE_MAX) < 0)
		return;
	w->taps->parts_bytes += n;
	budget_add(&w->shared->budget, n);
}

/* The most that a tap of this source keeps; 0: there is none. */
static size_t keep_for(const struct worker *w, const struct tap_source *s)
{
	const struct tap_here *h;
	size_t keep = 0;

	LIST_FOREACH (h, &w->taps->list, next) {
		const struct tap_filter *f = &h->tap->filter;

		if (f->keep > keep && fits(f, s))
			keep = f->keep;
	}
	return keep;
}

/* There is no room to collect it. */
static void drop_for_all(struct worker *w, const struct tap_source *s)
{
	struct tap_here *h;

	LIST_FOREACH (h, &w->taps->list, next)
		if (fits(&h->tap->filter, s))
			drop(h->tap);
}

static void collect(
	struct worker *w, const struct tap_source *s, const struct piece *p)
{
	uint64_t key = key_of(s->id, s->from);
	struct part *x = part_find(w, key);
	size_t keep = keep_for(w, s);

	if (p->first && !x && keep > 0) {
		x = part_new(w, key);
		if (!x)
			drop_for_all(w, s);
	}
	if (!x)
		return; /* of no interest, or begun before there was a tap */
	part_add(w, x, p, keep > x->kept.n ? keep : x->kept.n);
	if (!p->last)
		return;
	offer_to_all(w, &(struct sight){ .source = s,
				.opcode = p->opcode,
				.data = x->kept.p,
				.n = x->kept.n,
				.size = x->size });
	part_free(w, x);
}

static void forget_parts_of(struct worker *w, uint64_t id)
{
	for (int side = 0; side < 2; side++) {
		struct part *x = part_find(w, key_of(id, (enum end_side)side));

		if (x)
			part_free(w, x);
	}
}

void tap_piece(
	struct worker *w, const struct tap_source *s, const struct piece *p)
{
	if (!is_shown(w, s))
		forget_parts_of(w, s->id);
	else if (p->first && p->last)
		offer_to_all(w, &(struct sight){ .source = s,
					.opcode = p->opcode,
					.data = p->data,
					.n = p->n,
					.size = p->n });
	else
		collect(w, s, p);
}

void tap_gone(struct worker *w, uint64_t client)
{
	struct tap_here *h;

	forget_parts_of(w, client);
	LIST_FOREACH (h, &w->taps->list, next)
		if (h->tap->filter.client == client) {
			atomic_store(&h->tap->stopped, true);
			call(h->tap);
		}
}

/* --- begin and end, on a worker -------------------------------------------*/

static void forget_parts(struct worker *w)
{
	struct part *x;

	while ((x = LIST_FIRST(&w->taps->parts)))
		part_free(w, x);
	idmap_free(&w->taps->parts_by_key);
}

static void open_begin(struct worker *w, struct letter *l)
{
	struct tap_here *h = CONTAINER_OF(l, struct tap_here, begin);

	LIST_INSERT_HEAD(&w->taps->list, h, next);
	h->listed = true;
	w->tapped = true;
	if (atomic_fetch_add(&h->tap->begun, 1) + 1 ==
		h->tap->shared->workers_n)
		call(h->tap);
}

/* The end of it is under way, too. */
static void free_begin(struct letter *l)
{
	(void)l;
}

static const struct letter_kind begin_kind = {
	.open = open_begin,
	.free = free_begin,
};

/* Also when the worker's thread has ended. */
static void leave(struct tap_here *h)
{
	struct worker *w = h->worker;

	if (h->listed)
		LIST_REMOVE(h, next);
	h->listed = false;
	w->tapped = !LIST_EMPTY(&w->taps->list);
	if (!w->tapped)
		forget_parts(w);
	unref(h->tap);
}

static void open_end(struct worker *w, struct letter *l)
{
	(void)w;
	leave(CONTAINER_OF(l, struct tap_here, end));
}

static void free_end(struct letter *l)
{
	leave(CONTAINER_OF(l, struct tap_here, end));
}

static const struct letter_kind end_kind = {
	.open = open_end,
	.free = free_end,
};

int taps_init(struct worker *w)
{
	w->taps = calloc(1, sizeof(*w->taps));
	if (!w->taps)
		return -1;
	LIST_INIT(&w->taps->list);
	LIST_INIT(&w->taps->parts);
	return 0;
}

void taps_fini(struct worker *w)
{
	free(w->taps);
	w->taps = NULL;
}

/* --- its reader -----------------------------------------------------------*/

static void open_call(struct worker *w, struct letter *l)
{
	struct tap *t = CONTAINER_OF(l, struct tap, call);

	(void)w; /* none: it is the main thread's mailbox */
	atomic_store(&t->reader, READER_BUSY);
	if (t->called)
		t->called(t->owner);
	unref(t);
}

static void free_call(struct letter *l)
{
	unref(CONTAINER_OF(l, struct tap, call));
}

static const struct letter_kind call_kind = {
	.open = open_call,
	.free = free_call,
};

static struct tap *tap_new(const struct tap_params *p)
{
	size_t workers = p->shared->workers_n;
	struct tap *t = calloc(1, sizeof(*t) + workers * sizeof(t->here[0]));

	if (!t)
		return NULL;
	if (pthread_mutex_init(&t->lock, NULL) != 0) {
		free(t);
		return NULL;
	}
	atomic_init(&t->references, 1);
	t->filter = p->filter;
	t->shared = p->shared;
	waiting_init(&t->waiting, &p->shared->budget);
	STAILQ_INIT(&t->queue);
	t->call.kind = &call_kind;
	t->mailbox = p->reader;
	t->called = p->called;
	t->owner = p->owner;
	return t;
}

struct tap *tap_open(const struct tap_params *p)
{
	struct tap *t = tap_new(p);

	if (!t) {
		struct tap_filter filter = p->filter;

		tap_filter_free(&filter);
		return NULL;
	}
	for (size_t i = 0; i < p->shared->workers_n; i++) {
		struct tap_here *h = &t->here[i];

		*h = (struct tap_here){ .tap = t,
			.worker = p->shared->workers[i],
			.begin.kind = &begin_kind,
			.end.kind = &end_kind };
		atomic_fetch_add_explicit(
			&t->references, 1, memory_order_relaxed);
		worker_post(h->worker, &h->begin);
	}
	return t;
}

void tap_stop(struct tap *t)
{
	atomic_store(&t->stopped, true);
	if (t->ended)
		return;
	t->ended = true;
	for (size_t i = 0; i < t->shared->workers_n; i++)
		worker_post(t->here[i].worker, &t->here[i].end);
}

void tap_close(struct tap *t)
{
	t->called = NULL;
	tap_stop(t);
	unref(t);
}

bool tap_is_on(const struct tap *t)
{
	return atomic_load(&t->begun) == t->shared->workers_n;
}

struct tap_item *tap_take(struct tap *t)
{
	struct queued *q;

	if (!tap_is_on(t))
		return NULL;
	pthread_mutex_lock(&t->lock);
	q = STAILQ_FIRST(&t->queue);
	if (q)
		STAILQ_REMOVE_HEAD(&t->queue, next);
	pthread_mutex_unlock(&t->lock);
	return q ? &q->item : NULL;
}

void tap_item_free(struct tap *t, struct tap_item *item)
{
	struct queued *q = CONTAINER_OF(item, struct queued, item);

	if (q->message)
		waiting_sub_shared(&t->waiting, cost_of(q));
	else
		waiting_sub(&t->waiting, cost_of(q));
	if (q->message)
		message_unref(q->message);
	free(q);
}

uint64_t tap_take_dropped(struct tap *t)
{
	uint64_t n = 0;

	if (!tap_is_on(t))
		return 0;
	/* What is dropped now is behind all that waits. */
	pthread_mutex_lock(&t->lock);
	if (STAILQ_EMPTY(&t->queue))
		n = atomic_exchange(&t->dropped, 0);
	pthread_mutex_unlock(&t->lock);
	return n;
}

bool tap_is_over(const struct tap *t)
{
	return atomic_load(&t->stopped);
}

static bool has_something(struct tap *t)
{
	bool has;

	if (!tap_is_on(t))
		return tap_is_over(t);
	pthread_mutex_lock(&t->lock);
	has = !STAILQ_EMPTY(&t->queue) || atomic_load(&t->dropped) > 0;
	pthread_mutex_unlock(&t->lock);
	return has || tap_is_over(t);
}

bool tap_wait(struct tap *t)
{
	enum tap_reader waits = READER_WAITS;

	if (atomic_load(&t->reader) == READER_CALLED)
		return true;
	atomic_store(&t->reader, READER_WAITS);
	if (!has_something(t))
		return true;
	/* It came in between: unless that has called already, it is for us. */
	return !atomic_compare_exchange_strong(&t->reader, &waits, READER_BUSY);
}

const struct tap_filter *tap_filter(const struct tap *t)
{
	return &t->filter;
}
