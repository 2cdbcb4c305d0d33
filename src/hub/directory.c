/*
 * The hubs of a route by their paths, for any thread: a table behind a lock, a
 * part of the route's state (section.h).
 *
 *   join -> is it there? -> else room under max_hubs? -> a new one
 *                           else an empty one that only lingers gives way
 *
 * Of those the one that has lingered longest gives way, among the hubs of the
 * address that has most of them: a client that opens hub after hub takes its
 * own empty ones away, not those of others.
 */
#include "hub/private.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "conf/conf.h"
#include "worker/section.h"
#include "worker/worker.h"

struct hub_maker { /* an address with empty hubs of one route */
	TAILQ_ENTRY(hub_maker) next;
	struct table_entry entry;
	TAILQ_HEAD(, hub) lingering; /* the longest first */
	size_t n;
	struct addr address;
};

struct hub_route {
	pthread_mutex_t lock;
	struct table by_path;
	struct table by_address;
	TAILQ_HEAD(, hub_maker) makers;
};

/* --- life -----------------------------------------------------------------*/

struct hub_route *hub_route_new(void)
{
	struct hub_route *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	TAILQ_INIT(&r->makers);
	if (table_init(&r->by_path) < 0 || table_init(&r->by_address) < 0 ||
		pthread_mutex_init(&r->lock, NULL) != 0) {
		table_free(&r->by_path);
		table_free(&r->by_address);
		free(r);
		return NULL;
	}
	return r;
}

/* Under the lock, or at the end. */
static void lingers_no_more(struct hub_route *r, struct hub *h)
{
	struct hub_maker *m = h->lingers_for;

	if (!m)
		return;
	h->lingers_for = NULL;
	TAILQ_REMOVE(&m->lingering, h, lingering_next);
	if (--m->n > 0)
		return;
	TAILQ_REMOVE(&r->makers, m, next);
	table_remove(&r->by_address, &m->entry);
	free(m);
}

bool hub_route_forget_one(struct hub_route *r)
{
	struct table_entry *e = table_any(&r->by_path);
	struct hub *h;

	if (!e)
		return false;
	h = CONTAINER_OF(e, struct hub, by_path);
	table_remove(&r->by_path, e);
	h->listed = false;
	lingers_no_more(r, h);
	hub_unref(h);
	return true;
}

size_t hub_route_count(struct hub_route *r)
{
	size_t n;

	pthread_mutex_lock(&r->lock);
	n = r->by_path.n;
	pthread_mutex_unlock(&r->lock);
	return n;
}

void hub_route_free(struct hub_route *r)
{
	if (!r)
		return;
	table_free(&r->by_path);
	table_free(&r->by_address);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* --- under the lock -------------------------------------------------------*/

static struct hub *find_hub(struct hub_route *r, struct str path)
{
	struct table_entry *e = table_find(&r->by_path, path.p, path.n);

	return e ? CONTAINER_OF(e, struct hub, by_path) : NULL;
}

static struct hub *list_new(struct hub_route *r, struct worker *home,
	struct conf *conf, const struct conf_route *route, struct str path)
{
	struct hub *h = hub_new(home, conf, route, path);

	if (!h)
		return NULL;
	table_add(&r->by_path, &h->by_path, h->path, path.n);
	h->listed = true;
	return h;
}

static void unlist(struct hub_route *r, struct hub *h)
{
	table_remove(&r->by_path, &h->by_path);
	h->listed = false;
	lingers_no_more(r, h);
}

/* NULL without memory. */
static struct hub_maker *maker_of(
	struct hub_route *r, const struct addr *address)
{
	struct table_entry *e;
	struct hub_maker *m;

	e = table_find(&r->by_address, address->ip, sizeof(address->ip));
	if (e)
		return CONTAINER_OF(e, struct hub_maker, entry);
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	TAILQ_INIT(&m->lingering);
	m->address = *address;
	table_add(&r->by_address, &m->entry, m->address.ip,
		sizeof(m->address.ip));
	TAILQ_INSERT_TAIL(&r->makers, m, next);
	return m;
}

/* Whether there was one; its home is told. */
static bool make_room(struct hub_route *r)
{
	struct hub_maker *m, *most = NULL;
	struct hub *h;

	TAILQ_FOREACH (m, &r->makers, next)
		if (!most || m->n > most->n)
			most = m;
	if (!most)
		return false;
	h = TAILQ_FIRST(&most->lingering);
	unlist(r, h);
	hub_tell_home_to_give_way(h);
	return true;
}

/* --- any thread -----------------------------------------------------------*/

/* A client may have come under an older snapshot than its worker has now. */
static struct hub *make_for(struct hub_route *r, struct worker *home,
	const struct worker *w, const struct client *c,
	const struct conf_route *route, struct str path)
{
	const struct conf_route *newest = conf_same_route(w->conf, route);
	struct hub *h = list_new(r, home, newest ? w->conf : c->conf,
		newest ? newest : route, path);

	if (h)
		h->maker = c->peer;
	return h;
}

struct hub *hubs_join(struct worker *w, const struct client *c,
	const struct conf_route *route, struct str path, enum reason *reason)
{
	struct hub_route *r = route->state->hubs;
	struct worker *home = route->trunk == CONF_TRUNK_ALWAYS
				      ? hub_keeper_home(w->shared, route)
				      : w;
	struct hub *h;

	pthread_mutex_lock(&r->lock);
	h = find_hub(r, path);
	if (!h && r->by_path.n >= (size_t)route->max_hubs && !make_room(r)) {
		*reason = REASON_LIMIT_HUBS;
	} else if (!h) {
		*reason = REASON_INTERNAL;
		h = make_for(r, home, w, c, route, path);
	}
	if (h) {
		h->joins++;
		lingers_no_more(r, h);
		hub_ref(h);
	}
	pthread_mutex_unlock(&r->lock);
	return h;
}

struct hub *hubs_get_kept(struct worker *w, const struct conf_route *route)
{
	struct hub_route *r = route->state->hubs;
	struct str path = str_of(route->path); /* it has no captures */
	struct hub *h;

	pthread_mutex_lock(&r->lock);
	h = find_hub(r, path);
	if (!h)
		h = list_new(r, w, w->conf, route, path);
	if (h)
		hub_ref(h);
	pthread_mutex_unlock(&r->lock);
	return h;
}

void hub_join_seen(struct hub *h)
{
	struct hub_route *r = h->route->state->hubs;

	pthread_mutex_lock(&r->lock);
	h->joins--;
	pthread_mutex_unlock(&r->lock);
}

void hub_lingers(struct hub *h)
{
	struct hub_route *r = h->route->state->hubs;
	struct hub_maker *m;

	pthread_mutex_lock(&r->lock);
	if (h->listed && h->joins == 0 && !h->lingers_for) {
		m = maker_of(r, &h->maker);
		if (m) { /* else it gives way to nothing: no harm */
			h->lingers_for = m;
			m->n++;
			TAILQ_INSERT_TAIL(&m->lingering, h, lingering_next);
		}
	}
	pthread_mutex_unlock(&r->lock);
}

bool hub_unlist(struct hub *h, bool force)
{
	struct hub_route *r = h->route->state->hubs;
	bool out = true;

	pthread_mutex_lock(&r->lock);
	if (h->listed && h->joins > 0 && !force)
		out = false;
	else if (h->listed)
		unlist(r, h);
	pthread_mutex_unlock(&r->lock);
	return out;
}
