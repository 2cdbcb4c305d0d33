/*
 * The home side of a hub: its directory entry, its trunk, its seats.
 *
 *   JOIN mail -> seat -> trunk open? -> JOINED mail (with replay)
 *   trunk input -> message, framed once -> batch -> end of turn: fan out
 *   INPUT mail -> driver? -> trunk, or (room:) a message for the others
 *   the last LEAVE -> linger -> end
 *
 * Life: NEW -> OPENING -> OPEN -> ENDING. From ENDING on the directory does not
 * know it any more: who comes now gets a new hub.
 */
#include "relay/hub.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/message.h"
#include "codec/pattern.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "relay/backend.h"
#include "relay/backlog.h"
#include "relay/client.h"
#include "relay/end.h"
#include "relay/mail.h"
#include "relay/member.h"
#include "relay/relay.h"
#include "relay/request.h"
#include "relay/worker.h"
#include "relay/ws_end.h"

#define BATCH 64

enum hub_state { HUB_NEW, HUB_OPENING, HUB_OPEN, HUB_ENDING };

struct seat { /* a client, as its hub's home knows it */
	TAILQ_ENTRY(seat) next;
	struct worker *worker;
	uint64_t id;
	uint8_t perm;
	bool told;          /* JOINED was sent */
	atomic_uint denied; /* messages that it had no right to send */
	char *subject;
};

struct remote { /* a worker that has members */
	size_t seats;
	struct backlog held; /* for it, while too much is in its mail */
	/* Bytes of messages in its mail; JOINED counts for one. */
	atomic_size_t mailed;
	atomic_bool ready_wanted; /* tell the home when they are read */
};

struct hub {
	TAILQ_ENTRY(hub) listed_next; /* in the directory: under its lock */
	bool listed;
	unsigned joins; /* seats asked for that the home has not seen */

	atomic_uint references;
	struct shared *shared;
	struct conf *conf; /* a reference, for route */
	const struct conf_route *route;
	char *path;
	struct worker *home;
	atomic_size_t inflight; /* bytes of input in mail to the home */
	atomic_bool trunk_full;
	atomic_bool resume_wanted; /* somebody has stopped reading */

	/* Below: the home's thread only, but shards. */
	TAILQ_ENTRY(hub) home_next; /* in home->hubs */
	enum hub_state state;
	struct attempt *attempt;
	struct end *trunk;
	struct client trunk_client;
	TAILQ_HEAD(, seat) seats; /* in order of joining */
	size_t seats_n, seats_most;
	struct seat *driver;
	struct timer linger;
	struct deferred fan;
	size_t batch_n;
	struct message *batch[BATCH];
	struct message **replay; /* a ring of route->replay */
	size_t replay_at, replay_n, replay_bytes;
	char *protocol;
	struct buf whole; /* a trunk message in the making */
	int64_t opened_ms;
	uint64_t messages_in, messages_out;
	bool at_home;           /* in home->hubs */
	struct remote *remotes; /* by worker index */
	struct shard *shards[]; /* by worker index, each its worker's own */
};

struct hubs {
	pthread_mutex_t lock;
	TAILQ_HEAD(, hub) list;
};

static void hub_end(struct hub *h, const struct ending *why);
static void linger_over(struct timer *t);
static void hub_fan(struct deferred *d);

/* --- the directory -------------------------------------------------------------------*/

struct hubs *hubs_new(void)
{
	struct hubs *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	TAILQ_INIT(&h->list);
	return h;
}

