#include "relay/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/proc.h"
#include "relay/client.h"
#include "relay/front.h"
#include "relay/front_private.h"
#include "relay/pair.h"

#define TICK_MS 1000

const char *client_id(const struct client *c, char text[CLIENT_ID_TEXT])
{
	snprintf(text, CLIENT_ID_TEXT, "%llx", (unsigned long long)c->id);
	return text;
}

void worker_count_reason(struct worker *w, enum reason r)
{
	counter_add(&w->counters.reasons[r], 1);
}

static size_t queued(const struct worker *w)
{
	return atomic_load_explicit(&w->shared->queued, memory_order_relaxed);
}

bool worker_memory_full(const struct worker *w)
{
	return queued(w) > (size_t)w->conf->server.max_memory;
}

void worker_random(struct worker *w, uint8_t *out, size_t n)
{
	if (w->random_n < n) {
		/* One call for a thousand masks. It can't fail at this size. */
		if (getrandom(w->random, sizeof(w->random), 0) !=
			sizeof(w->random))
			abort();
		w->random_n = sizeof(w->random);
	}
	w->random_n -= n;
	memcpy(out, w->random + w->random_n, n);
	memset(w->random + w->random_n, 0, n);
}

/* --- once a second -----------------------------------------------------------------*/

static size_t pair_queued(const struct pair *p)
{
	size_t n = 0;

	for (int side = 0; side < 2; side++) {
		if (p->end[side] && p->end[side]->conn)
			n += p->end[side]->conn->queued;
		n += p->flow[side].whole.n;
	}
	return n;
}

/*
 * Over max_memory sources have paused already (pair.c). If that did not help
 * within a tick, whoever holds the most gives way.
 */
static void relieve_memory(struct worker *w)
{
	struct pair *p, *largest = NULL;
	size_t most = 0;

	if (!worker_memory_full(w))
		return;
	TAILQ_FOREACH(p, &w->pairs, next) {
		size_t n = pair_is_open(p) ? pair_queued(p) : 0;

		if (n > most) {
			most = n;
			largest = p;
		}
	}
	LOG(LOG_WARN, "memory", F_INT("queued", queued(w)),
		F_INT("max_memory", w->conf->server.max_memory),
		F_INT("largest", most));
	if (largest)
		pair_abort(largest, REASON_MEMORY);
}

static void worker_tick(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, tick);

	relieve_memory(w);
	front_log_refusals(w);
	timer_set(w->loop, &w->tick, loop_now(w->loop) + TICK_MS);
}

/* --- connections --------------------------------------------------------------------*/

/* The oldest waiting request of a listener that has too many of them. */
static void limit_pending(struct worker *w, const struct conf_listen *listen)
{
	struct front *f, *oldest = NULL;
	int64_t n = 0;

	if (w->pending < (size_t)listen->max_pending)
		return;
	TAILQ_FOREACH(f, &w->fronts, next) {
		if (f->state != FRONT_HEAD || f->client.listen != listen ||
			f->conn->state != CONN_OPEN)
			continue;
		if (!oldest)
			oldest = f;
		n++;
	}
	if (n >= listen->max_pending)
		front_give_way(oldest);
}

void worker_accepted(struct worker *w, int fd, const struct addr *peer,
	const struct conf_listen *listen, const struct conf_address *address)
{
	counter_add(&w->counters.accepted, 1);
	limit_pending(w, listen);
	front_new(w, fd, peer, listen, address);
}

void worker_drain(struct worker *w)
{
	struct front *f, *next_front;
	struct pair *p, *next_pair;

	w->draining = true;
	for (f = TAILQ_FIRST(&w->fronts); f; f = next_front) {
		next_front = TAILQ_NEXT(f, next);
		front_drain(f);
	}
	for (p = TAILQ_FIRST(&w->pairs); p; p = next_pair) {
		next_pair = TAILQ_NEXT(p, next);
		pair_ended(p, END_CLIENT,
			&(struct ending){ .reason = REASON_SHUTDOWN });
	}
}

bool worker_idle(const struct worker *w)
{
	return TAILQ_EMPTY(&w->fronts) && TAILQ_EMPTY(&w->pairs);
}

struct worker *worker_new(struct shared *s, struct conf *conf)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->shared = s;
	TAILQ_INIT(&w->fronts);
	TAILQ_INIT(&w->pairs);
	w->loop = loop_new(&s->queued);
	if (!w->loop || timer_init(w->loop, &w->tick, worker_tick) < 0) {
		loop_free(w->loop);
		free(w);
		return NULL;
	}
	w->conf = conf_ref(conf);
	timer_set(w->loop, &w->tick, loop_now(w->loop) + TICK_MS);
	return w;
}

void worker_stop(struct worker *w)
{
	struct front *f, *next_front;
	struct pair *p, *next_pair;

	proc_kill_all(w->loop);
	for (f = TAILQ_FIRST(&w->fronts); f; f = next_front) {
		next_front = TAILQ_NEXT(f, next);
		conn_close(f->conn);
	}
	for (p = TAILQ_FIRST(&w->pairs); p; p = next_pair) {
		next_pair = TAILQ_NEXT(p, next);
		pair_abort(p, REASON_SHUTDOWN);
	}
	loop_run_deferred(w->loop);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	worker_stop(w);
	timer_fini(w->loop, &w->tick);
	loop_free(w->loop);
	conf_unref(w->conf);
	free(w);
}
