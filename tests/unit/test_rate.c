/* The token bucket: what has come is paid for afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "relay/rate.h"

static void test_no_limit(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 0);
	assert_int_equal(rate_add(&r, 5, 1000000), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_debt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
