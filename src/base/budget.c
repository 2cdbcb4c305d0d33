#include "base/budget.h"

void budget_init(struct budget *b, size_t limit)
{
	atomic_init(&b->used, 0);
	atomic_init(&b->limit, limit);
}

void budget_set_limit(struct budget *b, size_t limit)
{
	atomic_store_explicit(&b->limit, limit, memory_order_relaxed);
}

size_t budget_used(const struct budget *b)
{
	return atomic_load_explicit(&b->used, memory_order_relaxed);
}

bool budget_is_full(const struct budget *b)
{
	return budget_used(b) >
	       atomic_load_explicit(&b->limit, memory_order_relaxed);
}

void budget_recount(struct budget *b, size_t *counted, size_t n)
{
	budget_add(b, n);
	budget_sub(b, *counted);
	*counted = n;
}
