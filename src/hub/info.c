#include "hub/info.h"

#include <stdio.h>

#include "base/walk.h"
#include "end/ending.h"
#include "conf/conf.h"
#include "gate/trouble.h"
#include "hub/here.h"
#include "hub/private.h"
#include "net/conn.h"
#include "worker/worker.h"

struct hub *hubs_next(struct worker *w, struct walk *walk)
{
	struct hub *h;

	if (!walk->active)
		walk_begin(&w->hubs->walks, walk, TAILQ_FIRST(&w->hubs->list));
	h = walk->at;
	if (h)
		walk->at = TAILQ_NEXT(h, home_next);
	return h;
}

static const char *state_word(const struct hub *h)
{
	switch (h->state) {
	case HUB_NEW:
		return "new";
	case HUB_OPENING:
		return "opening";
	case HUB_OPEN:
		return "open";
	case HUB_HELD:
		return hub_is_paused(h) && !h->over ? "paused" : "held";
	case HUB_ENDING:
		return "ending";
	}
	return "";
}

static size_t queued(const struct hub *h)
{
	const struct conn *c = h->trunk ? h->trunk->conn : NULL;

	return (c ? c->queued : 0) + waiting_cost(&h->inflight) +
	       waiting_cost(&h->hold.cost);
}

void hub_info_get(const struct hub *h, struct hub_info *out)
{
	*out = (struct hub_info){ .id = h->trunk_client.id,
		.route = h->route,
		.path = h->path,
		.state = state_word(h),
		.members = h->seats_n,
		.members_most = h->seats_most,
		.driver = h->driver ? h->driver->id : 0,
		.opened_ms = h->opened_ms,
		.last_ms = h->last_ms,
		.messages = { h->messages_in,
			h->messages_out + h->tagged.sent },
		.queued = queued(h),
		.replay = h->replay_n,
		.replay_bytes = h->replay_bytes,
		.reason = h->loss.reason,
		.detail = h->loss.detail,
		.lost_ms = h->loss.ms };
}

void hub_note_loss(struct hub *h, const struct ending *why)
{
	h->loss.reason = why->reason;
	h->loss.ms = loop_now(h->home->loop);
	snprintf(h->loss.detail, sizeof(h->loss.detail), "%s",
		why->detail ? why->detail : "");
	trouble_note(h->route, why->reason, why->detail);
}
