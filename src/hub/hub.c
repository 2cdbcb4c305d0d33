/*
 * The home side of a hub: its trunk, its life (directory.c: how it is
 * found).
 *
 *   join -> seat -> trunk open? -> joined (with replay)
 *   trunk input -> message, framed once -> batch -> end of turn: fan out
 *   input -> driver? -> trunk, or (room:) a message for the others
 *   the last leave -> linger -> end
 *
 * Life: NEW -> OPENING -> OPEN -> ENDING, and, when its members are held, OPEN
 * <-> HELD (hold.c). From ENDING on it is not in the directory any more: a
 * client that comes now gets a new hub.
 */
#include "hub/hub.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/message.h"
#include "codec/pattern.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/request.h"
#include "end/end.h"
#include "end/ending.h"
#include "backend/backend.h"
#include "hub/attached.h"
#include "hub/here.h"
#include "hub/member.h"
#include "hub/private.h"

static void remote_init(struct remote *r, struct budget *budget)
{
	backlog_init_shared(&r->held, budget);
	waiting_init(&r->posted, budget);
}

void hub_tell_home_to_give_way(struct hub *h)
{
	struct hub_notice *n = hub_notice_new(
		h, &hub_letter_give_way, &h->give_way);

	if (n) /* always: it is said once, for it is in no directory any more */
		worker_post(h->home, &n->letter);
}

static void open_give_way(struct worker *w, struct letter *l)
{
	struct hub_news news = hub_notice_take(l);

	(void)w;
	if (news.hub->seats_n == 0)
		hub_end(news.hub,
			&(struct ending){ .reason = REASON_LINGER,
				.detail = "an empty hub, ended for a new one: "
					  "max_hubs is reached" });
	hub_news_free(&news);
}

const struct letter_kind hub_letter_give_way = {
	.open = open_give_way,
	.free = hub_letter_free_notice,
};

struct hub *hub_new(struct worker *home, struct conf *conf,
	const struct conf_route *route, struct str path)
{
	size_t workers = home->shared->workers_n;
	struct hub *h = calloc(1, sizeof(*h) + workers * sizeof(h->shards[0]));

	if (!h)
		return NULL;
	h->path = str_dup(path);
	h->remotes = calloc(workers, sizeof(*h->remotes));
	h->ring = (size_t)route->replay + 1;
	h->replay = calloc(h->ring, sizeof(*h->replay));
	h->batch_max = route->addressing == CONF_ADDRESSING_TAGGED
			       ? HUB_BATCH_MAX
			       : HUB_BATCH;
	h->batch = calloc(h->batch_max, sizeof(struct message *));
	if (!h->path || !h->remotes || !h->replay || !h->batch) {
		free(h->path);
		free(h->batch);
		free(h->remotes);
		free(h->replay);
		free(h);
		return NULL;
	}
	for (size_t i = 0; i < workers; i++)
		remote_init(&h->remotes[i], &home->shared->budget);
	waiting_init(&h->inflight, &home->shared->budget);
	waiting_init(&h->hold.cost, &home->shared->budget);
	atomic_init(&h->references, 1);
	h->shared = home->shared;
	h->conf = conf_ref(conf);
	h->route = route;
	h->holds = route->on_backend_loss == CONF_LOSS_HOLD ||
		   route->to.kind == BACKEND_ATTACH;
	atomic_init(&h->queue_limit, (size_t)route->queue_limit);
	h->home = home;
	TAILQ_INIT(&h->seats);
	TAILQ_INIT(&h->tagged.waiting);
	STAILQ_INIT(&h->hold.waiting);
	return h;
}

const char *hub_path(const struct hub *h)
{
	return h->path;
}

struct hub *hub_ref(struct hub *h)
{
	atomic_fetch_add_explicit(&h->references, 1, memory_order_relaxed);
	return h;
}

void hub_unref(struct hub *h)
{
	struct seat *s;

	if (atomic_fetch_sub_explicit(
		    &h->references, 1, memory_order_acq_rel) != 1)
		return;
	hub_tagged_free(h);
	hub_hold_free(h);
	while ((s = TAILQ_FIRST(&h->seats))) {
		TAILQ_REMOVE(&h->seats, s, next);
		hub_seat_free(s);
	}
	idmap_free(&h->seats_by_id);
	for (size_t i = 0; i < h->shared->workers_n; i++)
		backlog_free(&h->remotes[i].held);
	for (size_t i = 0; i < h->batch_n; i++)
		message_unref(h->batch[i]);
	for (size_t i = 0; i < h->replay_n; i++)
		message_unref(h->replay[(h->replay_at + i) % h->ring]);
	free(h->replay);
	free(h->batch);
	free(h->remotes);
	free(h->protocol);
	free(h->path);
	end_forget(&h->whole, &h->shared->budget);
	conf_unref(h->conf);
	free(h);
}

