#include "base/backoff.h"

int64_t backoff_next(struct backoff *b, uint32_t random)
{
	int64_t step = BACKOFF_FIRST_MS;

	for (unsigned i = 0; i < b->failures && step < BACKOFF_MOST_MS; i++)
		step *= 2;
	if (step > BACKOFF_MOST_MS)
		step = BACKOFF_MOST_MS;
	b->failures++;
	return step / 2 + random % (step / 2 + 1);
}

void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}

bool backoff_is_loud(const struct backoff *b)
{
	return (b->failures & (b->failures - 1)) == 0;
}
