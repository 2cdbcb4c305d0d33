/*
 * idmap.h: objects by a 64-bit id, each found in constant time. The entry is
 * part of its owner, so adding cannot fail: without memory for a larger table
 * chains get longer. A struct idmap of zeros is empty. Owned by one thread.
 */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_entry {
	struct idmap_entry *next;
	uint64_t id;
};

struct idmap {
	struct idmap_entry **chains; /* NULL: only the one in here */
	struct idmap_entry *one;
	size_t n;
	unsigned bits; /* of the number of chains */
};

/* No other entry has this id. */
void idmap_add(struct idmap *m, struct idmap_entry *e, uint64_t id);
/* NULL when there is none. */
struct idmap_entry *idmap_find(const struct idmap *m, uint64_t id);
/* e is in m. */
void idmap_remove(struct idmap *m, struct idmap_entry *e);
/* Gives the table back; entries that are left are their owners'. */
void idmap_free(struct idmap *m);

#endif
