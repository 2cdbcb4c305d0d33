/*
 * trunk = always: a route without captures has one hub, and it is there from
 * the start.
 *
 *   start -> keeper -> hub -> it ends -> back-off -> keeper -> hub ...
 *                       ^ or a client comes before that
 *
 * The keeper lives on the worker that is the hub's home, whichever worker makes
 * it. While the route is paused it opens none: resume does.
 */
#include "hub/private.h"

#include <stdlib.h>

#include "base/log.h"
#include "conf/conf.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "hub/here.h"

struct keeper {
	TAILQ_ENTRY(keeper) next; /* in hubs_here.keepers */
	struct worker *worker;
	const struct route_state *route;
	struct backoff backoff;
	struct timer timer; /* set while there is no hub */
};

bool hub_is_kept(const struct hub *h)
{
	return h->route->trunk == CONF_TRUNK_ALWAYS;
}

struct worker *hub_keeper_home(
	const struct shared *s, const struct conf_route *route)
{
	return s->workers[route->state->section.number % s->workers_n];
}

static void try_later(struct keeper *k)
{
	uint32_t random;

	worker_random(k->worker, (uint8_t *)&random, sizeof(random));
	timer_set(k->worker->loop, &k->timer,
		loop_now(k->worker->loop) + backoff_next(&k->backoff, random));
}

/* Whether the hub is there, or its trunk still closing: there are never two. */
static bool hub_exists(const struct keeper *k)
{
	const struct hub *h;

	TAILQ_FOREACH (h, &k->worker->hubs->list, home_next)
		if (h->route->state == k->route)
			return true;
	return false;
}

/* Makes the hub, or settles the one that a client has made and not reached. */
static void open_hub(struct timer *t)
{
	struct keeper *k = CONTAINER_OF(t, struct keeper, timer);

	if (!k->worker->draining && !atomic_load(&k->route->paused) &&
		!hub_exists(k) && hubs_open_kept(k->worker, k->route) < 0)
		try_later(k);
}

static int keeper_new(struct worker *w, const struct conf_route *route)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (!k || timer_init(w->loop, &k->timer, open_hub) < 0) {
		free(k);
		return -1;
	}
	k->worker = w;
	k->route = route->state;
	TAILQ_INSERT_TAIL(&w->hubs->keepers, k, next);
	open_hub(&k->timer);
	return 0;
}

static bool is_kept_here(const struct worker *w, const struct conf_route *r)
{
	return r->mode == CONF_MODE_HUB && r->trunk == CONF_TRUNK_ALWAYS &&
	       hub_keeper_home(w->shared, r) == w;
}

static struct keeper *find_keeper(
	const struct worker *w, const struct route_state *route)
{
	struct keeper *k;

	TAILQ_FOREACH (k, &w->hubs->keepers, next)
		if (k->route == route)
			break;
	return k;
}

int hubs_keep(struct worker *w)
{
	for (size_t i = 0; i < w->conf->routes_n; i++) {
		const struct conf_route *r = &w->conf->routes[i];

		if (is_kept_here(w, r) && !find_keeper(w, r->state) &&
			keeper_new(w, r) < 0)
			return -1;
	}
	return 0;
}

static void keeper_free(struct keeper *k)
{
	TAILQ_REMOVE(&k->worker->hubs->keepers, k, next);
	timer_fini(k->worker->loop, &k->timer);
	free(k);
}

/* Whether the route that it is for is still one of those. */
static bool is_wanted(const struct keeper *k)
{
	const struct conf *c = k->worker->conf;

	for (size_t i = 0; i < c->routes_n; i++)
		if (c->routes[i].state == k->route)
			return is_kept_here(k->worker, &c->routes[i]);
	return false;
}

void hubs_renew_kept(struct worker *w)
{
	struct keeper *k, *next;

	for (k = TAILQ_FIRST(&w->hubs->keepers); k; k = next) {
		next = TAILQ_NEXT(k, next);
		if (!is_wanted(k))
			keeper_free(k);
	}
	if (!w->draining && hubs_keep(w) < 0)
		LOG(LOG_ERROR, "hub-keep",
			F_STR("detail", "no memory for trunk = always"));
}

void hubs_resume_kept(struct worker *w, const struct route_state *route)
{
	struct keeper *k = find_keeper(w, route);

	if (!k)
		return;
	backoff_reset(&k->backoff);
	timer_clear(w->loop, &k->timer);
	open_hub(&k->timer);
}

void hubs_keep_no_more(struct worker *w)
{
	struct keeper *k, *next;

	for (k = TAILQ_FIRST(&w->hubs->keepers); k; k = next) {
		next = TAILQ_NEXT(k, next);
		keeper_free(k);
	}
}

static struct keeper *keeper_of(const struct hub *h)
{
	return find_keeper(h->home, h->route->state);
}

void hub_keeper_settled(struct hub *h)
{
	struct keeper *k = keeper_of(h);

	if (k)
		timer_clear(h->home->loop, &k->timer);
}

int64_t hub_keeper_ends(struct hub *h, bool *loud)
{
	struct keeper *k = keeper_of(h);

	*loud = true;
	if (!k || h->home->draining || atomic_load(&k->route->paused))
		return -1;
	if (hub_is_steady(h))
		backoff_reset(&k->backoff);
	try_later(k);
	*loud = h->opened_ms > 0 || backoff_is_loud(&k->backoff);
	return k->timer.due - loop_now(h->home->loop);
}

void hub_keeper_over(struct hub *h)
{
	struct keeper *k = keeper_of(h);

	/* It fired while the old trunk was closing. */
	if (k && !h->home->draining && !k->timer.at)
		open_hub(&k->timer);
}
