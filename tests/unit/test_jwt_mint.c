/*
 * test_jwt_mint.c: what is minted is what is parsed, and can be shown.
 */
#include "support.h"

#include <stdio.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "codec/token/jwt.h"

#define NOW INT64_C(1700000000000)

static const uint8_t secret[] = "0123456789abcdef0123456789abcdef";

static const struct jwt_key key = {
	.name = "lab",
	.algorithm = JWT_HS256,
	.secret = secret,
	.secret_n = sizeof(secret) - 1,
	.max_ttl_ms = 60000,
};

static void test_smallest(void **state)
{
	static const struct jwt_claims claims = {
		.path = "/sim/42",
		.iat_ms = NOW,
		.exp_ms = NOW + 60000,
		.expire_at_ms = JWT_NEVER,
	};
	struct buf out = { 0 };
	uint8_t json[200];
	const char *dot;
	ssize_t n;
	(void)state;

	assert_int_equal(buf_add_str(&out, STR("?token=")), 0);
	assert_int_equal(jwt_mint(&out, &key, &claims), 0);
	assert_true(str_starts(buf_str(&out), STR("?token=eyJ")));
	buf_drop(&out, strlen("?token="));
	dot = memchr(out.p, '.', out.n);
	n = base64url_decode(
		json, (char *)out.p, (size_t)(dot - (char *)out.p));
	assert_true(n > 0);
	assert_str(((struct str){ (char *)json, (size_t)n }),
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"lab\"}");
	dot++;
	n = base64url_decode(json, dot,
		out.n - (size_t)(dot - (char *)out.p) - 1 -
			BASE64URL_LENGTH(32));
	assert_true(n > 0);
	assert_str(((struct str){ (char *)json, (size_t)n }),
		"{\"path\":\"/sim/42\",\"iat\":1700000000,"
		"\"exp\":1700000060}");
	buf_free(&out);
}

static void test_round_trip(void **state)
{
	static const struct jwt_claims claims = {
		.path = "/sim/*",
		.iat_ms = NOW + 123,
		.exp_ms = NOW + 60007,
		.sub = "\xc3\xa4\"\\/lice",
		.sub_key = "door",
		.jti = "j",
		.origin = "https://a",
		.issuer = "i",
		.audience = "a",
		.perm = JWT_READ,
		.expire_at_ms = 0,
	};
	struct jwt_key k = key;
	struct buf out = { 0 };
	const char *why = "";
	struct jwt t;
	(void)state;

	k.issuer = "i";
	k.audience = "a";
	assert_int_equal(jwt_mint(&out, &k, &claims), 0);
	if (jwt_parse(&t, buf_str(&out), &why) != JWT_OK)
		fail_msg("%s", why);
	assert_int_equal(jwt_verify(&t, &k), JWT_OK);
	assert_int_equal(
		jwt_check(&t, &k, NOW + 123, STR("/sim/1"), &why), JWT_OK);
	assert_int_equal(t.iat, claims.iat_ms);
	assert_int_equal(t.exp, claims.exp_ms);
	assert_int_equal(t.expire_at, 0);
	assert_string_equal(t.sub, claims.sub);
	assert_string_equal(t.sub_key, "door");
	assert_string_equal(t.jti, "j");
	assert_string_equal(t.origin, "https://a");
	assert_int_equal(t.perm, JWT_READ);
	jwt_free(&t);
	buf_free(&out);
}

static void test_every_millisecond(void **state)
{
	struct jwt_claims claims = {
		.path = "/",
		.iat_ms = 0,
		.expire_at_ms = JWT_NEVER,
	};
	const char *why;
	struct jwt t;
	(void)state;

	for (int64_t ms = 0; ms < 1000; ms++) {
		struct buf out = { 0 };

		claims.iat_ms = NOW + ms;
		claims.exp_ms = INT64_C(253402300798000) + ms;
		assert_int_equal(jwt_mint(&out, &key, &claims), 0);
		assert_int_equal(jwt_parse(&t, buf_str(&out), &why), JWT_OK);
		assert_int_equal(t.iat, claims.iat_ms);
		assert_int_equal(t.exp, claims.exp_ms);
		jwt_free(&t);
		buf_free(&out);
	}
}

/* Nothing is left behind in the buffer. */
static void test_mint_refuses(void **state)
{
	const struct jwt_claims good = {
		.path = "/",
		.iat_ms = NOW,
		.exp_ms = NOW,
		.expire_at_ms = JWT_NEVER,
	};
	struct jwt_claims c = good;
	struct jwt_key k = key;
	struct buf out = { 0 };
	(void)state;

	assert_int_equal(buf_add_str(&out, STR("x")), 0);
	c.sub = "\xff";
	assert_int_equal(jwt_mint(&out, &key, &c), -1);
	c = good;
	c.exp_ms = -1;
	assert_int_equal(jwt_mint(&out, &key, &c), -1);
	c.exp_ms = INT64_MAX;
	assert_int_equal(jwt_mint(&out, &key, &c), -1);
	k.algorithm = JWT_NONE;
	assert_int_equal(jwt_mint(&out, &k, &good), -1);
	k.algorithm = JWT_HS256;
	k.secret_n = 31;
	assert_int_equal(jwt_mint(&out, &k, &good), -1);
	assert_str(buf_str(&out), "x");
	assert_int_equal(jwt_mint(&out, &key, &good), 0);
	buf_free(&out);
}

static void test_show(void **state)
{
	static const char *const bad[] = { "", "a.b", "e30.e30", "e30.W10.e30",
		"e30.e31.AA", "e30.e3.AA", "ew.e30.AA" };
	struct buf out = { 0 };
	const char *why;
	(void)state;

	/* {"alg":"none"}, {"a":"\x9b (C1), a CSI"} */
	assert_int_equal(
		jwt_show(&out, STR("eyJhbGciOiJub25lIn0.eyJhIjoiwpsifQ.AAAA"),
			&why),
		0);
	assert_str(buf_str(&out), "{\n"
				  "  \"header\": {\n"
				  "    \"alg\": \"none\"\n"
				  "  },\n"
				  "  \"payload\": {\n"
				  "    \"a\": \"\\u009B\"\n"
				  "  }\n"
				  "}\n");
	buf_free(&out);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		why = NULL;
		if (jwt_show(&out, str_of(bad[i]), &why) == 0 || !why)
			fail_case(bad[i], "shown");
		assert_int_equal(out.n, 0);
	}
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_millisecond),
		cmocka_unit_test(test_mint_refuses),
		cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
