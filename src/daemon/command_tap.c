/* tap: messages as they pass, of all routes but those with tap = no. */
#include "daemon/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/tapping.h"
#include "daemon/visit.h"
#include "end/tap.h"
#include "gate/client.h"
#include "pair/session.h"
#include "worker/worker.h"

/* Of a message; what is longer is cut. */
#define KEEP (1u << 20)

/* NULL, or what is wrong. */
static const char *read_direction(
	struct tap_filter *f, const struct control_request *r)
{
	const char *text = control_text(r, "direction");

	if (!text)
		return NULL;
	if (strcmp(text, "from_client") == 0)
		f->not_from[END_BACKEND] = true;
	else if (strcmp(text, "to_client") == 0)
		f->not_from[END_CLIENT] = true;
	else
		return "direction: expected from_client or to_client";
	return NULL;
}

static const char *read_filter(
	struct tap_filter *f, const struct control_request *r)
{
	const char *client = control_text(r, "client");
	const char *match = control_text(r, "match");
	const char *why = read_direction(f, r);

	if (why)
		return why;
	if (client && client_parse_id(client, &f->client) < 0)
		return "client: expected an id of the log, such as 6d2f0a1c";
	if (match && !match[0])
		return "match: expected a text";
	if (match) {
		f->match = str_dup(str_of(match));
		f->match_n = strlen(match);
	}
	return match && !f->match ? "no memory" : NULL;
}

/* --- of one client: is it there? ------------------------------------------*/

struct look {
	struct visit visit;
	struct tap_filter filter;
};

static bool run_look(struct visit *v, struct worker *w)
{
	uint64_t id = CONTAINER_OF(v, struct look, visit)->filter.client;
	struct session *s;

	do {
		s = sessions_next(w, &v->walk);
		if (s && s->client.id == id) {
			v->enough = true;
			return false;
		}
	} while (s && visit_goes_on(v, w));
	return s != NULL;
}

static void look_done(struct visit *v, struct answer *a)
{
	struct look *x = CONTAINER_OF(v, struct look, visit);
	struct tap_filter f = x->filter;

	if (!v->enough) {
		answer_refuse(a, "there is no client %s",
			control_text(a->request, "client"));
		return;
	}
	x->filter = (struct tap_filter){ 0 };
	visit_drop(v);
	tapping_begin(a, &f);
}

static void free_look(struct visit *v)
{
	tap_filter_free(&CONTAINER_OF(v, struct look, visit)->filter);
}

static const struct visit_kind look_kind = {
	.size = sizeof(struct look),
	.run = run_look,
	.done = look_done,
	.free = free_look,
};

static void look_first(struct answer *a, struct tap_filter *f)
{
	struct visit *v = visit_new(a, &look_kind);

	if (!v) {
		tap_filter_free(f);
		return;
	}
	CONTAINER_OF(v, struct look, visit)->filter = *f;
	visit_begin(v);
}

/* --- the command ----------------------------------------------------------*/

void command_tap(struct answer *a)
{
	struct tap_filter f = { .keep = KEEP };
	const char *why = read_filter(&f, a->request);

	if (why) {
		tap_filter_free(&f);
		answer_usage(a, "%s", why);
	} else if (f.client) {
		look_first(a, &f);
	} else {
		tapping_begin(a, &f);
	}
}
