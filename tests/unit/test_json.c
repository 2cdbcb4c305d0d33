/* Lines of JSON from fields: escaping, cutting, what is left out. */
#include "support.h"

#include "base/buf.h"
#include "base/json.h"
#include "no_memory.h"

/* The line is this. */
#define expect(text, ...)                                                      \
	do {                                                                   \
		struct buf out = { 0 };                                        \
		assert_int_equal(JSON_LINE(&out, __VA_ARGS__), 0);             \
		assert_str(buf_str(&out), text "\n");                          \
		buf_free(&out);                                                \
	} while (0)

static void test_fields(void **state)
{
	(void)state;
	expect("{\"a\":\"x\",\"n\":-5}", F_STR("a", "x"), F_INT("n", -5));
	expect("{\"n\":9223372036854775807}", F_INT("n", INT64_MAX));
	expect("{\"b\":\"\"}", F_STR("a", NULL), F_NONE, F_STR("b", ""));
	expect("{}", F_NONE);
}

static void test_escapes(void **state)
{
	(void)state;
	expect("{\"a\":\"\\\"\\\\\\n\\t\\r\"}", F_STR("a", "\"\\\n\t\r"));
	expect("{\"a\":\"\\u0001\\u001b\\u007f\"}", F_STR("a", "\x01\x1b\x7f"));
	expect("{\"a\":\"\xc3\xa6\xe6\xbc\xa2\xf0\x9f\x8c\x8a\"}",
		F_STR("a", "\xc3\xa6\xe6\xbc\xa2\xf0\x9f\x8c\x8a"));
	/* Not UTF-8: overlong, a surrogate, cut off. */
	expect("{\"a\":\"\\ufffd\\ufffd\"}", F_STR("a", "\xc0\xaf"));
	expect("{\"a\":\"\\ufffd\\ufffd\\ufffd\"}", F_STR("a", "\xed\xa0\x80"));
	expect("{\"a\":\"\\ufffd\\ufffdx\"}", F_STR("a", "\xe6\xbcx"));
	expect("{\"a\":\"x\\u0000y\"}",
		F_VIEW("a", ((struct str){ "x\0y", 3 })));
}

static void test_tokens_are_hidden(void **state)
{
	(void)state;
	expect("{\"path\":\"/a/(token)\"}",
		F_STR("path",
			"/a/eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjEyMzQ1Njc4OTB9."
			"c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0"));
}

static void test_long_values_are_cut_between_characters(void **state)
{
	static char text[JSON_VALUE_MAX + 10];
	struct buf out = { 0 };

	(void)state;
	memset(text, 'x', sizeof(text));
	/* A character over the edge. */
	memcpy(text + JSON_VALUE_MAX - 1, "\xc3\xa6", 2);
	assert_int_equal(
		JSON_LINE(&out,
			F_VIEW("a", ((struct str){ text, sizeof(text) }))),
		0);
	assert_int_equal(out.n,
		strlen("{\"a\":\"\"}\n") + JSON_VALUE_MAX - 1 + strlen("..."));
	buf_free(&out);
}

/* What is long is written in parts; each ends behind a character. */
static void test_in_parts(void **state)
{
	static const char text[] = "ab\"\xc3\xa9\\\n\x01\x7f\xff"
				   "cde";
	static const char written[] =
		"ab\\\"\xc3\xa9\\\\\\n\\u0001\\u007f\\ufffd"
		"cde";

	(void)state;
	for (size_t most = 1; most <= sizeof(written); most++) {
		struct str left = STR(text);
		struct buf out = { 0 };

		while (left.n > 0) {
			size_t before = out.n;

			assert_int_equal(
				json_add_characters(&out, &left, most), 0);
			assert_in_range(
				out.n - before, 1, most + JSON_ESCAPED_MAX - 1);
		}
		assert_str(buf_str(&out), written);
		buf_free(&out);
	}
}

static void test_no_part_of_a_line_without_memory(void **state)
{
	static char text[1000];
	struct buf out = { 0 };

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(JSON_LINE(&out, F_STR("a", "b")), 0);
	no_memory_at(1);
	assert_int_equal(JSON_LINE(&out, F_STR("a", text)), -1);
	no_memory_at(0);
	assert_str(buf_str(&out), "{\"a\":\"b\"}\n");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_tokens_are_hidden),
		cmocka_unit_test(test_long_values_are_cut_between_characters),
		cmocka_unit_test(test_in_parts),
		cmocka_unit_test(test_no_part_of_a_line_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
