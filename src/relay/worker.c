#include "relay/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message.h"
#include "base/random.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/proc.h"
#include "relay/backend_hub.h"
#include "relay/credentials.h"
#include "relay/front.h"
#include "relay/front_private.h"
#include "relay/hub.h"
#include "relay/mail.h"
#include "relay/member.h"
#include "relay/pair.h"

void worker_count_reason(struct worker *w, enum reason r)
{
	counter_add(&w->counters.reasons[r], 1);
}

bool worker_memory_full(const struct worker *w)
{
	return budget_is_full(&w->shared->budget);
}

void worker_random(struct worker *w, uint8_t *out, size_t n)
{
	if (w->random_n < n) {
		/* One call for a thousand masks. A kernel that has started
		 * always has some. */
		if (random_bytes(NULL, w->random, sizeof(w->random)) < 0)
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
			n += conn_cost(p->end[side]->conn);
		n += p->flow[side].whole.n;
	}
	return n;
}

static struct pair *largest_pair(struct worker *w, size_t *most)
{
	struct pair *p, *largest = NULL;

	*most = 0;
	/* One that has ended, too: its peer may take what waits as it likes. */
	TAILQ_FOREACH (p, &w->pairs, next) {
		size_t n = pair_queued(p);

		if (n > *most) {
			*most = n;
			largest = p;
		}
	}
	return largest;
}

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

	if (!worker_memory_full(w) || hubs_give_replay(w))
		return;
	pair = largest_pair(w, &of_pair);
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

static void tell_hidden_lines(struct worker *w)
{
	log_quota_next(&w->refusals, "refuse-suppressed");
	log_quota_next(&w->backend_errors, "backend-error-suppressed");
}

static void worker_tick(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, tick);

	atomic_store_explicit(
		&w->tick_ms, loop_now(w->loop), memory_order_relaxed);
	relieve_memory(w);
	tell_hidden_lines(w);
	timer_set(w->loop, &w->tick, loop_now(w->loop) + WORKER_TICK_MS);
}

/* --- connections --------------------------------------------------------------------*/

void worker_accepted(struct worker *w, const struct accepted *a)
{
	counter_add(&w->counters.accepted, 1);
	if (!w->has_thread)
		atomic_fetch_add_explicit(
			&w->connections, 1, memory_order_relaxed);
	if (front_new(w, a) < 0)
		worker_left(w);
}

void worker_drain(struct worker *w)
{
	struct front *f, *next_front;
	struct pair *p, *next_pair;
	struct hub *h, *next_hub;

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
	shards_drain(w);
	for (h = TAILQ_FIRST(&w->hubs); h; h = next_hub) {
		next_hub = hub_next(h);
		hub_drain(h);
	}
}

void worker_left(struct worker *w)
{
	atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
}

/* --- configuration ------------------------------------------------------------------*/

/* -1 with a line in the log: the old configuration stays. */
static int take_conf(struct worker *w, struct conf *conf)
{
	char text[TLS_TEXT];
	struct credentials *x = credentials_new(conf, w->shared->tickets, text);

	if (!x) {
		LOG(LOG_ERROR, "credentials",
			F_STR("detail", text[0] ? text : "no memory"));
		return -1;
	}
	credentials_free(w->credentials);
	w->credentials = x;
	conf_unref(w->conf);
	w->conf = conf_ref(conf);
	return 0;
}

/*
 * The suite of a session may not fit a key of another kind: mbedTLS chooses
 * one for a resumed session anew, and the client ends a handshake that is not
 * as it was (RFC 5246 section 7.4.1.3).
 */
static void renew_tickets(struct worker *w)
{
	for (size_t i = 0; i < w->conf->listens_n; i++)
		tls_tickets_renew(w->shared->tickets[i]);
}

void worker_set_conf(struct worker *w, struct conf *conf)
{
	if (take_conf(w, conf) == 0)
		renew_tickets(w);
}

/* --- the mailbox ---------------------------------------------------------------------*/

