#include "pair/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/waiting.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/route_counters.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/closed.h"
#include "gate/trouble.h"
#include "end/ending.h"
#include "end/tap.h"
#include "pair/rate.h"

struct session_rates { /* of the client */
	struct session *session;
	struct rate messages, bytes;
	struct timer timer; /* set while it is not read for them */
};

static struct loop *loop_of(const struct session *s)
{
	return s->worker->loop;
}

bool session_is_open(const struct session *s)
{
	return s->reason == REASON_NONE;
}

size_t session_queued(const struct session *s, enum end_side side)
{
	const struct end *e = s->sides[side].end;
	size_t n = e && e->conn ? e->conn->queued : 0;

	if (side == END_CLIENT && s->backlog)
		n += waiting_cost(s->backlog);
	return n;
}

/* --- all of a worker -------------------------------------------------------*/

int sessions_init(struct worker *w)
{
	w->sessions = calloc(1, sizeof(*w->sessions));
	if (!w->sessions)
		return -1;
	TAILQ_INIT(&w->sessions->list);
	return 0;
}

void sessions_fini(struct worker *w)
{
	free(w->sessions);
	w->sessions = NULL;
}

struct session *sessions_next(struct worker *w, struct walk *walk)
{
	struct sessions_here *here = w->sessions;
	struct session *s;

	if (!walk->active)
		walk_begin(&here->walks, walk, TAILQ_FIRST(&here->list));
	s = walk->at;
	if (s)
		walk->at = TAILQ_NEXT(s, next);
	return s;
}

/* --- reading ---------------------------------------------------------------*/

static enum count_pause pause_of(uint8_t why)
{
	return why == SESSION_PAUSED_RATE ? COUNT_PAUSE_RATE
					  : COUNT_PAUSE_QUEUE;
}

void session_pause(struct session *s, enum end_side side, uint8_t why)
{
	struct end *e = s->sides[side].end;

	if (!s->paused[side])
		e->ops->flow(e, false);
	if (!(s->paused[side] & why))
		counter_add(&s->counters->pauses[side][pause_of(why)], 1);
	s->paused[side] |= why;
}

void session_resume(struct session *s, enum end_side side, uint8_t why)
{
	struct end *e = s->sides[side].end;

	if (!(s->paused[side] & why))
		return;
	s->paused[side] &= (uint8_t)~why;
	if (!s->paused[side] && session_is_open(s))
		e->ops->flow(e, true);
}

const struct piece *session_assemble(struct session *s, enum end_side side,
	const struct piece *p, struct piece *whole, enum reason *failed)
{
	struct buf *kept = &s->sides[side].whole;
	struct budget *budget = loop_of(s)->budget;
	const struct piece *out = end_assemble(kept, budget, p, whole, failed);

	if (*failed == REASON_MEMORY && worker_make_room(s->worker))
		out = end_assemble(kept, budget, p, whole, failed);
	return out;
}

void session_forget(struct session *s, enum end_side side)
{
	end_forget(&s->sides[side].whole, loop_of(s)->budget);
}

void session_count(
	struct session *s, enum end_side side, bool complete, uint64_t bytes)
{
	struct session_side *f = &s->sides[side];

	f->bytes += bytes;
	f->partial += bytes;
	f->last_ms = loop_now(loop_of(s));
	counter_add(&s->counters->bytes[side], bytes);
	if (!complete)
		return;
	f->messages++;
	histogram_add(
		&s->counters->messages[side], &histogram_sizes, f->partial);
	f->partial = 0;
}

void session_drop_bytes(struct session *s, enum end_side side, uint64_t n)
{
	s->sides[side].dropped += n;
	counter_add(&s->counters->dropped_bytes[side], n);
}

/* --- rates -----------------------------------------------------------------*/

static void rates_timer(struct timer *t)
{
	session_resume(CONTAINER_OF(t, struct session_rates, timer)->session,
		END_CLIENT, SESSION_PAUSED_RATE);
}

