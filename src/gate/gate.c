#include "gate/gate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/detail.h"
#include "codec/http/origin.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/auth.h"
#include "gate/client.h"
#include "gate/invitation.h"
#include "gate/request.h"

static bool listens(
	const struct conf_listens *l, const struct conf_listen *listen)
{
	if (l->n == 0)
		return true;
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == listen)
			return true;
	return false;
}

enum gate_fit gate_fit_route(const struct conf_route *route,
	const struct conf_listen *listen, const struct request *r,
	struct captures *captures)
{
	if (!listens(&route->listens, listen))
		return GATE_OTHER_LISTEN;
	if (route->host &&
		!str_eq_nocase(str_of(route->host), r->authority.host))
		return GATE_OTHER_HOST;
	return pattern_match(route->pattern, r->path, captures)
		       ? GATE_FITS
		       : GATE_OTHER_PATH;
}

const struct conf_route *gate_find_route(const struct conf *conf,
	const struct conf_listen *listen, const struct request *r,
	struct captures *captures)
{
	for (size_t i = 0; i < conf->attaches_n; i++)
		if (gate_fit_route(&conf->attaches[i].entrance, listen, r,
			    captures) == GATE_FITS)
			return &conf->attaches[i].entrance;
	for (size_t i = 0; i < conf->routes_n; i++)
		if (gate_fit_route(&conf->routes[i], listen, r, captures) ==
			GATE_FITS)
			return &conf->routes[i];
	return NULL;
}

/* --- the arrival --- */

enum reason gate_check_socket(
	const struct conf_listen *l, const struct addr *peer)
{
	return cidr_list_contains(&l->trusted_proxies, peer) ||
			       conf_admits(&l->allow, &l->deny, peer)
		       ? REASON_NONE
		       : REASON_ADDRESS;
}

/* A Host that is not answered is told to those only who may come. */
static enum reason check_request(const struct gate_check *g)
{
	g->detail->text = g->why;
	return g->parsed == REASON_HOST ? REASON_NONE : g->parsed;
}

static enum reason check_listener_address(const struct gate_check *g)
{
	const struct conf_listen *l = g->client->listen;

	return conf_admits(&l->allow, &l->deny, &g->client->peer)
		       ? REASON_NONE
		       : REASON_ADDRESS;
}

/*
 * A full relay is what its operator wants to look at: max_connections and
 * max_memory do not hold for an admin listener.
 */
static enum reason check_limits(const struct gate_check *g)
{
	bool admin = g->client->listen->role == CONF_ROLE_ADMIN;

	if (admin && g->over == REASON_LIMIT_CONNECTIONS)
		return REASON_NONE;
	if (g->over != REASON_NONE || admin)
		return g->over;
	return g->memory_full(g->owner) ? REASON_MEMORY : REASON_NONE;
}

static enum reason check_host(const struct gate_check *g)
{
	if (g->parsed == REASON_HOST)
		detail_set(g->detail, "", g->request->host);
	return g->parsed;
}

static const struct gate_step arrival[] = {
	{ "request", check_request, false },
	{ "address", check_listener_address, false },
	{ "limits", check_limits, true },
	{ "host", check_host, false },
	{ NULL, NULL, false },
};

/* --- a route --- */

static bool origin_listed(
	const struct conf_route *route, const struct request *r)
{
	if (route->origins_same &&
		origin_is_same(r->origin, r->host, r->secure))
		return true;
	for (size_t i = 0; i < route->origins.n; i++)
		if (origin_matches(r->origin, str_of(route->origins.v[i])))
			return true;
	return false;
}

/*
 * Browsers send an Origin with every upgrade and pages cannot forge it; a
 * program that sends none is no page, and no browser's cookies are at stake.
 */
static bool origin_allowed(
	const struct conf_route *route, const struct request *r)
{
	if (!r->origin.p)
		return true;
	switch ((enum conf_origins)route->origins_kind) {
	case CONF_ORIGINS_SAME:
		return origin_is_same(r->origin, r->host, r->secure);
	case CONF_ORIGINS_ANY:
		return true;
	case CONF_ORIGINS_LIST:
		return origin_listed(route, r);
	}
	return false;
}

/* The subject is written as in the logs. Only a verified one is there. */
static bool subject_listed(const struct conf_strings *list, const char *subject)
{
	if (list->n == 0)
		return true;
	for (size_t i = 0; subject && i < list->n; i++)
		if (strcmp(list->v[i], subject) == 0)
			return true;
	return false;
}

static enum reason check_upgrade(const struct gate_check *g)
{
	return g->request->upgrade ? REASON_NONE : REASON_UPGRADE;
}

/* More relays than that in a row are a loop of them. */
#define HOPS_MAX 8

