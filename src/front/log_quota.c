#include "front/log_quota.h"

#include "base/buf.h"
#include "base/log.h"

bool log_quota_take(struct log_quota *q, enum reason r)
{
	if (q->lines < LOG_QUOTA_LINES) {
		q->lines++;
		return true;
	}
	q->hidden++;
	q->by_reason[r]++;
	return false;
}

/* Without memory the line lacks them. */
static void add_reasons(struct buf *out, const struct log_quota *q)
{
	for (int i = 0; i < REASON_COUNT; i++)
		if (q->by_reason[i] > 0 &&
			buf_add_printf(out, "%s%s:%u", out->n > 0 ? " " : "",
				reason_get((enum reason)i)->word,
				q->by_reason[i]) < 0)
			return;
}

void log_quota_next(struct log_quota *q, const char *event)
{
	struct buf reasons = { 0 };

	if (q->hidden > 0) {
		add_reasons(&reasons, q);
		LOG(LOG_WARN, event, F_INT("count", q->hidden),
			F_VIEW("reasons", buf_str(&reasons)));
		buf_free(&reasons);
	}
	*q = (struct log_quota){ 0 };
}
