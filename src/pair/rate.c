#include "pair/rate.h"

#define THOUSAND 1000

static void init(struct rate *r, int64_t per_second, int64_t burst)
{
	*r = (struct rate){ .per_second = per_second,
		.level = burst * THOUSAND,
		.full = burst * THOUSAND };
}

void rate_init(struct rate *r, int64_t per_second)
{
	init(r, per_second, per_second);
}

void rate_init_paced(struct rate *r, int64_t per_second)
{
	init(r, per_second, per_second >= 10 ? per_second / 10 : 1);
}

static void fill(struct rate *r, int64_t now_ms)
{
	int64_t passed = now_ms - r->at_ms;
	int64_t filling = (r->full - r->level) / r->per_second + 1;

	/* What is more than that would only overflow the product. */
	if (r->at_ms == 0 || passed > filling)
		passed = filling;
	r->at_ms = now_ms;
	/* Units per second are thousandths per ms. */
	r->level += passed * r->per_second;
	if (r->level > r->full)
		r->level = r->full;
}

/* The ms until level is what is wanted, rounded up. */
static int64_t wait_for(const struct rate *r, int64_t wanted)
{
	if (r->level >= wanted)
		return 0;
	return (wanted - r->level + r->per_second - 1) / r->per_second;
}

int64_t rate_add(struct rate *r, int64_t now_ms, int64_t n)
{
	if (r->per_second == 0)
		return 0;
	fill(r, now_ms);
	r->level -= n * THOUSAND;
	return wait_for(r, 0);
}

int64_t rate_room(struct rate *r, int64_t now_ms, int64_t n)
{
	if (r->per_second == 0)
		return n;
	fill(r, now_ms);
	return n * THOUSAND <= r->level ? n : r->level / THOUSAND;
}

void rate_use(struct rate *r, int64_t n)
{
	if (r->per_second > 0)
		r->level -= n * THOUSAND;
}

int64_t rate_wait(const struct rate *r)
{
	return r->per_second > 0 ? wait_for(r, THOUSAND) : 0;
}
