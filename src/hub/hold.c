/*
 * on_backend_loss = hold: when the trunk is lost the members stay, and it is
 * opened again.
 *
 *   OPEN --lost--> HELD --retry, back-off--> attempt --done--> OPEN
 *                    |  hold_timeout, linger                    `- failed: HELD
 *                    v
 *                  ENDING
 *
 * While its route is paused it has lost its trunk, too, and nothing but resume
 * opens it again.
 *
 * What members send waits here in whole messages, and is given to the trunk one
 * at a time, when its connection's queue is empty: so it is known which message
 * was on its way when a trunk is lost, and no other is lost with it. That one
 * is never continued on the next trunk.
 */
#include "hub/private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "end/end.h"
#include "end/ending.h"
#include "backend/kind.h"

struct held_input { /* a whole message of a member */
	STAILQ_ENTRY(held_input) next;
	struct seat *seat; /* its sender's, kept for it after it has left */
	uint8_t opcode;
	size_t n;
	uint8_t data[];
};

bool hub_holds(const struct hub *h)
{
	return h->holds;
}

/* --- what waits for a trunk -------------------------------------------------------*/

/* A message of a member that the backend does not get. */
static void drop_one(struct hub *h)
{
	h->hold.dropped++;
	counter_add(&worker_route(h->home, h->route)
			     ->dropped_messages[COUNT_CLIENT],
		1);
}

static void hold_input(struct hub *h, struct seat *s, const struct piece *p)
{
	struct held_input *i = malloc(sizeof(*i) + p->n);

	if (!i) {
		drop_one(h);
		return;
	}
	*i = (struct held_input){ .seat = s, .opcode = p->opcode, .n = p->n };
	if (p->n > 0)
		memcpy(i->data, p->data, p->n);
	STAILQ_INSERT_TAIL(&h->hold.waiting, i, next);
	h->hold.waiting_n++;
	s->waiting_n++;
	waiting_add(&h->hold.cost, p->n);
}

static void forget_first(struct hub *h)
{
	struct held_input *i = STAILQ_FIRST(&h->hold.waiting);
	struct seat *s = i->seat;

	STAILQ_REMOVE_HEAD(&h->hold.waiting, next);
	h->hold.waiting_n--;
	waiting_sub(&h->hold.cost, i->n);
	free(i);
	/* Only now is the backend told that its client has left. */
	if (--s->waiting_n == 0 && s->gone)
		hub_tagged_left(h, s);
}

void hub_hold_free(struct hub *h)
{
	while (!STAILQ_EMPTY(&h->hold.waiting))
		forget_first(h);
}

/* Nothing is on its way to the trunk, and it can be written. */
static bool is_free(const struct hub *h)
{
	const struct conn *c = h->trunk->conn;

	return conn_is_clear(c) && !conn_is_shut(c);
}

/*
 * Sends one. Returns false when the trunk took nothing of it and it is intact:
 * a program that was killed is first noticed by that; or when the hub has ended.
 */
static bool send_one(struct hub *h, struct seat *s, const struct piece *p)
{
	hub_send_to_trunk(h, s, p);
	/* Of want of memory: what waits is handed over, or dropped, by then. */
	if (h->state != HUB_OPEN)
		return false;
	h->hold.partial = !conn_is_clear(h->trunk->conn);
	if (!conn_is_shut(h->trunk->conn))
		return true;
	if (h->route->to.kind != BACKEND_WS)
		return false;
	drop_one(h); /* it was masked in place */
	return true;
}

/* The first that waits. Returns false when the trunk has not taken it. */
static bool send_first(struct hub *h)
{
	struct held_input *i = STAILQ_FIRST(&h->hold.waiting);
	struct piece p = { .opcode = i->opcode,
		.first = true,
		.last = true,
		.data = i->data,
		.n = i->n };

	if (!send_one(h, i->seat, &p))
		return false;
	forget_first(h);
	return true;
}

