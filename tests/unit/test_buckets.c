#include "gate/buckets.h"

#include "conf/conf.h"
#include "support.h"

static void make_key(uint8_t key[BUCKETS_KEY], uint32_t number)
{
	memset(key, 0, BUCKETS_KEY);
	memcpy(key, &number, sizeof(number));
	key[BUCKETS_KEY - 1] = 1;
}

static int64_t take(struct buckets *b, uint32_t number,
	const struct conf_rate *rate, int64_t now_ms)
{
	uint8_t key[BUCKETS_KEY];

	make_key(key, number);
	return buckets_take(b, key, rate, now_ms);
}

static void test_no_limit(void **state)
{
	struct buckets *b = buckets_new();
	struct conf_rate none = { 0 };

	(void)state;
	assert_non_null(b);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(take(b, 1, &none, 5), 0);
	buckets_free(b);
	buckets_free(NULL);
}

/* Looking takes nothing, and takes no place. */
static void test_empty(void **state)
{
	struct buckets *b = buckets_new();
	struct conf_rate rate = { 2, 1000 }, none = { 0 };
	uint8_t key[BUCKETS_KEY];

	(void)state;
	assert_non_null(b);
	make_key(key, 5);
	for (int64_t now = 1000000; now < 1000002; now++) {
		for (uint32_t i = 0; i < 40000; i++) {
			make_key(key, i);
			assert_false(buckets_is_empty(b, key, &rate, now));
		}
		make_key(key, 5);
	}
	assert_int_equal(take(b, 5, &rate, 1000000), 0);
	assert_false(buckets_is_empty(b, key, &rate, 1000000));
	assert_int_equal(take(b, 5, &rate, 1000000), 0);
	for (int i = 0; i < 3; i++)
		assert_true(buckets_is_empty(b, key, &rate, 1000000));
	assert_false(buckets_is_empty(b, key, &none, 1000000));
	assert_true(buckets_is_empty(b, key, &rate, 1000499));
	assert_false(buckets_is_empty(b, key, &rate, 1000500));
	buckets_free(b);
}

/* A burst of one bucket, then one per interval, whatever the unit. */
static void test_rates(void **state)
{
	static const struct conf_rate rates[] = { { 1, 1000 }, { 4, 1000 },
		{ 1000, 1000 }, { 20, 60000 }, { 7, 60000 }, { 3, 3600000 },
		{ 100000, 1000 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct buckets *b = buckets_new();
		const struct conf_rate *r = &rates[i];
		int64_t now = 123456789, wait;

		assert_non_null(b);
		for (int64_t k = 0; k < r->n; k++)
			assert_int_equal(take(b, 7, r, now), 0);
		wait = take(b, 7, r, now);
		assert_true(wait > 0 && wait <= r->ms / r->n + 1);
		/* Not sooner than it said, and then just one. */
		assert_int_equal(take(b, 7, r, now + wait), 0);
		if (r->n < 1000)
			assert_true(take(b, 7, r, now + wait) != 0);
		/* A pause of any length fills one bucket, not more. */
		now += 10 * r->ms;
		for (int64_t k = 0; k < r->n; k++)
			assert_int_equal(take(b, 7, r, now), 0);
		assert_true(take(b, 7, r, now) > 0);
		buckets_free(b);
	}
}

/* Being refused costs nothing, so that who waits as told gets in. */
static void test_refusals_and_floods(void **state)
{
	struct buckets *b = buckets_new();
	struct conf_rate r = { 5, 1000 };
	int told = 0, flood = 0;

	(void)state;
	assert_non_null(b);
	for (int i = 0; i < 5; i++)
		assert_int_equal(take(b, 7, &r, 1000), 0);
	for (int i = 0; i < 100; i++) {
		int64_t wait = take(b, 7, &r, 1000);

		if (wait > 0)
			assert_int_equal(wait, 200);
		told += wait > 0;
		flood += wait == BUCKETS_FLOOD;
	}
	assert_int_equal(told, 5);
	assert_int_equal(flood, 95);
	assert_int_equal(take(b, 7, &r, 1200), 0);
	assert_int_equal(take(b, 7, &r, 1200), 200);
	assert_int_equal(take(b, 7, &r, 1200), BUCKETS_FLOOD);
	/* Others are others. */
	assert_int_equal(take(b, 8, &r, 1200), 0);
	buckets_free(b);
}

/* More keys than places: who owes most is remembered longest. */
static void test_bound(void **state)
{
	struct buckets *b = buckets_new();
	struct conf_rate r = { 2, 3600000 };
	int forgotten = 0;

	(void)state;
	assert_non_null(b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(take(b, 0xffffffff, &r, 1000) != 0, i == 2);
	for (uint32_t i = 0; i < 200000; i++)
		forgotten += take(b, i, &r, 1000) != 0;
	assert_int_equal(forgotten, 0);
	assert_true(take(b, 0xffffffff, &r, 1000) != 0);
	buckets_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_refusals_and_floods),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
