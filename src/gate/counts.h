/*
 * counts.h: how many of something there are under each key of bytes: an
 * address, a subject of a route. As many entries as keys that have any; one
 * short lock; any thread may call.
 */
#ifndef GATE_COUNTS_H
#define GATE_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct counts;

MUST_CHECK struct counts *counts_new(void);
void counts_free(struct counts *c);
/* One more: how many there are now. -1: no memory; nothing was counted. */
MUST_CHECK int64_t counts_enter(struct counts *c, const void *key, size_t n);
/* How many there are. */
int64_t counts_get(struct counts *c, const void *key, size_t n);
/* One less, of those that were counted. */
void counts_leave(struct counts *c, const void *key, size_t n);

#endif
