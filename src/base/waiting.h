/*
 * waiting.h: what waits in one place, and what it costs.
 *
 * Whatever waits in the daemon for a slower peer counts twice: against the
 * limit of the place where it waits (struct waiting), and against the one
 * budget of the daemon (base/budget.h). An item costs its bytes and
 * BUDGET_ITEM more, which is what the relay keeps beside them: so empty
 * messages are not free. Any thread may call; nothing here locks.
 */
#ifndef BASE_WAITING_H
#define BASE_WAITING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/budget.h"

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
