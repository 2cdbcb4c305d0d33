/*
 *   token's SHA-256 -> set of WAYS places -> compare token and key
 *
 * A user who may have tokens signed could choose some that fall into one set,
 * and would push out four entries: that costs the clients with these tokens a
 * verification.
 */
#include "gate/verified.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 4
#define SETS (VERIFIED_MAX / WAYS)

struct entry {
	uint8_t text[JWT_HASH];
	uint8_t key[JWT_HASH];
	int64_t exp_ms;
	uint64_t used; /* when, by the count of uses; 0 = free */
};

struct verified {
	pthread_mutex_t lock;
	uint64_t uses;
	struct entry places[SETS][WAYS];
};

struct verified *verified_new(void)
{
	struct verified *v = calloc(1, sizeof(*v));

	if (v && pthread_mutex_init(&v->lock, NULL) != 0) {
		free(v);
		v = NULL;
	}
	return v;
}

void verified_free(struct verified *v)
{
	if (!v)
		return;
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static struct entry *set_of(struct verified *v, const uint8_t text[JWT_HASH])
{
	uint16_t n;

	memcpy(&n, text, sizeof(n));
	return v->places[n % SETS];
}

static struct entry *find_entry(struct verified *v,
	const uint8_t text[JWT_HASH], const uint8_t key[JWT_HASH])
{
	struct entry *e = set_of(v, text);

	for (size_t i = 0; i < WAYS; i++, e++)
		if (memcmp(e->text, text, JWT_HASH) == 0 &&
			memcmp(e->key, key, JWT_HASH) == 0)
			return e;
	return NULL;
}

bool verified_has(struct verified *v, const uint8_t text[JWT_HASH],
	const uint8_t key[JWT_HASH], int64_t now_ms)
{
	struct entry *e;
	bool has;

	pthread_mutex_lock(&v->lock);
	e = find_entry(v, text, key);
	has = e && e->used > 0 && e->exp_ms > now_ms;
	if (has)
		e->used = ++v->uses;
	else if (e)
		*e = (struct entry){ 0 };
	pthread_mutex_unlock(&v->lock);
	return has;
}

/* Free ones were used at 0, and so are the first to go. */
static struct entry *oldest_entry(
	struct verified *v, const uint8_t text[JWT_HASH])
{
	struct entry *e = set_of(v, text);
	struct entry *found = e;

	for (size_t i = 1; i < WAYS; i++)
		if (e[i].used < found->used)
			found = &e[i];
	return found;
}

void verified_add(struct verified *v, const uint8_t text[JWT_HASH],
	const uint8_t key[JWT_HASH], int64_t exp_ms)
{
	struct entry *e;

	pthread_mutex_lock(&v->lock);
	/* Another worker may have been as fast. */
	e = find_entry(v, text, key);
	if (!e)
		e = oldest_entry(v, text);
	memcpy(e->text, text, JWT_HASH);
	memcpy(e->key, key, JWT_HASH);
	e->exp_ms = exp_ms;
	e->used = ++v->uses;
	pthread_mutex_unlock(&v->lock);
}