static enum reason check_hops(const struct gate_check *g)
{
	g->client->hops = g->request->hops;
	return g->request->hops > HOPS_MAX ? REASON_HOPS : REASON_NONE;
}

static enum reason check_route_address(const struct gate_check *g)
{
	const struct conf_route *route = g->client->route;

	return conf_admits(&route->allow, &route->deny, &g->client->peer)
		       ? REASON_NONE
		       : REASON_ADDRESS;
}

static enum reason check_certificate(const struct gate_check *g)
{
	const struct client *c = g->client;

	return subject_listed(&c->route->client_subjects, c->certificate)
		       ? REASON_NONE
		       : REASON_CLIENT_SUBJECT;
}

/* Where simulations attach is paused with the route that they serve. */
static enum reason check_pause(const struct gate_check *g)
{
	const struct conf_route *route = g->client->route;

	if (route->attach)
		route = route->attach->serves;
	return route_state_lets_in(route->state) &&
			       !atomic_load(&g->shared->draining)
		       ? REASON_NONE
		       : REASON_PAUSED;
}

static enum reason check_connections(const struct gate_check *g)
{
	return admission_enter_route(g->client);
}

static enum reason check_origin(const struct gate_check *g)
{
	if (origin_allowed(g->client->route, g->request))
		return REASON_NONE;
	detail_set(g->detail, "", g->request->origin);
	return REASON_ORIGIN;
}

static enum reason check_route_token(const struct gate_check *g)
{
	const struct conf_route *route = g->client->route;

	if (route->auth == CONF_AUTH_NONE)
		return REASON_NONE;
	return auth_check(&(struct auth_params){ .keys = &route->use_keys,
				  .token_param = route->token_param,
				  .token_cookie = route->token_cookie,
				  .single_use = route->single_use,
				  .serve = route->attach != NULL,
				  .shared = g->shared,
				  .now_ms = clock_unix_ms() },
		g->request, g->client, g->detail);
}

static enum reason check_subject(const struct gate_check *g)
{
	return admission_enter_subject(g->client);
}

static const struct gate_step route_steps[] = {
	{ "upgrade", check_upgrade, false },
	{ "hops", check_hops, false },
	{ "address", check_route_address, false },
	{ "certificate", check_certificate, false },
	{ "pause", check_pause, true },
	{ "connections", check_connections, true },
	{ "origin", check_origin, false },
	{ "token", check_route_token, false },
	{ "subject", check_subject, true },
	{ NULL, NULL, false },
};

/* --- a page; with auth = token the client becomes the visitor --- */

static enum reason check_page_address(const struct gate_check *g)
{
	const struct conf_page *page = g->page;

	return conf_admits(&page->allow, &page->deny, &g->client->peer)
		       ? REASON_NONE
		       : REASON_ADDRESS;
}

static enum reason check_page_token(const struct gate_check *g)
{
	char cookie[INVITATION_NAME_MAX];

	if (g->page->auth == CONF_AUTH_NONE)
		return REASON_NONE;
	return auth_check(&(struct auth_params){ .keys = &g->page->use_keys,
				  .token_param = "token",
				  .invitation = invitation_cookie(
					  cookie, g->page, g->request->secure),
				  .shared = g->shared,
				  .now_ms = clock_unix_ms() },
		g->request, g->client, g->detail);
}

static const struct gate_step page_steps[] = {
	{ "address", check_page_address, false },
	{ "token", check_page_token, false },
	{ NULL, NULL, false },
};

/* --- all --- */

/* An earlier request on the same connection says nothing about this one. */
static void forget_visitor(struct client *c)
{
	struct client_verdict *v = &c->verdict;

	assert(!c->tickets.subject); /* that comes last */
	free(v->identity);
	free(v->bearer);
	v->identity = NULL;
	v->bearer = NULL;
	v->key = NULL;
	v->perm = JWT_READ_WRITE;
	v->token_exp = v->expire_at = JWT_NEVER;
}

enum reason gate_pass(enum gate_stage stage, const struct gate_check *g)
{
	static const struct gate_step *const stages[] = {
		[GATE_ARRIVAL] = arrival,
		[GATE_ROUTE] = route_steps,
		[GATE_PAGE] = page_steps,
	};
	enum reason reason = REASON_NONE;

	if (stage != GATE_ARRIVAL)
		forget_visitor(g->client);
	for (const struct gate_step *s = stages[stage];
		s->word && reason == REASON_NONE; s++) {
		g->detail->text = NULL;
		reason = s->running && !g->shared ? REASON_NONE : s->check(g);
		if (g->said)
			g->said(g->owner, s, reason);
	}
	return reason;
}
