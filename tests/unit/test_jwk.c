/*
 * test_jwk.c: JWK Sets: which keys are taken, left out, and refused.
 */
#include "support.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/token/jwk.h"
#include "codec/token/jwt_public.h"
#include "jwt_keys.h"

/* RFC 7517 appendix A.1: the same numbers as there. */
#define EC_NUMBERS                                                             \
	"\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","               \
	"\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define RSA_N                                                                  \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1"  \
	"RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5"  \
	"n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8K"  \
	"JZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQF"  \
	"h6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz"  \
	"KnqDKgw"
#define RSA_NUMBERS "\"n\":\"" RSA_N "\",\"e\":\"AQAB\""
#define EC          "\"kty\":\"EC\",\"crv\":\"P-256\"," EC_NUMBERS
#define RSA         "\"kty\":\"RSA\"," RSA_NUMBERS

#define SET(keys) "{\"keys\":[" keys "]}"

static int parse(struct jwk_set *set, const char *json,
	enum jwt_algorithm algorithm, char why[JWK_WHY])
{
	size_t n = strlen(json);
	char *copy = exact_copy(json, n);
	int r;

	why[0] = '\0';
	r = jwk_set_parse(set, (struct str){ copy, n }, algorithm, why);
	free(copy);
	return r;
}

/* The set of appendix A.1, as it stands there but for line breaks. */
static void test_rfc7517_a1(void **state)
{
	static const char a1[] = SET(
		"{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_NUMBERS
		",\"use\":\"enc\",\"kid\":\"1\"},"
		"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\","
		"\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}");
	struct jwk_set set;
	char why[JWK_WHY];
	(void)state;

	assert_int_equal(parse(&set, a1, JWT_RS256, why), 0);
	assert_int_equal(set.n, 1);
	assert_string_equal(set.keys[0].kid, "2011-04-29");
	assert_int_equal(set.unused, 0);
	jwk_set_free(&set);
	/* Its EC key is for encryption. */
	assert_int_equal(parse(&set, a1, JWT_ES256, why), -1);
	assert_string_equal(why, "no key for ES256; key 1 (1) is left out: "
				 "its use is not sig");
}

