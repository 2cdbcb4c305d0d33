/*
 * test_verified.c: signatures that are remembered: for whom, how long, how
 * many.
 */
#include "support.h"

#include <pthread.h>

#include "gate/verified.h"

#define NOW INT64_C(1700000000000)

/* A hash whose first bytes choose the set. */
static void make(uint8_t out[JWT_HASH], uint16_t set, uint32_t n)
{
	memset(out, 0x5a, JWT_HASH);
	memcpy(out, &set, sizeof(set));
	memcpy(out + 8, &n, sizeof(n));
}

static void test_what(void **state)
{
	struct verified *v = verified_new();
	uint8_t a[JWT_HASH], b[JWT_HASH], k[JWT_HASH], l[JWT_HASH];
	uint8_t zeros[JWT_HASH] = { 0 };
	(void)state;

	make(a, 7, 1);
	make(b, 7, 2);
	make(k, 1, 3);
	make(l, 1, 4);
	assert_non_null(v);
	/* An empty place is no entry, not even for zeros. */
	assert_false(verified_has(v, zeros, zeros, 0));
	assert_false(verified_has(v, zeros, zeros, INT64_MIN));
	assert_false(verified_has(v, a, k, NOW));
	verified_add(v, a, k, NOW + 1000);
	assert_true(verified_has(v, a, k, NOW));
	/* Another text, another key: nothing is known. */
	assert_false(verified_has(v, b, k, NOW));
	assert_false(verified_has(v, a, l, NOW));
	assert_false(verified_has(v, k, a, NOW));
	/* Two keys may have signed one text. */
	verified_add(v, a, l, NOW + 1000);
	assert_true(verified_has(v, a, k, NOW));
	assert_true(verified_has(v, a, l, NOW));
	/* Each bit counts. */
	for (size_t i = 0; i < 8 * JWT_HASH; i++) {
		a[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_false(verified_has(v, a, k, NOW));
		a[i / 8] ^= (uint8_t)(1u << i % 8);
		k[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_false(verified_has(v, a, k, NOW));
		k[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	assert_true(verified_has(v, a, k, NOW));
	verified_free(v);
	verified_free(NULL);
}

static void test_time(void **state)
{
	struct verified *v = verified_new();
	uint8_t a[JWT_HASH], k[JWT_HASH];
	(void)state;

	make(a, 7, 1);
	make(k, 1, 3);
	verified_add(v, a, k, NOW);
	assert_true(verified_has(v, a, k, NOW - 1));
	assert_false(verified_has(v, a, k, NOW));
	/* It is gone for good, also when the clock is set back. */
	assert_false(verified_has(v, a, k, NOW - 1));
	verified_add(v, a, k, INT64_MAX);
	assert_true(verified_has(v, a, k, INT64_MAX - 1));
	verified_free(v);
}

/* The place that was not used for longest is taken. */
static void test_places(void **state)
{
	struct verified *v = verified_new();
	uint8_t e[6][JWT_HASH], k[JWT_HASH];
	(void)state;

	make(k, 1, 3);
	for (uint32_t i = 0; i < 6; i++)
		make(e[i], 9, i);
	for (uint32_t i = 0; i < 4; i++)
		verified_add(v, e[i], k, NOW + 1000);
	assert_true(verified_has(v, e[0], k, NOW));
	verified_add(v, e[4], k, NOW + 1000);
	assert_false(verified_has(v, e[1], k, NOW));
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(verified_has(v, e[i], k, NOW), i != 1);
	/* What is over goes first. */
	verified_add(v, e[4], k, NOW + 1);
	assert_false(verified_has(v, e[4], k, NOW + 2));
	verified_add(v, e[5], k, NOW + 1000);
	assert_true(verified_has(v, e[0], k, NOW));
	assert_true(verified_has(v, e[2], k, NOW));
	assert_true(verified_has(v, e[3], k, NOW));
	assert_true(verified_has(v, e[5], k, NOW));
	verified_free(v);
}

/* More than there are places: as many as there are stay. */
static void test_many(void **state)
{
	struct verified *v = verified_new();
	uint8_t a[JWT_HASH], k[JWT_HASH];
	size_t kept = 0;
	(void)state;

	make(k, 1, 3);
	for (uint32_t i = 0; i < 3 * VERIFIED_MAX; i++) {
		make(a, (uint16_t)i, i);
		verified_add(v, a, k, NOW + 1000);
		assert_true(verified_has(v, a, k, NOW));
	}
	for (uint32_t i = 0; i < 3 * VERIFIED_MAX; i++) {
		make(a, (uint16_t)i, i);
		kept += verified_has(v, a, k, NOW);
	}
	assert_int_equal(kept, VERIFIED_MAX);
	verified_free(v);
}

static void *race(void *arg)
{
	struct verified *v = arg;
	uint8_t a[JWT_HASH], k[JWT_HASH];

	make(k, 1, 3);
	for (uint32_t i = 0; i < 5000; i++) {
		make(a, (uint16_t)(i % 64), i % 100);
		if (!verified_has(v, a, k, NOW))
			verified_add(v, a, k, NOW + i % 7);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct verified *v = verified_new();
	pthread_t threads[4];
	(void)state;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, v), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	verified_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
