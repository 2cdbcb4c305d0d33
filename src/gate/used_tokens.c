/*
 *   by id: one table        is it used?
 *   by key: a heap by exp   the first that expires, so that one look per new
 *                           token is enough to forget those that have
 */
#include "gate/used_tokens.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/table.h"
#include "codec/state.h"

struct used {
	struct table_entry by_id;
	struct used_key *key;
	size_t at; /* in its key's heap, from 1 */
	int64_t exp_ms;
	uint8_t id[USED_TOKENS_ID];
};

struct used_key {
	struct table_entry by_name;
	SLIST_ENTRY(used_key) next;
	struct used **heap; /* from 1 */
	size_t n, capacity;
	char name[];
};

struct used_tokens {
	pthread_mutex_t lock;
	struct table by_id, keys;
	SLIST_HEAD(, used_key) list; /* of keys */
};

/* --- the heap of a key ----------------------------------------------------*/

static void heap_put(struct used_key *k, size_t at, struct used *u)
{
	k->heap[at] = u;
	u->at = at;
}

static void heap_up(struct used_key *k, size_t at, struct used *u)
{
	for (; at > 1 && k->heap[at / 2]->exp_ms > u->exp_ms; at /= 2)
		heap_put(k, at, k->heap[at / 2]);
	heap_put(k, at, u);
}

static void heap_down(struct used_key *k, size_t at, struct used *u)
{
	for (;;) {
		size_t child = at * 2;

		if (child > k->n)
			break;
		if (child < k->n &&
			k->heap[child + 1]->exp_ms < k->heap[child]->exp_ms)
			child++;
		if (k->heap[child]->exp_ms >= u->exp_ms)
			break;
		heap_put(k, at, k->heap[child]);
		at = child;
	}
	heap_put(k, at, u);
}

static int heap_reserve(struct used_key *k)
{
	size_t capacity = k->capacity ? k->capacity * 2 : 16;
	struct used **heap;

	if (k->n + 1 < k->capacity)
		return 0;
	heap = realloc(k->heap, capacity * sizeof(*heap));
	if (!heap)
		return -1;
	k->heap = heap;
	k->capacity = capacity;
	return 0;
}

static void forget_token(struct used_tokens *t, struct used *u)
{
	struct used_key *k = u->key;
	struct used *last = k->heap[k->n--];

	if (last != u && u->at > 1 && k->heap[u->at / 2]->exp_ms > last->exp_ms)
		heap_up(k, u->at, last);
	else if (last != u)
		heap_down(k, u->at, last);
	table_remove(&t->by_id, &u->by_id);
	free(u);
}

/* --- keys -----------------------------------------------------------------*/

/* NULL without memory. There are as many as the configuration has had. */
static struct used_key *key_get(struct used_tokens *t, const char *name)
{
	size_t n = strlen(name);
	struct table_entry *e = table_find(&t->keys, name, n);
	struct used_key *k;

	if (e)
		return CONTAINER_OF(e, struct used_key, by_name);
	k = calloc(1, sizeof(*k) + n + 1);
	if (!k)
		return NULL;
	memcpy(k->name, name, n + 1);
	table_add(&t->keys, &k->by_name, k->name, n);
	SLIST_INSERT_HEAD(&t->list, k, next);
	return k;
}

/* --- all ------------------------------------------------------------------*/

struct used_tokens *used_tokens_new(void)
{
	struct used_tokens *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	if (table_init(&t->by_id) < 0 || table_init(&t->keys) < 0 ||
		pthread_mutex_init(&t->lock, NULL) != 0) {
		table_free(&t->by_id);
		table_free(&t->keys);
		free(t);
		return NULL;
	}
	return t;
}

