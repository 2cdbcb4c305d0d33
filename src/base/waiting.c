#include "base/waiting.h"

void waiting_init(struct waiting *w, struct budget *b)
{
	w->budget = b;
	atomic_init(&w->cost, 0);
}

bool waiting_is_over(const struct waiting *w, size_t limit)
{
	size_t cost = waiting_cost(w);

	return cost > limit ||
	       (cost > WAITING_SMALL && budget_is_full(w->budget));
}

void waiting_add(struct waiting *w, size_t n)
{
	atomic_fetch_add(&w->cost, n + BUDGET_ITEM);
	budget_add(w->budget, n + BUDGET_ITEM);
}

void waiting_sub(struct waiting *w, size_t n)
{
	atomic_fetch_sub(&w->cost, n + BUDGET_ITEM);
	budget_sub(w->budget, n + BUDGET_ITEM);
}

void waiting_add_shared(struct waiting *w, size_t n)
{
	atomic_fetch_add(&w->cost, n + BUDGET_ITEM);
	budget_add(w->budget, BUDGET_ITEM);
}

void waiting_sub_shared(struct waiting *w, size_t n)
{
	atomic_fetch_sub(&w->cost, n + BUDGET_ITEM);
	budget_sub(w->budget, BUDGET_ITEM);
}