/* A write for each: as many as a share of the turn allows. */
static void send_waiting(struct hub *h)
{
	while (h->state == HUB_OPEN && is_free(h) &&
		!STAILQ_EMPTY(&h->hold.waiting)) {
		if (!loop_share_left(h->home->loop)) {
			conn_drain_again(h->trunk->conn);
			return;
		}
		if (!send_first(h))
			return;
	}
}

void hub_hold_hand_over(struct hub *h)
{
	if (!hub_holds(h) || h->state != HUB_OPEN)
		return;
	while (h->state == HUB_OPEN && !STAILQ_EMPTY(&h->hold.waiting) &&
		!conn_is_shut(h->trunk->conn) && send_first(h))
		;
}

void hub_hold_forget_known(struct hub *h)
{
	struct held_input *i;

	STAILQ_FOREACH (i, &h->hold.waiting, next)
		if (i->seat->gone)
			i->seat->known = SEAT_UNKNOWN;
}

void hub_hold_input(struct hub *h, struct seat *s, const struct piece *p)
{
	size_t limit = (size_t)h->route->queue_limit;
	bool open = h->state == HUB_OPEN;
	const struct conn *c = open ? h->trunk->conn : NULL;

	if (open && STAILQ_EMPTY(&h->hold.waiting) && is_free(h) &&
		send_one(h, s, p))
		return;
	if (open && h->state != HUB_OPEN) {
		drop_one(h);
		return;
	}
	if (open && conn_is_shut(c) && !c->error) {
		/*
		 * A backend that has closed its input and lives: that is no
		 * reason to pause. One whose connection broke is lost next.
		 */
		if (waiting_cost(&h->hold.cost) + p->n + BUDGET_ITEM <= limit)
			hold_input(h, s, p);
		else
			drop_one(h);
		return;
	}
	hold_input(h, s, p);
	if (waiting_is_over(&h->hold.cost, limit))
		atomic_store(&h->trunk_full, true);
}

bool hub_hold_drained(struct hub *h)
{
	if (!hub_holds(h) || h->state != HUB_OPEN)
		return h->state != HUB_HELD;
	if (conn_is_shut(h->trunk->conn)) { /* see hub_hold_input */
		h->hold.dropped += h->hold.partial;
		h->hold.partial = false;
		if (!h->trunk->conn->error)
			return true;
	}
	h->hold.partial = false;
	send_waiting(h);
	return waiting_cost(&h->hold.cost) <= (size_t)h->route->queue_limit / 2;
}

/* --- held ---------------------------------------------------------------------------*/

/* A program that ends well is no loss, nor a peer that closes in order. */
static bool is_loss(const struct hub *h, const struct ending *why)
{
	static const enum reason losses[] = { REASON_BACKEND_RESET,
		REASON_BACKEND_EXIT, REASON_BACKEND_PROTOCOL,
		REASON_PING_TIMEOUT, REASON_ROUTE_CHANGED, REASON_PAUSED };
	int kind = (int)h->route->to.kind;

	for (size_t i = 0; i < ARRAY_SIZE(losses); i++)
		if (why->reason == losses[i])
			return true;
	if (kind == BACKEND_ATTACH) /* it says so when its run is over */
		return why->reason != REASON_BACKEND_CLOSE ||
		       why->code != WS_CODE_NORMAL;
	if (why->reason != REASON_BACKEND_CLOSE)
		return false;
	/* A stream ends the same way when its backend was killed. */
	if (kind == BACKEND_TCP || kind == BACKEND_UNIX)
		return true;
	return kind == BACKEND_WS && why->code != WS_CODE_NORMAL &&
	       why->code != WS_CODE_NONE;
}

/*
 * The ms until then; -1: not by itself, but when the route is not paused any more,
 * or a simulation comes.
 */