void worker_post(struct worker *w, struct mail *m)
{
	bool first;

	pthread_mutex_lock(&w->mail_lock);
	first = STAILQ_EMPTY(&w->mail);
	STAILQ_INSERT_TAIL(&w->mail, m, next);
	pthread_mutex_unlock(&w->mail_lock);
	if (first)
		loop_wake(w->loop);
}

void worker_post_accepted(struct worker *w, const struct accepted *a)
{
	struct mail *m = mail_new(MAIL_ACCEPTED, 0);

	if (!m) {
		close(a->fd);
		return;
	}
	atomic_fetch_add_explicit(&w->connections, 1, memory_order_relaxed);
	m->fd = a->fd;
	m->peer = a->peer;
	m->conf = conf_ref(a->conf);
	m->listen = a->listen;
	m->address = a->address;
	worker_post(w, m);
}

int worker_post_keep(struct worker *w)
{
	struct mail *m = mail_new(MAIL_KEEP, 0);

	if (!m)
		return -1;
	worker_post(w, m);
	return 0;
}

void worker_post_conf(struct worker *w, struct conf *conf)
{
	struct mail *m = mail_new(MAIL_CONF, 0);

	if (!m) {
		LOG(LOG_ERROR, "credentials", F_STR("detail", "no memory"));
		return;
	}
	m->conf = conf_ref(conf);
	worker_post(w, m);
}

void worker_post_drain(struct worker *w)
{
	struct mail *m = mail_new(MAIL_DRAIN, 0);

	if (m) /* else drain_timeout will end it */
		worker_post(w, m);
}

static struct mail *take_mail(struct worker *w)
{
	struct mail *m;

	pthread_mutex_lock(&w->mail_lock);
	m = STAILQ_FIRST(&w->mail);
	if (m)
		STAILQ_REMOVE_HEAD(&w->mail, next);
	pthread_mutex_unlock(&w->mail_lock);
	return m;
}

/* A client asks for a seat; the answer reuses the mail. */
static void read_join(struct mail *m)
{
	struct hub *h = hub_ref(m->hub);

	hub_read_join(h, m);
	hub_unref(h);
}

/* Returns whether the mail is taken. */
static bool read_one_mail(struct worker *w, struct mail *m)
{
	struct ending why = {
		.reason = m->reason, .code = m->code, .text = str_of(m->text)
	};

	switch (m->kind) {
	case MAIL_ACCEPTED:
		worker_accepted(w, &(struct accepted){ m->fd, m->peer, m->conf,
					   m->listen, m->address });
		m->fd = -1; /* taken */
		break;
	case MAIL_KEEP:
		if (hubs_keep(w) < 0)
			LOG(LOG_ERROR, "hub-keep",
				F_STR("detail", "no memory for trunk = "
						"always"));
		break;
	case MAIL_CONF:
		worker_set_conf(w, m->conf);
		break;
	case MAIL_DRAIN:
		worker_drain(w);
		break;
	case MAIL_HUB_JOIN:
		read_join(m);
		return true;
	case MAIL_HUB_LEAVE:
		hub_read_leave(m->hub, m);
		break;
	case MAIL_HUB_INPUT:
		hub_read_input(m->hub, m);
		break;
	case MAIL_HUB_READY:
		hub_flush_held(m->hub, m->from);
		break;
	case MAIL_HUB_GIVE_WAY:
		hub_read_give_way(m->hub);
		break;
	case MAIL_HUB_JOINED:
		backend_hub_joined(w, m);
		hub_messages_read(m->hub, w, m);
		break;
	case MAIL_HUB_REFUSED:
		backend_hub_refused(w, m);
		break;
	case MAIL_HUB_MESSAGES:
		shard_deliver(m->hub, w, m->v, m->n);
		hub_messages_read(m->hub, w, m);
		break;
	case MAIL_HUB_RESUME:
		shard_resume(m->hub, w);
		break;
	case MAIL_HUB_END:
		shard_end(m->hub, w, &why);
		break;
	case MAIL_HUB_KICK:
		shard_end_member(m->hub, w, m->id, &why);
		break;
	}
	return false;
}

