#include "stats.h"

#include <stdio.h>
#include <string.h>

static unsigned bucket_of(uint64_t ns)
{
	unsigned power;

	if (ns < STATS_STEPS)
		return (unsigned)ns;
	/* The six bits after the leading one choose the step. */
	power = 63u - (unsigned)__builtin_clzll(ns) - 6u;
	return (power + 1) * STATS_STEPS +
	       (unsigned)(ns >> power & (STATS_STEPS - 1));
}

static uint64_t bucket_top(unsigned bucket)
{
	unsigned power;

	if (bucket < STATS_STEPS)
		return bucket;
	power = bucket / STATS_STEPS - 1;
	return ((uint64_t)(STATS_STEPS + bucket % STATS_STEPS + 1) << power) -
	       1;
}

void stats_clear(struct stats *s)
{
	memset(s, 0, sizeof(*s));
}

void stats_add(struct stats *s, uint64_t ns)
{
	unsigned bucket = bucket_of(ns);

	s->buckets[bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1]++;
	s->count++;
	if (ns > s->max)
		s->max = ns;
}

uint64_t stats_percentile(const struct stats *s, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)s->count), seen = 0;
	uint64_t top;
	unsigned i;

	if (s->count == 0)
		return 0;
	for (i = 0; i < STATS_BUCKETS; i++) {
		seen += s->buckets[i];
		if (seen > wanted || seen == s->count)
			break;
	}
	top = bucket_top(i);
	return top < s->max ? top : s->max;
}

void stats_print(const struct stats *s)
{
	static const double shares[] = { 0.5, 0.9, 0.99, 0.999 };
	static const char *const names[] = { "p50", "p90", "p99", "p99.9" };
	unsigned i;

	printf("\"latency_us\":{");
	for (i = 0; i < 4; i++)
		printf("\"%s\":%.1f,", names[i],
			(double)stats_percentile(s, shares[i]) / 1e3);
	printf("\"max\":%.1f}", (double)s->max / 1e3);
}
