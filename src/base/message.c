#include "base/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/budget.h"

struct message *message_new(const uint8_t *head, size_t head_n,
	const uint8_t *payload, size_t n, struct budget *budget)
{
	struct message *m = malloc(sizeof(*m) + head_n + n);

	if (!m)
		return NULL;
	atomic_init(&m->references, 1);
	m->opcode = 0;
	m->head_n = (uint8_t)head_n;
	m->worker = 0;
	m->to = 0;
	m->except = 0;
	m->serial = 0;
	m->sampled_ns = 0;
	m->budget = budget;
	m->n = head_n + n;
	memcpy(m->bytes, head, head_n);
	if (n > 0)
		memcpy(m->bytes + head_n, payload, n);
	budget_add(budget, m->n + BUDGET_ITEM);
	return m;
}

struct message *message_ref(struct message *m)
{
	atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
	return m;
}

void message_unref(struct message *m)
{
	if (atomic_fetch_sub_explicit(
		    &m->references, 1, memory_order_acq_rel) != 1)
		return;
	budget_sub(m->budget, m->n + BUDGET_ITEM);
	free(m);
}
