/*
 * log_quota.h: at most so many lines of an event in a second, and one line that
 * tells of the others. A worker has one for each event that strangers can
 * cause.
 */
#ifndef FRONT_LOG_QUOTA_H
#define FRONT_LOG_QUOTA_H

#include <stdbool.h>

#include "base/reason.h"

#define LOG_QUOTA_LINES 20

struct log_quota {
	unsigned lines, hidden;           /* of this second */
	unsigned by_reason[REASON_COUNT]; /* of those that are hidden */
};

/* Whether one more line, with this reason, is logged; else it is counted. */
bool log_quota_take(struct log_quota *q, enum reason r);
/*
 * Once a second. Logs the event, "refuse-suppressed" for example, when lines
 * were hidden: count=15 reasons="origin:12 token-expired:3".
 */
void log_quota_next(struct log_quota *q, const char *event);

#endif
