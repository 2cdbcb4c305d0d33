/*
 * rate.h: a token bucket: so many units per second, and a burst of one
 * second's worth.
 */
#ifndef RELAY_RATE_H
#define RELAY_RATE_H

#include <stdint.h>

struct rate {
	int64_t per_second; /* 0 = no limit */
	int64_t level;      /* thousandths of a unit that may still be used */
	int64_t at_ms;      /* when level was right */
};

void rate_init(struct rate *r, int64_t per_second);
/*
 * Uses n units at now_ms, even if there are not that many. Returns the ms to
 * wait until the bucket is no longer in debt, 0 = none.
 */
int64_t rate_add(struct rate *r, int64_t now_ms, int64_t n);

#endif
