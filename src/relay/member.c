/*
 *   hub --shard_deliver--> member: socket free? one write of all that came
 *                                  together : backlog, by the route's policy
 *   client end --member_input--> rights, whole message --> hub_input
 *
 * A member's queue in the connection holds at most the message that is on its
 * way; the others wait whole in its backlog, where they can give way.
 */
#include "relay/member.h"

#include <assert.h>
#include <stdlib.h>

#include "base/idmap.h"
#include "base/log.h"
#include "base/message.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "relay/admission.h"
#include "relay/hub_join.h"
#include "relay/backlog.h"
#include "relay/client.h"
#include "relay/end.h"
#include "relay/ending.h"
#include "relay/expiry.h"
#include "relay/hub.h"
#include "relay/hub_here.h"
#include "relay/hub_letters.h"
#include "relay/rate.h"
#include "relay/worker.h"

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

enum { PAUSED_HUB = 1, PAUSED_RATE = 2 };

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
	struct client client;
	struct end *end;
	struct seat *seat;       /* the home's */
	struct hub_leave *leave; /* for the end */
	struct backlog backlog;
	struct buf whole; /* a message of its own in the making */
	struct timer timer, rate_timer;
	struct rate messages, bytes;
	struct pace *pace; /* NULL: no max_rate */
	int64_t opened_ms, ended_ms, last_ms;
	int64_t expires_ms;
	uint64_t since; /* the serial of the newest that came its way */
	uint64_t own;   /* the same of those for it alone */
	uint64_t in_messages, in_bytes, in_dropped, denied;
	uint64_t out_messages, out_bytes, out_dropped; /* dropped: messages */
	char *detail;
	uint16_t code;
	uint8_t reason; /* enum reason, REASON_NONE = it lives */
	uint8_t side;
	uint8_t expires_as;
	uint8_t paused;
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
	return m->reason == REASON_NONE;
}

static struct member *member_of(const struct end *e)
{
	return CONTAINER_OF(e->owner, struct member, owner);
}

static struct worker *worker_of(const struct member *m)
{
	return m->shard->worker;
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

static int pace_new(struct member *m, struct loop *l, int64_t rate)
{
	struct pace *p;

	if (rate == 0)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p || timer_init(l, &p->timer, pace_over) < 0) {
		free(p);
		return -1;
	}
	p->member = m;
	rate_init_paced(&p->rate, rate);
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

static void log_close(const struct member *m)
{
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	LOG(LOG_INFO, "close", F_STR("id", client_id(&m->client, id)),
		F_STR("route", m->client.route->section.name),
		F_STR("subject", client_subject(&m->client)),
		F_STR("peer", addr_format(&m->client.peer, peer)),
		F_STR("reason", reason_get((enum reason)m->reason)->word),
		F_STR("side", ending_side((enum reason)m->reason, m->side)),
		m->code ? F_INT("code", m->code) : F_NONE,
		F_INT("age_ms", m->ended_ms - m->opened_ms),
		F_INT("client_messages", m->in_messages),
		F_INT("client_bytes", m->in_bytes),
		F_INT("backend_messages", m->out_messages),
		F_INT("backend_bytes", m->out_bytes),
		F_INT("client_dropped", m->in_dropped),
		F_INT("messages_dropped", m->out_dropped),
		m->denied ? F_INT("denied", m->denied) : F_NONE,
		F_STR("detail", m->detail));
}

static void member_gone(struct end *e)
{
	struct member *m = member_of(e);
	struct shard *s = m->shard;
	struct worker *w = s->worker;

	assert(!is_open(m));
	/* Before the log line: its reader may connect again at once. */
	admission_give_back(w->shared, &m->client);
	log_close(m);
	worker_count_reason(w, (enum reason)m->reason);
	counter_add(&w->counters.closed, 1);
	timer_fini(w->loop, &m->timer);
	timer_fini(w->loop, &m->rate_timer);
	pace_free(m);
	backlog_free(&m->backlog);
	free(m->detail);
	worker_left(w);
	admission_leave(w->shared, &m->client);
	client_free(&m->client);
	TAILQ_REMOVE(&s->members, m, next);
	idmap_remove(&s->by_id, &m->by_id);
	free(m);
	shard_put(s);
}

static void member_dropped(struct end *e, uint64_t n)
{
	member_of(e)->in_dropped += n;
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
			conn_queue_message(m->end->conn, v[i]);
		backlog_drop(&m->backlog, n);
	}
}

