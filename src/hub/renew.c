/*
 * A reload, seen by a hub. There are never two of one route and path, so it
 * goes on under the newer snapshot: limits and times hold at once; another
 * backend or framing is a loss of the trunk, as on_backend_loss says; another
 * mode or addressing, and a route that is gone, are its end.
 */
#include "hub/private.h"

#include "backend/kind.h"
#include "conf/conf.h"
#include "end/end.h"
#include "end/ending.h"
#include "hub/here.h"
#include "hub/member.h"
#include "worker/worker.h"

void hub_forget_former(struct hub *h)
{
	conf_unref(h->former);
	h->former = NULL;
}

static void use_conf(struct hub *h, const struct conf_route *route)
{
	struct conf *before = h->conf;
	bool same = conf_same_way(h->route, route);

	h->conf = h->trunk_client.conf = conf_ref(h->home->conf);
	h->route = h->trunk_client.route = route;
	atomic_store(&h->queue_limit, (size_t)route->queue_limit);
	hub_resize_replay(h);
	if (hub_is_for_attach(h))
		hub_renew_run(h);
	/* With a former one the trunk is of another route, and closing. */
	if (!same && h->trunk && !h->former) {
		h->former = before; /* the trunk knows its route */
		return;
	}
	/* A simulation's session does so for itself. */
	if (same && !h->former && !h->attached)
		end_renew(h->trunk, route);
	conf_unref(before);
}

/* The backend is another one, and members wait for it. */
static void lose_trunk(struct hub *h)
{
	static const struct ending why = { .reason = REASON_ROUTE_CHANGED };

	if (hub_hold_lost(h, &why))
		hub_close_trunk(h, &why);
}

static void exchange_backend(struct hub *h, const struct conf_route *route)
{
	bool opening = h->attempt != NULL;

	if (opening) {
		backend_cancel(h->attempt); /* it knows the older route */
		h->attempt = NULL;
	}
	use_conf(h, route);
	if (h->state == HUB_OPEN)
		lose_trunk(h);
	else if (opening)
		hub_open_trunk(h);
}

static bool is_carried_over(const struct hub *h, const struct conf_route *route)
{
	return h->holds &&
	       (h->route->to.kind == BACKEND_ATTACH) ==
		       (route->to.kind == BACKEND_ATTACH) &&
	       h->route->addressing == route->addressing &&
	       h->route->to.kind != BACKEND_ROOM &&
	       route->to.kind != BACKEND_ROOM;
}

/* One that is not settled yet, or waits for its first client, is not empty. */
static void linger_if_empty(struct hub *h)
{
	if (h->at_home && h->state != HUB_NEW)
		hub_linger_when_empty(h);
}

static void take_newer_route(struct hub *h, const struct conf_route *route)
{
	bool same = conf_same_way(h->route, route);

	if (!same && !is_carried_over(h, route)) {
		hub_end(h, &(struct ending){ .reason = REASON_ROUTE_CHANGED });
		return;
	}
	if (!same) {
		exchange_backend(h, route);
		return;
	}
	/* What is being opened knows the older one: see trunk_done. */
	if (h->attempt)
		return;
	use_conf(h, route);
	linger_if_empty(h);
}

void hub_renew(struct hub *h)
{
	const struct conf_route *route;

	if (h->conf == h->home->conf || h->state == HUB_ENDING)
		return;
	route = conf_same_route(h->home->conf, h->route);
	h->removed = route == NULL;
	if (!route) {
		linger_if_empty(h);
	} else if (route->mode != CONF_MODE_HUB) {
		hub_end(h, &(struct ending){ .reason = REASON_ROUTE_CHANGED });
	} else {
		take_newer_route(h, route);
	}
}

void hubs_renew(struct worker *w)
{
	struct hub *h, *next;

	for (h = TAILQ_FIRST(&w->hubs->list); h; h = next) {
		next = TAILQ_NEXT(h, home_next);
		hub_ref(h); /* it may end of either */
		hub_renew(h);
		hub_heed_pause(h); /* see daemon/reload.c open_added */
		hub_unref(h);
	}
	hubs_renew_kept(w);
}