static int64_t try_later(struct hub *h)
{
	struct loop *l = h->home->loop;
	uint32_t random;
	int64_t ms;

	if (hub_is_for_attach(h) || hub_is_paused(h))
		return -1;
	worker_random(h->home, (uint8_t *)&random, sizeof(random));
	ms = backoff_next(&h->hold.backoff, random);
	timer_set(l, &h->hold.retry, loop_now(l) + ms);
	return ms;
}

static void log_held(const struct hub *h, enum log_level level,
	const char *event, const struct ending *why, int64_t retry_ms)
{
	char id[CLIENT_ID_TEXT];

	LOG(level, event, F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path),
		F_STR("reason", reason_get(why->reason)->word),
		F_STR("detail", why->detail), F_INT("members", h->seats_n),
		retry_ms >= 0 ? F_INT("retry_ms", retry_ms) : F_NONE);
}

/*
 * The members wait, not longer than hold_timeout since the loss, or since its
 * route was paused last.
 */
static void wait_for_trunk(struct hub *h)
{
	struct loop *l = h->home->loop;

	if (h->seats_n == 0 || h->state != HUB_HELD || h->over ||
		hub_is_paused(h))
		return;
	if (h->hold.due == 0)
		h->hold.due = loop_now(l) + h->route->hold_timeout;
	timer_set(l, &h->hold.deadline, h->hold.due);
}

/* Its members wait for the backend to come back. */
static bool waits(const struct hub *h, const struct ending *why)
{
	return h->route->on_backend_loss == CONF_LOSS_HOLD && is_loss(h, why);
}

bool hub_hold_lost(struct hub *h, const struct ending *why)
{
	if (!hub_holds(h) || h->state != HUB_OPEN || h->home->draining ||
		(!hub_is_for_attach(h) && !is_loss(h, why)))
		return false;
	if (hub_is_steady(h)) {
		backoff_reset(&h->hold.backoff);
		h->hold.due = 0;
	}
	h->state = HUB_HELD;
	h->hold.lost_ms = loop_now(h->home->loop);
	h->hold.dropped += h->hold.partial;
	h->hold.partial = false;
	end_forget(&h->whole, &h->shared->budget);
	worker_count_reason(h->home, why->reason);
	if (hub_is_for_attach(h) && !waits(h, why)) {
		hub_run_over(h, why);
		return true;
	}
	log_held(h, why->reason == REASON_PAUSED ? LOG_INFO : LOG_WARN,
		"hub-lost", why, try_later(h));
	wait_for_trunk(h);
	hub_linger_if_left(h);
	return true;
}

bool hub_hold_failed(struct hub *h, const struct ending *why)
{
	struct seat *s;
	int64_t retry_ms;

	if (!hub_holds(h) || h->home->draining ||
		(hub_is_for_attach(h) && !waits(h, why)))
		return false;
	if (h->state == HUB_OPENING &&
		(hub_is_kept(h) || hub_is_for_attach(h))) {
		h->state = HUB_HELD;
		h->hold.lost_ms = loop_now(h->home->loop);
	}
	if (h->state != HUB_HELD)
		return false;
	retry_ms = try_later(h);
	if (hub_is_for_attach(h))
		log_held(h, LOG_INFO, "hub-waits", why, retry_ms);
	else
		log_held(h,
			backoff_is_loud(&h->hold.backoff) ? LOG_WARN
							  : LOG_DEBUG,
			"hub-retry", why, retry_ms);
	TAILQ_FOREACH (s, &h->seats, next)
		if (!s->told && hub_lets_in(h))
			hub_tell_joined(h, s);
	wait_for_trunk(h);
	hub_linger_if_left(h);
	hub_renew(h); /* a reload may have come meanwhile */
	return true;
}

bool hub_lets_in(const struct hub *h)
{
	bool chosen = h->route->to.kind != BACKEND_WS ||
		      h->route->subprotocols.n == 0;

	/* A client is told the subprotocol with its 101. */
	return h->state == HUB_OPEN ||
	       (h->state == HUB_HELD && (h->hold.reached || chosen));
}

