#include "net/rest.h"

#include <stdlib.h>

#include "base/budget.h"

static void count(struct rest *r, struct budget *b)
{
	budget_recount(b, &r->counted, sizeof(*r) + r->bytes.capacity);
}

static void empty(struct rest **r, struct budget *b)
{
	buf_free(&(*r)->bytes);
	budget_sub(b, (*r)->counted);
	free(*r);
	*r = NULL;
}

int rest_add(struct rest **r, struct budget *b, const void *p, size_t n)
{
	int failed;

	if (n == 0)
		return 0;
	if (!*r)
		*r = calloc(1, sizeof(**r));
	if (!*r)
		return -1;
	failed = buf_add(&(*r)->bytes, p, n, SIZE_MAX);
	if ((*r)->bytes.n > 0)
		count(*r, b);
	else
		empty(r, b);
	return failed;
}

void rest_drop(struct rest **r, struct budget *b, size_t n)
{
	if (!*r)
		return;
	buf_drop(&(*r)->bytes, n);
	if ((*r)->bytes.n == 0)
		empty(r, b);
}

size_t rest_cost(const struct rest *r)
{
	return r ? r->counted : 0;
}
