/* How long to wait before a lost backend is opened again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/backoff.h"
#include "base/compiler.h"

static void test_steps(void **state)
{
	static const int64_t steps[] = { 100, 200, 400, 800, 1600, 3200, 5000,
		5000, 5000 };
	static const uint32_t randoms[] = { 0, 1, 49, 50, 51, 12345,
		UINT32_MAX };

	(void)state;
	for (size_t r = 0; r < ARRAY_SIZE(randoms); r++) {
		struct backoff b = { 0 };

		for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
			assert_in_range(backoff_next(&b, randoms[r]),
				steps[i] / 2, steps[i]);
		backoff_reset(&b);
		assert_in_range(backoff_next(&b, randoms[r]), 50, 100);
	}
	/* The random part reaches both ends. */
	assert_int_equal(backoff_next(&(struct backoff){ 0 }, 0), 50);
	assert_int_equal(backoff_next(&(struct backoff){ 0 }, 50), 100);
	/* It never overflows. */
	assert_in_range(
		backoff_next(&(struct backoff){ .failures = UINT32_MAX }, 7),
		2500, 5000);
}

static void test_lines(void **state)
{
	struct backoff b = { 0 };
	int loud = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		(void)backoff_next(&b, 0);
		loud += backoff_is_loud(&b);
	}
	assert_int_equal(loud, 10); /* 1, 2, 4 ... 512 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
