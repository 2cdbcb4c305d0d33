/*
 * counter.h: numbers that one thread adds to and any thread may read: no lock,
 * and no cache line that two threads write, if their owner sees to that.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

static inline void counter_add(atomic_uint_least64_t *c, uint64_t n)
{
	/* One writer: a load and a store are enough, and cheaper than a lock. */
	atomic_store_explicit(c,
		atomic_load_explicit(c, memory_order_relaxed) + n,
		memory_order_relaxed);
}

static inline uint64_t counter_read(const atomic_uint_least64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
