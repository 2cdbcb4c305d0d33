#include "relay/rate.h"

#define THOUSAND 1000

void rate_init(struct rate *r, int64_t per_second)
{
	*r = (struct rate){ .per_second = per_second,
		.level = per_second * THOUSAND };
}

int64_t rate_add(struct rate *r, int64_t now_ms, int64_t n)
{
	int64_t full = r->per_second * THOUSAND;
	int64_t passed = now_ms - r->at_ms;
	int64_t filling;

	if (r->per_second == 0)
		return 0;
	/* What is more than that would only overflow the product. */
	filling = (full - r->level) / r->per_second + 1;
	if (r->at_ms == 0 || passed > filling)
		passed = filling;
	r->at_ms = now_ms;
	r->level += passed * r->per_second;
	if (r->level > full)
		r->level = full;
	r->level -= n * THOUSAND;
	if (r->level >= 0)
		return 0;
	/* Units per second are thousandths per ms. */
	return (-r->level + r->per_second - 1) / r->per_second;
}
