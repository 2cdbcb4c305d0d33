/*
 * Who comes in, and what is behind the routes, as the operator wants it:
 *
 *   pause ROUTE         no new client, and its hubs have no backend (hub/pause.c)
 *   drain ROUTE --soft  no new client
 *   drain ROUTE         likewise, and its sessions end over drain_timeout, as
 *                       those of a route that a reload takes away
 *   drain --soft        no new client on any route, and /readyz fails
 *   drain               the relay stops, as with SIGTERM
 *   resume [ROUTE]      takes back what of this can be
 *
 * What concerns a route is in its state (section.h). The answer comes when each
 * worker has carried it out, and they do when the caller does not wait for it.
 */
#include "daemon/command.h"

#include "base/str.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/visit.h"
#include "hub/hub.h"
#include "pair/session.h"
#include "worker/section.h"

struct traffic {
	struct visit visit;
	struct conf *conf; /* a reference, for route */
	const struct conf_route *route;
	bool sessions; /* the hubs of this worker have all heard of it */
	struct hub_pauses hubs;
};

/* --- a route --------------------------------------------------------------*/

static bool run_hubs(struct traffic *x, struct worker *w)
{
	do {
		if (!hubs_heed_pause(
			    w, x->route->state, &x->visit.walk, &x->hubs))
			return false;
	} while (visit_goes_on(&x->visit, w));
	return true;
}

static bool run_sessions(struct traffic *x, struct worker *w)
{
	struct session *s;

	do {
		s = sessions_next(w, &x->visit.walk);
		if (s && s->client.route->state == x->route->state)
			session_heed_drain(s);
	} while (s && visit_goes_on(&x->visit, w));
	return s != NULL;
}

static bool run(struct visit *v, struct worker *w)
{
	struct traffic *x = CONTAINER_OF(v, struct traffic, visit);

	if (!x->sessions) {
		if (run_hubs(x, w))
			return true;
		walk_end(&v->walk);
		x->sessions = true;
	}
	if (run_sessions(x, w))
		return true;
	x->sessions = false; /* of the next worker */
	return false;
}

static void done(struct visit *v, struct answer *a)
{
	const struct traffic *x = CONTAINER_OF(v, struct traffic, visit);
	const struct hub_pauses *n = &x->hubs;
	const struct conf_route *r = x->route;
	bool hub = r->mode == CONF_MODE_HUB;

	ANSWER_ROW(a, F_STR("route", r->section.name),
		F_STR("state", route_state_word(r->state)),
		F_INT("clients", r->state->connections),
		hub ? F_INT("hubs_waiting", n->waiting) : F_NONE,
		hub ? F_INT("members_waiting", n->waiting_members) : F_NONE,
		hub ? F_INT("hubs_closed", n->closed) : F_NONE,
		hub ? F_INT("members_closed", n->closed_members) : F_NONE);
	answer_end(a);
}

static void free_traffic(struct visit *v)
{
	conf_unref(CONTAINER_OF(v, struct traffic, visit)->conf);
}

static const struct visit_kind kind = {
	.size = sizeof(struct traffic),
	.run = run,
	.done = done,
	.free = free_traffic,
	.finishes = true,
};

/* Says with set what the route's state is from now on. */
static void command_route(struct answer *a, void (*set)(struct route_state *r))
{
	const char *name = control_text(a->request, "route");
	const struct conf_route *route = conf_find_route(
		a->daemon->conf, str_of(name));
	struct traffic *x;
	struct visit *v;

	if (!route) {
		answer_refuse(a, "there is no route %s", name);
		return;
	}
	v = visit_new(a, &kind);
	if (!v)
		return;
	x = CONTAINER_OF(v, struct traffic, visit);
	x->conf = conf_ref(a->daemon->conf);
	x->route = route;
	set(route->state);
	visit_begin(v);
}

static void set_paused(struct route_state *r)
{
	atomic_store(&r->paused, true);
}

static void set_draining(struct route_state *r)
{
	atomic_store(&r->draining, true);
}

static void set_closing(struct route_state *r)
{
	set_draining(r);
	atomic_store(&r->closing, true);
}

/* --- the relay ------------------------------------------------------------*/

static void set_relay(struct answer *a, bool drains)
{
	struct shared *s = &a->daemon->shared;

	atomic_store(&s->draining, drains);
	atomic_store(&s->leaving, drains);
	ANSWER_ROW(a, F_STR("state", drains ? "draining" : "running"),
		F_INT("connections", s->connections));
	answer_end(a);
}

static void stop(struct answer *a)
{
	struct daemon *d = a->daemon;

	ANSWER_ROW(a, F_STR("state", "stopping"),
		F_INT("connections", d->shared.connections));
	answer_end(a);
	daemon_stop(d, 0);
}

/* --- the commands ---------------------------------------------------------*/

/* A stop is not taken back, and not hurried by a second command. */
static bool is_stopping(struct answer *a)
{
	if (a->daemon->stop == STOP_NOT)
		return false;
	answer_refuse(a, "the relay stops already");
	return true;
}

void command_pause(struct answer *a)
{
	if (!is_stopping(a))
		command_route(a, set_paused);
}

void command_drain(struct answer *a)
{
	bool soft = control_flag(a->request, "soft");

	if (is_stopping(a))
		return;
	if (control_text(a->request, "route"))
		command_route(a, soft ? set_draining : set_closing);
	else if (soft)
		set_relay(a, true);
	else
		stop(a);
}

void command_resume(struct answer *a)
{
	if (is_stopping(a))
		return;
	if (control_text(a->request, "route"))
		command_route(a, route_state_open);
	else
		set_relay(a, false);
}
