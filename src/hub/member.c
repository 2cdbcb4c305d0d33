/*
 *   hub --shard_deliver--> member: socket free? one write of all that came
 *                                  together : backlog, by the route's policy
 *   client end --member_input--> rights, whole message --> hub_input
 *
 * A member's queue in the connection holds at most the message that is on its
 * way; the others wait whole in its backlog, where they can give way.
 */
#include "hub/member.h"

#include <stdlib.h>

#include "base/idmap.h"
#include "base/message.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "end/ending.h"
#include "pair/rate.h"
#include "pair/session.h"
#include "hub/backlog.h"
#include "hub/here.h"
#include "hub/hub.h"
#include "hub/join.h"
#include "hub/letters.h"

#define BATCH 64
/*
 * What counts is how old the picture is that a browser gets: the kernel is not
 * to hold more than this of what it has not sent. Where only the newest counts
 * it is little: a picture of 32 kB over 250 kB/s is then 0.23 s old, with 128
 * KiB 0.55 s.
 */
#define UNSENT_LIMIT  (128u * 1024)
#define UNSENT_LATEST (16u * 1024)

#define NONE UINT16_MAX /* of a batch */

/* What max_rate needs. */
struct pace {
	struct member *member;
	struct rate rate;
	struct timer timer; /* set while something waits for its turn */
};

struct member {
	TAILQ_ENTRY(member) next; /* in its shard */
	struct idmap_entry by_id;
	struct end_owner owner;
	struct shard *shard;
	struct session session;  /* its backend is the hub: it has no end */
	struct seat *seat;       /* the home's */
	struct hub_leave *leave; /* for the end */
	struct backlog backlog;
	struct pace *pace;    /* NULL: no max_rate */
	uint64_t since;       /* the serial of the newest that came its way */
	uint64_t own;         /* the same of those for it alone */
	uint64_t denied;      /* messages that it had no right to send */
	uint16_t first, last; /* for it alone, in the batch being delivered */
};

struct shard {
	TAILQ_ENTRY(shard) next; /* in hubs_here.shards */
	struct worker *worker;
	struct hub *hub; /* a reference */
	TAILQ_HEAD(, member) members;
	struct idmap by_id;
};

static struct member *shard_find(const struct shard *s, uint64_t id)
{
	struct idmap_entry *e = idmap_find(&s->by_id, id);

	return e ? CONTAINER_OF(e, struct member, by_id) : NULL;
}

static bool is_open(const struct member *m)
{
	return session_is_open(&m->session);
}

static struct member *member_of(const struct end *e)
{
	return CONTAINER_OF(e->owner, struct member, owner);
}

static struct worker *worker_of(const struct member *m)
{
	return m->session.worker;
}

static struct conn *conn_of(const struct member *m)
{
	return m->session.sides[END_CLIENT].end->conn;
}

static const struct conf_route *route_of(const struct member *m)
{
	return m->session.client.route;
}

static bool may(const struct member *m, enum jwt_perm perm)
{
	return m->session.client.verdict.perm & perm;
}

/* --- shards ---------------------------------------------------------------------------*/

/* Takes the hub's reference when it is new; else gives it back. */
static struct shard *shard_get(struct hub *h, struct worker *w)
{
	struct shard **place = hub_shard(h, w);
	struct shard *s = *place;

	if (s) {
		hub_unref(h);
		return s;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->worker = w;
	s->hub = h;
	TAILQ_INIT(&s->members);
	TAILQ_INSERT_TAIL(&w->hubs->shards, s, next);
	*place = s;
	return s;
}

static void shard_put(struct shard *s)
{
	if (!TAILQ_EMPTY(&s->members))
		return;
	*hub_shard(s->hub, s->worker) = NULL;
	TAILQ_REMOVE(&s->worker->hubs->shards, s, next);
	idmap_free(&s->by_id);
	hub_unref(s->hub);
	free(s);
}

/* What waits leaves, as far as the line and max_rate take it. */
static void send_backlog(struct member *m);

/* --- max_rate --------------------------------------------------------------------------*/

static void pace_over(struct timer *t)
{
	send_backlog(CONTAINER_OF(t, struct pace, timer)->member);
}

static int pace_new(struct member *m)
{
	struct pace *p;

	if (route_of(m)->max_rate == 0)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p || timer_init(worker_of(m)->loop, &p->timer, pace_over) < 0) {
		free(p);
		return -1;
	}
	p->member = m;
	rate_init_paced(&p->rate, route_of(m)->max_rate);
	m->pace = p;
	return 0;
}