/* Those of its route. -1 without memory. */
static int set_rates(struct session *s)
{
	const struct conf_route *r = s->client.route;
	struct session_rates *x = s->rates;

	if (!x && r->message_rate == 0 && r->byte_rate == 0)
		return 0;
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x || timer_init(loop_of(s), &x->timer, rates_timer) < 0) {
			free(x);
			return -1;
		}
		x->session = s;
		s->rates = x;
	}
	rate_init(&x->messages, r->message_rate);
	rate_init(&x->bytes, r->byte_rate);
	if (x->timer.at) /* it waits for what earlier ones say */
		timer_set(loop_of(s), &x->timer, loop_now(loop_of(s)));
	return 0;
}

static void rates_free(struct session *s)
{
	if (s->rates)
		timer_fini(loop_of(s), &s->rates->timer);
	free(s->rates);
}

void session_use_rates(struct session *s, int64_t messages, size_t bytes)
{
	struct session_rates *r = s->rates;
	int64_t now, a, b;

	if (!r || !session_is_open(s))
		return;
	now = loop_now(loop_of(s));
	a = rate_add(&r->messages, now, messages);
	b = rate_add(&r->bytes, now, (int64_t)bytes);
	if (a <= 0 && b <= 0)
		return;
	session_pause(s, END_CLIENT, SESSION_PAUSED_RATE);
	timer_set(loop_of(s), &r->timer, now + (a > b ? a : b));
}

/* --- limits in time --------------------------------------------------------*/

/* Each at another time, so that they do not all come back at once. */
static void end_within(struct session *s, int64_t ms, enum reason as)
{
	int64_t now = loop_now(loop_of(s)), due;
	uint32_t random;

	worker_random(s->worker, (uint8_t *)&random, sizeof(random));
	due = now + (int64_t)(random % (uint64_t)(ms + 1));
	if (due >= s->expires_ms)
		return;
	s->expires_ms = due;
	s->expires_as = (uint8_t)as;
}

/* max_session or expire_at of its token, whichever comes first. */
static void set_lifetime(struct session *s)
{
	const struct client *c = &s->client;
	int64_t left;

	s->expires_ms = INT64_MAX;
	s->expires_as = REASON_NONE;
	if (c->route->max_session > 0) {
		s->expires_ms = s->opened_ms + c->route->max_session;
		s->expires_as = REASON_SESSION_END;
	}
	if (c->verdict.expire_at <= 0)
		return;
	left = c->verdict.expire_at - clock_unix_ms(); /* it may be over */
	if (left < s->expires_ms - s->opened_ms) {
		s->expires_ms = s->opened_ms + left;
		s->expires_as = REASON_TOKEN_END;
	}
}

/* Its lifetime, or less where its route is drained. */
static void set_expiry(struct session *s)
{
	const struct client *c = &s->client;
	bool closing = atomic_load(&c->route->state->closing);

	if (closing && s->expires_as == REASON_PAUSED)
		return; /* it has been given its time */
	set_lifetime(s);
	if (closing)
		end_within(s, c->conf->server.drain_timeout, REASON_PAUSED);
}

/* A side that is not read cannot be called idle: its bytes wait in the kernel. */
static int64_t idle_due(
	const struct session *s, enum end_side side, int64_t timeout)
{
	const struct session_side *f = &s->sides[side];

	if (timeout == 0 || !f->end)
		return INT64_MAX;
	return (s->paused[side] ? loop_now(loop_of(s)) : f->last_ms) + timeout;
}

void session_check(struct session *s)
{
	const struct conf_route *r = s->client.route;
	const struct {
		int64_t due;
		enum reason reason;
		enum end_side side;
	} limits[] = {
		{ s->expires_ms, (enum reason)s->expires_as, END_CLIENT },
		{ idle_due(s, END_CLIENT, r->idle_timeout), REASON_IDLE,
			END_CLIENT },
		{ idle_due(s, END_BACKEND, r->backend_idle_timeout),
			REASON_BACKEND_IDLE, END_BACKEND },
	};
	int64_t now = loop_now(loop_of(s));
	int64_t next = INT64_MAX;

	if (!session_is_open(s))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (limits[i].due <= now) {
			struct end *e = s->sides[limits[i].side].end;

			e->owner->cb->ended(e,
				&(struct ending){ .reason = limits[i].reason });
			return;
		}
		if (limits[i].due < next)
			next = limits[i].due;
	}
	if (next != INT64_MAX)
		timer_set(loop_of(s), &s->timer, next);
}

