#include "gate/counts.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

struct count {
	struct table_entry entry;
	int64_t n;
	uint8_t key[];
};

struct counts {
	pthread_mutex_t lock;
	struct table table;
};

struct counts *counts_new(void)
{
	struct counts *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	if (table_init(&c->table) < 0 ||
		pthread_mutex_init(&c->lock, NULL) != 0) {
		table_free(&c->table);
		free(c);
		return NULL;
	}
	return c;
}

void counts_free(struct counts *c)
{
	struct table_entry *e;

	if (!c)
		return;
	while ((e = table_any(&c->table))) {
		table_remove(&c->table, e);
		free(CONTAINER_OF(e, struct count, entry));
	}
	table_free(&c->table);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Under the lock. NULL without memory. */
static struct count *get(struct counts *c, const void *key, size_t n)
{
	struct table_entry *e = table_find(&c->table, key, n);
	struct count *one;

	if (e)
		return CONTAINER_OF(e, struct count, entry);
	one = calloc(1, sizeof(*one) + n);
	if (!one)
		return NULL;
	memcpy(one->key, key, n);
	table_add(&c->table, &one->entry, one->key, n);
	return one;
}

int64_t counts_enter(struct counts *c, const void *key, size_t n)
{
	struct count *one;
	int64_t result = -1;

	pthread_mutex_lock(&c->lock);
	one = get(c, key, n);
	/* The table has it. */
	if (one)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		result = ++one->n;
	pthread_mutex_unlock(&c->lock);
	return result;
}

int64_t counts_get(struct counts *c, const void *key, size_t n)
{
	struct table_entry *e;
	int64_t result;

	pthread_mutex_lock(&c->lock);
	e = table_find(&c->table, key, n);
	result = e ? CONTAINER_OF(e, struct count, entry)->n : 0;
	pthread_mutex_unlock(&c->lock);
	return result;
}

void counts_leave(struct counts *c, const void *key, size_t n)
{
	struct table_entry *e;
	struct count *one;

	pthread_mutex_lock(&c->lock);
	e = table_find(&c->table, key, n);
	assert(e);
	one = CONTAINER_OF(e, struct count, entry);
	if (--one->n == 0) {
		table_remove(&c->table, e);
		free(one);
	}
	pthread_mutex_unlock(&c->lock);
}