static void test_taken(void **state)
{
	static const struct {
		const char *json;
		enum jwt_algorithm algorithm;
		size_t n, unused;
		const char *warning;
	} cases[] = {
		{ SET("{" EC "}"), JWT_ES256, 1, 0, "" },
		{ SET("{" RSA "}"), JWT_RS256, 1, 0, "" },
		{ SET("{" RSA "},{" EC "}"), JWT_RS256, 1, 0, "" },
		{ SET("{" RSA "},{" EC "}"), JWT_ES256, 1, 0, "" },
		{ SET("{" EC ",\"alg\":\"ES256\",\"use\":\"sig\","
		      "\"kid\":\"a\",\"key_ops\":[\"verify\"]}"),
			JWT_ES256, 1, 0, "" },
		{ "{\"other\":1,\"keys\":[{" EC ",\"other\":[{}]}]}", JWT_ES256,
			1, 0, "" },
		/* Several without a kid, and one key under two names. */
		{ SET("{" EC "},{" EC "},{" EC ",\"kid\":\"a\"},{" EC
		      ",\"kid\":\"b\"}"),
			JWT_ES256, 4, 0, "" },
		/* What is for others is left out, whatever its kid. */
		{ SET("{" EC ",\"kid\":\"a\"},{" RSA
		      ",\"kid\":\"a\",\"alg\":\"RS512\"},"
		      "{" RSA ",\"kid\":\"a\",\"alg\":\"PS256\"},"
		      "{" RSA ",\"kid\":\"a\",\"alg\":\"RSA-OAEP\","
		      "\"use\":\"enc\"},"
		      "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"},"
		      "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\"},"
		      "{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":"
		      "\"ECDH-ES\"},"
		      "{\"kty\":\"AKP\"},{\"kty\":\"\",\"kid\":\"\"}"),
			JWT_ES256, 1, 0, "" },
		{ SET("{" EC ",\"use\":\"enc\"},{" EC "},{" EC
		      ",\"use\":\"\",\"kid\":\"b\"}"),
			JWT_ES256, 1, 2,
			"key 1 is left out: its use is not sig" },
		{ SET("{" EC "},{" EC ",\"key_ops\":[\"sign\",1],"
		      "\"kid\":\"b\"}"),
			JWT_ES256, 1, 1,
			"key 2 (b) is left out: its key_ops have no verify" },
		/* Zeros in front, which RFC 7518 forbids and some write. */
		{ SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AAEAAQ\"}"),
			JWT_RS256, 1, 0, "" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jwk_set set;
		char why[JWK_WHY];
		int r = parse(&set, cases[i].json, cases[i].algorithm, why);

		if (r != 0 || set.n != cases[i].n ||
			set.unused != cases[i].unused ||
			strcmp(set.warning, cases[i].warning) != 0)
			fail_case(cases[i].json, "%d %s: %zu keys, %zu: %s", r,
				why, set.n, set.unused, set.warning);
		jwk_set_free(&set);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *json;
		enum jwt_algorithm algorithm;
		const char *why;
	} cases[] = {
		{ "", JWT_ES256, "not a JSON object" },
		{ "[]", JWT_ES256, "not a JSON object" },
		{ "{", JWT_ES256, "not a JSON object" },
		{ SET("{" EC "}") "x", JWT_ES256, "not a JSON object" },
		{ "{\"keys\":[],\"keys\":[]}", JWT_ES256, "name twice" },
		{ "{\"a\":[[[[[[[[[]]]]]]]]]}", JWT_ES256, "too deep" },
		{ "{" EC "}", JWT_ES256, "no array named keys" },
		{ "{\"keys\":{}}", JWT_ES256, "no array named keys" },
		{ SET(""), JWT_ES256, "no key for ES256" },
		{ SET("{" RSA "}"), JWT_ES256, "no key for ES256" },
		{ SET("{" EC "}"), JWT_RS256, "no key for RS256" },
		{ SET("{" EC "}"), JWT_HS256, "no public keys" },
		{ SET("{" EC "}"), JWT_NONE, "no public keys" },
		{ SET("1"), JWT_ES256, "key 1 is not an object" },
		{ SET("{}"), JWT_ES256, "key 1 has no kty" },
		{ SET("{\"kty\":1}"), JWT_ES256,
			"key 1 has no string for its kty" },
		{ SET("{" EC ",\"alg\":null}"), JWT_ES256,
			"key 1 has no string for its alg" },
		{ SET("{" EC ",\"use\":[\"sig\"]}"), JWT_ES256,
			"key 1 has no string for its use" },
		{ SET("{\"kty\":\"EC\",\"crv\":256}"), JWT_ES256,
			"key 1 has no string for its crv" },
		{ SET("{" EC ",\"key_ops\":\"verify\"}"), JWT_ES256,
			"key 1 has key_ops that are no array" },
		{ SET("{" EC ",\"kid\":1}"), JWT_ES256,
			"key 1 has a kid that is not" },
		{ SET("{" EC ",\"kid\":\"a\\u0007\"}"), JWT_ES256,
			"key 1 has a kid that is not" },
		/* Secrets among public keys, and private ones. */
		{ SET("{" EC "},{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":"
		      "\"s\"}"),
			JWT_ES256, "key 2 (s) is symmetric (kty oct)" },
		{ SET("{\"kty\":\"oct\",\"alg\":\"RS256\",\"k\":\"AAAA\"}"),
			JWT_RS256, "key 1 is symmetric" },
		{ SET("{" EC ",\"d\":\"AAAA\"}"), JWT_ES256,
			"key 1 is private" },
		{ SET("{" EC "},{" RSA ",\"d\":\"AAAA\"}"), JWT_ES256,
			"key 2 is private" },
		/* alg says one thing, kty another. */
		{ SET("{" EC ",\"alg\":\"RS256\"}"), JWT_RS256,
			"key 1 has a kty or crv that its alg has not" },
		{ SET("{" RSA ",\"alg\":\"ES256\"}"), JWT_ES256,
			"key 1 has a kty or crv that its alg has not" },
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"alg\":\"ES256\"}"),
			JWT_ES256,
			"key 1 has a kty or crv that its alg has not" },
		{ SET("{\"kty\":\"EC\",\"alg\":\"ES256\"," EC_NUMBERS "}"),
			JWT_ES256,
			"key 1 has a kty or crv that its alg has not" },
		{ SET("{" EC ",\"kid\":\"a\"},{" EC ",\"kid\":\"b\"},{" EC
		      ",\"kid\":\"a\"}"),
			JWT_ES256, "key 3 (a) has the kid of another one" },
		/* Numbers. */
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-256\"}"), JWT_ES256,
			"x or y is missing" },
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\","
		      "\"y\":\"AAAA\"}"),
			JWT_ES256, "32 bytes" },
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\","
		      "\"y\":\"AA==\"}"),
			JWT_ES256, "not base64url" },
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		      "\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
		      "\"y\":"
		      "\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"}"),
			JWT_ES256, "no point of P-256" },
		{ SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}"), JWT_RS256,
			"n or e is missing" },
		{ SET("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":1}"), JWT_RS256,
			"n or e is missing" },
		{ SET("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"\"}"), JWT_RS256,
			"n or e is missing" },
		{ SET("{\"kty\":\"RSA\",\"e\":\"AA\",\"n\":\"" RSA_N "\"}"),
			JWT_RS256, "no RSA key" },
		{ SET("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AAAA\"}"),
			JWT_RS256, "no RSA key" },
		/* 1024 bits */
		{ SET("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
		      "___________________________________________________"
		      "___________________________________________________"
		      "____________________________________________________"
		      "________________8\"}"),
			JWT_RS256, "less than 2048 bits" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jwk_set set;
		char why[JWK_WHY];

		if (parse(&set, cases[i].json, cases[i].algorithm, why) == 0 ||
			!strstr(why, cases[i].why) || set.n != 0 || set.keys)
			fail_case(cases[i].json, "%s", why);
	}
}