/* One that is lent may be posted again while what it says is being done. */
static void read_lent(struct worker *w, struct mail *m)
{
	struct mail *copy = mail_new(m->kind, 0);

	if (copy) {
		mail_move(copy, m);
		m = copy;
	}
	if (!read_one_mail(w, m))
		mail_free(m);
}

/* As much as a share of the turn allows; the rest in the next. */
static void read_mail(void *arg)
{
	struct worker *w = arg;
	struct mail *m;

	loop_share_begin(w->loop);
	while (loop_share_left_now(w->loop)) {
		m = take_mail(w);
		if (!m)
			return;
		if (m->lent)
			read_lent(w, m);
		else if (!read_one_mail(w, m))
			mail_free(m);
	}
	loop_wake(w->loop);
}

/*
 * What was posted to a worker that reads no more. Hubs must still be told which
 * clients have left.
 */
static void drop_mail(struct worker *w)
{
	struct mail *m;

	while ((m = take_mail(w)))
		mail_free(m);
}

/* --- life ------------------------------------------------------------------------------*/

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	if (loop_run(w->loop) < 0)
		LOG(LOG_ERROR, "worker-failed",
			F_STR("detail", "the event loop failed"));
	return NULL;
}

int worker_start(struct worker *w, unsigned index)
{
	sigset_t all, before;
	char name[16];
	int error;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, worker_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		errno = error;
		return -1;
	}
	w->has_thread = true;
	snprintf(name, sizeof(name), "worker-%u", index);
	(void)pthread_setname_np(w->thread, name);
	return 0;
}

void worker_join(struct worker *w)
{
	if (!w->has_thread)
		return;
	loop_stop(w->loop);
	pthread_join(w->thread, NULL);
	w->has_thread = false;
}

struct worker *worker_new(
	struct shared *s, struct conf *conf, struct loop *main_loop)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->shared = s;
	TAILQ_INIT(&w->fronts);
	TAILQ_INIT(&w->line);
	TAILQ_INIT(&w->late_line);
	TAILQ_INIT(&w->programs);
	TAILQ_INIT(&w->pairs);
	TAILQ_INIT(&w->hubs);
	TAILQ_INIT(&w->keepers);
	TAILQ_INIT(&w->shards);
	STAILQ_INIT(&w->mail);
	pthread_mutex_init(&w->mail_lock, NULL);
	w->loop = main_loop ? main_loop : loop_new(&s->budget);
	w->borrowed_loop = main_loop != NULL;
	if (!w->loop || timer_init(w->loop, &w->tick, worker_tick) < 0) {
		if (!main_loop)
			loop_free(w->loop);
		free(w);
		return NULL;
	}
	if (take_conf(w, conf) < 0) {
		worker_free(w);
		return NULL;
	}
	loop_on_wake(w->loop, read_mail, w);
	worker_tick(&w->tick);
	return w;
}

void worker_stop(struct worker *w)
{
	struct front *f, *next_front;
	struct pair *p, *next_pair;

	w->draining = true; /* nothing is opened any more */
	drop_mail(w);
	proc_kill_all(w->loop);
	for (f = TAILQ_FIRST(&w->fronts); f; f = next_front) {
		next_front = TAILQ_NEXT(f, next);
		conn_close(f->conn);
	}
	for (p = TAILQ_FIRST(&w->pairs); p; p = next_pair) {
		next_pair = TAILQ_NEXT(p, next);
		pair_abort(p, REASON_SHUTDOWN);
	}
	shards_stop(w);
	hubs_stop(w);
	loop_run_deferred(w->loop);
	tell_hidden_lines(w);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	worker_join(w);
	worker_stop(w);
	drop_mail(w);
	hubs_keep_no_more(w);
	timer_fini(w->loop, &w->tick);
	loop_undefer(w->loop, &w->line_turn);
	loop_undefer(w->loop, &w->programs_turn);
	if (!w->borrowed_loop)
		loop_free(w->loop);
	pthread_mutex_destroy(&w->mail_lock);
	idmap_free(&w->joins);
	credentials_free(w->credentials);
	conf_unref(w->conf);
	free(w);
}
