/*
 * check_route.c: whether the keys of a route mean something together.
 *
 * A key that this kind of backend would ignore is an error, because whoever
 * wrote it counts on it: a send_proxy that is not sent, an exec_env that no
 * program gets. Only keys with their default value pass in silence, so that
 * what wsrelayd -T prints is accepted again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/pattern.h"
#include "conf/check.h"
#include "conf/hidden.h"

/* Each backend kind, and which keys mean something to it. */
static const struct kind {
	const char *name, *tls; /* as in backend =, plain and with TLS */
	bool framing;           /* has one */
	bool framing_named;     /* and it must be named */
	bool resolves;          /* backend_allow */
	bool execs;             /* exec_env, exec_dir */
	bool proxy;             /* send_proxy */
	bool ws;                /* backend_host, and no subprotocols */
} kinds[] = {
	[BACKEND_TCP] = { "tcp", "tls", true, true, true, false, true, false },
	[BACKEND_UNIX] = { "unix", NULL, true, true, false, false, true,
		false },
	[BACKEND_WS] = { "ws", "wss", false, false, true, false, false, true },
	[BACKEND_EXEC] = { "exec", NULL, true, false, false, true, false,
		false },
	[BACKEND_ECHO] = { "echo", NULL, false, false, false, false, false,
		false },
	[BACKEND_ROOM] = { "room", NULL, false, false, false, false, false,
		false },
	[BACKEND_ATTACHED] = { "attached", NULL, false, false, false, false,
		false, false },
	[BACKEND_ATTACH] = { "attach", NULL, false, false, false, false, false,
		false },
};

static void check_path(struct builder *b, struct conf_route *r)
{
	const char *why = NULL;

	if (!r->path)
		return;
	r->pattern = pattern_parse(r->path, &why);
	if (!r->pattern)
		build_error(b, check_at_route(r, "path"),
			"\"%s\": %s, "
			"expected a path such as /sim/{id}",
			r->path, why);
}

static const char *name_of(const struct conf_route *r, const struct kind *k)
{
	return r->to.tls ? k->tls : k->name;
}

/*
 * Bytes without boundaries must not be cut by a guess; a program that is
 * started for a browser nearly always speaks lines.
 */
static void check_framing(
	struct builder *b, struct conf_route *r, const struct kind *k)
{
	struct build_at at = check_at_route(r, "framing");

	if (build_is_bad(b, at))
		return;
	if (!k->framing && r->framing != FRAMING_NONE)
		build_error(b, at,
			"%s backends have messages of their "
			"own, expected no framing",
			name_of(r, k));
	else if (k->framing_named && r->framing == FRAMING_NONE)
		build_error(b, at,
			"is missing, expected raw, line or len32 "
			"for %s backends",
			name_of(r, k));
	else if (k->framing && r->framing == FRAMING_NONE)
		r->framing = FRAMING_LINE;
	at.key = "max_message";
	if (r->framing == FRAMING_RAW && build_find(b, at) &&
		!build_is_bad(b, at))
		build_warn(b, at,
			"means nothing to framing = raw, which knows no "
			"messages: a longer one passes in pieces");
}

/* Keys that this kind of backend would silently ignore. */
static void check_meaning(
	struct builder *b, const struct conf_route *r, const struct kind *k)
{
	const struct {
		bool wrong;
		const char *key, *only;
	} rules[] = {
		{ !k->resolves && r->backend_allow.n > 0, "backend_allow",
			"tcp, tls, ws and wss backends" },
		{ !r->to.tls && r->backend_ca, "backend_ca",
			"tls and wss backends" },
		{ !r->to.tls && r->backend_certificate, "backend_certificate",
			"tls and wss backends" },
		{ !r->to.tls && !r->backend_verify, "backend_verify",
			"tls and wss backends" },
		{ !k->ws && r->backend_token_file, "backend_token_file",
			"ws and wss backends" },
		{ !k->execs && r->exec_env.n > 0, "exec_env", "exec backends" },
		{ !k->execs && r->exec_dir, "exec_dir", "exec backends" },
		{ !k->execs && r->exec_memory > 0, "exec_memory",
			"exec backends" },
		{ !k->execs && r->exec_cpu > 0, "exec_cpu", "exec backends" },
		{ !k->execs && r->exec_processes > 0, "exec_processes",
			"exec backends" },
		{ !k->proxy && r->send_proxy != PROXY_NO, "send_proxy",
			"tcp, tls and unix backends" },
		{ !k->ws && r->backend_host_kind != CONF_HOST_BACKEND,
			"backend_host", "ws and wss backends" },
		{ k->ws && r->mode == CONF_MODE_PAIR && r->subprotocols.n > 0,
			"subprotocols",
			"backends that are not ws or wss, which choose "
			"themselves" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].wrong)
			build_error(b, check_at_route(r, rules[i].key),
				"means nothing to %s backends, expected it "
				"only for %s",
				name_of(r, k), rules[i].only);
}

