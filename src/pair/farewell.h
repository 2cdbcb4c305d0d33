/*
 * farewell.h: the relay stops, and every client is told (shutdown, 1001): so
 * many at a time that they do not all come back in the same moment, to what goes
 * on in its place.
 */
#ifndef PAIR_FAREWELL_H
#define PAIR_FAREWELL_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct worker;

#define FAREWELL_STEP_MS 100
/* Clients a second, at the least, over all workers. */
#define FAREWELL_RATE 500

/*
 * How many a worker tells in a step, that has mine of all connections: in
 * proportion, so that all together tell FAREWELL_RATE a second, or as many as
 * it takes to be done within_ms from now.
 */
size_t farewell_step(size_t mine, size_t all, int64_t within_ms);

/* -1 without memory; after that fini is of use, too. */
MUST_CHECK int farewell_init(struct worker *w);
void farewell_fini(struct worker *w);
/*
 * The first step is now, further ones follow until all sessions of the worker
 * have been told. No new ones begin. Once.
 */
void farewell_begin(struct worker *w, size_t step);

#endif
