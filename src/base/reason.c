#include "base/reason.h"

#include <assert.h>

static const struct reason_info reasons[REASON_COUNT] = {
	[REASON_NONE] = { "none", 0, 0, REASON_LATER, "" },
#define REASON(name, word, status, code, what, text)                           \
	[REASON_##name] = { word, status, code, REASON_##what, text },
#include "base/reason.def"
#undef REASON
};

const struct reason_info *reason_get(enum reason r)
{
	assert(r < REASON_COUNT);
	return &reasons[r];
}

enum reason reason_find(struct str word)
{
	for (int r = REASON_NONE + 1; r < REASON_COUNT; r++)
		if (str_eq(word, str_of(reasons[r].word)))
			return (enum reason)r;
	return REASON_NONE;
}

bool reason_is_orderly(enum reason r)
{
	return r == REASON_CLIENT_CLOSE || r == REASON_BACKEND_CLOSE ||
	       r == REASON_BACKEND_KICK || r == REASON_SHUTDOWN ||
	       r == REASON_DONE;
}
