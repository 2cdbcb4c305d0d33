/*
 * table.h: objects by a key of bytes, each found in constant time. The entry is
 * part of its owner, which also owns the key's bytes while the entry is in the
 * table; so adding cannot fail: without memory for more chains they get longer.
 *
 * The hash is SipHash-1-3 with a secret of the table's own: peers cannot choose
 * keys that fall into one chain. It grows in steps: each call moves some
 * entries to the larger set of chains, none moves all. Owned by one thread, or
 * used under its owner's lock.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct table_entry {
	struct table_entry *next;
	const void *key;
	size_t key_n;
	uint64_t hash;
};

struct table_chains {
	struct table_entry **v;
	unsigned bits; /* of their number */
};

struct table {
	struct table_chains chains, old; /* old.v NULL: nothing to move */
	size_t moved;                    /* of old: chains that are empty */
	size_t n;
	uint64_t secret[2];
};

/* -1: no memory, or no random bytes; errno. */
MUST_CHECK int table_init(struct table *t);
/* NULL when there is none. */
struct table_entry *table_find(struct table *t, const void *key, size_t n);
/* No other entry has this key. */
void table_add(
	struct table *t, struct table_entry *e, const void *key, size_t n);
/* e is in t. */
void table_remove(struct table *t, struct table_entry *e);
/* Any entry, for an owner that takes all out; NULL: it is empty. */
struct table_entry *table_any(struct table *t);
/* Gives the chains back; entries that are left are their owners'. */
void table_free(struct table *t);

/* SipHash-1-3 of n bytes; also for a table of a fixed size. */
uint64_t table_hash(const uint64_t secret[2], const void *p, size_t n);

#endif
