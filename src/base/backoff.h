/*
 * backoff.h: how long to wait before something that failed is tried again:
 * about 100 ms, doubling up to 5 s, less a random part, so that many that lost
 * the same backend do not return at one time.
 */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS  5000
/* What has lived so long is not to be counted as a failure. */
#define BACKOFF_STEADY_MS BACKOFF_MOST_MS

struct backoff { /* zeros: nothing failed yet */
	unsigned failures;
};

/* Counts a failure; the ms to wait: between half and all of the step. */
int64_t backoff_next(struct backoff *b, uint32_t random);
/* It worked for long enough. */
void backoff_reset(struct backoff *b);
/*
 * Whether the last failure deserves a line in the log: the first, the second,
 * the fourth, the eighth ... of a row.
 */
bool backoff_is_loud(const struct backoff *b);

#endif
