#include "gate/gate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/detail.h"
#include "codec/http/origin.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/auth.h"
#include "gate/client.h"
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

const struct conf_route *gate_find_route(const struct conf *conf,
	const struct conf_listen *listen, const struct request *r,
	struct captures *captures)
{
	for (size_t i = 0; i < conf->routes_n; i++) {
		const struct conf_route *route = &conf->routes[i];

		if (!listens(&route->listens, listen))
			continue;
		if (route->host &&
			!str_eq_nocase(str_of(route->host), r->authority.host))
			continue;
		if (pattern_match(route->pattern, r->path, captures))
			return route;
	}
	return NULL;
}

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

/* An earlier request on the same connection says nothing about this one. */
static void forget_visitor(struct client *c)
{
	struct client_verdict *v = &c->verdict;

	assert(!c->tickets.subject); /* that comes last */
	free(v->identity);
	v->identity = NULL;
	v->key = NULL;
	v->perm = JWT_READ_WRITE;
	v->token_exp = v->expire_at = JWT_NEVER;
}

enum reason gate_check_route(struct shared *s, const struct request *r,
	struct client *c, struct detail *detail)
{
	const struct conf_route *route = c->route;
	enum reason reason;

	detail->text = NULL;
	forget_visitor(c);
	if (!conf_admits(&route->allow, &route->deny, &c->peer))
		return REASON_ADDRESS;
	if (!subject_listed(&route->client_subjects, c->certificate))
		return REASON_CLIENT_SUBJECT;
	reason = admission_enter_route(c);
	if (reason != REASON_NONE)
		return reason;
	if (!origin_allowed(route, r)) {
		detail_set(detail, "", r->origin);
		return REASON_ORIGIN;
	}
	if (route->auth == CONF_AUTH_NONE)
		return REASON_NONE;
	reason = auth_check(&(struct auth_params){ .keys = &route->use_keys,
				    .token_param = route->token_param,
				    .token_cookie = route->token_cookie,
				    .single_use = route->single_use,
				    .shared = s,
				    .now_ms = clock_unix_ms() },
		r, c, detail);
	return reason == REASON_NONE ? admission_enter_subject(c) : reason;
}

enum reason gate_check_page(struct shared *s, const struct request *r,
	const struct conf_page *page, struct client *c, struct detail *detail)
{
	detail->text = NULL;
	forget_visitor(c);
	if (!conf_admits(&page->allow, &page->deny, &c->peer))
		return REASON_ADDRESS;
	if (page->auth == CONF_AUTH_NONE)
		return REASON_NONE;
	return auth_check(&(struct auth_params){ .keys = &page->use_keys,
				  .token_param = "token",
				  .shared = s,
				  .now_ms = clock_unix_ms() },
		r, c, detail);
}