int hubs_open_kept(struct worker *w, const struct route_state *state)
{
	const struct conf_route *route = w->conf->routes;
	struct hub *h;
	int result = -1;

	while (route->state != state)
		route++;
	h = hubs_get_kept(w, route);
	if (!h)
		return -1;
	/* Made before the route had trunk = always it lives somewhere else. */
	if (h->home == w && (h->at_home || hub_settle(h) == 0)) {
		if (h->state == HUB_NEW)
			hub_open_trunk(h);
		result = 0;
	}
	hub_unref(h);
	return result;
}

struct remote *hub_remote(struct hub *h, const struct worker *w)
{
	return &h->remotes[w->index];
}

/* --- letters ----------------------------------------------------------------------------*/

void hub_tell_resume(struct hub *h)
{
	for (size_t i = 0; i < h->shared->workers_n; i++) {
		struct remote *r = &h->remotes[i];
		struct hub_notice *n;

		if (r->seats == 0)
			continue;
		n = hub_notice_new(h, &hub_letter_resume, &r->resume);
		if (n)
			worker_post(h->shared->workers[i], &n->letter);
	}
}

static void tell_end(struct hub *h, const struct ending *why)
{
	for (size_t i = 0; i < h->shared->workers_n; i++) {
		struct remote *r = &h->remotes[i];
		struct hub_notice *n;

		if (r->seats == 0)
			continue;
		n = hub_notice_new(h, &hub_letter_end, &r->end);
		if (!n)
			continue;
		n->news.reason = why->reason;
		n->news.code = why->code;
		n->news.text = why->text.p ? str_dup(why->text) : NULL;
		worker_post(h->shared->workers[i], &n->letter);
	}
}

/* --- the trunk ----------------------------------------------------------------------------*/

/* retry_ms: until it is opened again, -1: it is not. */
static void log_close(const struct hub *h, enum log_level level,
	const struct ending *why, int64_t retry_ms)
{
	char id[CLIENT_ID_TEXT];
	uint64_t malformed = 0;

	for (size_t i = 0; i < TAGGED_ERRORS; i++)
		malformed += h->tagged.malformed[i];
	LOG(level, "hub-close", F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path),
		F_STR("reason", reason_get(why->reason)->word),
		F_STR("detail", why->detail),
		F_INT("members_most", h->seats_most),
		F_INT("member_messages", h->messages_in),
		F_INT("backend_messages", h->messages_out + h->tagged.sent),
		h->hold.dropped ? F_INT("dropped", h->hold.dropped) : F_NONE,
		malformed ? F_INT("malformed", malformed) : F_NONE,
		h->tagged.unknown ? F_INT("unknown_ids", h->tagged.unknown)
				  : F_NONE,
		retry_ms >= 0 ? F_INT("retry_ms", retry_ms) : F_NONE);
}

static void log_open(const struct hub *h)
{
	char id[CLIENT_ID_TEXT];

	LOG(LOG_INFO, "hub-open", F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path));
}

bool hub_is_steady(const struct hub *h)
{
	return h->opened_ms > 0 &&
	       loop_now(h->home->loop) - h->opened_ms >= BACKOFF_STEADY_MS;
}

void hub_trunk_open(struct hub *h)
{
	struct seat *s;

	h->state = HUB_OPEN;
	h->opened_ms = loop_now(h->home->loop);
	if (!h->hold.reached)
		log_open(h);
	hub_tagged_announce(h);
	TAILQ_FOREACH (s, &h->seats, next)
		if (h->state == HUB_OPEN && !s->told)
			hub_tell_joined(h, s);
	if (h->state == HUB_OPEN)
		hub_hold_opened(h);
}

static void open_failed(struct hub *h, const struct ending *why)
{
	hub_note_loss(h, why);
	if (!hub_hold_failed(h, why))
		hub_end(h, why);
}

static const struct end_cb trunk_cb; /* below */

/* Its owner is the hub's, or whoever stands between them. */
void hub_take_trunk(struct hub *h, struct end *e)
{
	h->trunk = e;
	h->trunk_paused = false;
	if (!e->conn)
		return;
	if (hub_holds(h))
		e->conn->resume_at = 0; /* one message after the other */
	else
		conn_set_gathering(e->conn);
}