void hub_hold_joined(struct hub *h)
{
	wait_for_trunk(h);
}

void hub_hold_empty(struct hub *h)
{
	timer_clear(h->home->loop, &h->hold.deadline);
	h->hold.due = 0;
}

bool hub_hold_fits(const struct hub *h, struct str protocol)
{
	return !h->hold.reached || h->seats_n == 0 ||
	       str_eq(str_of(h->protocol), protocol);
}

void hub_hold_opened(struct hub *h)
{
	char id[CLIENT_ID_TEXT];

	if (!hub_holds(h))
		return;
	timer_clear(h->home->loop, &h->hold.deadline);
	h->hold.reached = true;
	if (h->hold.lost_ms == 0)
		return;
	LOG(LOG_INFO, "hub-reopened",
		F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path),
		F_INT("gap_ms", loop_now(h->home->loop) - h->hold.lost_ms),
		F_INT("attempts", h->hold.backoff.failures),
		F_INT("waiting", h->hold.waiting_n),
		F_INT("dropped", h->hold.dropped));
	hub_trunk_drained(h);
}

void hub_hold_trunk_gone(struct hub *h)
{
	assert(h->state == HUB_HELD);
	h->trunk = NULL;
	hub_forget_former(h);
	if (!h->hold.retry.at && !h->attempt && !h->home->draining &&
		!hub_is_for_attach(h) && !hub_is_paused(h))
		hub_open_trunk(h);
}

static void retry(struct timer *t)
{
	struct hub *h = CONTAINER_OF(t, struct hub, hold.retry);

	/* There are never two: the old one is waited for. */
	if (h->state == HUB_HELD && !h->trunk && !h->home->draining &&
		!hub_is_paused(h))
		hub_open_trunk(h);
}

void hub_hold_pause(struct hub *h)
{
	static const struct ending why = { .reason = REASON_PAUSED };
	struct loop *l = h->home->loop;

	if (hub_hold_lost(h, &why))
		hub_close_trunk(h, &why);
	if (h->attempt) {
		backend_cancel(h->attempt);
		h->attempt = NULL;
	}
	timer_clear(l, &h->hold.retry);
	timer_clear(l, &h->hold.deadline);
	h->hold.due = 0;
	hub_refuse_untold(h, &why);
}

void hub_hold_resume(struct hub *h)
{
	if (h->state != HUB_HELD)
		return;
	wait_for_trunk(h);
	if (h->trunk || h->attempt || h->hold.retry.at || hub_is_for_attach(h))
		return; /* what is under way comes first, or comes by itself */
	backoff_reset(&h->hold.backoff);
	hub_open_trunk(h);
}

static void deadline(struct timer *t)
{
	static const struct ending why = { .reason = REASON_HOLD_TIMEOUT };
	struct hub *h = CONTAINER_OF(t, struct hub, hold.deadline);

	if (hub_is_for_attach(h))
		hub_run_over(h, &why);
	else
		hub_end(h, &why);
}

void hub_hold_ends(struct hub *h)
{
	if (!hub_holds(h))
		return;
	timer_clear(h->home->loop, &h->hold.retry);
	timer_clear(h->home->loop, &h->hold.deadline);
	h->hold.dropped += h->hold.waiting_n;
	hub_hold_free(h);
}

int hub_hold_init(struct hub *h)
{
	struct loop *l = h->home->loop;

	if (timer_init(l, &h->hold.retry, retry) < 0)
		return -1;
	if (timer_init(l, &h->hold.deadline, deadline) < 0) {
		timer_fini(l, &h->hold.retry);
		return -1;
	}
	return 0;
}

void hub_hold_fini(struct hub *h)
{
	timer_fini(h->home->loop, &h->hold.retry);
	timer_fini(h->home->loop, &h->hold.deadline);
}
