#include "gate/auth_reason.h"

#include "support.h"

static void test_words(void **state)
{
	static const char *const words[] = {
		[JWT_OK] = "none",
		[JWT_MALFORMED] = "token-malformed",
		[JWT_UNKNOWN_KEY] = "token-unknown-key",
		[JWT_SIGNATURE] = "token-signature",
		[JWT_EXPIRED] = "token-expired",
		[JWT_TOO_EARLY] = "token-too-early",
		[JWT_TTL] = "token-ttl",
		[JWT_PATH] = "token-path",
		[JWT_AUDIENCE] = "token-audience",
		[JWT_ISSUER] = "token-unknown-key",
		[JWT_NO_MEMORY] = "internal",
	};

	(void)state;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		assert_string_equal(
			reason_get(auth_reason((enum jwt_result)i))->word,
			words[i]);
}

static void test_only_a_good_token_has_no_reason(void **state)
{
	(void)state;

	for (int r = JWT_OK + 1; r <= JWT_NO_MEMORY; r++)
		assert_int_not_equal(
			auth_reason((enum jwt_result)r), REASON_NONE);
	assert_int_equal(auth_reason(JWT_OK), REASON_NONE);
}

/* As a client's page sees it: it needs another token, or the relay is ill. */
static void test_what_it_is_answered(void **state)
{
	(void)state;

	for (int r = JWT_OK + 1; r < JWT_NO_MEMORY; r++)
		assert_int_equal(
			reason_get(auth_reason((enum jwt_result)r))->status,
			401);
	assert_int_equal(reason_get(auth_reason(JWT_NO_MEMORY))->status, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_only_a_good_token_has_no_reason),
		cmocka_unit_test(test_what_it_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
