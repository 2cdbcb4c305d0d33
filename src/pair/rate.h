/*
 * rate.h: a token bucket: so many units per second, and a burst: of one
 * second's worth for what has come and is paid for afterwards (rate_add), of
 * a tenth of that for what waits for its turn (rate_room, rate_use).
 */
#ifndef PAIR_RATE_H
#define PAIR_RATE_H

#include <stdint.h>

struct rate {
	int64_t per_second; /* 0 = no limit */
	int64_t level;      /* thousandths of a unit that may still be used */
	int64_t full;       /* the most that level may be */
	int64_t at_ms;      /* when level was right */
};

void rate_init(struct rate *r, int64_t per_second);
/*
 * Uses n units at now_ms, even if there are not that many. Returns the ms to
 * wait until the bucket is no longer in debt, 0 = none.
 */
int64_t rate_add(struct rate *r, int64_t now_ms, int64_t n);

/* A burst of a tenth of a second's worth, of one unit at least. */
void rate_init_paced(struct rate *r, int64_t per_second);
/* How many units, of n, may be used at now_ms. */
int64_t rate_room(struct rate *r, int64_t now_ms, int64_t n);
/* Uses n units of those that rate_room said. */
void rate_use(struct rate *r, int64_t n);
/* The ms from rate_room's time until it has room for one. */
int64_t rate_wait(const struct rate *r);

#endif