static void trunk_done(void *owner, const struct backend_result *r)
{
	struct hub *h = owner;
	struct str protocol = r->outcome.protocol;

	h->attempt = NULL;
	if (r->outcome.reason != REASON_NONE) {
		open_failed(h, &(struct ending){ .reason = r->outcome.reason,
				       .detail = r->outcome.detail });
		return;
	}
	h->trunk_owner.cb = &trunk_cb;
	r->end->owner = &h->trunk_owner;
	hub_take_trunk(h, r->end);
	if (!hub_hold_fits(h, protocol)) {
		h->state = HUB_OPEN; /* there is a trunk to close */
		hub_end(h, &(struct ending){ .reason = REASON_BACKEND_HANDSHAKE,
				   .detail = "it chose another subprotocol "
					     "than before" });
		return;
	}
	if (!h->hold.reached || h->seats_n == 0) {
		free(h->protocol);
		h->protocol = protocol.p ? str_dup(protocol) : NULL;
	}
	hub_trunk_open(h);
	if (h->state != HUB_OPEN)
		return;
	r->end->ops->flow(r->end, true);
	hub_renew(h); /* a reload may have come meanwhile */
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

/* The hub's own identity: in the log, and for its backend. */
void hub_name_trunk(struct hub *h)
{
	h->trunk_client = (struct client){ .conf = h->conf,
		.route = h->route,
		.peer = { .family = ADDR_UNIX },
		.hops = h->hops,
		.verdict.perm = JWT_READ_WRITE };
	h->trunk_client.id = atomic_fetch_add_explicit(
		&h->shared->next_id, 1, memory_order_relaxed);
}

/*
 * The trunk is opened like any backend, but for no client: no subject, no
 * address, no field of any client's request.
 */
void hub_open_trunk(struct hub *h)
{
	struct request r = { .path = str_of(h->path),
		.peer = { .family = ADDR_UNIX } };
	struct captures captures;
	struct buf offers = { 0 };

	if (h->state == HUB_NEW) {
		h->state = HUB_OPENING;
		hub_name_trunk(h);
	}
	if (h->route->to.kind == BACKEND_ROOM) {
		hub_trunk_open(h);
		return;
	}
	if (hub_is_for_attach(h)) {
		if (h->claimed == 0) /* else it is on its way */
			open_failed(
				h, &(struct ending){
					   .reason = REASON_ATTACH_MISSING });
		return;
	}
	if (pattern_match(h->route->pattern, r.path, &captures) &&
		add_offers(h, &r.head, &offers) == 0)
		h->attempt = backend_open(
			&(struct backend_params){ .worker = h->home,
				.client = &h->trunk_client,
				.request = &r,
				.captures = &captures,
				.client_fd = -1,
				.done = trunk_done,
				.owner = h });
	buf_free(&offers);
	if (!h->attempt)
		open_failed(h, &(struct ending){ .reason = REASON_INTERNAL });
}

/* --- the end ------------------------------------------------------------------------------------*/

/* The trunk is gone, or there never was one. */
static void hub_over(struct hub *h)
{
	struct worker *w = h->home;

	h->trunk = NULL;
	runs_remove(&h->run);
	hub_forget_former(h);
	loop_undefer(w->loop, &h->fan);
	loop_undefer(w->loop, &h->tagged.tell);
	if (h->at_home) {
		h->at_home = false;
		walks_pass(&w->hubs->walks, h, TAILQ_NEXT(h, home_next));
		TAILQ_REMOVE(&w->hubs->list, h, home_next);
		timer_fini(w->loop, &h->linger);
		hub_hold_fini(h);
		worker_left(w);
		hub_keeper_over(h);
		counter_add(&worker_route(w, h->route)->hubs_over, 1);
	}
	hub_unref(h);
}

void hub_close_trunk(struct hub *h, const struct ending *why)
{
	if (h->attached)
		attached_close(h->attached, why);
	else
		h->trunk->ops->close(
			h->trunk, ending_backend_code(why), STR_NONE);
}

void hub_say_last(struct hub *h)
{
	if (h->batch_n > 0)
		hub_fan_out(&h->fan);
	hub_flush_all_held(h);
}

void hub_end_members(struct hub *h, const struct ending *why)
{
	struct ending told = *why;
	char text[WS_CLOSE_REASON_MAX];
	struct seat *s;

	if (!told.code)
		told.code = reason_get(why->reason)->code;
	told.text = ending_close_text(why->reason, text, why->text);
	tell_end(h, &told);
	TAILQ_FOREACH (s, &h->seats, next)
		if (!s->told)
			hub_refuse_seat(h, s, why);
}

/* trunk_good: the hub's end is not the trunk's doing, and it takes the rest. */
static void end(struct hub *h, const struct ending *why, bool trunk_good)
{
	bool closing = h->state == HUB_HELD; /* the trunk, if there is one */
	int64_t retry_ms;
	bool loud;

	if (trunk_good) {
		hub_hold_hand_over(h);
		hub_tagged_tell_all(h);
	}
	if (h->state == HUB_ENDING)
		return;
	hub_say_last(h);
	h->state = HUB_ENDING;
	(void)hub_unlist(h, true);
	timer_clear(h->home->loop, &h->linger);
	hub_hold_ends(h);
	retry_ms = hub_keeper_ends(h, &loud);
	log_close(h, loud ? LOG_INFO : LOG_DEBUG, why, retry_ms);
	worker_count_reason(h->home, why->reason);
	counter_add(
		&worker_route(h->home, h->route)->hub_closes[why->reason], 1);
	hub_end_members(h, why);
	if (h->attempt) {
		backend_cancel(h->attempt);
		h->attempt = NULL;
	}
	if (h->trunk && !closing)
		hub_close_trunk(h, why);
	else if (!h->trunk)
		hub_over(h);
}

void hub_end(struct hub *h, const struct ending *why)
{
	end(h, why, true);
}

void hub_abort(struct hub *h)
{
	end(h, &(struct ending){ .reason = REASON_MEMORY }, false);
	if (h->trunk && h->trunk->conn && h->trunk->conn->queued > 0)
		conn_close(h->trunk->conn);
}

/* --- from the trunk's end ---------------------------------------------------------------*/

static struct hub *hub_of(const struct end *e)
{
	return CONTAINER_OF(e->owner, struct hub, trunk_owner);
}

static void trunk_input(struct end *e, const struct piece *p)
{
	hub_trunk_input(hub_of(e), p);
}

static void trunk_too_big(struct end *e)
{
	hub_tagged_too_big(hub_of(e));
}

static void trunk_drained(struct end *e)
{
	hub_trunk_drained(hub_of(e));
}

void hub_trunk_ended(struct hub *h, const struct ending *why)
{
	if (h->state == HUB_OPEN)
		hub_note_loss(h, why);
	if (hub_hold_lost(h, why))
		hub_close_trunk(h, why);
	else if (h->state != HUB_HELD)
		end(h, why, false);
}

static void trunk_ended(struct end *e, const struct ending *why)
{
	hub_trunk_ended(hub_of(e), why);
}

/* What a backend says behind its end is no member's, and not counted. */
static void trunk_dropped(struct end *e, uint64_t n)
{
	(void)e;
	(void)n;
}

void hub_trunk_gone(struct hub *h)
{
	h->attached = NULL;
	if (h->state == HUB_HELD) {
		hub_hold_trunk_gone(h);
		return;
	}
	assert(h->state == HUB_ENDING);
	hub_over(h);
}

static void trunk_gone(struct end *e)
{
	hub_trunk_gone(hub_of(e));
}

static const struct end_cb trunk_cb = {
	.input = trunk_input,
	.too_big = trunk_too_big,
	.drained = trunk_drained,
	.ended = trunk_ended,
	.dropped = trunk_dropped,
	.gone = trunk_gone,
};

/* --- all of a worker ----------------------------------------------------------------------*/

int hubs_init(struct worker *w)
{
	struct hubs_here *here = calloc(1, sizeof(*here));

	if (!here)
		return -1;
	TAILQ_INIT(&here->list);
	TAILQ_INIT(&here->keepers);
	TAILQ_INIT(&here->shards);
	TAILQ_INIT(&here->attached);
	w->hubs = here;
	return 0;
}

void hubs_fini(struct worker *w)
{
	if (!w->hubs)
		return;
	hubs_keep_no_more(w);
	idmap_free(&w->hubs->joins);
	idmap_free(&w->hubs->attaches);
	free(w->hubs);
	w->hubs = NULL;
}

void hubs_drain(struct worker *w)
{
	struct hub *h, *next;

	/* The others end when their last member has left. */
	for (h = TAILQ_FIRST(&w->hubs->list); h; h = next) {
		next = TAILQ_NEXT(h, home_next);
		if (h->seats_n == 0)
			hub_end(h,
				&(struct ending){ .reason = REASON_SHUTDOWN });
	}
}

void hubs_stop(struct worker *w)
{
	struct hub *h, *next;

	attached_stop(w);
	for (h = TAILQ_FIRST(&w->hubs->list); h; h = next) {
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

bool hubs_give_replay(struct worker *w)
{
	struct hub *h;

	for (int with_members = 0; with_members < 2; with_members++)
		TAILQ_FOREACH (h, &w->hubs->list, home_next) {
			if ((h->seats_n > 0) != with_members)
				continue;
			hub_drop_replay(h);
			if (!budget_is_full(&w->shared->budget))
				return true;
		}
	return false;
}

size_t hubs_largest(struct worker *w, struct hub **largest)
{
	struct hub *h;
	size_t most = 0;

	*largest = NULL;
	TAILQ_FOREACH (h, &w->hubs->list, home_next) {
		size_t n = waiting_cost(&h->hold.cost) +
			   (h->trunk && h->trunk->conn
					   ? conn_cost(h->trunk->conn)
					   : 0);

		if (n > most) {
			most = n;
			*largest = h;
		}
	}
	return most;
}

struct shard **hub_shard(struct hub *h, const struct worker *w)
{
	return &h->shards[w->index];
}