void hubs_free(struct hubs *h)
{
	struct hub *hub;

	if (!h)
		return;
	/* Those that nobody's mail reached in time. */
	while ((hub = TAILQ_FIRST(&h->list))) {
		TAILQ_REMOVE(&h->list, hub, listed_next);
		hub->listed = false;
		hub_unref(hub);
	}
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static struct hub *hub_new(
	struct worker *w, const struct client *c, struct str path)
{
	size_t workers = w->shared->workers_n;
	struct hub *h = calloc(1, sizeof(*h) + workers * sizeof(h->shards[0]));

	if (!h)
		return NULL;
	h->path = str_dup(path);
	h->remotes = calloc(workers, sizeof(*h->remotes));
	h->replay = calloc((size_t)c->route->replay + 1, sizeof(*h->replay));
	if (!h->path || !h->remotes || !h->replay) {
		free(h->path);
		free(h->remotes);
		free(h->replay);
		free(h);
		return NULL;
	}
	for (size_t i = 0; i < workers; i++)
		backlog_init(&h->remotes[i].held);
	atomic_init(&h->references, 1);
	h->shared = w->shared;
	h->conf = conf_ref(c->conf);
	h->route = c->route;
	h->home = w;
	TAILQ_INIT(&h->seats);
	return h;
}

static struct hub *hub_ref(struct hub *h)
{
	atomic_fetch_add_explicit(&h->references, 1, memory_order_relaxed);
	return h;
}

static void seat_free(struct seat *s)
{
	free(s->subject);
	free(s);
}

void hub_unref(struct hub *h)
{
	struct seat *s;

	if (atomic_fetch_sub_explicit(
		    &h->references, 1, memory_order_acq_rel) != 1)
		return;
	while ((s = TAILQ_FIRST(&h->seats))) {
		TAILQ_REMOVE(&h->seats, s, next);
		seat_free(s);
	}
	for (size_t i = 0; i < h->shared->workers_n; i++)
		backlog_free(&h->remotes[i].held);
	for (size_t i = 0; i < h->batch_n; i++)
		message_unref(h->batch[i]);
	for (size_t i = 0; i < h->replay_n; i++)
		message_unref(h->replay[(h->replay_at + i) %
					(size_t)(h->route->replay + 1)]);
	free(h->replay);
	free(h->remotes);
	free(h->protocol);
	free(h->path);
	buf_free(&h->whole);
	conf_unref(h->conf);
	free(h);
}

struct hub *hubs_join(struct worker *w, const struct client *c, struct str path,
	enum reason *reason)
{
	struct hubs *d = w->shared->hubs;
	struct hub *h;
	int64_t n = 0;

	pthread_mutex_lock(&d->lock);
	TAILQ_FOREACH (h, &d->list, listed_next) {
		if (h->route != c->route)
			continue;
		n++;
		if (str_eq(str_of(h->path), path))
			break;
	}
	if (!h) {
		*reason = n >= c->route->max_hubs ? REASON_LIMIT_HUBS
						  : REASON_INTERNAL;
		h = *reason == REASON_LIMIT_HUBS ? NULL : hub_new(w, c, path);
		if (h) {
			TAILQ_INSERT_TAIL(&d->list, h, listed_next);
			h->listed = true;
		}
	}
	if (h) {
		h->joins++;
		hub_ref(h);
	}
	pthread_mutex_unlock(&d->lock);
	return h;
}

/*
 * Out of the directory. Unless force is said, not while somebody is on the way
 * in. Returns whether it is out.
 */
static bool hub_unlist(struct hub *h, bool force)
{
	struct hubs *d = h->shared->hubs;
	bool out = true;

	pthread_mutex_lock(&d->lock);
	if (h->listed && h->joins > 0 && !force) {
		out = false;
	} else if (h->listed) {
		TAILQ_REMOVE(&d->list, h, listed_next);
		h->listed = false;
	}
	pthread_mutex_unlock(&d->lock);
	return out;
}

/* --- mail -------------------------------------------------------------------------------*/

static struct mail *hub_mail(struct hub *h, enum mail_kind kind, size_t n)
{
	struct mail *m = mail_new(kind, n);

	if (m)
		m->hub = hub_ref(h);
	return m;
}

int hub_ask_seat(struct hub *h, struct worker *from, const struct client *c)
{
	struct mail *m = hub_mail(h, MAIL_HUB_JOIN, 0);

	if (!m)
		return -1;
	m->from = from;
	m->id = c->id;
	m->perm = c->perm;
	m->text = c->subject ? str_dup(str_of(c->subject)) : NULL;
	worker_post(h->home, m);
	return 0;
}

void hub_leave(
	struct hub *h, struct worker *from, uint64_t id, struct seat *seat)
{
	struct mail *m = hub_mail(h, MAIL_HUB_LEAVE, 0);

	if (!m)
		return; /* its seat stays empty until the hub ends */
	m->from = from;
	m->id = id;
	m->seat = seat;
	worker_post(h->home, m);
}

static void tell_joined(struct hub *h, struct seat *s)
{
	size_t ring = (size_t)h->route->replay + 1;
	struct mail *m;

	/* What waits to be sent to all is in the replay already. */
	if (h->batch_n > 0)
		hub_fan(&h->fan);
	m = hub_mail(h, MAIL_HUB_JOINED, h->replay_n);
	if (!m)
		return; /* its handshake will time out with the client */
	m->id = s->id;
	m->seat = s;
	m->text = h->protocol ? str_dup(str_of(h->protocol)) : NULL;
	for (size_t i = 0; i < h->replay_n; i++)
		m->v[m->n++] = message_ref(
			h->replay[(h->replay_at + i) % ring]);
	s->told = true;
	m->serial = h->messages_out;
	/*
	 * At home, too, what is published from now on must come behind this:
	 * while it lies in the mail nothing is delivered past it.
	 */
	atomic_fetch_add(&h->remotes[s->worker->index].mailed, 1);
	worker_post(s->worker, m);
}

static void tell_refused(struct hub *h, struct worker *to, uint64_t id,
	const struct ending *why, bool again)
{
	struct mail *m = hub_mail(h, MAIL_HUB_REFUSED, 0);

	if (!m)
		return;
	m->id = id;
	m->again = again;
	m->reason = why->reason;
	m->text = why->detail ? str_dup(str_of(why->detail)) : NULL;
	worker_post(to, m);
}

static void tell_workers(
	struct hub *h, enum mail_kind kind, const struct ending *why)
{
	for (size_t i = 0; i < h->shared->workers_n; i++) {
		struct mail *m;

		if (h->remotes[i].seats == 0)
			continue;
		m = hub_mail(h, kind, 0);
		if (!m)
			continue;
		if (why) {
			m->reason = why->reason;
			m->code = why->code;
			m->text = why->text.p ? str_dup(why->text) : NULL;
		}
		worker_post(h->shared->workers[i], m);
	}
}

static void kick(struct hub *h, const struct seat *s, enum reason reason)
{
	struct mail *m = hub_mail(h, MAIL_HUB_KICK, 0);

	if (!m)
		return;
	m->id = s->id;
	m->reason = reason;
	worker_post(s->worker, m);
}

/* --- the trunk ----------------------------------------------------------------------------*/

static void log_hub(
	const struct hub *h, const char *event, const struct ending *why)
{
	char id[CLIENT_ID_TEXT];

	LOG(LOG_INFO, event, F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path),
		F_STR("reason", why ? reason_get(why->reason)->word : NULL),
		F_STR("detail", why ? why->detail : NULL),
		why ? F_INT("members_most", h->seats_most) : F_NONE,
		why ? F_INT("member_messages", h->messages_in) : F_NONE,
		why ? F_INT("backend_messages", h->messages_out) : F_NONE);
}

