/*
 * Latencies in a histogram of fixed size: 64 steps per power of two, so
 * that a percentile is right to 1.6 % whatever the range.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdint.h>

#define STATS_STEPS   64
#define STATS_BUCKETS (STATS_STEPS * 60)

struct stats {
	uint64_t count;
	uint64_t max; /* ns, exact */
	uint64_t buckets[STATS_BUCKETS];
};

void stats_clear(struct stats *s);
void stats_add(struct stats *s, uint64_t ns);

/* The value in ns that `share` (0..1) of all do not exceed; 0 if none. */
uint64_t stats_percentile(const struct stats *s, double share);

/* "latency_us":{"p50":...}, a member of a JSON object, without a comma. */
void stats_print(const struct stats *s);

#endif
