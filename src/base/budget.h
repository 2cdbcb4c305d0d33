/*
 * budget.h: what waits, and what it costs.
 *
 * Whatever waits in the daemon for a slower peer counts twice: against the
 * limit of the place where it waits (struct waiting), and against the one
 * budget of the daemon (struct budget, max_memory). An item costs its bytes
 * and BUDGET_ITEM more, which is what the relay keeps beside them: so empty
 * messages are not free. Any thread may call; nothing here locks.
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

/* One place where items wait: a queue, a backlog, a mailbox. */
struct waiting {
	struct budget *budget;
	atomic_size_t cost; /* against the limit of this place */
};

void waiting_init(struct waiting *w, struct budget *b);
static inline size_t waiting_cost(const struct waiting *w)
{
	return atomic_load(&w->cost);
}
/* Against the limit of this place and, unless it is small, the budget's. */
#define WAITING_SMALL 65536
bool waiting_is_over(const struct waiting *w, size_t limit);
/* An item of n bytes came, or went. */
void waiting_add(struct waiting *w, size_t n);
void waiting_sub(struct waiting *w, size_t n);
/*
 * The same for one whose bytes other places share, as messages do: here it
 * costs all of them, in the budget only BUDGET_ITEM; the bytes count there once
 * (base/message.h).
 */
void waiting_add_shared(struct waiting *w, size_t n);
void waiting_sub_shared(struct waiting *w, size_t n);

#endif
