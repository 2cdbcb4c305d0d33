/*
 * backends: a row for each hub, of the worker where it is at home; then one for
 * each route without hubs, whose pairs were counted on the way.
 */
#include "daemon/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/reason.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/visit.h"
#include "gate/trouble.h"
#include "hub/info.h"
#include "pair/session.h"
#include "worker/section.h"
#include "worker/worker.h"

struct use { /* of a route, by all pairs so far */
	const struct route_state *route;
	size_t open, queued;
	int64_t last_ms; /* the newest data of a backend */
};

struct backends {
	struct visit visit;
	struct conf *conf; /* a reference */
	struct use *uses;  /* by state's address */
	bool hubs;         /* of the pairs of this worker all are counted */
};

static int compare(const void *a, const void *b)
{
	const struct use *x = a, *y = b;
	uintptr_t p = (uintptr_t)x->route, q = (uintptr_t)y->route;

	return (p > q) - (p < q);
}

/* NULL: it is of a route that is gone. */
static struct use *use_of(
	const struct backends *x, const struct route_state *route)
{
	const struct use key = { .route = route };

	return bsearch(
		&key, x->uses, x->conf->routes_n, sizeof(*x->uses), compare);
}

/* --- there ----------------------------------------------------------------*/

static void count_pair(struct backends *x, const struct session *s)
{
	const struct session_side *backend = &s->sides[END_BACKEND];
	struct use *use = use_of(x, s->client.route->state);

	if (!use || s->hub || !session_is_open(s))
		return;
	use->open++;
	use->queued += session_queued(s, END_BACKEND);
	if (backend->messages > 0 && backend->last_ms > use->last_ms)
		use->last_ms = backend->last_ms;
}

static void add_hub(struct visit *v, struct worker *w, const struct hub_info *i)
{
	int64_t now = loop_now(w->loop);
	bool lost = i->reason != REASON_NONE;

	VISIT_ROW(v, F_STR("route", i->route->section.name),
		F_STR("hub", i->path), F_STR("backend", i->route->backend),
		F_STR("state", i->state),
		F_INT("open", strcmp(i->state, "open") == 0),
		i->opened_ms ? F_INT("age_ms", now - i->opened_ms) : F_NONE,
		i->last_ms ? F_INT("message_ms", now - i->last_ms) : F_NONE,
		F_INT("queued_bytes", i->queued),
		lost ? F_INT("trouble_ms", now - i->lost_ms) : F_NONE,
		lost ? F_STR("trouble", reason_get(i->reason)->word) : F_NONE,
		lost && i->detail[0] ? F_STR("detail", i->detail) : F_NONE);
}

static bool run_pairs(struct backends *x, struct worker *w)
{
	struct session *s;

	do {
		s = sessions_next(w, &x->visit.walk);
		if (!s)
			return false;
		count_pair(x, s);
	} while (visit_goes_on(&x->visit, w));
	return true;
}

static bool run_hubs(struct backends *x, struct worker *w)
{
	struct hub_info info;
	struct hub *h;

	do {
		h = hubs_next(w, &x->visit.walk);
		if (!h)
			return false;
		hub_info_get(h, &info);
		add_hub(&x->visit, w, &info);
	} while (visit_goes_on(&x->visit, w));
	return true;
}

static bool run(struct visit *v, struct worker *w)
{
	struct backends *x = CONTAINER_OF(v, struct backends, visit);

	if (!x->hubs) {
		if (run_pairs(x, w))
			return true;
		walk_end(&v->walk);
		x->hubs = true;
	}
	if (run_hubs(x, w))
		return true;
	x->hubs = false; /* of the next worker */
	return false;
}

/* --- here -----------------------------------------------------------------*/

/* A pair that was opened since says that it is over. */
static const char *state_of(const struct conf_route *r, const struct use *u,
	const struct trouble_last *t)
{
	if (t->at_ms > atomic_load_explicit(
			       &r->state->opened_at, memory_order_relaxed))
		return "failing";
	return u->open > 0 ? "open" : "idle";
}

static void add_route(
	struct answer *a, const struct conf_route *r, const struct use *u)
{
	int64_t now = loop_now(a->daemon->loop);
	struct trouble_last t;
	bool was;

	trouble_get(r->state->trouble, &t);
	was = t.at_ms > 0;
	ANSWER_ROW(a, F_STR("route", r->section.name),
		F_STR("backend", r->backend),
		F_STR("state", state_of(r, u, &t)), F_INT("open", u->open),
		u->last_ms ? F_INT("message_ms", now - u->last_ms) : F_NONE,
		F_INT("queued_bytes", u->queued),
		was ? F_INT("trouble_ms", clock_unix_ms() - t.at_ms) : F_NONE,
		was ? F_STR("trouble", reason_get(t.reason)->word) : F_NONE,
		t.detail[0] ? F_STR("detail", t.detail) : F_NONE);
}

static void done(struct visit *v, struct answer *a)
{
	struct backends *x = CONTAINER_OF(v, struct backends, visit);

	/* A file has no more than 1000 (conf/build.h). */
	for (size_t i = 0; i < x->conf->routes_n; i++) {
		const struct conf_route *r = &x->conf->routes[i];

		if (r->mode == CONF_MODE_PAIR)
			add_route(a, r, use_of(x, r->state));
	}
	answer_end(a);
}

static void free_backends(struct visit *v)
{
	struct backends *x = CONTAINER_OF(v, struct backends, visit);

	free(x->uses);
	conf_unref(x->conf);
}

static const struct visit_kind kind = {
	.size = sizeof(struct backends),
	.run = run,
	.done = done,
	.free = free_backends,
};

void command_backends(struct answer *a)
{
	struct visit *v = visit_new(a, &kind);
	struct conf *conf = a->daemon->conf;
	struct backends *x;

	if (!v)
		return;
	x = CONTAINER_OF(v, struct backends, visit);
	x->conf = conf_ref(conf);
	x->uses = calloc(conf->routes_n + 1, sizeof(*x->uses));
	if (!x->uses) {
		visit_drop(v);
		answer_refuse(a, "no memory");
		return;
	}
	for (size_t i = 0; i < conf->routes_n; i++)
		x->uses[i].route = conf->routes[i].state;
	qsort(x->uses, conf->routes_n, sizeof(*x->uses), compare);
	visit_begin(v);
}