/* Addressing needs a link that clients share, and a backend that answers. */
static void check_addressing(struct builder *b, const struct conf_route *r)
{
	struct build_at at = check_at_route(r, "addressing");

	if (r->addressing != CONF_ADDRESSING_TAGGED)
		return;
	if (r->mode != CONF_MODE_HUB)
		build_error(b, at,
			"is tagged, expected none, or mode = hub: a pair's "
			"backend has one client only");
	else if (r->to.kind == BACKEND_ROOM || r->to.kind == BACKEND_ECHO)
		build_error(b, at,
			"is tagged, expected none for %s: backends, which "
			"know no clients",
			r->to.kind == BACKEND_ROOM ? "room" : "echo");
}

/* What only a hub has, and what a hub cannot have. */
static void check_mode(struct builder *b, struct conf_route *r)
{
	bool hub = r->mode == CONF_MODE_HUB;

	r->slow_text_kind = r->slow_text ? r->slow_text - 1 : r->slow;
	r->slow_binary_kind = r->slow_binary ? r->slow_binary - 1 : r->slow;
	check_addressing(b, r);
	if (!hub && r->to.kind == BACKEND_ROOM)
		build_error(b, check_at_route(r, "mode"),
			"is pair, expected hub for room: backends");
	if (!hub && r->to.kind == BACKEND_ATTACH)
		build_error(b, check_at_route(r, "mode"),
			"is pair, expected hub for attach: backends "
			"(addressing = tagged carries many clients over the "
			"one connection of a simulation)");
	if (hub && r->to.kind == BACKEND_ATTACHED)
		build_error(b, check_at_route(r, "mode"),
			"is hub, expected pair for attached: backends");
	if (hub && r->to.kind == BACKEND_ATTACH &&
		r->trunk != CONF_TRUNK_ON_DEMAND)
		build_error(b, check_at_route(r, "trunk"),
			"is always, expected on-demand for attach: backends: "
			"they are there when they have connected");
	if (!hub && r->max_rate > 0)
		build_error(b, check_at_route(r, "max_rate"),
			"means nothing to mode = pair, expected it only for "
			"mode = hub");
	if (!hub && r->trunk != CONF_TRUNK_ON_DEMAND)
		build_error(b, check_at_route(r, "trunk"),
			"means nothing to mode = pair, expected it only for "
			"mode = hub");
	if (!hub && r->on_backend_loss != CONF_LOSS_CLOSE)
		build_error(b, check_at_route(r, "on_backend_loss"),
			"means nothing to mode = pair, expected it only for "
			"mode = hub");
	if (!hub)
		return;
	if (r->on_backend_loss == CONF_LOSS_HOLD &&
		(r->to.kind == BACKEND_ROOM || r->to.kind == BACKEND_ECHO))
		build_error(b, check_at_route(r, "on_backend_loss"),
			"is hold, expected close: what is built in is never "
			"lost");
	if (r->trunk == CONF_TRUNK_ALWAYS && r->pattern &&
		pattern_captures(r->pattern) > 0)
		build_error(b, check_at_route(r, "trunk"),
			"is always, expected on-demand: it is not known "
			"which captures to open at the start");
	if (r->framing == FRAMING_RAW)
		build_error(b, check_at_route(r, "framing"),
			"is raw, expected line or len32: a hub needs to know "
			"where messages end");
}

/* A client that names the backend could name the metadata service, too. */
static void check_allow(struct builder *b, const struct conf_route *r)
{
	struct build_at at = check_at_route(r, "backend_allow");

	if (r->backend_allow.n > 0 || build_is_bad(b, at))
		return;
	if (template_has_captures(str_of(r->to.host)) ||
		template_has_captures(str_of(r->to.port)))
		build_error(b, at,
			"is missing, expected networks, because a "
			"capture is in the backend's host or port");
}

static void check_exec(struct builder *b, const struct conf_route *r)
{
	struct build_at at = check_at_route(r, "exec_env");
	struct stat st;

	if (r->exec_dir && stat(r->exec_dir, &st) < 0)
		build_error(b, check_at_route(r, "exec_dir"),
			"%s: %s%s, expected a directory", r->exec_dir,
			strerror(errno), hidden_note(r->exec_dir, errno));
	else if (r->exec_dir && !S_ISDIR(st.st_mode))
		build_error(b, check_at_route(r, "exec_dir"),
			"%s is no "
			"directory, expected one",
			r->exec_dir);
	for (; at.element < r->exec_env.n; at.element++) {
		const char *variable = r->exec_env.v[at.element];
		size_t n = strcspn(variable, "=") + 1;

		for (size_t i = 0; i < at.element; i++)
			if (strncmp(variable, r->exec_env.v[i], n) == 0)
				build_error(b, at,
					"%.*s is set twice, "
					"expected it once",
					(int)n - 1, variable);
	}
}