void used_tokens_free(struct used_tokens *t)
{
	struct table_entry *e;

	if (!t)
		return;
	while ((e = table_any(&t->keys))) {
		struct used_key *k = CONTAINER_OF(e, struct used_key, by_name);

		while (k->n > 0)
			forget_token(t, k->heap[k->n]);
		table_remove(&t->keys, e);
		free(k->heap);
		free(k);
	}
	table_free(&t->by_id);
	table_free(&t->keys);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Under the lock. */
static enum reason add_token(struct used_tokens *t, struct used_key *k,
	const uint8_t id[USED_TOKENS_ID], int64_t exp_ms)
{
	struct used *u;

	if (k->n >= USED_TOKENS_MAX)
		return REASON_TOKEN_STORE;
	u = heap_reserve(k) < 0 ? NULL : calloc(1, sizeof(*u));
	if (!u)
		return REASON_INTERNAL;
	u->key = k;
	u->exp_ms = exp_ms;
	memcpy(u->id, id, USED_TOKENS_ID);
	table_add(&t->by_id, &u->by_id, u->id, USED_TOKENS_ID);
	heap_up(k, ++k->n, u);
	return REASON_NONE;
}

/*
 * Under the lock. One that has expired is not there, wherever it is in the heap:
 * a jti may then come again.
 */
static bool is_used(
	struct used_tokens *t, const uint8_t id[USED_TOKENS_ID], int64_t now_ms)
{
	struct table_entry *e = table_find(&t->by_id, id, USED_TOKENS_ID);
	struct used *u = e ? CONTAINER_OF(e, struct used, by_id) : NULL;

	if (u && u->exp_ms < now_ms) {
		forget_token(t, u);
		u = NULL;
	}
	return u;
}

enum reason used_tokens_add(struct used_tokens *t, const char *key,
	const uint8_t id[USED_TOKENS_ID], int64_t exp_ms, int64_t now_ms)
{
	enum reason r = REASON_INTERNAL;
	struct used_key *k;

	pthread_mutex_lock(&t->lock);
	k = key_get(t, key);
	/* Two for each that may come: what expires does not pile up. */
	/* The table has k, and forget_token takes its first from the heap. */
	for (int i = 0; k && i < 2; i++) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (k->n > 0 && k->heap[1]->exp_ms < now_ms)
			forget_token(t, k->heap[1]);
	}
	if (k && is_used(t, id, now_ms))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		r = REASON_TOKEN_USED;
	else if (k)
		r = add_token(t, k, id, exp_ms);
	pthread_mutex_unlock(&t->lock);
	return r;
}

static bool is_full(const struct used_key *k, int64_t now_ms)
{
	return k->n >= USED_TOKENS_MAX && k->heap[1]->exp_ms >= now_ms;
}

enum reason used_tokens_look(struct used_tokens *t, const char *key,
	const uint8_t id[USED_TOKENS_ID], int64_t now_ms)
{
	enum reason r = REASON_NONE;
	struct table_entry *e;

	pthread_mutex_lock(&t->lock);
	if (is_used(t, id, now_ms))
		r = REASON_TOKEN_USED;
	e = table_find(&t->keys, key, strlen(key));
	if (r == REASON_NONE && e &&
		is_full(CONTAINER_OF(e, struct used_key, by_name), now_ms))
		r = REASON_TOKEN_STORE;
	pthread_mutex_unlock(&t->lock);
	return r;
}

void used_tokens_remove(struct used_tokens *t, const uint8_t id[USED_TOKENS_ID])
{
	struct table_entry *e;

	pthread_mutex_lock(&t->lock);
	e = table_find(&t->by_id, id, USED_TOKENS_ID);
	if (e)
		forget_token(t, CONTAINER_OF(e, struct used, by_id));
	pthread_mutex_unlock(&t->lock);
}

/* --- beyond the end -------------------------------------------------------*/

_Static_assert(USED_TOKENS_ID == STATE_ID, "as it is written");

/* -1: no memory. */
static int write_key(struct buf *out, const struct used_key *k, int64_t now_ms)
{
	struct state_record r = { .kind = STATE_USED, .key = str_of(k->name) };

	for (size_t i = 1; i <= k->n; i++) {
		if (k->heap[i]->exp_ms < now_ms)
			continue;
		r.until_ms = k->heap[i]->exp_ms;
		memcpy(r.id, k->heap[i]->id, STATE_ID);
		if (state_add(out, &r) < 0)
			return -1;
	}
	return 0;
}

int used_tokens_write(struct used_tokens *t, struct buf *out, int64_t now_ms)
{
	const struct used_key *k;
	int result = 0;

	pthread_mutex_lock(&t->lock);
	SLIST_FOREACH (k, &t->list, next)
		if (write_key(out, k, now_ms) < 0) {
			result = -1;
			break;
		}
	pthread_mutex_unlock(&t->lock);
	return result;
}
