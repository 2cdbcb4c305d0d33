/*
 * rest.h: bytes that a connection has read and its owner has not used yet. It
 * costs nothing while there are none: the place for it is made when it is
 * needed. What it holds is counted in the budget.
 */
#ifndef NET_REST_H
#define NET_REST_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"

struct budget;

struct rest {
	struct buf bytes;
	size_t counted;
};

/* NULL is an empty one. */
static inline size_t rest_length(const struct rest *r)
{
	return r ? r->bytes.n : 0;
}
/* Appends. -1 without memory; it is as it was then. */
MUST_CHECK int rest_add(
	struct rest **r, struct budget *b, const void *p, size_t n);
/* Drops the first n; with the last of them it is NULL again. */
void rest_drop(struct rest **r, struct budget *b, size_t n);
/* What it costs. */
size_t rest_cost(const struct rest *r);

#endif