static void trunk_open(struct hub *h)
{
	struct seat *s;

	h->state = HUB_OPEN;
	h->opened_ms = loop_now(h->home->loop);
	log_hub(h, "hub-open", NULL);
	TAILQ_FOREACH (s, &h->seats, next)
		tell_joined(h, s);
}

static void trunk_done(void *owner, const struct backend_result *r)
{
	struct hub *h = owner;

	h->attempt = NULL;
	if (r->reason != REASON_NONE) {
		hub_end(h, &(struct ending){
				   .reason = r->reason, .detail = r->detail });
		return;
	}
	h->trunk = r->end;
	r->end->owner = END_OF_TRUNK;
	r->end->hub = h;
	h->protocol = r->protocol.p ? str_dup(r->protocol) : NULL;
	trunk_open(h);
	r->end->ops->flow(r->end, true);
	if (r->early && r->early->n > 0)
		ws_end_feed(r->end, r->early->p, r->early->n);
}

/* What the trunk offers: all that the route may select. */
static int add_offers(struct hub *h, struct http_head *head, struct buf *list)
{
	const struct conf_strings *s = &h->route->subprotocols;

	for (size_t i = 0; i < s->n; i++)
		if (buf_add_printf(list, "%s%s", i ? ", " : "", s->v[i]) < 0)
			return -1;
	if (s->n > 0)
		head->fields[head->n++] = (struct http_field){
			STR("Sec-WebSocket-Protocol"), buf_str(list)
		};
	return 0;
}

/*
 * The trunk is opened like any backend, but for nobody: no subject, no
 * address, no field of any client's request.
 */
