/* What people see of a member of a row. */
#include "support.h"

#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "base/compiler.h"
#include "ctl/cell.h"

static void expect(const char *name, json_t *value, const char *text)
{
	char cell[CELL_MAX];

	assert_string_equal(cell_format(cell, name, value), text);
	json_decref(value);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *name;
		int64_t n;
		const char *text;
	} cases[] = {
		{ "n", 0, "0" },
		{ "n", -7, "-7" },
		{ "age_ms", 0, "0ms" },
		{ "age_ms", 999, "999ms" },
		{ "age_ms", 1000, "1.0s" },
		{ "age_ms", 9999, "9.9s" },
		{ "age_ms", 59999, "59s" },
		{ "age_ms", 60000, "1m00s" },
		{ "age_ms", 3599999, "59m59s" },
		{ "age_ms", 3600000, "1h00m" },
		{ "age_ms", 86400000, "1d0h" },
		{ "queued_bytes", 9999, "9999" },
		{ "queued_bytes", 10000, "9.8K" },
		{ "queued_bytes", 1048576, "1.0M" },
		{ "queued_bytes", 536870912, "512M" },
		{ "queued_bytes", INT64_MAX, "8192P" },
		{ "closed_at", 1792926000999, "2026-10-25 12:00:00" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].name, json_integer(cases[i].n), cases[i].text);
}

static void test_texts(void **state)
{
	char cell[CELL_MAX], text[2 * CELL_MAX];
	json_t *long_text;

	(void)state;
	expect("a", json_string("\xc3\xa6 x"), "\xc3\xa6 x");
	/* What a terminal would act on: ESC, C1, a line's end. */
	expect("a", json_string("\x1b[2J\n"), "\\x1b[2J\\x0a");
	expect("a", json_string("\xc2\x9b"), "\\x9b");
	expect("a", NULL, "-");
	expect("a", json_true(), "-");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	long_text = json_string(text);
	cell_format(cell, "a", long_text); /* ends within it */
	json_decref(long_text);
	assert_true(strlen(cell) < CELL_MAX);
}

static void test_headings(void **state)
{
	char cell[CELL_MAX];

	(void)state;
	assert_string_equal(cell_heading(cell, "closed_at"), "closed");
	assert_string_equal(cell_heading(cell, "age_ms"), "age");
	assert_string_equal(cell_heading(cell, "queued_bytes"), "queued bytes");
	assert_int_equal(cell_width("\xc3\xa6\xe6\xbc\xa2x"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_headings),
	};

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
