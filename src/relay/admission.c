/*
 * One table for addresses and one for used tokens, both from 16 bytes to a
 * number, each behind its own lock; rates have their own kind of table
 * (buckets.h). Connections per route and in all are
 * atomic counters: nothing has to be found first.
 */
#include "relay/admission.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/random.h"
#include "conf/conf.h"
#include "relay/buckets.h"
#include "relay/client.h"
#include "relay/subjects.h"
#include "relay/worker.h"

#define KEY     16
#define BUCKETS 4096

struct entry {
	struct entry *next;
	uint8_t key[KEY];
	int64_t value;
};

struct table {
	pthread_mutex_t lock;
	uint64_t seed[2]; /* so that nobody can choose colliding keys */
	size_t n;
	struct entry *buckets[BUCKETS];
};

struct route_counts {
	atomic_int_least64_t connections, processes;
};

struct admission {
	struct table addresses; /* -> connections */
	struct table tokens;    /* -> end of life, Unix ms */
	struct subjects *subjects;
	struct buckets *handshakes; /* by address and listener */
	struct buckets *failures;   /* likewise, of tokens */
	size_t routes_n, listens_n;
	struct route_counts *routes;   /* by route->index */
	atomic_int_least64_t *pending; /* by place in conf->listens */
};

/* --- tables ------------------------------------------------------------------------*/

static struct entry **bucket(struct table *t, const uint8_t key[KEY])
{
	uint64_t w[2];

	memcpy(w, key, KEY);
	w[0] = (w[0] ^ t->seed[0]) * 0x9e3779b97f4a7c15u;
	w[1] = (w[1] ^ t->seed[1] ^ (w[0] >> 29)) * 0xbf58476d1ce4e5b9u;
	return &t->buckets[(w[1] >> 32) % BUCKETS];
}

static struct entry *table_find(struct table *t, const uint8_t key[KEY])
{
	struct entry *e = *bucket(t, key);

	while (e && memcmp(e->key, key, KEY) != 0)
		e = e->next;
	return e;
}

static struct entry *table_add(struct table *t, const uint8_t key[KEY])
{
	struct entry **b = bucket(t, key);
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	memcpy(e->key, key, KEY);
	e->next = *b;
	*b = e;
	t->n++;
	return e;
}

static void table_remove(struct table *t, struct entry *e)
{
	struct entry **b = bucket(t, e->key);

	while (*b != e)
		b = &(*b)->next;
	*b = e->next;
	t->n--;
	free(e);
}

/* Removes entries of one bucket whose value lies before a time. */
static void bucket_sweep(struct table *t, struct entry **b, int64_t before)
{
	while (*b) {
		struct entry *e = *b;

		if (e->value >= before) {
			b = &e->next;
			continue;
		}
		*b = e->next;
		t->n--;
		free(e);
	}
}

static void table_free(struct table *t)
{
	for (size_t i = 0; i < BUCKETS; i++)
		bucket_sweep(t, &t->buckets[i], INT64_MAX);
	pthread_mutex_destroy(&t->lock);
}

static int table_init(struct table *t)
{
	if (random_bytes(NULL, (unsigned char *)t->seed, sizeof(t->seed)) < 0)
		return -1;
	return pthread_mutex_init(&t->lock, NULL) == 0 ? 0 : -1;
}

struct admission *admission_new(const struct conf *conf)
{
	struct admission *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->routes_n = conf->routes_n;
	a->listens_n = conf->listens_n;
	a->routes = calloc(a->routes_n + 1, sizeof(*a->routes));
	a->pending = calloc(a->listens_n + 1, sizeof(*a->pending));
	a->handshakes = buckets_new();
	a->failures = buckets_new();
	a->subjects = subjects_new();
	if (!a->routes || !a->pending || !a->handshakes || !a->failures ||
		!a->subjects)
		goto fail;
	if (table_init(&a->addresses) < 0)
		goto fail;
	if (table_init(&a->tokens) < 0) {
		table_free(&a->addresses);
		goto fail;
	}
	return a;
fail:
	buckets_free(a->handshakes);
	buckets_free(a->failures);
	subjects_free(a->subjects);
	free(a->routes);
	free(a->pending);
	free(a);
	return NULL;
}

void admission_free(struct admission *a)
{
	if (!a)
		return;
	table_free(&a->addresses);
	table_free(&a->tokens);
	buckets_free(a->handshakes);
	buckets_free(a->failures);
	subjects_free(a->subjects);
	free(a->routes);
	free(a->pending);
	free(a);
}

/* --- addresses -----------------------------------------------------------------------*/

/* What is counted as one: an IPv4 address, or a /64. */
static void address_key(uint8_t key[KEY], const struct addr *a)
{
	memset(key, 0, KEY);
	memcpy(key, a->ip, a->family == ADDR_IPV4 ? 4 : 8);
	key[KEY - 1] = a->family;
}