static void open_trunk(struct hub *h)
{
	struct request r = { .path = str_of(h->path),
		.peer = { .family = ADDR_UNIX } };
	struct captures captures;
	struct buf offers = { 0 };

	h->state = HUB_OPENING;
	h->trunk_client = (struct client){ .conf = h->conf,
		.route = h->route,
		.perm = JWT_READ_WRITE,
		.peer = { .family = ADDR_UNIX } };
	h->trunk_client.id = atomic_fetch_add_explicit(
		&h->shared->next_id, 1, memory_order_relaxed);
	if (h->route->to.kind == BACKEND_ROOM) {
		trunk_open(h);
		return;
	}
	if (pattern_match(h->route->pattern, r.path, &captures) &&
		add_offers(h, &r.head, &offers) == 0)
		h->attempt = backend_open_trunk(
			&(struct backend_params){ .worker = h->home,
				.client = &h->trunk_client,
				.request = &r,
				.captures = &captures,
				.client_fd = -1,
				.done = trunk_done,
				.owner = h });
	buf_free(&offers);
	if (!h->attempt)
		hub_end(h, &(struct ending){ .reason = REASON_INTERNAL });
}

/* --- seats -----------------------------------------------------------------------------------*/

static void choose_driver(struct hub *h)
{
	struct seat *s;

	if (h->driver)
		return;
	TAILQ_FOREACH (s, &h->seats, next)
		if (s->perm & JWT_WRITE)
			break;
	h->driver = s;
}

/* The teacher whose Wi-Fi broke takes over from the seat she left behind. */
static void take_over(struct hub *h, struct seat *s)
{
	const struct seat *d = h->driver;

	if (d && d->subject && s->subject && (s->perm & JWT_WRITE) &&
		strcmp(d->subject, s->subject) == 0)
		h->driver = s;
}

static struct remote *remote_of(struct hub *h, const struct worker *w)
{
	return &h->remotes[w->index];
}

/* Takes the mail's subject. */
static struct seat *add_seat(struct hub *h, struct mail *m)
{
	struct seat *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct seat){ .worker = m->from,
		.id = m->id,
		.perm = m->perm,
		.subject = m->text };
	m->text = NULL;
	TAILQ_INSERT_TAIL(&h->seats, s, next);
	if (++h->seats_n > h->seats_most)
		h->seats_most = h->seats_n;
	remote_of(h, s->worker)->seats++;
	timer_clear(h->home->loop, &h->linger);
	take_over(h, s);
	choose_driver(h);
	return s;
}

/* The first to come: the hub gets its home. */
static int settle(struct hub *h)
{
	if (timer_init(h->home->loop, &h->linger, linger_over) < 0)
		return -1;
	TAILQ_INSERT_TAIL(&h->home->hubs, h, home_next);
	h->at_home = true;
	/* The trunk counts as a connection that a stop waits for. */
	atomic_fetch_add_explicit(
		&h->home->connections, 1, memory_order_relaxed);
	return 0;
}

void hub_read_join(struct hub *h, struct mail *m)
{
	static const struct ending over = { .reason = REASON_BACKEND_CLOSE };
	static const struct ending memory = { .reason = REASON_INTERNAL };
	struct seat *s;

	pthread_mutex_lock(&h->shared->hubs->lock);
	h->joins--;
	pthread_mutex_unlock(&h->shared->hubs->lock);
	if (h->state == HUB_ENDING) {
		tell_refused(h, m->from, m->id, &over, true);
		return;
	}
	if (!h->at_home && settle(h) < 0) {
		tell_refused(h, m->from, m->id, &memory, false);
		return;
	}
	s = add_seat(h, m);
	if (!s) {
		tell_refused(h, m->from, m->id, &memory, false);
		return;
	}
	if (h->state == HUB_OPEN)
		tell_joined(h, s);
	else if (h->state == HUB_NEW)
		open_trunk(h);
}

static struct seat *find_seat(struct hub *h, uint64_t id)
{
	struct seat *s;

	TAILQ_FOREACH (s, &h->seats, next)
		if (s->id == id)
			return s;
	return NULL;
}

static void remove_seat(struct hub *h, struct seat *s)
{
	TAILQ_REMOVE(&h->seats, s, next);
	h->seats_n--;
	remote_of(h, s->worker)->seats--;
	if (h->driver == s) {
		h->driver = NULL;
		choose_driver(h);
	}
	seat_free(s);
}

void hub_read_leave(struct hub *h, const struct mail *m)
{
	struct seat *s = m->seat ? m->seat : find_seat(h, m->id);

	if (!s)
		return;
	remove_seat(h, s);
	if (h->seats_n > 0 || h->state == HUB_ENDING)
		return;
	if (h->home->draining)
		hub_end(h, &(struct ending){ .reason = REASON_SHUTDOWN });
	else
		timer_set(h->home->loop, &h->linger,
			loop_now(h->home->loop) + h->route->linger);
}

