#include "worker/route_counters.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static void record_free(struct route_record *x)
{
	if (!x)
		return;
	free(x->of);
	free(x->name);
	free(x);
}

static struct route_record *record_new(const char *name, size_t workers_n)
{
	struct route_record *x = calloc(1, sizeof(*x));
	size_t n = workers_n * sizeof(*x->of);

	if (!x)
		return NULL;
	x->name = str_dup(str_of(name));
	x->of = aligned_alloc(CACHE_LINE, n);
	if (!x->name || !x->of) {
		record_free(x);
		return NULL;
	}
	/* Zeros are counters that nothing was counted with. */
	memset(x->of, 0, n);
	return x;
}

int route_records_init(struct route_records *r, size_t workers_n)
{
	*r = (struct route_records){ .workers_n = workers_n };
	if (table_init(&r->by_name) < 0)
		return -1;
	r->first = r->last = record_new("", workers_n);
	if (r->first)
		return 0;
	table_free(&r->by_name);
	return -1;
}

void route_records_fini(struct route_records *r)
{
	struct route_record *next;

	for (struct route_record *x = r->first; x; x = next) {
		next = route_record_next(x);
		record_free(x);
	}
	r->first = NULL;
	table_free(&r->by_name);
}

struct route_record *route_records_get(
	struct route_records *r, const char *name, size_t most)
{
	struct table_entry *e = table_find(&r->by_name, name, strlen(name));
	struct route_record *x;

	if (e)
		return CONTAINER_OF(e, struct route_record, by_name);
	if (r->n >= most)
		return r->first;
	x = record_new(name, r->workers_n);
	if (!x)
		return NULL;
	table_add(&r->by_name, &x->by_name, x->name, strlen(x->name));
	r->n++;
	/* It is whole before a reader finds it. */
	atomic_store_explicit(&r->last->next, x, memory_order_release);
	r->last = x;
	return x;
}

static void add_traffic(struct route_traffic *t, const struct route_counters *c)
{
	for (int side = 0; side < 2; side++) {
		t->messages[side] += histogram_count(&c->messages[side]);
		t->bytes[side] += counter_read(&c->bytes[side]);
	}
}

struct route_traffic route_records_traffic(const struct route_records *r)
{
	struct route_traffic t = { .messages = { 0 } };

	for (const struct route_record *x = r->first; x;
		x = route_record_next(x))
		for (size_t i = 0; i < r->workers_n; i++)
			add_traffic(&t, &x->of[i]);
	return t;
}
