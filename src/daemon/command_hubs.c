/* hubs: those at home on each worker, in the order in which they came. */
#include "daemon/command.h"

#include <string.h>

#include "base/reason.h"
#include "conf/conf.h"
#include "daemon/filter.h"
#include "daemon/visit.h"
#include "gate/client.h"
#include "hub/info.h"
#include "worker/worker.h"

struct hubs {
	struct visit visit;
	struct filter filter; /* its route */
};

static void add_hub(struct visit *v, struct worker *w, const struct hub_info *i)
{
	char id[CLIENT_ID_TEXT], driver[CLIENT_ID_TEXT];
	int64_t now = loop_now(w->loop);

	VISIT_ROW(v, F_STR("route", i->route->section.name),
		F_STR("path", i->path),
		i->id ? F_STR("id",
				client_id(&(struct client){ .id = i->id }, id))
		      : F_NONE,
		F_STR("state", i->state), F_INT("members", i->members),
		F_INT("most", i->members_most),
		i->driver
			? F_STR("driver",
				  client_id(&(struct client){ .id = i->driver },
					  driver))
			: F_NONE,
		i->opened_ms ? F_INT("age_ms", now - i->opened_ms) : F_NONE,
		i->last_ms ? F_INT("message_ms", now - i->last_ms) : F_NONE,
		F_INT("member_messages", i->messages[0]),
		F_INT("backend_messages", i->messages[1]),
		F_INT("queued_bytes", i->queued), F_INT("replay", i->replay),
		F_INT("replay_bytes", i->replay_bytes),
		F_INT("worker", w->index));
}

static bool run(struct visit *v, struct worker *w)
{
	const char *route = CONTAINER_OF(v, struct hubs, visit)->filter.route;
	struct hub_info info;
	struct hub *h;

	do {
		h = hubs_next(w, &v->walk);
		if (!h)
			return false;
		hub_info_get(h, &info);
		if (!route || strcmp(route, info.route->section.name) == 0)
			add_hub(v, w, &info);
	} while (visit_goes_on(v, w));
	return true;
}

static void free_hubs(struct visit *v)
{
	filter_free(&CONTAINER_OF(v, struct hubs, visit)->filter);
}

static const struct visit_kind kind = {
	.size = sizeof(struct hubs),
	.run = run,
	.free = free_hubs,
};

void command_hubs(struct answer *a)
{
	struct visit *v = visit_new(a, &kind);
	const char *why;

	if (!v)
		return;
	if (filter_read(&CONTAINER_OF(v, struct hubs, visit)->filter,
		    a->request, &why) < 0) {
		visit_drop(v);
		answer_refuse(a, "%s", why);
		return;
	}
	visit_begin(v);
}
