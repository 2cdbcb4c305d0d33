#include "base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define FIRST_BITS 4
/* Old chains that a call empties: more than one, so that moving ends. */
#define STEP 4

/* --- the hash -------------------------------------------------------------*/

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static uint64_t little_endian(const uint8_t *p, size_t n)
{
	uint64_t x = 0;

	for (size_t i = 0; i < n; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

uint64_t table_hash(const uint64_t secret[2], const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t v[4] = { secret[0] ^ 0x736f6d6570736575u,
		secret[1] ^ 0x646f72616e646f6du,
		secret[0] ^ 0x6c7967656e657261u,
		secret[1] ^ 0x7465646279746573u };
	uint64_t m;

	for (size_t left = n; left >= 8; left -= 8, p += 8) {
		m = little_endian(p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	m = little_endian(p, n % 8) | (uint64_t)n << 56;
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- chains ---------------------------------------------------------------*/

static struct table_entry **chain_of(
	const struct table_chains *c, uint64_t hash)
{
	return &c->v[hash >> (64 - c->bits)];
}

static int chains_new(struct table_chains *c, unsigned bits)
{
	c->v = calloc((size_t)1 << bits, sizeof(*c->v));
	c->bits = bits;
	return c->v ? 0 : -1;
}

static void insert(const struct table_chains *c, struct table_entry *e)
{
	struct table_entry **chain = chain_of(c, e->hash);

	e->next = *chain;
	*chain = e;
}

/* Empties some of the old chains; the last one ends it. */
static void move_some(struct table *t)
{
	size_t all = (size_t)1 << t->old.bits;

	for (int i = 0; i < STEP && t->old.v; i++) {
		struct table_entry *e;

		while ((e = t->old.v[t->moved])) {
			t->old.v[t->moved] = e->next;
			insert(&t->chains, e);
		}
		if (++t->moved < all)
			continue;
		free(t->old.v);
		t->old.v = NULL;
	}
}

static void grow(struct table *t)
{
	struct table_chains larger;

	if (t->old.v || t->n < (size_t)1 << t->chains.bits ||
		chains_new(&larger, t->chains.bits + 1) < 0)
		return;
	t->old = t->chains;
	t->chains = larger;
	t->moved = 0;
}

/* The pointer in its chain to the entry; NULL: it is not there. */
static struct table_entry **find_link(
	struct table *t, uint64_t hash, const void *key, size_t n)
{
	const struct table_chains *in[] = { &t->chains, &t->old };

	for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
		struct table_entry **e = in[i]->v ? chain_of(in[i], hash)
						  : NULL;

		for (; e && *e; e = &(*e)->next)
			if ((*e)->hash == hash && (*e)->key_n == n &&
				memcmp((*e)->key, key, n) == 0)
				return e;
	}
	return NULL;
}

/* --- the table ------------------------------------------------------------*/

int table_init(struct table *t)
{
	*t = (struct table){ .n = 0 };
	if (random_bytes(NULL, (unsigned char *)t->secret, sizeof(t->secret)) <
		0)
		return -1;
	return chains_new(&t->chains, FIRST_BITS);
}

struct table_entry *table_find(struct table *t, const void *key, size_t n)
{
	struct table_entry **e;

	move_some(t);
	e = find_link(t, table_hash(t->secret, key, n), key, n);
	return e ? *e : NULL;
}

void table_add(
	struct table *t, struct table_entry *e, const void *key, size_t n)
{
	move_some(t);
	grow(t);
	e->key = key;
	e->key_n = n;
	e->hash = table_hash(t->secret, key, n);
	insert(&t->chains, e);
	t->n++;
}

void table_remove(struct table *t, struct table_entry *e)
{
	struct table_entry **place;

	place = find_link(t, e->hash, e->key, e->key_n);
	assert(place && *place == e);
	*place = e->next;
	e->next = NULL;
	t->n--;
	move_some(t);
}

struct table_entry *table_any(struct table *t)
{
	while (t->old.v)
		move_some(t);
	for (size_t i = 0; t->n > 0 && i < (size_t)1 << t->chains.bits; i++)
		if (t->chains.v[i])
			return t->chains.v[i];
	return NULL;
}

void table_free(struct table *t)
{
	free(t->old.v);
	free(t->chains.v);
	*t = (struct table){ .n = 0 };
}
