#include "base/idmap.h"

#include <assert.h>
#include <stdlib.h>

static struct idmap_entry **chain_of(const struct idmap *m, uint64_t id)
{
	/* Fibonacci hashing: the high bits of the product are well mixed. */
	uint64_t hash = id * UINT64_C(11400714819323198485);

	if (!m->chains)
		return (struct idmap_entry **)(uintptr_t)&m->one;
	return &m->chains[hash >> (64 - m->bits)];
}

static void grow(struct idmap *m)
{
	struct idmap before = *m;
	size_t chains = before.chains ? (size_t)1 << before.bits : 1;
	unsigned bits = before.chains ? before.bits + 1 : 3;
	struct idmap_entry **larger = calloc(
		(size_t)1 << bits, sizeof(struct idmap_entry *));

	if (!larger)
		return;
	m->chains = larger;
	m->bits = bits;
	for (size_t i = 0; i < chains; i++) {
		struct idmap_entry *e = before.chains ? before.chains[i]
						      : before.one;

		while (e) {
			struct idmap_entry *next = e->next;
			struct idmap_entry **chain = chain_of(m, e->id);

			e->next = *chain;
			*chain = e;
			e = next;
		}
	}
	m->one = NULL;
	free(before.chains);
}

void idmap_add(struct idmap *m, struct idmap_entry *e, uint64_t id)
{
	struct idmap_entry **chain;

	if (m->n >= (m->chains ? (size_t)1 << m->bits : 1))
		grow(m);
	chain = chain_of(m, id);
	e->id = id;
	e->next = *chain;
	*chain = e;
	m->n++;
}

struct idmap_entry *idmap_find(const struct idmap *m, uint64_t id)
{
	struct idmap_entry *e;

	for (e = *chain_of(m, id); e; e = e->next)
		if (e->id == id)
			return e;
	return NULL;
}

void idmap_remove(struct idmap *m, struct idmap_entry *e)
{
	struct idmap_entry **place = chain_of(m, e->id);

	while (*place != e) {
		assert(*place);
		place = &(*place)->next;
	}
	*place = e->next;
	e->next = NULL;
	m->n--;
}

void idmap_free(struct idmap *m)
{
	free(m->chains);
	*m = (struct idmap){ 0 };
}