static void member_ended(
	struct member *m, enum end_side side, const struct ending *why)
{
	const struct reason_info *info = reason_get(why->reason);
	char text[WS_CLOSE_REASON_MAX];
	uint16_t code = why->code ? why->code : info->code;

	if (!is_open(m))
		return;
	m->reason = (uint8_t)why->reason;
	m->side = (uint8_t)side;
	m->code = code;
	m->ended_ms = loop_now(worker_of(m)->loop);
	m->detail = why->detail ? str_dup(str_of(why->detail)) : NULL;
	timer_clear(worker_of(m)->loop, &m->timer);
	timer_clear(worker_of(m)->loop, &m->rate_timer);
	if (m->pace)
		timer_clear(worker_of(m)->loop, &m->pace->timer);
	m->in_dropped += m->whole.n;
	end_forget(&m->whole, worker_of(m)->loop->budget);
	m->denied += hub_denied(m->seat);
	hub_leave(m->shard->hub, m->leave, m->seat, why->reason);
	m->seat = NULL;
	m->leave = NULL;
	/* A slow one gets no more of what it could not take. */
	if (side == END_BACKEND && why->reason != REASON_SLOW)
		hand_over_backlog(m);
	backlog_free(&m->backlog);
	m->end->ops->close(m->end, ending_client_code(why->reason, code),
		ending_close_text(why->reason, text, why->text));
}

static void member_end_ended(struct end *e, const struct ending *why)
{
	member_ended(member_of(e), END_CLIENT, why);
}

void member_abort(struct member *m, enum reason reason)
{
	member_ended(m, END_CLIENT, &(struct ending){ .reason = reason });
	if (m->end->conn)
		conn_close(m->end->conn);
}

/* --- from the hub -------------------------------------------------------------------------*/

static void count_out(struct member *m, struct message *const *v, size_t n)
{
	struct counters *c = &worker_of(m)->counters;

	for (size_t i = 0; i < n; i++) {
		m->out_messages++;
		m->out_bytes += v[i]->n;
		counter_add(&c->bytes[END_BACKEND], v[i]->n);
	}
	counter_add(&c->messages[END_BACKEND], n);
}

