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

bool reason_is_orderly(enum reason r)
{
	return r == REASON_CLIENT_CLOSE || r == REASON_BACKEND_CLOSE ||
	       r == REASON_BACKEND_KICK || r == REASON_SHUTDOWN ||
	       r == REASON_DONE;
}