static void linger_over(struct timer *t)
{
	struct hub *h = CONTAINER_OF(t, struct hub, linger);

	if (h->seats_n == 0 && hub_unlist(h, false))
		hub_end(h, &(struct ending){ .reason = REASON_LINGER });
}

/* --- from the trunk to everybody ---------------------------------------------------------------*/

/* Into the mail of another worker. Returns -1 without memory. */
static int mail_messages(
	struct hub *h, struct worker *w, struct message *const *v, size_t n)
{
	struct mail *m = hub_mail(h, MAIL_HUB_MESSAGES, n);

	if (!m)
		return -1;
	for (size_t i = 0; i < n; i++) {
		m->v[m->n++] = message_ref(v[i]);
		atomic_fetch_add_explicit(&remote_of(h, w)->mailed, v[i]->n,
			memory_order_relaxed);
	}
	worker_post(w, m);
	return 0;
}

/* A worker that does not keep up: its members' policy applies to it, too. */
static void hold_for(
	struct hub *h, struct worker *w, struct message *const *v, size_t n)
{
	struct remote *r = remote_of(h, w);
	struct mail *m;

	for (size_t i = 0; i < n; i++) {
		if (backlog_add(&r->held, v[i], h->route) >= 0)
			continue;
		m = hub_mail(h, MAIL_HUB_END, 0);
		if (m) {
			m->reason = REASON_SLOW;
			worker_post(w, m);
		}
		backlog_free(&r->held);
		return;
	}
	atomic_store(&r->ready_wanted, true);
	/* It may have read all in between: then nobody else would tell. */
	if (atomic_load(&r->mailed) == 0)
		hub_flush_held(h, w);
}

void hub_flush_held(struct hub *h, struct worker *w)
{
	struct remote *r = remote_of(h, w);
	struct message *v[BATCH];
	size_t n;

	while (r->held.n > 0 &&
		atomic_load(&r->mailed) <= (size_t)h->route->queue_limit) {
		n = backlog_peek(&r->held, v, BATCH);
		if (mail_messages(h, w, v, n) < 0)
			return;
		backlog_drop(&r->held, n);
	}
	if (r->held.n > 0)
		atomic_store(&r->ready_wanted, true);
}

static void fan_to(struct hub *h, struct worker *w)
{
	struct remote *r = remote_of(h, w);

	if (r->seats == 0)
		return;
	if (w == h->home && r->held.n == 0 && atomic_load(&r->mailed) == 0)
		shard_deliver(h, w, h->batch, h->batch_n);
	else if (r->held.n > 0 ||
		 atomic_load(&r->mailed) > (size_t)h->route->queue_limit)
		hold_for(h, w, h->batch, h->batch_n);
	else
		(void)mail_messages(h, w, h->batch, h->batch_n);
}

/* At the end of the turn: what came together leaves together. */
static void hub_fan(struct deferred *d)
{
	struct hub *h = CONTAINER_OF(d, struct hub, fan);

	if (h->batch_n == 0)
		return;
	for (size_t i = 0; i < h->shared->workers_n; i++)
		fan_to(h, h->shared->workers[i]);
	for (size_t i = 0; i < h->batch_n; i++)
		message_unref(h->batch[i]);
	h->batch_n = 0;
}

static void replay_drop(struct hub *h)
{
	size_t ring = (size_t)h->route->replay + 1;
	struct message *m = h->replay[h->replay_at];

	h->replay_at = (h->replay_at + 1) % ring;
	h->replay_n--;
	h->replay_bytes -= m->n;
	message_unref(m);
}

static void replay_add(struct hub *h, struct message *m)
{
	size_t ring = (size_t)h->route->replay + 1;
	size_t max = (size_t)h->route->replay_bytes;

	if (h->route->replay == 0 || m->n > max)
		return;
	while (h->replay_n > 0 &&
		(h->replay_n == ring - 1 || h->replay_bytes + m->n > max))
		replay_drop(h);
	h->replay[(h->replay_at + h->replay_n) % ring] = message_ref(m);
	h->replay_n++;
	h->replay_bytes += m->n;
}

