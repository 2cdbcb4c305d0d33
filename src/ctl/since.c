#include "ctl/since.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_S 86400

int since_parse_length(int64_t *ms, const char *text)
{
	static const struct {
		char letter;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 },
		{ 'd', INT64_C(1000) * DAY_S } };
	char *end;
	long n = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || n > 100000 || !end[0] || end[1])
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].letter == end[0]) {
			*ms = n * units[i].ms;
			return 0;
		}
	return -1;
}

/* All of the text is this. */
static bool reads(const char *text, const char *format, struct tm *tm)
{
	const char *end = strptime(text, format, tm);

	return end && *end == '\0';
}

static int64_t make(struct tm *tm)
{
	tm->tm_isdst = -1;
	return (int64_t)mktime(tm);
}

static int parse_clock(int64_t *out, const char *text, int64_t now)
{
	static const char *const formats[] = { "%H:%M", "%H:%M:%S" };
	time_t seconds = (time_t)(now / 1000);

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm tm;

		if (!localtime_r(&seconds, &tm))
			return -1;
		tm.tm_sec = 0;
		if (!reads(text, formats[i], &tm))
			continue;
		*out = make(&tm) * 1000;
		if (*out > now) { /* yesterday, which may have had 23 hours */
			tm.tm_mday--;
			*out = make(&tm) * 1000;
		}
		return 0;
	}
	return -1;
}

int since_parse(int64_t *out, const char *text, int64_t now)
{
	static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M",
		"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S" };
	int64_t ms;

	if (since_parse_length(&ms, text) == 0) {
		*out = ms < now ? now - ms : 0;
		return 0;
	}
	if (parse_clock(out, text, now) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm tm = { 0 };

		if (!reads(text, formats[i], &tm) || make(&tm) < 0)
			continue;
		*out = make(&tm) * 1000;
		return 0;
	}
	return -1;
}