static void pace_free(struct member *m)
{
	if (!m->pace)
		return;
	timer_fini(worker_of(m)->loop, &m->pace->timer);
	free(m->pace);
}

/* How many of n messages may leave now. */
static size_t pace_room(struct member *m, size_t n)
{
	if (!m->pace || n == 0)
		return n;
	return (size_t)rate_room(
		&m->pace->rate, loop_now(worker_of(m)->loop), (int64_t)n);
}

static void pace_use(struct member *m, size_t n)
{
	if (m->pace)
		rate_use(&m->pace->rate, (int64_t)n);
}

/* What waits is looked at again when the next may leave. */
static void pace_wait(struct member *m)
{
	struct loop *l = worker_of(m)->loop;

	timer_set(l, &m->pace->timer, loop_now(l) + rate_wait(&m->pace->rate));
}

/* --- the end ---------------------------------------------------------------------------*/

static void member_gone(struct end *e)
{
	struct member *m = member_of(e);
	struct shard *s = m->shard;

	counter_add(&m->session.counters->members_out, 1);
	session_fini(&m->session, F_INT("messages_dropped", m->session.lost),
		m->denied ? F_INT("denied", m->denied) : F_NONE);
	pace_free(m);
	backlog_free(&m->backlog);
	TAILQ_REMOVE(&s->members, m, next);
	idmap_remove(&s->by_id, &m->by_id);
	free(m);
	shard_put(s);
}

static void member_dropped(struct end *e, uint64_t n)
{
	session_drop_bytes(&member_of(e)->session, END_CLIENT, n);
}

/*
 * What waits whole is given to the connection, so that it leaves before the
 * close frame. It is bounded by the route, and held by reference.
 */
static void hand_over_backlog(struct member *m)
{
	struct message *v[BATCH];
	size_t n;

	while ((n = backlog_peek(&m->backlog, v, BATCH)) > 0) {
		for (size_t i = 0; i < n; i++)
			conn_queue_message(conn_of(m), v[i]);
		backlog_drop(&m->backlog, n);
	}
}

static void member_end(
	struct member *m, enum end_side side, const struct ending *why)
{
	if (!session_end(&m->session, side, why))
		return;
	if (m->pace)
		timer_clear(worker_of(m)->loop, &m->pace->timer);
	m->denied += hub_denied(m->seat);
	hub_leave(m->shard->hub, m->leave, m->seat, why->reason);
	m->seat = NULL;
	m->leave = NULL;
	/* A slow one gets no more of what it could not take. */
	if (side == END_BACKEND && why->reason != REASON_SLOW)
		hand_over_backlog(m);
	backlog_free(&m->backlog);
	session_close_ends(&m->session, why);
}

static void member_ended(struct end *e, const struct ending *why)
{
	/* When the relay stops, what waits for a client leaves first. */
	member_end(member_of(e),
		why->reason == REASON_SHUTDOWN ? END_BACKEND : END_CLIENT, why);
}

void member_abort(struct member *m, enum reason reason)
{
	member_end(m, END_CLIENT, &(struct ending){ .reason = reason });
	if (conn_of(m))
		conn_close(conn_of(m));
}

/* --- from the hub -------------------------------------------------------------------------*/

/* Of one that was sampled: how long it was in the relay, for this member. */
static void note_delay(const struct message *x, struct loop *l, int64_t *now)
{
	if (!x->sampled_ns)
		return;
	if (!*now)
		*now = loop_clock_ns();
	histogram_add(&l->stats.delays[LOOP_DELAY_HUB], &histogram_work,
		(uint64_t)(*now - x->sampled_ns));
}

/* The first replay_n of them came before this member did. */
static void count_out(
	struct member *m, struct message *const *v, size_t n, size_t replay_n)
{
	int64_t now = 0;