static bool has_address(const struct client *c)
{
	return c->peer.family == ADDR_IPV4 || c->peer.family == ADDR_IPV6;
}

static enum reason enter_address(struct shared *s, struct client *c)
{
	struct table *t = &s->admission->addresses;
	uint8_t key[KEY];
	struct entry *e;
	enum reason r = REASON_NONE;
	int64_t limit = c->listen->max_connections_per_ip;

	if (limit == 0 || !has_address(c))
		return REASON_NONE;
	address_key(key, &c->peer);
	pthread_mutex_lock(&t->lock);
	e = table_find(t, key);
	if (!e)
		e = table_add(t, key);
	if (!e) {
		r = REASON_INTERNAL;
	} else {
		e->value++;
		c->counted = true;
		if (e->value > limit)
			r = REASON_LIMIT_ADDRESS;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

static void leave_address(struct shared *s, struct client *c)
{
	struct table *t = &s->admission->addresses;
	uint8_t key[KEY];
	struct entry *e;

	if (!c->counted)
		return;
	address_key(key, &c->peer);
	pthread_mutex_lock(&t->lock);
	e = table_find(t, key);
	assert(e && e->value > 0);
	if (--e->value == 0)
		table_remove(t, e);
	pthread_mutex_unlock(&t->lock);
	c->counted = false;
}

static uint32_t listen_index(const struct client *c)
{
	return (uint32_t)(c->listen - c->conf->listens);
}

/* The buckets of a client: of its address at its listener. */
static void bucket_key(uint8_t key[BUCKETS_KEY], const struct client *c)
{
	uint32_t listen = listen_index(c);

	_Static_assert(BUCKETS_KEY == KEY, "an address is a key of both");
	address_key(key, &c->peer);
	memcpy(key + 8, &listen, sizeof(listen));
}

/* A connection counts once: when it is known whose it is. */
static enum reason take_handshake(
	struct shared *s, struct client *c, int64_t now_ms)
{
	uint8_t key[BUCKETS_KEY];
	int64_t wait;

	if (!has_address(c))
		return REASON_NONE;
	bucket_key(key, c);
	wait = buckets_take(s->admission->handshakes, key,
		&c->listen->handshake_rate, now_ms);
	c->flood = wait == BUCKETS_FLOOD;
	c->retry_ms = wait > 0 ? (uint32_t)wait : 0;
	return wait == 0 ? REASON_NONE : REASON_LIMIT_RATE;
}

static enum reason enter_peer(
	struct shared *s, struct client *c, int64_t now_ms)
{
	/* Both count: neither limit hides a client from the other. */
	enum reason rate = take_handshake(s, c, now_ms);
	enum reason address = enter_address(s, c);

	return rate != REASON_NONE ? rate : address;
}

static enum reason enter_socket(
	struct shared *s, struct client *c, int64_t now_ms)
{
	if (cidr_list_contains(&c->listen->trusted_proxies, &c->peer))
		return REASON_NONE; /* its clients are counted, not itself */
	return enter_peer(s, c, now_ms);
}

enum reason admission_enter(struct shared *s, struct client *c, int64_t now_ms)
{
	size_t n = atomic_fetch_add_explicit(
		&s->connections, 1, memory_order_relaxed);

	c->entered = true;
	if (n >= s->max_connections)
		return REASON_LIMIT_CONNECTIONS;
	return enter_socket(s, c, now_ms);
}

enum reason admission_proxied(struct shared *s, struct client *c,
	const struct addr *peer, int64_t now_ms)
{
	leave_address(s, c);
	c->peer = *peer;
	return enter_socket(s, c, now_ms);
}

enum reason admission_set_peer(struct shared *s, struct client *c,
	const struct addr *peer, int64_t now_ms)
{
	leave_address(s, c);
	c->peer = *peer;
	return enter_peer(s, c, now_ms);
}

/* --- failures ------------------------------------------------------------------------*/

/* A proxy's clients are counted, not itself. */
static bool may_be_guessing(const struct client *c)
{
	return has_address(c) &&
	       !cidr_list_contains(&c->listen->trusted_proxies, &c->peer);
}

enum reason admission_failed(
	struct shared *s, struct client *c, enum reason reason, int64_t now_ms)
{
	const struct conf_rate *rate = &c->listen->auth_failures;
	uint8_t key[BUCKETS_KEY];
	int64_t wait;

	if (reason != REASON_TOKEN_MALFORMED &&
		reason != REASON_TOKEN_SIGNATURE)
		return reason;
	if (!may_be_guessing(c))
		return reason;
	bucket_key(key, c);
	wait = buckets_take(s->admission->failures, key, rate, now_ms);
	if (wait == 0)
		return reason;
	/* Whoever goes on and on is told, too, but not how long exactly. */
	if (wait == BUCKETS_FLOOD)
		wait = rate->ms / rate->n;
	c->retry_ms = (uint32_t)wait;
	return REASON_LIMIT_FAILURES;
}

bool admission_is_failing(
	struct shared *s, const struct client *c, int64_t now_ms)
{
	uint8_t key[BUCKETS_KEY];

	if (!may_be_guessing(c))
		return false;
	bucket_key(key, c);
	return buckets_is_empty(
		s->admission->failures, key, &c->listen->auth_failures, now_ms);
}

/* --- routes ----------------------------------------------------------------------------*/

static struct route_counts *counts(struct shared *s, const struct conf_route *r)
{
	assert(r->index < s->admission->routes_n);
	return &s->admission->routes[r->index];
}

enum reason admission_enter_route(struct shared *s, struct client *c)
{
	const struct conf_route *r = c->route;
	int64_t n = atomic_fetch_add_explicit(
		&counts(s, r)->connections, 1, memory_order_relaxed);

	c->in_route = true;
	if (r->max_connections > 0 && n >= r->max_connections)
		return REASON_LIMIT_CONNECTIONS;
	return REASON_NONE;
}

enum reason admission_enter_subject(struct shared *s, struct client *c)
{
	int64_t limit = c->route->max_connections_per_subject;
	int64_t n;

	if (limit == 0 || !c->identity)
		return REASON_NONE;
	n = subjects_enter(
		s->admission->subjects, c->route->index, c->identity);
	if (n < 0)
		return REASON_INTERNAL;
	c->in_subject = true;
	return n > limit ? REASON_LIMIT_SUBJECT : REASON_NONE;
}

int64_t admission_pending(struct shared *s, const struct client *c, int by)
{
	size_t i = listen_index(c);

	assert(i < s->admission->listens_n);
	return atomic_fetch_add_explicit(
		       &s->admission->pending[i], by, memory_order_relaxed) +
	       by;
}

enum reason admission_enter_process(
	struct shared *s, const struct conf_route *r)
{
	atomic_int_least64_t *n = &counts(s, r)->processes;

	if (atomic_fetch_add_explicit(n, 1, memory_order_relaxed) <
		r->max_processes)
		return REASON_NONE;
	atomic_fetch_sub_explicit(n, 1, memory_order_relaxed);
	return REASON_LIMIT_PROCESSES;
}

void admission_leave_process(struct shared *s, const struct conf_route *r)
{
	atomic_fetch_sub_explicit(
		&counts(s, r)->processes, 1, memory_order_relaxed);
}

/* --- used tokens -------------------------------------------------------------------------*/

enum reason admission_reserve_token(
	struct shared *s, struct client *c, int64_t exp_ms, int64_t now_ms)
{
	struct table *t = &s->admission->tokens;
	struct entry *e;
	enum reason r = REASON_NONE;

	pthread_mutex_lock(&t->lock);
	bucket_sweep(t, bucket(t, c->token), now_ms);
	if (table_find(t, c->token)) {
		r = REASON_TOKEN_USED;
		goto out;
	}
	if (t->n >= ADMISSION_TOKENS)
		for (size_t i = 0; i < BUCKETS; i++)
			bucket_sweep(t, &t->buckets[i], now_ms);
	e = t->n >= ADMISSION_TOKENS ? NULL : table_add(t, c->token);
	if (!e) {
		r = REASON_TOKEN_STORE;
		goto out;
	}
	e->value = exp_ms;
	c->reserved = true;
out:
	pthread_mutex_unlock(&t->lock);
	return r;
}

void admission_use_token(struct client *c)
{
	c->reserved = false;
	free(c->token);
	c->token = NULL;
}

static void release_token(struct shared *s, struct client *c)
{
	struct table *t = &s->admission->tokens;
	struct entry *e;

	if (!c->reserved)
		return;
	pthread_mutex_lock(&t->lock);
	e = table_find(t, c->token);
	if (e)
		table_remove(t, e);
	pthread_mutex_unlock(&t->lock);
	c->reserved = false;
}

void admission_give_back(struct shared *s, struct client *c)
{
	release_token(s, c);
	if (c->in_subject)
		subjects_leave(
			s->admission->subjects, c->route->index, c->identity);
	c->in_subject = false;
	if (c->in_route)
		atomic_fetch_sub_explicit(&counts(s, c->route)->connections, 1,
			memory_order_relaxed);
	c->in_route = false;
}

void admission_leave(struct shared *s, struct client *c)
{
	admission_give_back(s, c);
	leave_address(s, c);
	if (c->entered)
		atomic_fetch_sub_explicit(
			&s->connections, 1, memory_order_relaxed);
	free(c->identity);
	free(c->certificate);
	free(c->token);
	conf_unref(c->conf);
	*c = (struct client){ .id = c->id };
}
