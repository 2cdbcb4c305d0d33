/* closed: the newest closes and refusals of each worker (gate/closed.h). */
#include "daemon/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "daemon/filter.h"
#include "daemon/visit.h"
#include "gate/client.h"
#include "gate/closed.h"
#include "gate/identity.h"
#include "worker/worker.h"

struct closes {
	struct visit visit;
	struct filter filter;
	char *reason;          /* NULL: any */
	int64_t since;         /* Unix ms */
	enum closed_kind kind; /* the list that it is in */
};

static bool fits(const struct closes *x, const struct closed *c)
{
	const struct filter_client client = { c->route,
		identity_subject(c->identity), c->identity, NULL, &c->peer };

	return c->at_ms >= x->since &&
	       (!x->reason ||
		       strcmp(x->reason,
			       reason_get((enum reason)c->reason)->word) ==
			       0) &&
	       filter_fits(&x->filter, &client);
}

static void add_row(
	struct visit *v, enum closed_kind kind, const struct closed *c)
{
	const struct reason_info *reason = reason_get((enum reason)c->reason);
	bool refused = kind == CLOSED_REFUSALS;
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	VISIT_ROW(v, F_INT("closed_at", c->at_ms),
		F_STR("id", client_id(&(struct client){ .id = c->id }, id)),
		F_STR("event", refused ? "refuse" : "close"),
		F_STR("route", c->route),
		F_STR("subject", identity_subject(c->identity)),
		F_STR("peer", addr_format(&c->peer, peer)),
		F_STR("reason", reason->word), F_STR("side", c->side),
		c->code ? F_INT("code", c->code) : F_NONE,
		refused ? F_NONE : F_INT("age_ms", c->age_ms),
		refused ? F_NONE : F_INT("client_messages", c->messages[0]),
		refused ? F_NONE : F_INT("backend_messages", c->messages[1]),
		F_STR("path", c->path),
		F_STR("detail", c->detail ? c->detail : reason->text));
}

/* NULL: there is no further one here. Goes from one list to the next. */
static struct closed *next(struct closes *x, struct worker *w)
{
	struct walk *walk = &x->visit.walk;
	struct closed *c = NULL;

	for (;;) {
		struct closed_list *l = &w->closed->lists[x->kind];

		if (!walk->active)
			walk_begin(&l->walks, walk, TAILQ_FIRST(&l->list));
		c = walk->at;
		if (c)
			break;
		walk_end(walk);
		x->kind++;
		if (x->kind == CLOSED_KINDS) {
			x->kind = CLOSED_SESSIONS; /* of the next worker */
			return NULL;
		}
	}
	walk->at = TAILQ_NEXT(c, next);
	return c;
}

static bool run(struct visit *v, struct worker *w)
{
	struct closes *x = CONTAINER_OF(v, struct closes, visit);
	struct closed *c;

	do {
		c = next(x, w);
		if (c && fits(x, c))
			add_row(v, x->kind, c);
	} while (c && visit_goes_on(v, w));
	return c != NULL;
}

static void free_closes(struct visit *v)
{
	struct closes *x = CONTAINER_OF(v, struct closes, visit);

	filter_free(&x->filter);
	free(x->reason);
}

static const struct visit_kind kind = {
	.size = sizeof(struct closes),
	.run = run,
	.free = free_closes,
};

static bool is_reason(const char *word)
{
	for (int r = REASON_NONE + 1; r < REASON_COUNT; r++)
		if (strcmp(reason_get((enum reason)r)->word, word) == 0)
			return true;
	return false;
}

/* -1 and why. */
static int read_request(
	struct closes *x, const struct control_request *r, const char **why)
{
	const char *reason = control_text(r, "reason");

	x->since = control_number(r, "since");
	*why = "reason: there is none of this name; wsrelayd(8) has them all";
	if (reason && !is_reason(reason))
		return -1;
	*why = "no memory";
	x->reason = reason ? str_dup(str_of(reason)) : NULL;
	if (reason && !x->reason)
		return -1;
	return filter_read(&x->filter, r, why);
}

void command_closed(struct answer *a)
{
	struct visit *v = visit_new(a, &kind);
	const char *why;

	if (!v)
		return;
	if (read_request(CONTAINER_OF(v, struct closes, visit), a->request,
		    &why) < 0) {
		visit_drop(v);
		answer_usage(a, "%s", why);
		return;
	}
	visit_begin(v);
}
