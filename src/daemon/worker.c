/*
 * What the daemon does with its workers: it begins them, gives them sockets and
 * configurations, has them drain and stop, and sees that memory suffices.
 *
 * By letter, where a worker has a thread of its own.
 */
#include "daemon/private.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "net/proc.h"
#include "net/tls.h"
#include "worker/letter.h"
#include "worker/section.h"
#include "end/tap.h"
#include "pair/farewell.h"
#include "pair/pair.h"
#include "pair/session.h"
#include "backend/backend.h"
#include "hub/hub.h"
#include "hub/member.h"
#include "front/front.h"
#include "gate/closed.h"

/* --- once a second --------------------------------------------------------*/

/*
 * Over max_memory sources have paused already. What that has not mended within
 * a tick is asked of what holds memory here: first of replays, which are only a
 * convenience; then the one connection, or hub, that has most gives way.
 */
static void relieve_memory(struct worker *w)
{
	size_t of_pair, of_member, of_hub, most;
	struct member *member;
	struct pair *pair;
	struct hub *hub;

	if (!worker_memory_full(w) || worker_make_room(w))
		return;
	of_pair = pairs_largest(w, &pair);
	of_member = shards_largest(w, &member);
	of_hub = hubs_largest(w, &hub);
	most = of_pair > of_member ? of_pair : of_member;
	if (of_hub > most)
		most = of_hub;
	LOG(LOG_WARN, "memory",
		F_INT("queued", budget_used(&w->shared->budget)),
		F_INT("max_memory", w->conf->server.max_memory),
		F_INT("largest", most));
	if (hub && most == of_hub)
		hub_abort(hub);
	else if (member && most == of_member)
		member_abort(member, REASON_MEMORY);
	else if (pair)
		pair_abort(pair, REASON_MEMORY);
}

static void tick(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, tick);

	if (t->due)
		loop_note_lag(w->loop, t->due);
	atomic_store_explicit(
		&w->tick_ms, loop_now(w->loop), memory_order_relaxed);
	relieve_memory(w);
	fronts_tick(w);
	timer_set(w->loop, &w->tick, loop_now(w->loop) + WORKER_TICK_MS);
}

/* --- an accepted socket ---------------------------------------------------*/

struct accepted_letter {
	struct letter letter;
	struct accepted accepted; /* fd is owned; conf is a reference */
};

static void take_socket(struct worker *w, const struct accepted *a)
{
	counter_add(&w->counters.accepted, 1);
	if (front_new(w, a) < 0)
		worker_left(w);
}

static void open_accepted(struct worker *w, struct letter *l)
{
	struct accepted_letter *a = CONTAINER_OF(
		l, struct accepted_letter, letter);

	take_socket(w, &a->accepted);
	conf_unref(a->accepted.conf);
	free(a);
}

static void free_accepted(struct letter *l)
{
	struct accepted_letter *a = CONTAINER_OF(
		l, struct accepted_letter, letter);

	close(a->accepted.fd);
	conf_unref(a->accepted.conf);
	free(a);
}

static const struct letter_kind accepted_kind = {
	.open = open_accepted,
	.free = free_accepted,
};

void daemon_worker_accepted(struct worker *w, const struct accepted *a)
{
	struct accepted_letter *l = NULL;

	if (w->has_thread) {
		l = malloc(sizeof(*l));
		if (!l) {
			close(a->fd);
			return;
		}
	}
	atomic_fetch_add_explicit(&w->connections, 1, memory_order_relaxed);
	if (!l) {
		take_socket(w, a);
		return;
	}
	l->letter.kind = &accepted_kind;
	l->accepted = *a;
	conf_ref(a->conf);
	worker_post(w, &l->letter);
}

/* --- a configuration ------------------------------------------------------*/

/*
 * The suite of a session may not fit a key of another kind: mbedTLS chooses
 * one for a resumed session anew, and the client ends a handshake that is not
 * as it was (RFC 5246 section 7.4.1.3).
 */
static void renew_tickets(struct worker *w)
{
	for (size_t i = 0; i < w->conf->listens_n; i++)
		tls_tickets_renew(w->conf->listens[i].state->tickets);
}

static void set_conf(struct worker *w, struct conf *conf)
{
	if (worker_set_conf(w, conf) < 0)
		return;
	renew_tickets(w);
	fronts_renew(w);
	pairs_renew(w);
	shards_renew(w);
	hubs_renew(w);
}

