/*
 * check_attach.c: where simulations connect, and the one route that leads
 * there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/pattern.h"
#include "conf/check.h"

/* What a simulation may offer. */
static char attach_protocol[] = CONF_ATTACH_PROTOCOL;
static char *attach_protocols[] = { attach_protocol };

static struct build_at at_attach(const struct conf_attach *a, const char *key)
{
	return (struct build_at){ SECTION_ATTACH, a->index, key, 0 };
}

/* The one that names it. NULL: none does, or several, which is a complaint. */
static const struct conf_route *find_route(
	struct builder *b, const struct conf_attach *a)
{
	const struct conf *c = b->conf;
	const struct conf_route *found = NULL;

	for (size_t i = 0; i < c->routes_n; i++) {
		const struct conf_route *r = &c->routes[i];

		if (r->to.kind != BACKEND_ATTACH || r->to.attach != a)
			continue;
		if (found) {
			build_error(b, check_at_route(r, "backend"),
				"[route %s] leads there, too, expected one "
				"route for each [attach]",
				found->section.name);
			return NULL;
		}
		found = r;
	}
	if (!found)
		build_error(b, at_attach(a, NULL),
			"no route leads there, expected one with backend = "
			"attach:%s",
			a->section.name);
	return found;
}

/* Of one place comes one hub, and the other way round. */
static void check_captures(struct builder *b, const struct conf_attach *a,
	const struct conf_route *r)
{
	const char *why;

	if (!r->pattern || !a->entrance.pattern)
		return;
	if (template_check(a->path, r->pattern, false, &why) < 0 ||
		template_check(r->path, a->entrance.pattern, false, &why) < 0)
		build_error(b, at_attach(a, "path"),
			"\"%s\" and the path %s of [route %s] have other "
			"captures, expected the same ones, and no {*}",
			a->path, r->path, r->section.name);
}

void check_captures_are_of(struct builder *b, const struct conf_route *r,
	const struct conf_attach *a)
{
	const struct pattern *places = a->entrance.pattern;
	const char *why;

	if (r->pattern && places &&
		template_check(r->path, places, false, &why) < 0)
		build_error(b, check_at_route(r, "path"),
			"\"%s\": %s, expected captures of the path %s of "
			"[attach %s]",
			r->path, why, a->path, a->section.name);
}

static void check_watch_at(struct builder *b, const struct conf_attach *a)
{
	struct build_at at = at_attach(a, "watch_at");
	const char *why;

	if (!a->watch_at || !a->entrance.pattern)
		return;
	if (strncmp(a->watch_at, "https://", 8) != 0 &&
		strncmp(a->watch_at, "http://", 7) != 0)
		build_error(b, at,
			"\"%s\" is no address, expected https://HOST/PATH",
			a->watch_at);
	else if (template_check(a->watch_at, a->entrance.pattern, false, &why) <
		 0)
		build_error(b, at, "\"%s\": %s, expected captures of the path",
			a->watch_at, why);
}

/*
 * What a route has and this section has not is the route's that it serves: how
 * long messages are, how pings are sent, how a close is finished. Its clients'
 * rates are no limit of its simulation.
 */
static void make_entrance(struct conf_attach *a, const struct conf_route *r)
{
	struct conf_route *e = &a->entrance;
	struct conf_route own = *e;

	*e = *r;
	e->section = own.section;
	e->state = NULL;
	e->path = own.path;
	e->host = own.host;
	e->listen = own.listen;
	e->listens = own.listens;
	e->keys = own.keys;
	e->use_keys = own.use_keys;
	e->client_subjects = own.client_subjects;
	e->max_connections = own.max_connections;
	e->max_connections_per_subject = own.max_connections_per_subject;
	e->max_session = own.max_session;
	e->on_key_loss = own.on_key_loss;
	e->allow = own.allow;
	e->deny = own.deny;
	e->pattern = own.pattern;
	e->index = own.index;
	e->attach = own.attach;
	e->auth = CONF_AUTH_TOKEN;
	e->single_use = false;
	e->token_cookie = NULL;
	e->origins = (struct conf_strings){ 0 };
	e->origins_kind = CONF_ORIGINS_SAME;
	e->subprotocols = (struct conf_strings){ attach_protocols, 1 };
	e->idle_timeout = e->backend_idle_timeout = 0;
	e->message_rate = e->byte_rate = 0;
}

void check_attach(struct builder *b, struct conf_attach *a)
{
	struct conf_route *e = &a->entrance;

	check_tls_route(b, e);
	check_access(b, at_attach(a, NULL), &a->allow, &a->deny);
	if (b->conf->keys_n == 0 && !b->bad_header)
		build_error(b, at_attach(a, NULL),
			"needs a key, expected a section [key NAME]");
	check_watch_at(b, a);
	a->serves = find_route(b, a);
	if (!a->serves)
		return;
	check_captures(b, a, a->serves);
	make_entrance(a, a->serves);
}

static struct pattern *parse_path(
	struct builder *b, const struct conf_attach *a)
{
	struct pattern *p;
	const char *why;

	if (!a->path)
		return NULL;
	p = pattern_parse(a->path, &why);
	if (!p)
		build_error(b, at_attach(a, "path"),
			"\"%s\": %s, expected a path such as "
			"/attach/{user}/{id}",
			a->path, why);
	return p;
}

void check_attach_begin(struct builder *b, struct conf_attach *a)
{
	struct buf name = { 0 };

	/* Known by another name than a route of the same one. */
	if (buf_add_printf(&name, "attach:%s%c", a->section.name, '\0') < 0)
		build_no_memory(b);
	a->entrance = (struct conf_route){ .section = a->section,
		.path = a->path,
		.host = a->host,
		.listen = a->listen,
		.keys = a->keys,
		.client_subjects = a->client_subjects,
		.max_connections = a->max_connections,
		.max_connections_per_subject = a->max_connections_per_subject,
		.max_session = a->max_session,
		.on_key_loss = a->on_key_loss,
		.allow = a->allow,
		.deny = a->deny,
		.pattern = parse_path(b, a),
		.index = a->index,
		.attach = a };
	a->entrance.section.name = (char *)name.p;
}

void check_attach_free(struct conf_attach *a)
{
	struct conf_route *e = &a->entrance;

	free(e->section.name);
	pattern_free(e->pattern);
	free(e->listens.v);
	free(e->use_keys.v);
}
