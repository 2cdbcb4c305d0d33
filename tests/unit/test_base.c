#include "base/buf.h"
#include "base/reason.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_str_compare(void **state)
{
	(void)state;
	assert_null(str_of(NULL).p);
	assert_int_equal(str_of("ab").n, 2);
	assert_true(str_eq(STR("ab"), STR("ab")));
	assert_true(str_eq(STR(""), STR_NONE));
	assert_false(str_eq(STR("ab"), STR("aB")));
	assert_false(str_eq(STR("ab"), STR("abc")));
	assert_true(str_eq_nocase(STR("Upgrade"), STR("uPGRADE")));
	assert_false(str_eq_nocase(STR("upgrade"), STR("upgrad")));
	assert_false(str_eq_nocase(STR("@["), STR("`{"))); /* beside A and Z */
	assert_false(str_eq_nocase(STR("\xc4"), STR("\xe4")));
	assert_true(str_starts(STR("/sim/1"), STR("/sim")));
	assert_true(str_starts(STR("x"), STR_NONE));
	assert_true(str_starts(STR_NONE, STR("")));
	assert_false(str_starts(STR("/si"), STR("/sim")));
	assert_true(str_eq_constant_time("abc", "abc", 3));
	assert_false(str_eq_constant_time("abc", "abd", 3));
	assert_true(str_eq_constant_time("abc", "abd", 2));
	assert_true(str_eq_constant_time("a", "b", 0));
}

static void test_str_trim(void **state)
{
	(void)state;
	assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
	assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
	assert_true(str_eq(str_trim(STR_NONE), STR("")));
	assert_true(str_eq(str_trim(STR("\na\n")), STR("\na\n")));
}

static void test_str_list(void **state)
{
	static const char *expected[] = { "a", "b c", "d" };
	struct str list = STR(" ,a,, \tb c ,d,\t"), element;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(str_next_element(&list, &element));
		assert_true(str_eq(element, str_of(expected[i])));
	}
	assert_false(str_next_element(&list, &element));
	assert_false(str_next_element(&list, &element));
	list = STR_NONE;
	assert_false(str_next_element(&list, &element));
}

static void test_str_dup(void **state)
{
	char *copy = str_dup(STR("a\0b"));

	(void)state;
	assert_memory_equal(copy, "a\0b", 4);
	free(copy);
	copy = str_dup(STR_NONE);
	assert_string_equal(copy, "");
	free(copy);
}

static void test_buf_bound(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(buf_add(&b, NULL, 0, 0), 0);
	assert_null(b.p);
	assert_int_equal(buf_add(&b, "abc", 3, 2), -1);
	assert_int_equal(b.n, 0);
	assert_int_equal(buf_add(&b, "abc", 3, 5), 0);
	assert_int_equal(buf_add(&b, "def", 3, 5), -1);
	assert_true(str_eq(buf_str(&b), STR("abc")));
	assert_int_equal(buf_add(&b, "de", 2, 5), 0);
	assert_true(str_eq(buf_str(&b), STR("abcde")));
	/* A sum that would wrap around is over every bound. */
	assert_int_equal(buf_add(&b, "x", SIZE_MAX, SIZE_MAX), -1);
	assert_int_equal(b.n, 5);
	buf_free(&b);
	assert_null(b.p);
	assert_int_equal(b.n, 0);
}

static void test_buf_grow(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (int i = 0; i < 5000; i++) {
		uint8_t byte = (uint8_t)(i * 7);

		assert_int_equal(buf_add(&b, &byte, 1, 5000), 0);
	}
	assert_int_equal(b.n, 5000);
	buf_drop(&b, 1000);
	assert_int_equal(b.n, 4000);
	for (int i = 0; i < 4000; i++)
		assert_int_equal(b.p[i], (uint8_t)((i + 1000) * 7));
	buf_drop(&b, 4001);
	assert_int_equal(b.n, 0);
	buf_free(&b);
}

static void test_buf_printf(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(buf_add_str(&b, STR("a=")), 0);
	assert_int_equal(buf_add_printf(&b, "%d %s", 42, ""), 0);
	assert_true(str_eq(buf_str(&b), STR("a=42 ")));
	assert_int_equal(buf_add_printf(&b, "%0*d", 1000, 1), 0);
	assert_int_equal(b.n, 1005);
	assert_int_equal(b.p[1004], '1');
	buf_free(&b);
}

/* Words are the keys of logs and counters: one reason, one word. */
static void test_reasons(void **state)
{
	(void)state;
	for (int i = 0; i < REASON_COUNT; i++) {
		const struct reason_info *r = reason_get((enum reason)i);

		assert_true(r->status == 0 ||
			    (r->status >= 400 && r->status < 600));
		assert_true(
			r->code == 0 || (r->code >= 1000 && r->code < 5000));
		assert_true(strlen(r->text) <= 123);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(
				r->word, reason_get((enum reason)j)->word);
	}
	assert_string_equal(reason_get(REASON_TOO_BIG)->word, "too-big");
	assert_int_equal(reason_get(REASON_TOO_BIG)->code, 1009);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_str_compare),
		cmocka_unit_test(test_str_trim),
		cmocka_unit_test(test_str_list),
		cmocka_unit_test(test_str_dup),
		cmocka_unit_test(test_buf_bound),
		cmocka_unit_test(test_buf_grow),
		cmocka_unit_test(test_buf_printf),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