struct conf_letter {
	struct letter letter;
	struct conf *conf; /* a reference */
};

static void free_conf(struct letter *l)
{
	struct conf_letter *c = CONTAINER_OF(l, struct conf_letter, letter);

	conf_unref(c->conf);
	free(c);
}

static void open_conf(struct worker *w, struct letter *l)
{
	set_conf(w, CONTAINER_OF(l, struct conf_letter, letter)->conf);
	free_conf(l);
}

static const struct letter_kind conf_kind = {
	.open = open_conf,
	.free = free_conf,
};

void daemon_worker_set_conf(struct worker *w, struct conf *conf)
{
	struct conf_letter *l;

	if (!w->has_thread) {
		set_conf(w, conf);
		return;
	}
	l = malloc(sizeof(*l));
	if (!l) {
		LOG(LOG_ERROR, "credentials", F_STR("detail", "no memory"));
		return;
	}
	l->letter.kind = &conf_kind;
	l->conf = conf_ref(conf);
	worker_post(w, &l->letter);
}

/* --- its work begins ------------------------------------------------------*/

static void free_plain(struct letter *l)
{
	free(l);
}

/* -1 without memory. */
static int post_plain(struct worker *w, const struct letter_kind *kind)
{
	struct letter *l = malloc(sizeof(*l));

	if (!l)
		return -1;
	l->kind = kind;
	worker_post(w, l);
	return 0;
}

static void open_keep(struct worker *w, struct letter *l)
{
	free(l);
	if (hubs_keep(w) < 0)
		LOG(LOG_ERROR, "hub-keep",
			F_STR("detail", "no memory for trunk = always"));
}

static const struct letter_kind keep_kind = {
	.open = open_keep,
	.free = free_plain,
};

int daemon_worker_start(struct worker *w)
{
	if (post_plain(w, &keep_kind) < 0)
		return -1;
	return w->borrowed_loop ? 0 : worker_start(w, (unsigned)w->index + 1);
}

/* --- its end --------------------------------------------------------------*/

struct drain_letter {
	struct letter letter;
	size_t step;
};

static void free_drain(struct letter *l)
{
	free(CONTAINER_OF(l, struct drain_letter, letter));
}

static void open_drain(struct worker *w, struct letter *l)
{
	size_t step = CONTAINER_OF(l, struct drain_letter, letter)->step;

	free_drain(l);
	w->draining = true;
	fronts_drain(w);
	farewell_begin(w, step);
	hubs_drain(w);
}

static const struct letter_kind drain_kind = {
	.open = open_drain,
	.free = free_drain,
};

void daemon_worker_drain(struct worker *w, size_t step)
{
	struct drain_letter *l = malloc(sizeof(*l));

	if (!l)
		return; /* drain_timeout ends it */
	l->letter.kind = &drain_kind;
	l->step = step;
	worker_post(w, &l->letter);
}

void daemon_worker_stop(struct worker *w)
{
	w->draining = true; /* nothing is opened any more */
	mailbox_drop(&w->mailbox);
	proc_kill_all(w->loop);
	fronts_stop(w);
	pairs_stop(w);
	shards_stop(w);
	hubs_stop(w);
	loop_run_deferred(w->loop);
	fronts_tick(w);
}

static void rooms_fini(struct worker *w)
{
	hubs_fini(w);
	pairs_fini(w);
	farewell_fini(w);
	sessions_fini(w);
	taps_fini(w);
	closed_fini(w);
	backend_programs_fini(w);
	fronts_fini(w);
}

struct worker *daemon_worker_new(
	struct shared *s, struct conf *conf, struct loop *main_loop)
{
	struct worker *w = worker_new(s, conf, main_loop);

	if (!w)
		return NULL;
	if (fronts_init(w) < 0 || backend_programs_init(w) < 0 ||
		closed_init(w, s->workers_n) < 0 || sessions_init(w) < 0 ||
		taps_init(w) < 0 || farewell_init(w) < 0 || pairs_init(w) < 0 ||
		hubs_init(w) < 0 || timer_init(w->loop, &w->tick, tick) < 0) {
		rooms_fini(w);
		worker_free(w);
		return NULL;
	}
	w->make_room = hubs_give_replay;
	tick(&w->tick);
	return w;
}

void daemon_worker_free(struct worker *w)
{
	daemon_worker_stop(w);
	mailbox_drop(&w->mailbox);
	timer_fini(w->loop, &w->tick);
	rooms_fini(w);
	worker_free(w);
}
