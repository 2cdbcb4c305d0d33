/*
 * test_jwt_json.c: the reserve that jansson reads from when there is no memory
 * is large enough for whatever it reads. (That it is used is seen by "make
 * check-oom".)
 */
#include "support.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/token/jwk.h"
#include "codec/token/jwt_json.h"

static size_t allocated; /* what a reserve would have given out */

static void *counting_malloc(size_t n)
{
	allocated += (n + 15) & ~(size_t)15;
	return malloc(n);
}

/* begin, then unit over and over up to n bytes, then end. */
static void check(
	const char *begin, const char *unit, const char *end, size_t n)
{
	struct buf json = { 0 };
	json_t *object;
	const char *why;

	assert_int_equal(buf_add_str(&json, str_of(begin)), 0);
	while (json.n + strlen(unit) + strlen(end) <= n)
		assert_int_equal(buf_add_str(&json, str_of(unit)), 0);
	assert_int_equal(buf_add_str(&json, str_of(end)), 0);
	/* A first one, behind which the allocator stays what it is. */
	assert_int_equal(jwt_json_read(&object, "{}", 2, &why), JWT_OK);
	json_decref(object);
	json_set_alloc_funcs(counting_malloc, free);
	allocated = 0;
	assert_int_equal(jwt_json_read(&object, json.p, json.n, &why), JWT_OK);
	json_decref(object);
	assert_in_range(allocated, 1, (json.n + 64) * JWT_JSON_RESERVE);
	buf_free(&json);
}

static void test_reserve(void **state)
{
	static const char *const cases[][3] = {
		{ "{\"a\":[{}", ",{}", "]}" },
		{ "{\"a\":[[]", ",[]", "]}" },
		{ "{\"a\":[0", ",0", "]}" },
		{ "{\"a\":[1.0", ",1.0", "]}" },
		{ "{\"a\":[\"\"", ",\"\"", "]}" },
		{ "{\"a\":[{\"\":{}}", ",{\"\":{}}", "]}" },
		{ "{\"a\":[[{}]", ",[{}]", "]}" },
		{ "{\"a\":\"", "x", "\"}" },
		{ "{\"", "x", "\":1}" },
		{ "{\"a\":\"", "\\u20ac", "\"}" },
		{ "{", " ", "}" },
	};
	static const size_t sizes[] = { 0, 15, 100, JWT_TOKEN_MAX,
		JWK_SET_MAX };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
			check(cases[i][0], cases[i][1], cases[i][2], sizes[k]);
}

/* Names differ, so that an object grows: the smallest are digits. */
static void test_members(void **state)
{
	struct buf json = { 0 };
	json_t *object;
	const char *why;
	(void)state;

	for (int i = 0; json.n < JWT_TOKEN_MAX - 20; i++)
		assert_int_equal(
			buf_add_printf(&json, "%s\"%x\":{}", i ? "," : "{", i),
			0);
	assert_int_equal(buf_add_str(&json, STR("}")), 0);
	allocated = 0;
	assert_int_equal(jwt_json_read(&object, json.p, json.n, &why), JWT_OK);
	json_decref(object);
	assert_in_range(allocated, 1, json.n * JWT_JSON_RESERVE);
	buf_free(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