static void limits_timer(struct timer *t)
{
	session_check(CONTAINER_OF(t, struct session, timer));
}

/* --- a reload, a drain -----------------------------------------------------*/

/* Its token's key, if that still counts on the route; else NULL. */
static const char *key_of(
	const struct session *s, const struct conf_route *route)
{
	const char *key = s->client.verdict.key;
	const struct conf_keys *keys = &route->use_keys;

	for (size_t i = 0; key && i < keys->n; i++)
		if (strcmp(keys->v[i]->section.name, key) == 0)
			return keys->v[i]->section.name;
	return NULL;
}

static void use_conf(
	struct session *s, struct conf *conf, const struct conf_route *route)
{
	const struct conf_route *old = s->client.route;
	struct conf *before = s->client.conf;

	s->client.verdict.key = key_of(s, route);
	s->client.listen = conf_same_listen(conf, s->client.listen);
	s->client.conf = conf_ref(conf);
	s->client.route = route;
	for (int side = 0; side < 2; side++)
		end_renew(s->sides[side].end, route);
	/* Without memory those that it has, or none, are kept. */
	if (old->message_rate != route->message_rate ||
		old->byte_rate != route->byte_rate)
		(void)set_rates(s);
	conf_unref(before);
	set_expiry(s);
	session_check(s);
}

void session_renew(struct session *s, struct conf *conf)
{
	const struct conf_route *old = s->client.route;
	const struct conf_route *route = conf_same_route(conf, old);

	struct end *e = s->sides[END_CLIENT].end;

	if (!session_is_open(s) || s->client.conf == conf)
		return;
	if (!route) {
		end_within(s, conf->server.drain_timeout, REASON_ROUTE_REMOVED);
		session_check(s);
	} else if (route->on_key_loss == CONF_KEY_LOSS_CLOSE &&
		   s->client.verdict.key && !key_of(s, route))
		e->owner->cb->ended(
			e, &(struct ending){ .reason = REASON_KEY_REMOVED });
	else if (conf_same_way(old, route) ||
		 (s->hub && route->mode == CONF_MODE_HUB))
		use_conf(s, conf, route);
}

void session_heed_drain(struct session *s)
{
	if (!session_is_open(s))
		return;
	set_expiry(s);
	session_check(s);
}

/* --- the beginning ---------------------------------------------------------*/

int session_init(
	struct session *s, struct worker *w, const struct client *client)
{
	*s = (struct session){ .worker = w,
		.client = *client,
		.counters = worker_route(w, client->route) };
	if (timer_init(w->loop, &s->timer, limits_timer) < 0)
		return -1;
	if (set_rates(s) == 0)
		return 0;
	timer_fini(w->loop, &s->timer);
	return -1;
}

void session_undo(struct session *s)
{
	timer_fini(loop_of(s), &s->timer);
	rates_free(s);
}

void session_open(struct session *s)
{
	TAILQ_INSERT_TAIL(&s->worker->sessions->list, s, next);
	s->opened_ms = loop_now(loop_of(s));
	atomic_store_explicit(&s->client.route->state->opened_at,
		clock_unix_ms(), memory_order_relaxed);
	set_expiry(s);
	counter_add(&s->worker->counters.opened, 1);
	counter_add(&s->counters->opened, 1);
	counter_add(&s->counters->handshakes[COUNT_OK], 1);
	for (int side = 0; side < 2; side++) {
		struct end *e = s->sides[side].end;

		s->sides[side].last_ms = s->opened_ms;
		if (e)
			e->ops->flow(e, true);
	}
}

/* --- the end ---------------------------------------------------------------*/

