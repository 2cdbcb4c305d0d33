/*
 * backend = attach: the hub's trunk is the connection of a simulation that has
 * come by itself (attach.h), and the hub outlives it.
 *
 *   NEW --a client--> nobody is there: it ends, or with hold: HELD
 *    `--a simulation--> OPEN --lost, hold--> HELD --comes back--> OPEN
 *                        |                     | hold_timeout
 *                        `--has ended----------+--> HELD, over --a new run--> OPEN
 *                                                     `--linger--> ENDING
 */
#include "hub/private.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "base/str.h"
#include "codec/pattern.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/worker.h"
#include "end/ending.h"
#include "backend/kind.h"
#include "hub/attached.h"

bool hub_is_for_attach(const struct hub *h)
{
	return h->route->to.kind == BACKEND_ATTACH;
}

bool hub_is_attached(const struct hub *h)
{
	return h->attached && attached_is_open(h->attached);
}

/* --- the first message of CONF_ATTACH_PROTOCOL ----------------------------*/

/* The address for people; owned; NULL: none is known, or no memory. */
static char *watch_at(const struct conf_attach *a, const char *place)
{
	struct captures captures;

	if (!a->watch_at ||
		!pattern_match(a->entrance.pattern, str_of(place), &captures))
		return NULL;
	return backend_expand(a->watch_at, &captures);
}

/* One line of JSON, see wsrelayd-attach(7). NULL without memory. */
static char *greeting(const struct hub *h, const char *place, bool took_over)
{
	const struct conf_route *r = h->route;
	char *watch = watch_at(r->to.attach, place);
	json_t *o = json_pack("{si, ss, ss, ss, ss, sI, sI, sI, ss*, sb}",
		"version", 1, "place", place, "route", r->section.name, "path",
		h->path, "addressing",
		r->addressing == CONF_ADDRESSING_TAGGED ? "tagged" : "none",
		"max_backend_message", (json_int_t)r->max_backend_message,
		"max_message", (json_int_t)r->max_message, "queue_limit",
		(json_int_t)r->queue_limit, "watch_at", watch, "took_over",
		(int)took_over);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	free(watch);
	return text;
}

/* -1 without memory. */
static int greet(struct hub *h, const char *place, bool took_over)
{
	char *text = greeting(h, place, took_over);

	if (!text)
		return -1;
	(void)h->trunk->ops->send(h->trunk, &(struct piece){ .opcode = WS_TEXT,
						    .first = true,
						    .last = true,
						    .brief = true,
						    .data = (uint8_t *)text,
						    .n = strlen(text) });
	free(text);
	return 0;
}

/* --- a simulation comes ---------------------------------------------------*/

/* The one that is there gives its place up. */
static void replace(struct hub *h)
{
	static const struct ending replaced = {
		.reason = REASON_ATTACH_REPLACED
	};
	static const struct ending lost = { .reason = REASON_BACKEND_RESET,
		.detail = "another simulation has taken its place" };
	struct attached *old = h->attached;
	bool open = hub_is_attached(h);

	attached_let_go(old);
	if (open) {
		attached_close(old, &replaced);
		hub_trunk_ended(h, &lost);
	}
	h->attached = NULL;
	h->trunk = NULL;
	hub_forget_former(h);
}

/* It has come too late. */
static void turn_away(struct attached *a, enum reason reason)
{
	attached_let_go(a);
	attached_close(a, &(struct ending){ .reason = reason });
}

static struct runs *runs_of(const struct hub *h)
{
	return h->route->to.attach->entrance.state->runs;
}

void hub_renew_run(struct hub *h)
{
	if (h->run.of && h->run.of != runs_of(h))
		runs_put(runs_of(h), &h->run, h->path, h->over);
}

void hub_take_attached(struct hub *h, struct attached *a, const char *place)
{
	struct end *e = attached_end(a);
	bool took_over = hub_is_attached(h);
	enum reason reason = attached_check_token(a);

	if (reason != REASON_NONE) {
		turn_away(a, reason);
		hub_is_not_attached(h);
		return;
	}
	if (h->home->draining || h->state == HUB_ENDING ||
		!hub_is_for_attach(h)) {
		turn_away(a, h->home->draining ? REASON_SHUTDOWN
					       : REASON_ROUTE_CHANGED);
		return;
	}
	if (hub_is_paused(h)) {
		turn_away(a, REASON_PAUSED);
		hub_is_not_attached(h);
		return;
	}
	if (h->attached)
		replace(h);
	if (h->state == HUB_NEW)
		hub_name_trunk(h);
	h->attached = a;
	hub_take_trunk(h, e);
	h->over = false;
	runs_put(runs_of(h), &h->run, h->path, false);
	timer_clear(h->home->loop, &h->linger);
	if (place && greet(h, place, took_over) < 0) {
		h->state = HUB_OPEN; /* there is a trunk to close */
		hub_end(h, &(struct ending){ .reason = REASON_INTERNAL });
		return;
	}
	hub_trunk_open(h);
	if (h->state != HUB_OPEN)
		return;
	hub_renew(h); /* a reload may have come meanwhile */
	if (h->attached == a)
		attached_check(a);
}

void hub_is_not_attached(struct hub *h)
{
	if (h->state == HUB_NEW || h->state == HUB_OPENING)
		hub_open_trunk(h);
	else
		hub_linger_if_left(h);
}

/* --- a run ends -----------------------------------------------------------*/

static void log_over(const struct hub *h, const struct ending *why)
{
	char id[CLIENT_ID_TEXT];

	LOG(LOG_INFO, "hub-over", F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path),
		F_STR("reason", reason_get(why->reason)->word),
		F_STR("detail", why->detail), F_INT("members", h->seats_n),
		F_INT("linger_ms", h->route->linger));
}

void hub_linger_if_left(struct hub *h)
{
	struct loop *l = h->home->loop;

	if (!hub_is_for_attach(h) || h->seats_n > 0 || h->state != HUB_HELD ||
		h->claimed != 0)
		return;
	if (!h->linger.at)
		timer_set(l, &h->linger, loop_now(l) + h->route->linger);
	hub_lingers(h);
}

void hub_run_over(struct hub *h, const struct ending *why)
{
	struct loop *l = h->home->loop;

	log_over(h, why);
	h->over = true;
	if (h->run.of)
		runs_put(h->run.of, &h->run, h->path, true);
	hub_say_last(h);
	hub_end_members(h, why);
	hub_hold_ends(h);
	atomic_store(&h->trunk_full, false);
	hub_resume_when_empty(h);
	timer_set(l, &h->linger, loop_now(l) + h->route->linger);
	hub_linger_if_left(h);
}
