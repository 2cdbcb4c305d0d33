/*
 * pause ROUTE and resume ROUTE, seen by a hub. A paused route has no trunks, so
 * that what is behind it can be exchanged:
 *
 *   OPENING, OPEN without hold -> ends (paused); of attach: its run does (run.c)
 *   OPEN with hold             -> loses its trunk -> HELD
 *   HELD                       -> gives up what it tries, and its deadline
 *   resume: HELD               -> opens a trunk, when the old one is gone
 *
 * That a route is paused is in its state, for all threads (section.h); each
 * worker is told to look at it. Whatever opens a trunk by itself (hold.c,
 * keep.c) asks hub_is_paused, so the order of both does not matter. A room has
 * no backend: it goes on, as pairs do.
 */
#include "hub/private.h"

#include "base/walk.h"
#include "conf/conf.h"
#include "end/ending.h"
#include "hub/here.h"
#include "hub/info.h"
#include "worker/section.h"
#include "worker/worker.h"

void hub_heed_pause(struct hub *h)
{
	bool waits = hub_holds(h) &&
		     (h->state == HUB_OPEN || h->state == HUB_HELD);

	if (h->state == HUB_ENDING || h->state == HUB_NEW || h->home->draining)
		return;
	if (!hub_is_paused(h))
		hub_hold_resume(h);
	else if (waits)
		hub_hold_pause(h);
	else
		hub_end(h, &(struct ending){ .reason = REASON_PAUSED });
}

/* A hub that has no more members to wait, or to close. */
static bool is_over(const struct hub *h)
{
	return h->state == HUB_ENDING || h->over;
}

/* members: when it was told. */
static void count(const struct hub *h, size_t members, struct hub_pauses *n)
{
	if (is_over(h)) {
		n->closed++;
		n->closed_members += (int64_t)members;
	} else if (h->state == HUB_HELD && hub_is_paused(h)) {
		n->waiting++;
		n->waiting_members += (int64_t)h->seats_n;
	}
}

bool hubs_heed_pause(struct worker *w, const struct route_state *route,
	struct walk *walk, struct hub_pauses *n)
{
	struct hub *h = hubs_next(w, walk);
	size_t members;

	if (!h) {
		hubs_resume_kept(w, route);
		return false;
	}
	if (h->route->state != route || is_over(h))
		return true;
	hub_ref(h); /* it may end */
	members = h->seats_n;
	hub_heed_pause(h);
	count(h, members, n);
	hub_unref(h);
	return true;
}