bool session_end(
	struct session *s, enum end_side side, const struct ending *why)
{
	if (!session_is_open(s))
		return false;
	s->reason = (uint8_t)why->reason;
	s->ended_by = (uint8_t)side;
	s->code = why->code ? why->code : reason_get(why->reason)->code;
	s->ended_ms = loop_now(loop_of(s));
	if (side == END_BACKEND)
		trouble_note(s->client.route, why->reason, why->detail);
	/* Without memory the line lacks its detail, no more. */
	s->detail = why->detail ? str_dup(str_of(why->detail)) : NULL;
	timer_clear(loop_of(s), &s->timer);
	if (s->rates)
		timer_clear(loop_of(s), &s->rates->timer);
	for (int i = 0; i < 2; i++) {
		session_drop_bytes(s, (enum end_side)i, s->sides[i].whole.n);
		session_forget(s, (enum end_side)i);
	}
	return true;
}

void session_close_ends(struct session *s, const struct ending *why)
{
	struct end *client = s->sides[END_CLIENT].end;
	struct end *backend = s->sides[END_BACKEND].end;
	char text[WS_CLOSE_REASON_MAX];
	struct str words = ending_close_text(why->reason, text, why->text);

	client->ops->close(
		client, ending_client_code(why->reason, s->code), words);
	if (backend)
		backend->ops->close(backend, ending_backend_code(why), words);
}

static void log_close(const struct session *s, const struct log_field *lost,
	const struct log_field *extra)
{
	const struct client *c = &s->client;
	const struct session_side *client = &s->sides[END_CLIENT];
	const struct session_side *backend = &s->sides[END_BACKEND];
	enum reason reason = (enum reason)s->reason;
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	if (!log_wanted(LOG_INFO, reason_is_orderly(reason) ? "orderly-close"
							    : "other-close"))
		return;
	LOG(LOG_INFO, "close", F_STR("id", client_id(c, id)),
		F_STR("route", c->route->section.name),
		F_STR("subject", client_subject(c)),
		F_STR("peer", addr_format(&c->peer, peer)),
		F_STR("reason", reason_get(reason)->word),
		F_STR("side", ending_side(reason, s->ended_by)),
		s->code ? F_INT("code", s->code) : F_NONE,
		F_INT("age_ms", s->ended_ms - s->opened_ms),
		F_INT("client_messages", client->messages),
		F_INT("client_bytes", client->bytes),
		F_INT("backend_messages", backend->messages),
		F_INT("backend_bytes", backend->bytes),
		F_INT("client_dropped", client->dropped), *lost, *extra,
		F_STR("detail", s->detail));
}

static void note_close(const struct session *s)
{
	closed_add(s->worker, CLOSED_SESSIONS,
		&(struct closed_note){ .client = &s->client,
			.reason = (enum reason)s->reason,
			.code = s->code,
			.side = ending_side(
				(enum reason)s->reason, s->ended_by),
			.path = s->hub,
			.detail = s->detail,
			.age_ms = s->ended_ms - s->opened_ms,
			.messages = { s->sides[END_CLIENT].messages,
				s->sides[END_BACKEND].messages } });
}

void session_fini(
	struct session *s, struct log_field lost, struct log_field extra)
{
	struct worker *w = s->worker;

	assert(!session_is_open(s));
	walks_pass(&w->sessions->walks, s, TAILQ_NEXT(s, next));
	TAILQ_REMOVE(&w->sessions->list, s, next);
	if (w->tapped)
		tap_gone(w, s->client.id);
	/* Before the log line: its reader may connect again at once. */
	admission_give_back(w->shared, &s->client);
	note_close(s);
	log_close(s, &lost, &extra);
	worker_count_reason(w, (enum reason)s->reason);
	counter_add(&w->counters.closed, 1);
	counter_add(&s->counters->closes[s->reason], 1);
	counter_add(&s->counters->closed, 1);
	worker_left(w);
	admission_leave(w->shared, &s->client);
	client_free(&s->client);
	timer_fini(w->loop, &s->timer);
	rates_free(s);
	free(s->detail);
}
