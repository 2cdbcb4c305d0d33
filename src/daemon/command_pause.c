/*
 * pause ROUTE: no new client comes in, and its hubs have no backend until resume
 * ROUTE (hub/pause.c). Both answer when each worker has carried it out, and
 * carry it out when their caller does not wait for that.
 */
#include "daemon/command.h"

#include "base/str.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/visit.h"
#include "hub/hub.h"
#include "worker/section.h"

struct pause {
	struct visit visit;
	struct conf *conf; /* a reference, for route */
	const struct conf_route *route;
	struct hub_pauses hubs;
};

static bool run(struct visit *v, struct worker *w)
{
	struct pause *x = CONTAINER_OF(v, struct pause, visit);

	do {
		if (!hubs_heed_pause(w, x->route->state, &v->walk, &x->hubs))
			return false;
	} while (visit_goes_on(v, w));
	return true;
}

static void done(struct visit *v, struct answer *a)
{
	const struct pause *x = CONTAINER_OF(v, struct pause, visit);
	const struct hub_pauses *n = &x->hubs;
	const struct conf_route *r = x->route;
	bool hub = r->mode == CONF_MODE_HUB;

	ANSWER_ROW(a, F_STR("route", r->section.name),
		F_STR("state", r->state->paused ? "paused" : "open"),
		F_INT("clients", r->state->connections),
		hub ? F_INT("hubs_waiting", n->waiting) : F_NONE,
		hub ? F_INT("members_waiting", n->waiting_members) : F_NONE,
		hub ? F_INT("hubs_closed", n->closed) : F_NONE,
		hub ? F_INT("members_closed", n->closed_members) : F_NONE);
	answer_end(a);
}

static void free_pause(struct visit *v)
{
	conf_unref(CONTAINER_OF(v, struct pause, visit)->conf);
}

static const struct visit_kind kind = {
	.size = sizeof(struct pause),
	.run = run,
	.done = done,
	.free = free_pause,
	.finishes = true,
};

static void set_paused(struct answer *a, bool paused)
{
	const char *name = control_text(a->request, "route");
	const struct conf_route *route = conf_find_route(
		a->daemon->conf, str_of(name));
	struct pause *x;
	struct visit *v;

	if (!route) {
		answer_refuse(a, "there is no route %s", name);
		return;
	}
	v = visit_new(a, &kind);
	if (!v)
		return;
	x = CONTAINER_OF(v, struct pause, visit);
	x->conf = conf_ref(a->daemon->conf);
	x->route = route;
	atomic_store(&route->state->paused, paused);
	visit_begin(v);
}

void command_pause(struct answer *a)
{
	set_paused(a, true);
}

void command_resume(struct answer *a)
{
	set_paused(a, false);
}
