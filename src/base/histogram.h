/*
 * histogram.h: how many values were at most each bound of a scale, and the sum
 * of all: a histogram of Prometheus. A value is a whole number of the scale's
 * unit. One thread adds to it, any thread may read (counter.h).
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/counter.h"

#define HISTOGRAM_BOUNDS 16

struct histogram_scale {
	double unit; /* of a value and a bound: 1e-9 for nanoseconds */
	unsigned n;
	uint64_t bounds[HISTOGRAM_BOUNDS];
};

struct histogram {
	/* By bound, the last behind them: what is above all. */
	atomic_uint_least64_t counts[HISTOGRAM_BOUNDS + 1];
	atomic_uint_least64_t sum;
};

/* Bytes; ns from 10 us on, for what the relay does; ns from 1 ms on, for what
   others are waited for. */
extern const struct histogram_scale histogram_sizes;
extern const struct histogram_scale histogram_work;
extern const struct histogram_scale histogram_waits;

static inline void histogram_add(
	struct histogram *h, const struct histogram_scale *s, uint64_t value)
{
	unsigned i = 0;

	while (i < s->n && value > s->bounds[i])
		i++;
	counter_add(&h->counts[i], 1);
	counter_add(&h->sum, value);
}

/* How many values there were. */
static inline uint64_t histogram_count(const struct histogram *h)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++)
		n += counter_read(&h->counts[i]);
	return n;
}

/* The same for a duration in ms, on a scale of ns. */
static inline void histogram_add_ms(
	struct histogram *h, const struct histogram_scale *s, int64_t ms)
{
	histogram_add(h, s, ms > 0 ? (uint64_t)ms * 1000000 : 0);
}

#endif