static void put_in_backlog(struct member *m, struct message *x)
{
	int dropped = backlog_add(&m->backlog, x, m->client.route);

	/* Before a client is closed for want of memory replays give way. */
	if (dropped == BACKLOG_MEMORY && hubs_give_replay(worker_of(m)))
		dropped = backlog_add(&m->backlog, x, m->client.route);
	if (dropped < 0)
		member_ended(m, END_CLIENT,
			&(struct ending){ .reason = dropped == BACKLOG_SLOW
							    ? REASON_SLOW
							    : REASON_MEMORY });
	else
		m->out_dropped += (uint64_t)dropped;
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
	while (k < room && !backlog_is_latest(v[k], m->client.route))
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
		conn_is_clear(m->end->conn)) {
		size_t sent = conn_send_messages(
			m->end->conn, v + taken, at_once - taken);

		count_out(m, v + taken, sent);
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
		if (i < n && v[i]->except != m->client.id &&
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
	if (v[n - 1]->serial - m->since == n) {
		m->since += n;
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (v[i]->serial > m->since) {
			m->out_dropped += v[i]->serial - m->since - 1;
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

	member_ended(m, END_BACKEND,
		&(struct ending){ .reason = REASON_BACKEND_KICK,
			.code = (uint16_t)(p[0] << 8 | p[1]),
			.text = { (const char *)p + 2, x->n - 2 } });
}

/* Whether it is to get it; counts what did not come its way. */
static bool is_for(struct member *m, const struct message *x)
{
	uint64_t *newest = x->to ? &m->own : &m->since;

	if (!(m->client.verdict.perm & JWT_READ) && x->opcode != WS_CLOSE)
		return false;
	if (x->serial <= *newest)
		return false; /* it was in its replay */
	m->out_dropped += x->serial - *newest - 1;
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
		if (!is_open(m) || !(m->client.verdict.perm & JWT_READ))
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

	while (is_open(m) && conn_is_clear(m->end->conn) &&
		(n = backlog_peek(&m->backlog, v, BATCH)) > 0) {
		if (!loop_share_left_now(worker_of(m)->loop)) {
			conn_drain_again(m->end->conn);
			return;
		}
		/* A replay is as fast as the line. */
		replay = m->backlog.replay_n < n ? m->backlog.replay_n : n;
		room = replay + pace_room(m, n - replay);
		if (room == 0) {
			pace_wait(m);
			return;
		}
		taken = conn_send_messages(m->end->conn, v, room);
		count_out(m, v, taken);
		backlog_drop(&m->backlog, taken);
		pace_use(m, taken > replay ? taken - replay : 0);
	}
}

static void member_drained(struct end *e)
{
	send_backlog(member_of(e));
}

/* --- from the client -----------------------------------------------------------------------*/

static void pause_reading(struct member *m, uint8_t why)
{
	if (!m->paused)
		m->end->ops->flow(m->end, false);
	m->paused |= why;
}

static void resume_reading(struct member *m, uint8_t why)
{
	if (!(m->paused & why))
		return;
	m->paused &= (uint8_t)~why;
	if (!m->paused && is_open(m))
		m->end->ops->flow(m->end, true);
}

static void open_resume(struct worker *w, struct letter *l)
{
	struct hub_news news = hub_notice_take(l);
	struct shard *s = *hub_shard(news.hub, w);
	struct member *m;

	if (s)
		TAILQ_FOREACH (m, &s->members, next)
			resume_reading(m, PAUSED_HUB);
	hub_news_free(&news);
}

const struct letter_kind hub_letter_resume = {
	.open = open_resume,
	.free = hub_letter_free_notice,
};

static void rate_over(struct timer *t)
{
	resume_reading(CONTAINER_OF(t, struct member, rate_timer), PAUSED_RATE);
}

static void use_rates(struct member *m, int64_t messages, size_t bytes)
{
	struct loop *l = worker_of(m)->loop;
	int64_t now = loop_now(l);
	int64_t a = rate_add(&m->messages, now, messages);
	int64_t b = rate_add(&m->bytes, now, (int64_t)bytes);

	if (a <= 0 && b <= 0)
		return;
	pause_reading(m, PAUSED_RATE);
	timer_set(l, &m->rate_timer, now + (a > b ? a : b));
}

static void deny_message(struct member *m, const struct piece *p)
{
	char id[CLIENT_ID_TEXT];

	m->in_dropped += p->n;
	if (m->client.route->denied_input == CONF_DENIED_CLOSE) {
		member_ended(m, END_CLIENT,
			&(struct ending){ .reason = REASON_READ_ONLY });
		return;
	}
	if (p->last && m->denied++ == 0)
		LOG(LOG_INFO, "denied-input",
			F_STR("id", client_id(&m->client, id)),
			F_STR("route", m->client.route->section.name),
			F_STR("subject", client_subject(&m->client)));
}

static void member_input(struct end *e, const struct piece *p)
{
	struct member *m = member_of(e);
	struct worker *w = worker_of(m);
	const struct piece *whole;
	struct piece assembled;
	enum reason failed;
	int welcome;

	if (!is_open(m)) {
		m->in_dropped += p->n;
		return;
	}
	m->last_ms = loop_now(w->loop);
	if (!(m->client.verdict.perm & JWT_WRITE)) {
		deny_message(m, p);
		if (is_open(m))
			use_rates(m, p->last, p->n);
		return;
	}
	m->in_messages += p->last;
	m->in_bytes += p->n;
	counter_add(&w->counters.bytes[END_CLIENT], p->n);
	if (p->last)
		counter_add(&w->counters.messages[END_CLIENT], 1);
	whole = end_assemble(
		&m->whole, w->loop->budget, p, &assembled, &failed);
	if (failed == REASON_MEMORY && hubs_give_replay(w))
		whole = end_assemble(
			&m->whole, w->loop->budget, p, &assembled, &failed);
	if (failed != REASON_NONE)
		member_ended(
			m, END_CLIENT, &(struct ending){ .reason = failed });
	if (whole) {
		welcome = hub_input(m->shard->hub, w, m->seat, whole);
		if (whole == &assembled)
			end_forget(&m->whole, w->loop->budget);
		if (welcome < 0)
			member_ended(m, END_CLIENT,
				&(struct ending){ .reason = REASON_INTERNAL });
		else if (welcome == 0 && is_open(m))
			pause_reading(m, PAUSED_HUB);
	}
	if (is_open(m))
		use_rates(m, p->last, p->n);
}

static void member_control(struct end *e, size_t n)
{
	struct member *m = member_of(e);

	if (is_open(m))
		use_rates(m, 1, n);
}

static const struct end_cb member_cb = {
	.input = member_input,
	.control = member_control,
	.drained = member_drained,
	.ended = member_end_ended,
	.dropped = member_dropped,
	.gone = member_gone,
};

/* --- life ------------------------------------------------------------------------------------*/

static void member_check(struct member *m)
{
	const struct conf_route *r = m->client.route;
	struct loop *l = worker_of(m)->loop;
	int64_t now = loop_now(l);
	/* A member that is not read can't be called idle. */
	int64_t since = m->paused ? now : m->last_ms;
	int64_t idle = r->idle_timeout ? since + r->idle_timeout : INT64_MAX;

	if (m->expires_ms <= now)
		member_ended(m, END_CLIENT,
			&(struct ending){
				.reason = (enum reason)m->expires_as });
	else if (idle <= now)
		member_ended(m, END_CLIENT,
			&(struct ending){ .reason = REASON_IDLE });
	else if (idle != INT64_MAX || m->expires_ms != INT64_MAX)
		timer_set(l, &m->timer,
			idle < m->expires_ms ? idle : m->expires_ms);
}

static void member_timer(struct timer *t)
{
	member_check(CONTAINER_OF(t, struct member, timer));
}

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
	if (!(m->client.verdict.perm & JWT_READ))
		return 0;
	for (size_t i = 0; i < joined->replay_n; i++)
		if (backlog_add_replay(&m->backlog, joined->replay[i]) < 0)
			return -1;
	return 0;
}

struct member *member_new(struct worker *w, const struct client *client,
	struct end *client_end, const struct hub_joined *joined)
{
	struct member *m = calloc(1, sizeof(*m));
	enum reason as;

	if (!m || timer_init(w->loop, &m->timer, member_timer) < 0)
		goto fail;
	if (timer_init(w->loop, &m->rate_timer, rate_over) < 0)
		goto fail_timer;
	if (pace_new(m, w->loop, client->route->max_rate) < 0)
		goto fail_rate;
	m->shard = shard_get(joined->hub, w);
	if (!m->shard)
		goto fail_pace;
	m->client = *client;
	m->end = client_end;
	m->owner.cb = &member_cb;
	client_end->owner = &m->owner;
	m->seat = joined->seat;
	m->leave = joined->leave;
	m->since = joined->since;
	backlog_init(&m->backlog, w->loop->budget);
	rate_init(&m->messages, client->route->message_rate);
	rate_init(&m->bytes, client->route->byte_rate);
	m->opened_ms = m->last_ms = loop_now(w->loop);
	m->expires_ms = expiry_of(client, m->opened_ms, &as);
	m->expires_as = (uint8_t)as;
	TAILQ_INSERT_TAIL(&m->shard->members, m, next);
	idmap_add(&m->shard->by_id, &m->by_id, client->id);
	m->first = NONE;
	counter_add(&w->counters.opened, 1);
	client_end->conn->resume_at = 0;
	conn_set_unsent_limit(client_end->conn, unsent_limit(client->route));
	client_end->ops->flow(client_end, true);
	if (add_replay(m, joined) < 0) {
		member_ended(m, END_CLIENT,
			&(struct ending){ .reason = REASON_MEMORY });
		return m;
	}
	send_backlog(m);
	member_check(m);
	return m;
fail_pace:
	if (m->pace)
		timer_fini(w->loop, &m->pace->timer);
	free(m->pace);
fail_rate:
	timer_fini(w->loop, &m->rate_timer);
fail_timer:
	timer_fini(w->loop, &m->timer);
fail:
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
		member_ended(m, side, why);
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
		member_ended(m, END_CLIENT, &why);
	hub_news_free(&news);
}

const struct letter_kind hub_letter_kick = {
	.open = open_kick,
	.free = hub_letter_free_notice,
};

void shards_drain(struct worker *w)
{
	struct shard *s;

	TAILQ_FOREACH (s, &w->hubs->shards, next)
		shard_end_all(s, END_BACKEND,
			&(struct ending){ .reason = REASON_SHUTDOWN });
}

void shards_stop(struct worker *w)
{
	struct shard *s;
	struct member *m;

	/* They are freed when the deferred work is done, not before. */
	TAILQ_FOREACH (s, &w->hubs->shards, next)
		TAILQ_FOREACH (m, &s->members, next)
			member_abort(m, REASON_SHUTDOWN);
}

size_t shards_largest(struct worker *w, struct member **largest)
{
	struct shard *s;
	struct member *m;
	size_t most = 0;

	*largest = NULL;
	TAILQ_FOREACH (s, &w->hubs->shards, next)
		TAILQ_FOREACH (m, &s->members, next) {
			/* What had waited when it ended is its queue's now. */
			size_t n = is_open(m)
					   ? waiting_cost(&m->backlog.waiting) +
						     m->whole.n
					   : conn_cost(m->end->conn);

			if (n > most) {
				most = n;
				*largest = m;
			}
		}
	return most;
}
