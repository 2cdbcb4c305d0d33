#include "daemon/sections.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/str.h"
#include "conf/conf.h"
#include "net/tls.h"
#include "worker/credentials.h"
#include "worker/section.h"
#include "gate/counts.h"
#include "gate/trouble.h"
#include "hub/hub.h"
#include "backend/runs.h"
#include "worker/route_counters.h"

struct sections {
	pthread_mutex_t lock; /* of both tables, and of all references */
	struct table routes, listens;
	TAILQ_HEAD(, route_state) all_routes;
	struct route_records records;
	uint32_t last; /* number that was given */
};

struct sections *sections_new(size_t workers_n)
{
	struct sections *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	TAILQ_INIT(&s->all_routes);
	if (table_init(&s->routes) < 0 || table_init(&s->listens) < 0 ||
		route_records_init(&s->records, workers_n) < 0 ||
		pthread_mutex_init(&s->lock, NULL) != 0) {
		table_free(&s->routes);
		table_free(&s->listens);
		route_records_fini(&s->records);
		free(s);
		return NULL;
	}
	return s;
}

struct route_records *sections_records(struct sections *s)
{
	return &s->records;
}

void sections_free(struct sections *s)
{
	if (!s)
		return;
	assert(s->routes.n == 0 && s->listens.n == 0);
	table_free(&s->routes);
	table_free(&s->listens);
	route_records_fini(&s->records);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- one of them ----------------------------------------------------------*/

static struct section_state *find_section(struct table *t, const char *name)
{
	struct table_entry *e = table_find(t, name, strlen(name));

	return e ? CONTAINER_OF(e, struct section_state, by_name) : NULL;
}

/* -1 without memory. */
static int name_section(struct sections *s, struct table *t,
	struct section_state *x, const char *name)
{
	x->name = str_dup(str_of(name));
	if (!x->name)
		return -1;
	x->of = s;
	x->references = 1;
	x->number = ++s->last;
	table_add(t, &x->by_name, x->name, strlen(x->name));
	return 0;
}

static void route_free(struct route_state *r)
{
	counts_free(r->subjects);
	trouble_free(r->trouble);
	runs_free(r->runs);
	hub_route_free(r->hubs);
	free(r->section.name);
	free(r);
}

static void listen_free(struct listen_state *l)
{
	tls_tickets_free(l->tickets);
	free(l->section.name);
	free(l);
}

static void put_route(struct route_state *r)
{
	struct sections *s = r->section.of;
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --r->section.references == 0;
	if (last) {
		table_remove(&s->routes, &r->section.by_name);
		TAILQ_REMOVE(&s->all_routes, r, next);
	}
	pthread_mutex_unlock(&s->lock);
	if (last)
		route_free(r);
}

static void put_listen(struct listen_state *l)
{
	struct sections *s = l->section.of;
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --l->section.references == 0;
	if (last)
		table_remove(&s->listens, &l->section.by_name);
	pthread_mutex_unlock(&s->lock);
	if (last)
		listen_free(l);
}

/* Under the lock. NULL without memory. */
static struct route_state *get_route(
	struct sections *s, const char *name, size_t most_records)
{
	struct section_state *x = find_section(&s->routes, name);
	struct route_record *record;
	struct route_state *r;

	if (x) {
		x->references++;
		return CONTAINER_OF(x, struct route_state, section);
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	record = route_records_get(&s->records, name, most_records);
	r->subjects = counts_new();
	r->trouble = trouble_new();
	r->runs = runs_new();
	r->hubs = hub_route_new();
	if (!record || !r->subjects || !r->hubs || !r->trouble || !r->runs ||
		name_section(s, &s->routes, &r->section, name) < 0) {
		route_free(r);
		return NULL;
	}
	r->counters = record->of;
	TAILQ_INSERT_TAIL(&s->all_routes, r, next);
	return r;
}

static struct listen_state *get_listen(struct sections *s, const char *name)
{
	struct section_state *x = find_section(&s->listens, name);
	struct listen_state *l;

	if (x) {
		x->references++;
		return CONTAINER_OF(x, struct listen_state, section);
	}
	l = calloc(1, sizeof(*l));
	if (!l || name_section(s, &s->listens, &l->section, name) < 0) {
		free(l);
		return NULL;
	}
	return l;
}

/* -1 without memory. */
static int get_tickets(struct listen_state *l, const struct conf_listen *from)
{
	if (!l->tickets && from->use_certificates.n > 0) {
		l->tickets = tls_tickets_new(CREDENTIALS_TICKET_S);
		if (!l->tickets)
			return -1;
	}
	return 0;
}

/* --- all of a snapshot ----------------------------------------------------*/

static void forget_route(struct conf_route *route)
{
	struct route_state *r = route->state;

	route->state = NULL;
	if (r)
		put_route(r);
}

static void forget(struct conf *c)
{
	for (size_t i = 0; i < c->routes_n; i++)
		forget_route(&c->routes[i]);
	for (size_t i = 0; i < c->attaches_n; i++)
		forget_route(&c->attaches[i].entrance);
	for (size_t i = 0; i < c->listens_n; i++) {
		struct listen_state *l = c->listens[i].state;

		c->listens[i].state = NULL;
		if (l)
			put_listen(l);
	}
}

static int adopt_route(
	struct sections *s, const struct conf *c, struct conf_route *r)
{
	r->state = get_route(s, r->section.name,
		c->routes_n + c->attaches_n + ROUTE_RECORDS_GONE);
	return r->state ? 0 : -1;
}

static int adopt(struct sections *s, struct conf *c)
{
	for (size_t i = 0; i < c->routes_n; i++)
		if (adopt_route(s, c, &c->routes[i]) < 0)
			return -1;
	for (size_t i = 0; i < c->attaches_n; i++)
		if (adopt_route(s, c, &c->attaches[i].entrance) < 0)
			return -1;
	for (size_t i = 0; i < c->listens_n; i++) {
		struct conf_listen *l = &c->listens[i];

		l->state = get_listen(s, l->section.name);
		if (!l->state || get_tickets(l->state, l) < 0)
			return -1;
	}
	return 0;
}

int sections_adopt(struct sections *s, struct conf *c)
{
	int result;

	pthread_mutex_lock(&s->lock);
	result = adopt(s, c);
	pthread_mutex_unlock(&s->lock);
	if (result < 0)
		forget(c);
	else
		c->forget = forget;
	return result;
}

void sections_close(struct sections *s)
{
	struct route_state *r;
	bool again = true;

	while (again) {
		again = false;
		/* With its last hub a route may go, too. */
		TAILQ_FOREACH (r, &s->all_routes, next)
			if (hub_route_forget_one(r->hubs)) {
				again = true;
				break;
			}
	}
}