/*
 * A token without a path opens what the key opens. So such a key must be named:
 * it must not count because it was added later.
 */
static void check_pathless(struct builder *b, const struct conf_route *r)
{
	struct build_at at = check_at_route(r, "keys");

	if (r->auth == CONF_AUTH_NONE || r->keys.n > 0 || build_is_bad(b, at))
		return;
	for (size_t i = 0; i < b->conf->keys_n; i++)
		if (!b->conf->keys[i].require_path) {
			build_error(b, at,
				"is missing, expected names of keys, because "
				"[key %s] has require_path = no",
				b->conf->keys[i].section.name);
			return;
		}
}

/* auth = token without any key would refuse every client. */
static void check_auth(struct builder *b, const struct conf_route *r)
{
	bool none = r->auth == CONF_AUTH_NONE;

	if (!none && b->conf->keys_n == 0 && !b->bad_header)
		build_error(b, check_at_route(r, "auth"),
			"token needs a key, "
			"expected a section [key NAME] (or auth = none)");
	if (none && r->single_use)
		build_error(b, check_at_route(r, "single_use"),
			"yes means "
			"nothing without tokens, expected auth = token");
	if (none && r->max_connections_per_subject > 0)
		build_error(b, check_at_route(r, "max_connections_per_subject"),
			"means nothing without tokens, which name subjects, "
			"expected auth = token");
	if (none && r->keys.n > 0)
		build_warn(b, check_at_route(r, "keys"),
			"no token is looked "
			"at, because auth is none");
}

/* any is alone in its list; same alone is a kind of its own. */
static void check_origins(struct builder *b, struct conf_route *r)
{
	struct build_at at = check_at_route(r, "origins");

	r->origins_kind = CONF_ORIGINS_LIST;
	for (; at.element < r->origins.n; at.element++) {
		const char *o = r->origins.v[at.element];

		if (strcmp(o, "same") == 0)
			r->origins_same = true;
		if (strcmp(o, "any") != 0)
			continue;
		r->origins_kind = CONF_ORIGINS_ANY;
		if (r->origins.n > 1)
			build_error(b, at,
				"any beside others, expected any alone, or a "
				"list of origins");
	}
	if (r->origins_same && r->origins.n == 1)
		r->origins_kind = CONF_ORIGINS_SAME;
}

/*
 * Browsers send cookies with every request, also those that a foreign page
 * asks for: the Origin is all that tells them apart.
 */
static void check_cookie(struct builder *b, const struct conf_route *r)
{
	struct build_at at = check_at_route(r, "token_cookie");

	if (!r->token_cookie || build_is_bad(b, check_at_route(r, "origins")))
		return;
	if (r->auth == CONF_AUTH_NONE)
		build_error(b, at,
			"means nothing without tokens, expected auth = token");
	if (r->origins_kind != CONF_ORIGINS_LIST || r->origins_same)
		build_error(b, at,
			"needs a list of origins, expected one instead of %s",
			r->origins_kind == CONF_ORIGINS_ANY ? "any" : "same");
	for (size_t i = 0; i < r->origins.n; i++)
		if (strcmp(r->origins.v[i], "null") == 0)
			build_error(b, at,
				"is used with the origin null, which every "
				"page can take on, expected a list without it");
}

static void set_backend_host(struct conf_route *r)
{
	r->backend_host_kind = CONF_HOST_NAME;
	if (!r->backend_host || strcmp(r->backend_host, "backend") == 0)
		r->backend_host_kind = CONF_HOST_BACKEND;
	else if (strcmp(r->backend_host, "client") == 0)
		r->backend_host_kind = CONF_HOST_CLIENT;
}

void check_route(struct builder *b, struct conf_route *r)
{
	check_path(b, r);
	set_backend_host(r);
	if (r->backend && check_backend(b, r) == 0) {
		const struct kind *k = &kinds[r->to.kind];

		check_framing(b, r, k);
		check_mode(b, r);
		check_meaning(b, r, k);
		check_allow(b, r);
		check_tls_route(b, r);
	}
	check_exec(b, r);
	check_auth(b, r);
	check_pathless(b, r);
	check_origins(b, r);
	check_cookie(b, r);
	check_access(b, check_at_route(r, NULL), &r->allow, &r->deny);
}