static void publish(struct hub *h, uint8_t opcode, const uint8_t *p, size_t n,
	uint64_t except)
{
	uint8_t head[WS_HEAD_MAX];
	size_t head_n = ws_encode_head(head, opcode, true, n, NULL);
	struct message *m = message_new(head, head_n, p, n, &h->shared->queued);

	if (!m) {
		hub_end(h, &(struct ending){ .reason = REASON_INTERNAL });
		return;
	}
	m->opcode = opcode;
	m->except = except;
	m->serial = ++h->messages_out;
	replay_add(h, m);
	h->batch[h->batch_n++] = m;
	if (h->batch_n == BATCH)
		hub_fan(&h->fan);
	else
		loop_defer(h->home->loop, &h->fan, hub_fan);
}

void hub_trunk_input(struct hub *h, const struct piece *p)
{
	if (h->state != HUB_OPEN)
		return;
	if (p->first && p->last) {
		publish(h, p->opcode, p->data, p->n, 0);
		return;
	}
	/* The decoder has checked the length against max_backend_message. */
	if (buf_add(&h->whole, p->data, p->n, SIZE_MAX) < 0) {
		hub_end(h, &(struct ending){ .reason = REASON_INTERNAL });
		return;
	}
	if (p->last) {
		publish(h, p->opcode, h->whole.p, h->whole.n, 0);
		buf_free(&h->whole);
	}
}

/* --- from members to the trunk -------------------------------------------------------------------*/

static bool is_full(struct hub *h)
{
	return atomic_load(&h->trunk_full) ||
	       atomic_load(&h->inflight) > (size_t)h->route->queue_limit;
}

static void resume_when_empty(struct hub *h)
{
	if (!atomic_load(&h->trunk_full) &&
		atomic_load(&h->inflight) <=
			(size_t)h->route->queue_limit / 2 &&
		atomic_exchange(&h->resume_wanted, false))
		tell_workers(h, MAIL_HUB_RESUME, NULL);
}

/* Somebody else drives. */
static void deny(struct hub *h, struct seat *s)
{
	char id[CLIENT_ID_TEXT];

	if (h->route->denied_input == CONF_DENIED_CLOSE)
		kick(h, s, REASON_READ_ONLY);
	else if (atomic_fetch_add(&s->denied, 1) == 0)
		LOG(LOG_INFO, "denied-input",
			F_STR("id",
				client_id(&(struct client){ .id = s->id }, id)),
			F_STR("route", h->route->section.name),
			F_STR("subject", s->subject));
}

unsigned hub_denied(const struct seat *s)
{
	return atomic_load(&s->denied);
}

static void take_input(struct hub *h, struct seat *s, const struct piece *p)
{
	enum reason r;

	if (h->state != HUB_OPEN)
		return;
	if (h->route->input == CONF_INPUT_DRIVER && s != h->driver) {
		deny(h, s);
		return;
	}
	h->messages_in++;
	if (!h->trunk) { /* room: */
		publish(h, p->opcode, p->data, p->n, s->id);
		return;
	}
	r = h->trunk->ops->send(h->trunk, p);
	if (r != REASON_NONE)
		kick(h, s, r);
	if (h->trunk && h->trunk->conn &&
		h->trunk->conn->queued > (size_t)h->route->queue_limit)
		atomic_store(&h->trunk_full, true);
}

int hub_input(struct hub *h, struct worker *from, uint64_t id,
	struct seat *seat, const struct piece *whole)
{
	struct mail *m;

	if (from == h->home) {
		take_input(h, seat, whole);
	} else {
		m = hub_mail(h, MAIL_HUB_INPUT, 0);
		if (!m)
			return -1;
		m->id = id;
		m->seat = seat;
		m->opcode = whole->opcode;
		m->n = whole->n;
		m->bytes = malloc(whole->n + 1);
		if (!m->bytes) {
			mail_free(m);
			return -1;
		}
		if (whole->n > 0)
			memcpy(m->bytes, whole->data, whole->n);
		atomic_fetch_add(&h->inflight, whole->n);
		worker_post(h->home, m);
	}
	if (!is_full(h))
		return 1;
	atomic_store(&h->resume_wanted, true);
	return is_full(h) ? 0 : 1; /* it may have emptied in between */
}

void hub_flush_trunk(struct hub *h, const struct worker *w)
{
	if (w == h->home && h->trunk && h->trunk->conn)
		conn_flush(h->trunk->conn);
}