	for (size_t i = 0; i < n; i++) {
		session_count(
			&m->session, END_BACKEND, true, v[i]->n - v[i]->head_n);
		if (i >= replay_n)
			note_delay(v[i], worker_of(m)->loop, &now);
	}
}

/* Messages for it that do not come its way. */
static void lose(struct member *m, uint64_t n)
{
	m->session.lost += n;
	counter_add(&m->session.counters->dropped_messages[END_BACKEND], n);
}

static void put_in_backlog(struct member *m, struct message *x)
{
	int dropped = backlog_add(&m->backlog, x, route_of(m));

	/* Before a client is closed for want of memory replays give way. */
	if (dropped == BACKLOG_MEMORY && hubs_give_replay(worker_of(m)))
		dropped = backlog_add(&m->backlog, x, route_of(m));
	if (dropped < 0)
		member_end(m, END_CLIENT,
			&(struct ending){ .reason = dropped == BACKLOG_SLOW
							    ? REASON_SLOW
							    : REASON_MEMORY });
	else
		lose(m, (uint64_t)dropped);
}

/*
 * How many of those that came together may leave at once under max_rate. When
 * that is not all of them, one that a newer one may yet replace waits with
 * them: what leaves is then the newest, not the first.
 */
static size_t may_leave(struct member *m, struct message *const *v, size_t n)
{
	size_t room = pace_room(m, n);
	size_t k = 0;

	if (room == n)
		return n;
	while (k < room && !backlog_is_latest(v[k], route_of(m)))
		k++;
	return k;
}

static void deliver(struct member *m, struct message *const *v, size_t n)
{
	size_t taken = 0, at_once = n;

	if (m->backlog.n == 0 && m->pace)
		at_once = may_leave(m, v, n);
	/* One write takes no more than so many; the rest is no backlog yet. */
	while (taken < at_once && m->backlog.n == 0 &&
		conn_is_clear(conn_of(m))) {
		size_t sent = conn_send_messages(
			conn_of(m), v + taken, at_once - taken);

		count_out(m, v + taken, sent, 0);
		taken += sent;
	}
	pace_use(m, taken);
	for (; taken < n && is_open(m); taken++)
		put_in_backlog(m, v[taken]);
	if (m->pace && m->backlog.n > 0 && !m->pace->timer.at)
		send_backlog(m);
}

/* Some of the messages are its own, or in its replay: it gets the others. */
static void deliver_others(struct member *m, struct message *const *v, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i <= n && is_open(m); i++) {
		if (i < n && v[i]->except != m->session.client.id &&
			v[i]->serial > m->since)
			continue;
		if (i > from)
			deliver(m, v + from, i - from);
		from = i + 1;
	}
}

