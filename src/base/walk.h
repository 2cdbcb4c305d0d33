/*
 * walk.h: a place in a list that changes between two steps: of one that looks at
 * long lists in shares of a turn.
 *
 * A walk is registered with its list. Before an element is removed, walks that
 * are at it go on to the one behind it; what is added is met when it is behind
 * the place. Elements are all of one type, which the walk does not know. Owned
 * by one thread; part of their owners.
 */
#ifndef BASE_WALK_H
#define BASE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct walk {
	LIST_ENTRY(walk) next;
	void *at;    /* the element that is next; NULL: the end was reached */
	bool active; /* registered */
};

LIST_HEAD(walks, walk); /* zeros: none */

static inline void walk_begin(struct walks *all, struct walk *w, void *first)
{
	w->at = first;
	w->active = true;
	LIST_INSERT_HEAD(all, w, next);
}

/* Also of one that was not begun, if it is all zeros. */
static inline void walk_end(struct walk *w)
{
	if (w->active)
		LIST_REMOVE(w, next);
	w->active = false;
	w->at = NULL;
}

/* gone is removed; behind is the one behind it, NULL: it was the last. */
static inline void walks_pass(struct walks *all, const void *gone, void *behind)
{
	struct walk *w;

	LIST_FOREACH (w, all, next)
		if (w->at == gone)
			w->at = behind;
}

#endif
