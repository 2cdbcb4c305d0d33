#include "base/table.h"

#include <stdlib.h>
#include <string.h>

#include "gate/used_tokens.h"
#include "support.h"

struct thing {
	struct table_entry entry;
	uint32_t key;
};

/* The first lines of the vectors of the paper, for SipHash-1-3: 00 01 02 ... */
static void test_hash(void **state)
{
	static const uint64_t want[] = { 0xabac0158050fc4dcu,
		0xc9f49bf37d57ca93u, 0x82cb9b024dc7d44du, 0x8bf80ab8e7ddf7fbu };
	uint64_t secret[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	uint8_t in[ARRAY_SIZE(want)];

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(want); n++) {
		in[n] = (uint8_t)n;
		assert_int_equal(table_hash(secret, in, n), want[n]);
	}
}

/* Against an array that knows: any order, through many steps of growth. */
static void test_any_order(void **state)
{
	enum { MANY = 5000 };
	struct thing *things = calloc(MANY, sizeof(*things));
	bool in[MANY] = { false };
	uint64_t seed = 7;
	struct table t;
	size_t n = 0;

	(void)state;
	assert_non_null(things);
	assert_int_equal(table_init(&t), 0);
	for (int i = 0; i < 20 * MANY; i++) {
		uint32_t k = (uint32_t)(next_random(&seed) % MANY);
		struct table_entry *e = table_find(&t, &k, sizeof(k));

		assert_ptr_equal(e, in[k] ? &things[k].entry : NULL);
		things[k].key = k;
		if (in[k])
			table_remove(&t, e);
		else
			table_add(&t, &things[k].entry, &things[k].key,
				sizeof(k));
		in[k] = !in[k];
		n += in[k] ? 1 : (size_t)-1;
		assert_int_equal(t.n, n);
	}
	for (struct table_entry *e; (e = table_any(&t)); n--)
		table_remove(&t, e);
	assert_int_equal(n, 0);
	table_free(&t);
	free(things);
}

static enum reason use(struct used_tokens *u, const char *key, uint32_t id,
	int64_t exp, int64_t now)
{
	uint8_t bytes[USED_TOKENS_ID] = { 0 };

	memcpy(bytes, &id, sizeof(id));
	return used_tokens_add(u, key, bytes, exp, now);
}

static void test_used_tokens(void **state)
{
	struct used_tokens *u = used_tokens_new();
	uint8_t one[USED_TOKENS_ID] = { 1 };

	(void)state;
	assert_non_null(u);
	assert_int_equal(use(u, "a", 1, 100, 0), REASON_NONE);
	assert_int_equal(use(u, "a", 1, 100, 99), REASON_TOKEN_USED);
	used_tokens_remove(u, one);
	assert_int_equal(use(u, "a", 1, 100, 0), REASON_NONE);
	used_tokens_free(u);
}

/* What one key has used up is its own affair; what has expired is forgotten. */
static void test_used_tokens_of_a_key(void **state)
{
	struct used_tokens *u = used_tokens_new();
	uint32_t n = USED_TOKENS_MAX;

	(void)state;
	assert_non_null(u);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(use(u, "a", i, (int64_t)(i * 7919u % n), 0),
			REASON_NONE);
	assert_int_equal(use(u, "a", n, n, 0), REASON_TOKEN_STORE);
	assert_int_equal(use(u, "b", n + 1, n, 0), REASON_NONE);
	/* Ten expire, two of them are forgotten with each that comes. */
	for (uint32_t i = 2; i < 12; i++)
		assert_int_equal(use(u, "a", n + i, n, 10), REASON_NONE);
	assert_int_equal(use(u, "a", n + 12, n, 10), REASON_TOKEN_STORE);
	used_tokens_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_used_tokens),
		cmocka_unit_test(test_used_tokens_of_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
