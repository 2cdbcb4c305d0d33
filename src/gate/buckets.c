/*
 * A bucket is kept as the time when it will be full again ("virtual
 * scheduling", ITU-T I.371): to take one moves that time on by one interval,
 * and there is one as long as it lies within a bucket's worth of now. So a
 * bucket is one number, needs no refilling, and is empty memory when it is
 * full.
 *
 *   key -> set of WAYS places -> its own, or the one that is full soonest
 */
#include "gate/buckets.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/table.h"
#include "conf/conf.h"

#define SETS 4096
#define WAYS 8

struct bucket {
	uint8_t key[BUCKETS_KEY];
	int64_t full_us;     /* when it is full again */
	int64_t refusals_us; /* likewise the bucket of told refusals */
};

struct buckets {
	pthread_mutex_t lock;
	uint64_t secret[2]; /* so that peers can't choose colliding keys */
	struct bucket places[SETS][WAYS];
};

struct buckets *buckets_new(void)
{
	/* Large and mostly untouched: the kernel gives pages as they are used. */
	struct buckets *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	if (random_bytes(NULL, (unsigned char *)b->secret, sizeof(b->secret)) <
			0 ||
		pthread_mutex_init(&b->lock, NULL) != 0) {
		free(b);
		return NULL;
	}
	return b;
}

void buckets_free(struct buckets *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct bucket *set_of(struct buckets *b, const uint8_t key[BUCKETS_KEY])
{
	return b->places[table_hash(b->secret, key, BUCKETS_KEY) % SETS];
}

/* Its own place, or else the one that is full soonest. */
static struct bucket *choose_place(
	struct buckets *b, const uint8_t key[BUCKETS_KEY])
{
	struct bucket *set = set_of(b, key);
	struct bucket *soonest = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (memcmp(set[i].key, key, BUCKETS_KEY) == 0)
			return &set[i];
		if (set[i].full_us < soonest->full_us)
			soonest = &set[i];
	}
	return soonest;
}

static bool is_of(const struct bucket *k, const uint8_t key[BUCKETS_KEY])
{
	return memcmp(k->key, key, BUCKETS_KEY) == 0;
}

static struct bucket *find_bucket(
	struct buckets *b, const uint8_t key[BUCKETS_KEY])
{
	struct bucket *k = choose_place(b, key);

	if (!is_of(k, key)) {
		*k = (struct bucket){ 0 };
		memcpy(k->key, key, BUCKETS_KEY);
	}
	return k;
}

/* When it will be full if one is taken now; *missing: us until there is one. */
static int64_t taken(int64_t full_us, const struct conf_rate *rate, int64_t now,
	int64_t *missing)
{
	int64_t interval = rate->ms * 1000 / rate->n;
	int64_t from = full_us > now ? full_us : now;

	*missing = from + interval - now - interval * rate->n;
	return from + interval;
}

/* 0, or how many us are missing until there is one. */
static int64_t take_one(
	int64_t *full_us, const struct conf_rate *rate, int64_t now)
{
	int64_t missing;
	int64_t then = taken(*full_us, rate, now, &missing);

	if (missing > 0)
		return missing;
	*full_us = then;
	return 0;
}

int64_t buckets_take(struct buckets *b, const uint8_t key[BUCKETS_KEY],
	const struct conf_rate *rate, int64_t now_ms)
{
	int64_t now = now_ms * 1000;
	int64_t wait;
	struct bucket *k;

	if (rate->n == 0)
		return 0;
	pthread_mutex_lock(&b->lock);
	k = find_bucket(b, key);
	wait = take_one(&k->full_us, rate, now);
	if (wait > 0)
		wait = take_one(&k->refusals_us, rate, now) == 0
			       ? (wait + 999) / 1000
			       : BUCKETS_FLOOD;
	pthread_mutex_unlock(&b->lock);
	return wait;
}

bool buckets_is_empty(struct buckets *b, const uint8_t key[BUCKETS_KEY],
	const struct conf_rate *rate, int64_t now_ms)
{
	struct bucket *k;
	int64_t missing;

	if (rate->n == 0)
		return false;
	pthread_mutex_lock(&b->lock);
	k = choose_place(b, key);
	(void)taken(
		is_of(k, key) ? k->full_us : 0, rate, now_ms * 1000, &missing);
	pthread_mutex_unlock(&b->lock);
	return missing > 0;
}