/* What its worker had no room for did not come its way either. */
static void note_serials(struct member *m, struct message *const *v, size_t n)
{
	if (v[0]->serial == m->since + 1 && v[n - 1]->serial - m->since == n) {
		m->since += n;
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (v[i]->serial > m->since) {
			lose(m, v[i]->serial - m->since - 1);
			m->since = v[i]->serial;
		}
}

/* --- for single clients ---------------------------------------------------------------*/

/* A batch by receiver: own ones are chained from member.first. */
struct sorted {
	struct message *const *v;
	size_t all_n;
	uint16_t all[HUB_BATCH_MAX];  /* those for all */
	uint16_t next[HUB_BATCH_MAX]; /* the next for the same client */
};

static void kick(struct member *m, const struct message *x)
{
	const uint8_t *p = x->bytes;

	member_end(m, END_BACKEND,
		&(struct ending){ .reason = REASON_BACKEND_KICK,
			.code = (uint16_t)(p[0] << 8 | p[1]),
			.text = { (const char *)p + 2, x->n - 2 } });
}

/* Whether it is to get it; counts what did not come its way. */
static bool is_for(struct member *m, const struct message *x)
{
	uint64_t *newest = x->to ? &m->own : &m->since;

	if (!may(m, JWT_READ) && x->opcode != WS_CLOSE)
		return false;
	if (x->serial <= *newest)
		return false; /* it was in its replay */
	lose(m, x->serial - *newest - 1);
	*newest = x->serial;
	return true;
}

/* Its own and those for all, in the order in which they came. */
static void deliver_sorted(struct member *m, const struct sorted *s)
{
	struct message *mine[BATCH];
	size_t n = 0, all = 0;
	uint16_t own = m->first;

	m->first = NONE;
	while (is_open(m) && (own != NONE || all < s->all_n)) {
		struct message *x;

		if (own == NONE || (all < s->all_n && s->all[all] < own)) {
			x = s->v[s->all[all++]];
		} else {
			x = s->v[own];
			own = s->next[own];
		}
		if (!is_for(m, x))
			continue;
		if (x->opcode != WS_CLOSE)
			mine[n++] = x;
		if (n == BATCH || (n > 0 && x->opcode == WS_CLOSE)) {
			deliver(m, mine, n);
			n = 0;
		}
		if (x->opcode == WS_CLOSE)
			kick(m, x);
	}
	if (n > 0 && is_open(m))
		deliver(m, mine, n);
}

/* At most HUB_BATCH_MAX. What is for one costs nothing to the others. */
static void deliver_addressed(
	struct shard *s, struct message *const *v, size_t n)
{
	struct sorted sorted = { .v = v };
	struct member *m, *who[HUB_BATCH_MAX];

	for (size_t i = 0; i < n; i++) {
		who[i] = v[i]->to ? shard_find(s, v[i]->to) : NULL;
		sorted.next[i] = NONE;
		if (!v[i]->to)
			sorted.all[sorted.all_n++] = (uint16_t)i;
		if (!who[i])
			continue;
		if (who[i]->first == NONE)
			who[i]->first = (uint16_t)i;
		else
			sorted.next[who[i]->last] = (uint16_t)i;
		who[i]->last = (uint16_t)i;
	}
	if (sorted.all_n > 0) {
		/* No member is freed within a turn. */
		TAILQ_FOREACH (m, &s->members, next)
			deliver_sorted(m, &sorted);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (who[i] && who[i]->first != NONE)
			deliver_sorted(who[i], &sorted);
}

void shard_deliver(
	struct hub *h, struct worker *w, struct message *const *v, size_t n)
{
	struct shard *s = *hub_shard(h, w);
	struct member *m, *next;
	bool personal = false;

	if (!s || n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (v[i]->to) {
			deliver_addressed(s, v, n);
			return;
		}
	for (size_t i = 0; i < n; i++)
		personal = personal || v[i]->except;
	for (m = TAILQ_FIRST(&s->members); m; m = next) {
		next = TAILQ_NEXT(m, next);
		if (!is_open(m) || !may(m, JWT_READ))
			continue;
		if (personal || v[0]->serial <= m->since)
			deliver_others(m, v, n);
		else
			deliver(m, v, n);
		note_serials(m, v, n);
	}
}

static void send_backlog(struct member *m)
{
	struct message *v[BATCH];
	size_t n, taken, replay, room;

	while (is_open(m) && conn_is_clear(conn_of(m)) &&
		(n = backlog_peek(&m->backlog, v, BATCH)) > 0) {
		if (!loop_share_left_now(worker_of(m)->loop)) {
			conn_drain_again(conn_of(m));
			return;
		}
		/* A replay is as fast as the line. */
		replay = m->backlog.replay_n < n ? m->backlog.replay_n : n;
		room = replay + pace_room(m, n - replay);
		if (room == 0) {
			pace_wait(m);
			return;
		}
		taken = conn_send_messages(conn_of(m), v, room);
		count_out(m, v, taken, replay);
		backlog_drop(&m->backlog, taken);
		pace_use(m, taken > replay ? taken - replay : 0);
	}
}

static void member_drained(struct end *e)
{
	send_backlog(member_of(e));
}

/* --- from the client -----------------------------------------------------------------------*/

static void open_resume(struct worker *w, struct letter *l)
{
	struct hub_news news = hub_notice_take(l);
	struct shard *s = *hub_shard(news.hub, w);
	struct member *m;

	if (s)
		TAILQ_FOREACH (m, &s->members, next)
			session_resume(
				&m->session, END_CLIENT, SESSION_PAUSED_QUEUE);
	hub_news_free(&news);
}

const struct letter_kind hub_letter_resume = {
	.open = open_resume,
	.free = hub_letter_free_notice,
};

static void deny_message(struct member *m, const struct piece *p)
{
	char id[CLIENT_ID_TEXT];

	session_drop_bytes(&m->session, END_CLIENT, p->n);
	if (route_of(m)->denied_input == CONF_DENIED_CLOSE) {
		member_end(m, END_CLIENT,
			&(struct ending){ .reason = REASON_READ_ONLY });
		return;
	}
	if (p->last && m->denied++ == 0)
		LOG(LOG_INFO, "denied-input",
			F_STR("id", client_id(&m->session.client, id)),
			F_STR("route", route_of(m)->section.name),
			F_STR("subject", client_subject(&m->session.client)));
}

static void member_input(struct end *e, const struct piece *p)
{
	struct member *m = member_of(e);
	struct session *s = &m->session;
	struct worker *w = worker_of(m);
	const struct piece *whole;
	struct piece assembled;
	enum reason failed;
	int welcome;

	if (!is_open(m)) {
		session_drop_bytes(s, END_CLIENT, p->n);
		return;
	}
	if (!may(m, JWT_WRITE)) {
		s->sides[END_CLIENT].last_ms = loop_now(w->loop);
		deny_message(m, p);
		session_use_rates(s, p->last, p->n);
		return;
	}
	session_count(s, END_CLIENT, p->last, p->n);
	whole = session_assemble(s, END_CLIENT, p, &assembled, &failed);
	if (failed != REASON_NONE)
		member_end(m, END_CLIENT, &(struct ending){ .reason = failed });
	if (whole) {
		welcome = hub_input(m->shard->hub, w, m->seat, whole);
		if (whole == &assembled)
			session_forget(s, END_CLIENT);
		if (welcome < 0)
			member_end(m, END_CLIENT,
				&(struct ending){ .reason = REASON_INTERNAL });
		else if (welcome == 0 && is_open(m))
			session_pause(s, END_CLIENT, SESSION_PAUSED_QUEUE);
	}
	session_use_rates(s, p->last, p->n);
}

static void member_control(struct end *e, size_t n)
{
	session_use_rates(&member_of(e)->session, 1, n);
}

static const struct end_cb member_cb = {
	.input = member_input,
	.control = member_control,
	.drained = member_drained,
	.ended = member_ended,
	.dropped = member_dropped,
	.gone = member_gone,
};

/* --- life ------------------------------------------------------------------------------------*/

static unsigned unsent_limit(const struct conf_route *r)
{
	return r->slow_text_kind == CONF_SLOW_LATEST ||
			       r->slow_binary_kind == CONF_SLOW_LATEST
		       ? UNSENT_LATEST
		       : UNSENT_LIMIT;
}

/* -1 without memory: a member must not believe that nothing was said. */
static int add_replay(struct member *m, const struct hub_joined *joined)
{
	if (!may(m, JWT_READ))
		return 0;
	for (size_t i = 0; i < joined->replay_n; i++)
		if (backlog_add_replay(&m->backlog, joined->replay[i]) < 0)
			return -1;
	return 0;
}

/* max_rate is another: what waits is looked at anew. */
static void renew_pace(struct member *m)
{
	int64_t rate = route_of(m)->max_rate;

	if (rate == 0) {
		pace_free(m);
		m->pace = NULL;
	} else if (m->pace) {
		rate_init_paced(&m->pace->rate, rate);
	} else {
		(void)pace_new(m); /* without memory there is none */
	}
	send_backlog(m);
}

static void member_renew(struct member *m)
{
	const struct conf_route *before = route_of(m);
	int64_t rate = before->max_rate;

	session_renew(&m->session, worker_of(m)->conf);
	if (!is_open(m) || route_of(m) == before)
		return;
	conn_set_unsent_limit(m->session.sides[END_CLIENT].end->conn,
		unsent_limit(route_of(m)));
	if (route_of(m)->max_rate != rate)
		renew_pace(m);
}

void shards_renew(struct worker *w)
{
	struct shard *s;
	struct member *m, *next;

	TAILQ_FOREACH (s, &w->hubs->shards, next)
		for (m = TAILQ_FIRST(&s->members); m; m = next) {
			next = TAILQ_NEXT(m, next);
			member_renew(m);
		}
}

struct member *member_new(struct worker *w, const struct client *client,
	struct end *client_end, const struct hub_joined *joined)
{
	struct member *m = calloc(1, sizeof(*m));

	if (!m || session_init(&m->session, w, client) < 0) {
		free(m);
		return NULL;
	}
	if (pace_new(m) < 0)
		goto fail;
	m->shard = shard_get(joined->hub, w);
	if (!m->shard)
		goto fail;
	m->owner.cb = &member_cb;
	client_end->owner = &m->owner;
	m->session.sides[END_CLIENT].end = client_end;
	m->seat = joined->seat;
	m->leave = joined->leave;
	m->since = joined->since;
	backlog_init(&m->backlog, w->loop->budget);
	m->session.backlog = &m->backlog.waiting;
	m->session.hub = hub_path(joined->hub);
	TAILQ_INSERT_TAIL(&m->shard->members, m, next);
	idmap_add(&m->shard->by_id, &m->by_id, client->id);
	m->first = NONE;
	client_end->conn->resume_at = 0;
	conn_set_unsent_limit(client_end->conn, unsent_limit(client->route));
	session_open(&m->session);
	counter_add(&m->session.counters->members_in, 1);
	if (add_replay(m, joined) < 0)
		member_end(m, END_CLIENT,
			&(struct ending){ .reason = REASON_MEMORY });
	send_backlog(m);
	session_check(&m->session);
	member_renew(m); /* it may have come under an older snapshot */
	return m;
fail:
	pace_free(m);
	session_undo(&m->session);
	free(m);
	return NULL;
}

/* --- all of a worker ------------------------------------------------------------------------------*/

static void shard_end_all(
	struct shard *s, enum end_side side, const struct ending *why)
{
	struct member *m, *next;

	for (m = TAILQ_FIRST(&s->members); m; m = next) {
		next = TAILQ_NEXT(m, next);
		member_end(m, side, why);
	}
}

static struct ending ending_of(const struct hub_news *n)
{
	return (struct ending){
		.reason = n->reason, .code = n->code, .text = str_of(n->text)
	};
}

static void open_end(struct worker *w, struct letter *l)
{
	struct hub_news news = hub_notice_take(l);
	struct shard *s = *hub_shard(news.hub, w);
	struct ending why = ending_of(&news);

	if (s)
		shard_end_all(s, END_BACKEND, &why);
	hub_news_free(&news);
}

const struct letter_kind hub_letter_end = {
	.open = open_end,
	.free = hub_letter_free_notice,
};

/* Its message could not be carried, or it had no right to send it. */
static void open_kick(struct worker *w, struct letter *l)
{
	struct hub_news news = hub_notice_take(l);
	struct shard *s = *hub_shard(news.hub, w);
	struct ending why = ending_of(&news);
	struct member *m = s ? shard_find(s, news.id) : NULL;

	if (m)
		member_end(m, END_CLIENT, &why);
	hub_news_free(&news);
}

const struct letter_kind hub_letter_kick = {
	.open = open_kick,
	.free = hub_letter_free_notice,
};

void shards_stop(struct worker *w)
{
	struct shard *s;
	struct member *m;

	/* They are freed when the deferred work is done, not before. */
	TAILQ_FOREACH (s, &w->hubs->shards, next)
		TAILQ_FOREACH (m, &s->members, next)
			member_abort(m, REASON_SHUTDOWN);
}

static size_t cost_of(const struct member *m)
{
	/* What had waited when it ended is its queue's now. */
	if (!is_open(m))
		return conn_cost(conn_of(m));
	return waiting_cost(&m->backlog.waiting) +
	       m->session.sides[END_CLIENT].whole.n;
}

size_t shards_largest(struct worker *w, struct member **largest)
{
	struct shard *s;
	struct member *m;
	size_t most = 0;

	*largest = NULL;
	TAILQ_FOREACH (s, &w->hubs->shards, next)
		TAILQ_FOREACH (m, &s->members, next) {
			size_t n = cost_of(m);

			if (n > most) {
				most = n;
				*largest = m;
			}
		}
	return most;
}
