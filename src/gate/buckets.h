/*
 * buckets.h: token buckets by key, over all workers: which keys come more often
 * than a rate allows. A fixed table with one short lock; any thread may call.
 * When there are more keys than places, the one that owes least is forgotten.
 */
#ifndef GATE_BUCKETS_H
#define GATE_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define BUCKETS_KEY 16 /* bytes; a key of zeros is none */

struct buckets;
struct conf_rate;

MUST_CHECK struct buckets *buckets_new(void);
void buckets_free(struct buckets *b);

/*
 * Takes one from the bucket of a key, at a time of the monotonic clock. The
 * bucket holds rate->n and fills in rate->ms. 0: there was one (or the rate is
 * no limit). > 0: there was none, and will be one in so many ms. Answers of
 * that kind come out of a second bucket of the same size: when that is empty,
 * too, BUCKETS_FLOOD: a client that goes on is not even to be answered.
 */
#define BUCKETS_FLOOD -1
int64_t buckets_take(struct buckets *b, const uint8_t key[BUCKETS_KEY],
	const struct conf_rate *rate, int64_t now_ms);
/* Whether buckets_take would find none; takes nothing. */
bool buckets_is_empty(struct buckets *b, const uint8_t key[BUCKETS_KEY],
	const struct conf_rate *rate, int64_t now_ms);

#endif
