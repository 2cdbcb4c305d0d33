/*
 * budget.h: the bytes that wait in the daemon, and the most that may
 * (max_memory).
 *
 * What an item costs beside its bytes, and the limit of each place where items
 * wait, is in base/waiting.h. Any thread may call; nothing here locks.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What an item costs beside its bytes; wsrelayd.ini(5) names this number. */
#define BUDGET_ITEM 128

struct budget {
	atomic_size_t used;
	atomic_size_t limit;
};

void budget_init(struct budget *b, size_t limit);
/* Any thread: from now on that is the limit, whatever is used. */
void budget_set_limit(struct budget *b, size_t limit);
static inline void budget_add(struct budget *b, size_t n)
{
	atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed);
}
static inline void budget_sub(struct budget *b, size_t n)
{
	atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
}
size_t budget_used(const struct budget *b);
/* Over the limit: sources pause, and what may give way does. */
bool budget_is_full(const struct budget *b);
/* A buffer that counted *counted bytes has n now. */
void budget_recount(struct budget *b, size_t *counted, size_t n);

#endif