void hub_read_input(struct hub *h, const struct mail *m)
{
	struct piece p = { .opcode = m->opcode,
		.first = true,
		.last = true,
		.data = m->bytes,
		.n = m->n };

	take_input(h, m->seat, &p);
	hub_flush_trunk(h, h->home);
	atomic_fetch_sub(&h->inflight, m->n);
	resume_when_empty(h);
}

void hub_trunk_drained(struct hub *h)
{
	atomic_store(&h->trunk_full, false);
	resume_when_empty(h);
}

/* --- the end ------------------------------------------------------------------------------------*/

/* The trunk is gone, or there never was one. */
static void hub_over(struct hub *h)
{
	struct worker *w = h->home;

	h->trunk = NULL;
	loop_undefer(w->loop, &h->fan);
	if (h->at_home) {
		h->at_home = false;
		TAILQ_REMOVE(&w->hubs, h, home_next);
		timer_fini(w->loop, &h->linger);
		worker_left(w);
	}
	hub_unref(h);
}

/* Nobody will read it later: it leaves in front of the end. */
static void flush_all_held(struct hub *h)
{
	struct message *v[BATCH];
	size_t n;

	for (size_t i = 0; i < h->shared->workers_n; i++) {
		struct backlog *held = &h->remotes[i].held;

		while ((n = backlog_peek(held, v, BATCH)) > 0) {
			(void)mail_messages(h, h->shared->workers[i], v, n);
			backlog_drop(held, n);
		}
	}
}

static void hub_end(struct hub *h, const struct ending *why)
{
	const struct reason_info *info = reason_get(why->reason);
	struct ending told = *why;
	char text[WS_CLOSE_REASON_MAX];
	struct seat *s;

	if (h->state == HUB_ENDING)
		return;
	if (h->batch_n > 0)
		hub_fan(&h->fan); /* what it said last is still for everybody */
	flush_all_held(h);
	h->state = HUB_ENDING;
	(void)hub_unlist(h, true);
	timer_clear(h->home->loop, &h->linger);
	log_hub(h, "hub-close", why);
	worker_count_reason(h->home, why->reason);
	if (!told.code)
		told.code = info->code;
	told.text = relay_close_text(why->reason, text, why->text);
	tell_workers(h, MAIL_HUB_END, &told);
	TAILQ_FOREACH (s, &h->seats, next)
		if (!s->told)
			tell_refused(h, s->worker, s->id, why, false);
	if (h->attempt) {
		backend_cancel(h->attempt);
		h->attempt = NULL;
	}
	if (h->trunk)
		h->trunk->ops->close(h->trunk,
			why->reason == REASON_BACKEND_CLOSE && why->code
				? why->code
				: WS_CODE_GOING_AWAY,
			STR_NONE);
	else
		hub_over(h);
}

void hub_trunk_ended(struct hub *h, const struct ending *why)
{
	hub_end(h, why);
}

void hub_trunk_gone(struct hub *h)
{
	assert(h->state == HUB_ENDING);
	hub_over(h);
}

void hub_drain(struct hub *h)
{
	if (h->seats_n == 0)
		hub_end(h, &(struct ending){ .reason = REASON_SHUTDOWN });
}

struct hub *hub_next(const struct hub *h)
{
	return TAILQ_NEXT(h, home_next);
}

void hubs_stop(struct worker *w)
{
	struct hub *h, *next;

	for (h = TAILQ_FIRST(&w->hubs); h; h = next) {
		next = TAILQ_NEXT(h, home_next);
		hub_ref(h);
		hub_end(h, &(struct ending){ .reason = REASON_SHUTDOWN });
		/* Our reference keeps it.
		   NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (h->trunk && h->trunk->conn)
			conn_close(h->trunk->conn);
		hub_unref(h);
	}
}

/* --- reading mail -----------------------------------------------------------------------------------*/

void hub_messages_read(struct hub *h, struct worker *w, size_t bytes)
{
	struct remote *r = remote_of(h, w);
	struct mail *m;

	atomic_fetch_sub(&r->mailed, bytes);
	if (!atomic_exchange(&r->ready_wanted, false))
		return;
	m = hub_mail(h, MAIL_HUB_READY, 0);
	if (!m)
		return;
	m->from = w;
	worker_post(h->home, m);
}

const struct conf_route *hub_route(const struct hub *h)
{
	return h->route;
}

struct shard **hub_shard(struct hub *h, const struct worker *w)
{
	return &h->shards[w->index];
}
