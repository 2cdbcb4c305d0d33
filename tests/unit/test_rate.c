/* The token bucket: what is paid afterwards, and what waits for its turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "pair/rate.h"

static void test_no_limit(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 0);
	assert_int_equal(rate_add(&r, 5, 1000000), 0);
	rate_init_paced(&r, 0);
	assert_int_equal(rate_room(&r, 5, 1000000), 1000000);
	rate_use(&r, 1000000);
	assert_int_equal(rate_room(&r, 5, 1000000), 1000000);
}

static void test_debt(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 10);
	assert_int_equal(rate_add(&r, 1, 10), 0);
	assert_int_equal(rate_add(&r, 1, 1), 100);
	assert_int_equal(rate_add(&r, 101, 0), 0);
	assert_int_equal(rate_add(&r, 101, 5), 500);
	/* However long nothing came: a second's worth and no more. */
	assert_int_equal(rate_add(&r, 1000000, 10), 0);
	assert_int_equal(rate_add(&r, 1000000, 1), 100);
}

static void test_burst(void **state)
{
	static const struct {
		int64_t rate, burst;
	} cases[] = { { 1, 1 }, { 9, 1 }, { 10, 1 }, { 60, 6 }, { 999, 99 },
		{ 1000000, 100000 } };
	struct rate r;
	int64_t wait;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rate_init_paced(&r, cases[i].rate);
		assert_int_equal(
			rate_room(&r, 7, cases[i].burst), cases[i].burst);
		assert_int_equal(rate_room(&r, 7, INT32_MAX), cases[i].burst);
		rate_use(&r, cases[i].burst);
		assert_int_equal(rate_room(&r, 7, 1), 0);
		assert_in_range(rate_wait(&r), 1, 1000);
		/* The wait is neither too short nor a ms too long. */
		wait = rate_wait(&r);
		assert_int_equal(rate_room(&r, 7 + wait - 1, 1), 0);
		assert_int_equal(rate_room(&r, 7 + wait, 1) > 0, true);
	}
}

/* Asked again and again, or only when it said so: the same rate. */
static void test_paced(void **state)
{
	struct rate r;
	int64_t used = 0, at = 1;

	(void)state;
	rate_init_paced(&r, 7);
	for (; at < 60001; at++)
		if (rate_room(&r, at, 1) > 0) {
			rate_use(&r, 1);
			used++;
		}
	assert_int_equal(used, 420);
	rate_init_paced(&r, 7);
	for (used = 0, at = 1; at < 60001; used++) {
		assert_int_equal(rate_room(&r, at, 1), 1);
		rate_use(&r, 1);
		at += rate_wait(&r);
	}
	assert_in_range(used, 419, 421);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_debt),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_paced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
