/*
 * record: what a hub says to all its members, for wsrelayctl to write into a
 * file. The path is that of the hub; where several routes have it, the first with
 * mode = hub counts, as for clients.
 */
#include "daemon/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/http/uri.h"
#include "codec/pattern.h"
#include "codec/recording.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/tapping.h"
#include "end/tap.h"

/* NULL: there is none. name may be NULL. */
static const struct conf_route *find_route(
	const struct conf *conf, struct str path, const char *name)
{
	struct captures captures;

	for (size_t i = 0; i < conf->routes_n; i++) {
		const struct conf_route *r = &conf->routes[i];

		if (r->mode == CONF_MODE_HUB &&
			(!name || strcmp(name, r->section.name) == 0) &&
			pattern_match(r->pattern, path, &captures))
			return r;
	}
	return NULL;
}

/* -1 without memory, or when text is no path: f->hub says which. */
static int read_path(struct tap_filter *f, const char *text)
{
	struct str raw = str_of(text);
	ssize_t n;

	f->hub = malloc(raw.n + 1);
	if (!f->hub)
		return -1;
	n = uri_normalise_path(f->hub, raw);
	if (n < 0)
		return -1;
	f->hub[n] = '\0';
	return 0;
}

/* NULL, or why there can be no such recording. */
static const char *read_filter(struct tap_filter *f, const struct answer *a)
{
	const struct conf_route *route;

	if (read_path(f, control_text(a->request, "path")) < 0)
		return f->hub ? "path: expected one such as /sim/42"
			      : "no memory";
	route = find_route(a->daemon->conf, str_of(f->hub),
		control_text(a->request, "route"));
	if (!route)
		return "there is no route with mode = hub and this path";
	f->route = str_dup(str_of(route->section.name));
	return f->route ? NULL : "no memory";
}

static void tell_head(struct answer *a, const struct tap_filter *f)
{
	const struct conf_route *route = conf_find_route(
		a->daemon->conf, str_of(f->route));
	const struct framing *framing = framing_get(
		(enum framing_id)route->framing);

	ANSWER_ROW(a, F_STR("route", f->route), F_STR("path", f->hub),
		F_STR("framing", framing ? framing->name : NULL));
}

void command_record(struct answer *a)
{
	struct tap_filter f = {
		.keep = RECORDING_MESSAGE_MAX, .whole = true, .for_all = true
	};
	const char *why = read_filter(&f, a);

	if (!why) {
		tell_head(a, &f);
		tapping_begin(a, &f);
		return;
	}
	tap_filter_free(&f);
	answer_refuse(a, "%s", why);
}
