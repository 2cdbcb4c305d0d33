#include "relay/expiry.h"

#include "base/clock.h"
#include "conf/conf.h"
#include "relay/client.h"

int64_t expiry_of(const struct client *c, int64_t now_ms, enum reason *as)
{
	int64_t due = INT64_MAX;
	int64_t left;

	*as = REASON_NONE;
	if (c->route->max_session > 0) {
		due = now_ms + c->route->max_session;
		*as = REASON_SESSION_END;
	}
	if (c->verdict.expire_at <= 0)
		return due;
	left = c->verdict.expire_at - clock_unix_ms();
	if (left < 0)
		left = 0;
	if (due == INT64_MAX || left < due - now_ms) {
		due = now_ms + left;
		*as = REASON_TOKEN_END;
	}
	return due;
}
