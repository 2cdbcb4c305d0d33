/* Times that people write, in a zone whose clocks changed that night. */
#include "support.h"

#include <time.h>

#include "base/compiler.h"
#include "ctl/since.h"

#define S INT64_C(1000)
/* 2026-10-25 12:00 in Berlin; at 3:00 the clocks went back to 2:00. */
#define NOW (INT64_C(1792926000) * S)

static void test_good(void **state)
{
	static const struct {
		const char *text;
		int64_t ago; /* s */
	} cases[] = {
		{ "0s", 0 },
		{ "90s", 90 },
		{ "10m", 600 },
		{ "2h", 7200 },
		{ "3d", 3 * 86400 },
		{ "12:00", 0 },
		{ "11:59", 60 },
		{ "9:05", 10500 },
		{ "11:59:30", 30 },
		{ "00:00", 13 * 3600 }, /* an hour more than the clock says */
		{ "12:01", 25 * 3600 - 60 },
		{ "2026-10-25", 13 * 3600 },
		{ "2026-10-25 11:00", 3600 },
		{ "2026-10-25T11:00:01", 3599 },
		{ "2026-10-24 12:00", 25 * 3600 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ms = -1;

		if (since_parse(&ms, cases[i].text, NOW) < 0 ||
			ms != NOW - cases[i].ago * S)
			fail_case(cases[i].text, "%lld s ago",
				(long long)((NOW - ms) / S));
	}
}

static void test_bad(void **state)
{
	static const char *const cases[] = { "", "x", "10", "-1s", "10 m",
		"1h30m", "100001s", "25:00", "12:60", "12:00x", "2026-13-01",
		"2026-10-25 ", "1960-01-01", "m" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ms;

		if (since_parse(&ms, cases[i], NOW) == 0)
			fail_case(cases[i], "was taken");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