static void add(struct buf *out, const char *text)
{
	assert_int_equal(buf_add_str(out, str_of(text)), 0);
}

static void test_bounds(void **state)
{
	struct buf json = { 0 };
	struct jwk_set set;
	char why[JWK_WHY];
	char kid[400];
	(void)state;

	/* So many keys, and one more. */
	for (size_t n = JWK_KEYS; n <= JWK_KEYS + 1; n++) {
		json.n = 0;
		add(&json, "{\"keys\":[{" EC "}");
		for (size_t i = 1; i < n; i++)
			add(&json, ",{" EC "}");
		add(&json, "]}");
		assert_int_equal(
			jwk_set_parse(&set, buf_str(&json), JWT_ES256, why),
			n == JWK_KEYS ? 0 : -1);
		jwk_set_free(&set);
	}
	assert_string_equal(why, "more than 100 keys");
	/* So many bytes, and one more. */
	json.n = 0;
	add(&json, SET("{" EC "}"));
	while (json.n <= JWK_SET_MAX)
		add(&json, " ");
	assert_int_equal(
		jwk_set_parse(&set, buf_str(&json), JWT_ES256, why), -1);
	assert_non_null(strstr(why, "longer than 262144"));
	json.n--;
	assert_int_equal(
		jwk_set_parse(&set, buf_str(&json), JWT_ES256, why), 0);
	jwk_set_free(&set);
	/* A long kid is cut where it is said. */
	for (size_t n = 255; n <= 256; n++) {
		memset(kid, 'k', n);
		kid[n] = '\0';
		json.n = 0;
		assert_int_equal(
			buf_add_printf(&json,
				"{\"keys\":[{" EC ",\"kid\":\"%s\"}%s]}", kid,
				n == 255 ? ",{}" : ""),
			0);
		assert_int_equal(
			jwk_set_parse(&set, buf_str(&json), JWT_ES256, why),
			-1);
	}
	assert_string_equal(why, "key 1 has a kid of more than 255 bytes");
	buf_free(&json);
}

/* Cut anywhere it is no set; a changed byte never harms. */
static void test_every_byte(void **state)
{
	static const char whole[] = SET(
		"{" RSA ",\"kid\":\"a\"},{" EC ",\"kid\":\"b\",\"alg\":"
		"\"ES256\",\"use\":\"sig\"}");
	size_t n = sizeof(whole) - 1;
	struct jwk_set set;
	char why[JWK_WHY];
	(void)state;

	for (size_t i = 0; i < n; i++) {
		char *copy = exact_copy(whole, n);

		assert_int_equal(jwk_set_parse(&set, (struct str){ copy, i },
					 JWT_ES256, why),
			-1);
		copy[i] ^= 0x15;
		if (jwk_set_parse(
			    &set, (struct str){ copy, n }, JWT_ES256, why) == 0)
			jwk_set_free(&set);
		free(copy);
	}
}

/* One key is one key, as JWK or PEM, with a zero in front or without. */
static void test_identity(void **state)
{
	static const char ec[] = SET(
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		"\"xSe-NYtZ9tnDuicMvNFV1n3sOnqXyPA2DfDb2WudL7U\",\"y\":"
		"\"xe5SyXVk5RfgQNEl9WAXB2jLGt6XSrwAdVTAxgNp04c\"}");
	static const char rsa[] = SET(
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
		"ALoJKB2Nx_cS4DOcii2kqyH5ZGBCiC7HY2RrYMMkQ6v9hDiL16mUDGGaGmHC"
		"8MGkUHM_jh0dx-8wYPdno61zKORxsnscFwcQBVgsZpzYH2ZAi7tkfHCWytFw"
		"U0njf8lIyyjvmZdY9JwpVa-sfLXYSWMe9prhT4-noN3sqet79Q8RE7I5akp-"
		"M7TuumxGXzPRYwJmrjHmReUQPY0JxEval6tUizEef8UHcsV7xhj2hHiSiRRk"
		"IaEvUBlj_VXFX8roySC0fc8PtcP1Tbgcyk6BucA-Hn4Fb4u77xP5VwDU4RV4"
		"VTxUtJ0EWmpnHurGC5xg9W2vfOZ3NXGFYbPMAzTKOpU\"}");
	static const struct {
		const char *json, *pem;
		enum jwt_algorithm algorithm;
	} cases[] = {
		{ ec, PEM_EC_PUBLIC, JWT_ES256 },
		{ rsa, PEM_RSA_PUBLIC, JWT_RS256 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jwt_public pem;
		struct jwk_set set;
		char why[JWK_WHY];
		const char *wrong;

		assert_int_equal(
			parse(&set, cases[i].json, cases[i].algorithm, why), 0);
		assert_int_equal(jwt_public_from_pem(&pem, cases[i].algorithm,
					 str_of(cases[i].pem), &wrong),
			0);
		assert_int_equal(set.keys[0].der_n, pem.der_n);
		assert_memory_equal(set.keys[0].der, pem.der, pem.der_n);
		assert_memory_equal(set.keys[0].id, pem.id, sizeof(pem.id));
		jwt_public_free(&pem);
		jwk_set_free(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7517_a1),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
