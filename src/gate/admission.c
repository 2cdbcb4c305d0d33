/*
 * Addresses, the subjects of each route, and used tokens have a table each,
 * behind locks of their own; rates have their own kind of table (buckets.h).
 * Connections per route and in all are atomic counters: nothing has to be found
 * first. What is counted for a route or listener is a part of its state
 * (section.h).
 */
#include "gate/admission.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "conf/conf.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/buckets.h"
#include "gate/client.h"
#include "gate/counts.h"
#include "gate/used_tokens.h"

#define KEY 16

struct admission {
	struct counts *addresses; /* connections */
	struct used_tokens *tokens;
	struct buckets *handshakes; /* by address and listener */
	struct buckets *failures;   /* likewise, of tokens */
};

struct admission *admission_new(void)
{
	struct admission *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->handshakes = buckets_new();
	a->failures = buckets_new();
	a->addresses = counts_new();
	a->tokens = used_tokens_new();
	if (!a->handshakes || !a->failures || !a->addresses || !a->tokens) {
		admission_free(a);
		return NULL;
	}
	return a;
}

void admission_free(struct admission *a)
{
	if (!a)
		return;
	buckets_free(a->handshakes);
	buckets_free(a->failures);
	counts_free(a->addresses);
	used_tokens_free(a->tokens);
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

/* How many there are with this client. -1: no memory. */
static int64_t enter(struct counts *counts, const struct client *c,
	const void *key, size_t n)
{
	return c->tickets.look ? counts_get(counts, key, n) + 1
			       : counts_enter(counts, key, n);
}

static enum reason enter_address(struct shared *s, struct client *c)
{
	uint8_t key[KEY];
	int64_t limit = c->listen->max_connections_per_ip, n;

	if (limit == 0 || !has_address(c))
		return REASON_NONE;
	address_key(key, &c->peer);
	n = enter(s->admission->addresses, c, key, KEY);
	if (n < 0)
		return REASON_INTERNAL;
	c->tickets.address = !c->tickets.look;
	return n > limit ? REASON_LIMIT_ADDRESS : REASON_NONE;
}

static void leave_address(struct shared *s, struct client *c)
{
	uint8_t key[KEY];

	if (!c->tickets.address)
		return;
	address_key(key, &c->peer);
	counts_leave(s->admission->addresses, key, KEY);
	c->tickets.address = false;
}

/* The buckets of a client: of its address at its listener. */
static void bucket_key(uint8_t key[BUCKETS_KEY], const struct client *c)
{
	uint32_t listen = c->listen->state->section.number;

	_Static_assert(BUCKETS_KEY == KEY, "an address is a key of both");
	address_key(key, &c->peer);
	memcpy(key + 8, &listen, sizeof(listen));
}

/* As buckets_take. */
static int64_t take(struct buckets *b, const struct client *c,
	const uint8_t key[BUCKETS_KEY], const struct conf_rate *rate,
	int64_t now_ms)
{
	if (c->tickets.look)
		return buckets_is_empty(b, key, rate, now_ms) ? 1 : 0;
	return buckets_take(b, key, rate, now_ms);
}

/* A connection counts once: when its client's address is known. */
static enum reason take_handshake(
	struct shared *s, struct client *c, int64_t now_ms)
{
	uint8_t key[BUCKETS_KEY];
	int64_t wait;

	if (!has_address(c))
		return REASON_NONE;
	bucket_key(key, c);
	wait = take(s->admission->handshakes, c, key,
		&c->listen->handshake_rate, now_ms);
	c->tickets.flood = wait == BUCKETS_FLOOD;
	c->tickets.retry_ms = wait > 0 ? (uint32_t)wait : 0;
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
	size_t n = c->tickets.look ? atomic_load_explicit(&s->connections,
					     memory_order_relaxed)
				   : atomic_fetch_add_explicit(&s->connections,
					     1, memory_order_relaxed);

	c->tickets.entered = !c->tickets.look;
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
	if (!s || !may_be_guessing(c))
		return reason;
	bucket_key(key, c);
	wait = take(s->admission->failures, c, key, rate, now_ms);
	if (wait == 0)
		return reason;
	/*
	 * A client that floods is told to wait, too, but not how long exactly.
	 */
	if (wait == BUCKETS_FLOOD)
		wait = rate->ms / rate->n;
	c->tickets.retry_ms = (uint32_t)wait;
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

/* How many its route has without it. */
static int64_t enter_state(struct client *c)
{
	atomic_int_least64_t *n = &c->route->state->connections;

	if (c->tickets.look)
		return atomic_load_explicit(n, memory_order_relaxed);
	c->tickets.route = true;
	return atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

enum reason admission_enter_route(struct client *c)
{
	const struct conf_route *r = c->route;
	int64_t n = enter_state(c);

	if (r->max_connections > 0 && n >= r->max_connections)
		return REASON_LIMIT_CONNECTIONS;
	return REASON_NONE;
}

enum reason admission_enter_subject(struct client *c)
{
	int64_t limit = c->route->max_connections_per_subject;
	int64_t n;

	if (limit == 0 || !c->verdict.identity)
		return REASON_NONE;
	n = enter(c->route->state->subjects, c, c->verdict.identity,
		strlen(c->verdict.identity));
	if (n < 0)
		return REASON_INTERNAL;
	c->tickets.subject = !c->tickets.look;
	return n > limit ? REASON_LIMIT_SUBJECT : REASON_NONE;
}

int64_t admission_pending(const struct client *c, int by)
{
	return atomic_fetch_add_explicit(
		       &c->listen->state->pending, by, memory_order_relaxed) +
	       by;
}

enum reason admission_enter_process(const struct conf_route *r)
{
	atomic_int_least64_t *n = &r->state->processes;

	if (atomic_fetch_add_explicit(n, 1, memory_order_relaxed) <
		r->max_processes)
		return REASON_NONE;
	atomic_fetch_sub_explicit(n, 1, memory_order_relaxed);
	return REASON_LIMIT_PROCESSES;
}

enum reason admission_look_process(const struct conf_route *r)
{
	return r->state && atomic_load_explicit(&r->state->processes,
				   memory_order_relaxed) >= r->max_processes
		       ? REASON_LIMIT_PROCESSES
		       : REASON_NONE;
}

void admission_leave_process(const struct conf_route *r)
{
	atomic_fetch_sub_explicit(
		&r->state->processes, 1, memory_order_relaxed);
}

/* --- used tokens -------------------------------------------------------------------------*/

enum reason admission_reserve_token(
	struct shared *s, struct client *c, const struct admission_token *t)
{
	uint8_t *id;
	enum reason r;

	assert(!c->tickets.token);
	if (c->tickets.look)
		return s ? used_tokens_look(s->admission->tokens, t->key, t->id,
				   t->now_ms)
			 : REASON_NONE;
	id = malloc(USED_TOKENS_ID);
	if (!id)
		return REASON_INTERNAL;
	memcpy(id, t->id, USED_TOKENS_ID);
	r = used_tokens_add(
		s->admission->tokens, t->key, id, t->exp_ms, t->now_ms);
	if (r == REASON_NONE)
		c->tickets.token = id;
	else
		free(id);
	return r;
}

struct used_tokens *admission_used_tokens(struct admission *a)
{
	return a->tokens;
}

void admission_use_token(struct client *c)
{
	free(c->tickets.token);
	c->tickets.token = NULL;
}

static void release_token(struct shared *s, struct client *c)
{
	if (c->tickets.token)
		used_tokens_remove(s->admission->tokens, c->tickets.token);
	admission_use_token(c);
}

void admission_give_back(struct shared *s, struct client *c)
{
	release_token(s, c);
	if (c->tickets.subject)
		counts_leave(c->route->state->subjects, c->verdict.identity,
			strlen(c->verdict.identity));
	c->tickets.subject = false;
	if (c->tickets.route)
		atomic_fetch_sub_explicit(
			&c->route->state->connections, 1, memory_order_relaxed);
	c->tickets.route = false;
}

void admission_leave(struct shared *s, struct client *c)
{
	admission_give_back(s, c);
	leave_address(s, c);
	if (c->tickets.entered)
		atomic_fetch_sub_explicit(
			&s->connections, 1, memory_order_relaxed);
	c->tickets = (struct client_tickets){ 0 };
}
