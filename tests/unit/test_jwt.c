/*
 * test_jwt.c: tokens: what is refused, with which word, and at what time.
 */
#include "support.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "codec/token/jwt.h"
#include "codec/token/jwt_algorithm.h"

#define NOW INT64_C(1700000000000)

static const uint8_t secret[40] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	32, 33, 34, 35, 36, 37, 38, 39, 40 };

static const struct jwt_key key = {
	.name = "k1",
	.algorithm = JWT_HS256,
	.secret = secret,
	.secret_n = sizeof(secret),
	.max_ttl_ms = 3600000,
	.leeway_ms = 5000,
};

/*
 * {"exp":1700000060,"path":"/sim/42"} signed by Python's hmac module; openssl
 * dgst -mac HMAC gave the same characters.
 */
static const char vector[] =
	"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0"
	".eyJleHAiOjE3MDAwMDAwNjAsInBhdGgiOiIvc2ltLzQyIn0"
	".ERO8VD23R9xBDIekKmYJu63Lg4-MkfdHHj4fqbzBIR0";
/* {"exp": 1700000060, "path": "/sim/42"}, as Python's json writes it. */
static const char vector_spaces[] =
	"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0"
	".eyJleHAiOiAxNzAwMDAwMDYwLCAicGF0aCI6ICIvc2ltLzQyIn0"
	".hUPlRgKXg8pxuAeSVQuQz7Exr7-M5mLzc-F9zjIO--A";

static void add_part(struct buf *out, const void *p, size_t n)
{
	char *text = malloc(BASE64URL_LENGTH(n) + 1);

	if (!text)
		abort();
	assert_int_equal(
		buf_add_str(out,
			(struct str){ text, base64url_encode(text, p, n) }),
		0);
	free(text);
}

/* Signs whatever it is given. */
static struct buf sign(struct str header, struct str payload)
{
	uint8_t signature[JWT_SIGNATURE_MAX];
	struct buf token = { 0 };
	ssize_t n;

	add_part(&token, header.p, header.n);
	assert_int_equal(buf_add_str(&token, STR(".")), 0);
	add_part(&token, payload.p, payload.n);
	n = jwt_algorithm_get(JWT_HS256)->sign(
		&key, buf_str(&token), signature);
	assert_int_equal(n, 32);
	assert_int_equal(buf_add_str(&token, STR(".")), 0);
	add_part(&token, signature, (size_t)n);
	return token;
}

#define HEADER STR("{\"alg\":\"HS256\"}")

/* All that the relay does with a token, in memory of its exact size. */
static enum jwt_result examine(struct str token, const struct jwt_key *k,
	int64_t now, const char *path, const char **why)
{
	char *copy = exact_copy(token.p, token.n);
	struct jwt t;
	enum jwt_result r;

	*why = "nothing was said";
	r = jwt_parse(&t, (struct str){ copy, token.n }, why);
	if (r == JWT_OK)
		r = jwt_verify(&t, k);
	if (r == JWT_OK)
		r = jwt_check(&t, k, now, str_of(path), why);
	jwt_free(&t);
	free(copy);
	return r;
}

static enum jwt_result examine_payload(const char *payload,
	const struct jwt_key *k, int64_t now, const char *path)
{
	struct buf token = sign(HEADER, str_of(payload));
	const char *why;
	enum jwt_result r = examine(buf_str(&token), k, now, path, &why);

	buf_free(&token);
	return r;
}

/* RFC 7515 appendix A.1: it has no path, so it opens nothing. */
static void test_rfc7515_a1(void **state)
{
	static const char secret_text[] =
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
		"aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
	static const char input[] =
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9le"
		"GFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
	static const char signature_text[] =
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
	uint8_t k[80], want[40], got[JWT_SIGNATURE_MAX];
	struct jwt_key a1 = {
		.algorithm = JWT_HS256, .secret = k, .max_ttl_ms = 1000
	};
	const struct jwt_algorithm_row *row = jwt_algorithm_find(STR("HS256"));
	char token[300];
	const char *why;
	struct jwt t;
	(void)state;

	a1.secret_n = (size_t)base64url_decode(
		k, secret_text, strlen(secret_text));
	assert_int_equal(a1.secret_n, 64);
	assert_int_equal(
		base64url_decode(want, signature_text, strlen(signature_text)),
		32);
	assert_int_equal(row->sign(&a1, str_of(input), got), 32);
	assert_memory_equal(got, want, 32);
	assert_int_equal(row->verify(&a1, str_of(input),
				 (struct str){ (char *)want, 32 }),
		0);
	/* A short key neither signs nor verifies. */
	a1.secret_n = JWT_SECRET_MIN - 1;
	assert_int_equal(row->sign(&a1, str_of(input), got), -1);

	snprintf(token, sizeof(token), "%s.%s", input, signature_text);
	a1.secret_n = 64;
	assert_int_equal(jwt_parse(&t, str_of(token), &why), JWT_OK);
	assert_int_equal(t.exp, INT64_C(1300819380000));
	assert_string_equal(t.iss, "joe");
	assert_int_equal(jwt_verify(&t, &a1), JWT_OK);
	assert_int_equal(
		jwt_check(&t, &a1, t.exp - 1, STR("/"), &why), JWT_MALFORMED);
	assert_non_null(strstr(why, "path"));
	jwt_free(&t);
}

static void test_vectors(void **state)
{
	/* sha256sum of what stands before the second dot */
	static const uint8_t hash[] = { 0x3b, 0xb5, 0xeb, 0x33, 0x17, 0xe0,
		0x8e, 0xe4, 0x01, 0x08, 0x1d, 0xd9, 0xcc, 0x73, 0xab, 0xe2,
		0x64, 0xe1, 0xf8, 0xfc, 0x03, 0x23, 0xbf, 0x6d, 0xb9, 0x2a,
		0xbd, 0x91, 0x2a, 0x8b, 0xd7, 0x35 };
	const char *why;
	struct jwt t;
	(void)state;

	assert_int_equal(
		examine(str_of(vector), &key, NOW, "/sim/42", &why), JWT_OK);
	assert_int_equal(
		examine(str_of(vector_spaces), &key, NOW, "/sim/42", &why),
		JWT_OK);
	assert_int_equal(jwt_parse(&t, str_of(vector), &why), JWT_OK);
	assert_int_equal(t.algorithm, JWT_HS256);
	assert_string_equal(t.kid, "k1");
	assert_int_equal(t.exp, INT64_C(1700000060000));
	assert_true(t.nbf == JWT_NEVER && t.iat == JWT_NEVER);
	assert_true(t.expire_at == JWT_NEVER);
	assert_null(t.sub);
	assert_int_equal(t.perm, JWT_READ_WRITE);
	assert_int_equal(t.signature_n, 32);
	assert_memory_equal(t.hash, hash, sizeof(hash));
	jwt_free(&t);
	jwt_free(&t);
}

static void test_claims(void **state)
{
	struct buf token = sign(STR("{\"alg\":\"HS256\",\"typ\":\"wsuri+jwt\","
				    "\"kid\":\"\xc3\xa4\",\"zip\":1}"),
		STR(" {\"exp\":1.5,\"nbf\":1,\"iat\":1.001,\"expire_at\":0,"
		    "\"path\":\"/a\",\"sub\":\"\\u00e4\\ud83d\\ude00\","
		    "\"jti\":\"j\",\"iss\":\"i\",\"origin\":\"https://o\","
		    "\"aud\":[\"x\",\"y\"],\"perm\":\"w\",\"other\":[{}]} "));
	const char *why = "";
	struct jwt t;
	(void)state;

	if (jwt_parse(&t, buf_str(&token), &why) != JWT_OK)
		fail_msg("%s", why);
	assert_string_equal(t.kid, "\xc3\xa4");
	assert_int_equal(t.exp, 1500);
	assert_int_equal(t.nbf, 1000);
	assert_int_equal(t.iat, 1001); /* 1.001 * 1000 is less */
	assert_int_equal(t.expire_at, 0);
	assert_string_equal(t.path, "/a");
	assert_string_equal(t.sub, "\xc3\xa4\xf0\x9f\x98\x80");
	assert_string_equal(t.jti, "j");
	assert_string_equal(t.iss, "i");
	assert_string_equal(t.origin, "https://o");
	assert_int_equal(t.aud_n, 2);
	assert_string_equal(t.aud[1], "y");
	assert_int_equal(t.perm, JWT_WRITE);
	jwt_free(&t);
	buf_free(&token);
}

static void test_header_refused(void **state)
{
	static const struct {
		const char *header, *why;
	} cases[] = {
		{ "{}", "alg" },
		{ "{\"alg\":\"none\"}", "alg" },
		{ "{\"alg\":\"None\"}", "alg" },
		{ "{\"alg\":\"\"}", "alg" },
		{ "{\"alg\":\"hs256\"}", "alg" },
		{ "{\"alg\":\"HS512\"}", "alg" },
		{ "{\"alg\":\"RS512\"}", "alg" },
		{ "{\"alg\":\"PS256\"}", "alg" },
		{ "{\"alg\":\"ES384\"}", "alg" },
		{ "{\"alg\":\"EdDSA\"}", "alg" },
		{ "{\"alg\":null}", "alg" },
		{ "{\"alg\":[\"HS256\"]}", "alg" },
		{ "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "twice" },
		{ "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "crit" },
		{ "{\"alg\":\"HS256\",\"crit\":[]}", "crit" },
		{ "{\"alg\":\"HS256\",\"crit\":null}", "crit" },
		{ "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "typ" },
		{ "{\"alg\":\"HS256\",\"typ\":\"Application/AT+JWT\"}", "typ" },
		{ "{\"alg\":\"HS256\",\"typ\":\"id+jwt\"}", "typ" },
		{ "{\"alg\":\"HS256\",\"typ\":\"\"}", "typ" },
		{ "{\"alg\":\"HS256\",\"typ\":1}", "typ" },
		{ "{\"alg\":\"HS256\",\"kid\":1}", "kid" },
		{ "{\"alg\":\"HS256\",\"kid\":\"a\\nb\"}", "kid" },
		{ "[]", "object" },
		{ "1", "object" },
		{ "", "empty part" },
		{ "{\"alg\":\"HS256\"} x", "object" },
		{ "{\"alg\":\"HS256\"}{}", "object" },
		{ "{\"alg\":\"HS256\",}", "object" },
		{ "{'alg':'HS256'}", "object" },
		{ "\xef\xbb\xbf{\"alg\":\"HS256\"}", "object" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf token = sign(str_of(cases[i].header),
			STR("{\"exp\":1700000060,\"path\":\"/\"}"));
		const char *why;
		enum jwt_result r = examine(
			buf_str(&token), &key, NOW, "/", &why);

		if (r != JWT_MALFORMED || !strstr(why, cases[i].why))
			fail_case(cases[i].header, "%d: %s", r, why);
		buf_free(&token);
	}
}

/* Each stands in an object behind a good exp and path. */
static void test_claims_refused(void **state)
{
	static const struct {
		const char *claim, *why;
	} cases[] = {
		{ "\"nbf\":\"1700000000\"", "nbf" },
		{ "\"nbf\":null", "nbf" },
		{ "\"nbf\":true", "nbf" },
		{ "\"nbf\":-1", "nbf" },
		{ "\"nbf\":-0.001", "nbf" },
		{ "\"nbf\":253402300800", "nbf" },
		{ "\"nbf\":253402300799.5", "nbf" },
		{ "\"nbf\":9223372036854775807", "nbf" },
		{ "\"nbf\":-9223372036854775808", "nbf" },
		{ "\"nbf\":9223372036854775808", "object" },
		{ "\"nbf\":1e300", "nbf" },
		{ "\"nbf\":1e400", "object" },
		{ "\"nbf\":NaN", "object" },
		{ "\"iat\":{}", "iat" },
		{ "\"iat\":1700000000000", "iat" },
		{ "\"expire_at\":\"0\"", "expire_at" },
		{ "\"expire_at\":-1", "expire_at" },
		{ "\"sub\":1", "sub" },
		{ "\"sub\":null", "sub" },
		{ "\"sub\":\" teacher\"", "sub has blanks" },
		{ "\"sub\":\"teacher \"", "sub has blanks" },
		{ "\"sub\":\" \"", "sub has blanks" },
		{ "\"sub_key\":1", "sub_key" },
		{ "\"sub_key\":\"a\\n\"", "sub_key" },
		{ "\"sub\":\"a\\u0000b\"", "object" },
		{ "\"sub\":\"\\u0000\"", "object" },
		{ "\"sub\\u0000\":\"a\"", "object" },
		{ "\"sub\":\"a\\nb\"", "sub" },
		{ "\"sub\":\"a\nb\"", "object" },
		{ "\"sub\":\"\\u001f\"", "sub" },
		{ "\"sub\":\"\\u007f\"", "sub" },
		{ "\"sub\":\"\\u0080\"", "sub" },
		{ "\"sub\":\"\xc2\x9b\"", "sub" },
		{ "\"sub\":\"\\u009f\"", "sub" },
		{ "\"sub\":\"\\ud800\"", "object" },
		{ "\"sub\":\"\xc3\"", "object" },
		{ "\"sub\":\"\xed\xa0\x80\"", "object" },
		{ "\"sub\":\"\xc0\x80\"", "object" },
		{ "\"sub\":\"a\",\"sub\":\"a\"", "twice" },
		{ "\"sub\":\"a\",\"s\\u0075b\":\"b\"", "twice" },
		{ "\"exp\":1700000060", "twice" },
		{ "\"jti\":1", "jti" },
		{ "\"jti\":\"\\r\"", "jti" },
		{ "\"iss\":[]", "iss" },
		{ "\"origin\":[\"https://a\"]", "origin" },
		{ "\"aud\":1", "aud" },
		{ "\"aud\":null", "aud" },
		{ "\"aud\":{}", "aud" },
		{ "\"aud\":[\"a\",1]", "aud" },
		{ "\"aud\":[[\"a\"]]", "aud" },
		{ "\"aud\":[\"a\",\"\\n\"]", "aud" },
		{ "\"perm\":\"\"", "perm" },
		{ "\"perm\":\"wr\"", "perm" },
		{ "\"perm\":\"R\"", "perm" },
		{ "\"perm\":\"rwx\"", "perm" },
		{ "\"perm\":3", "perm" },
		{ "\"perm\":null", "perm" },
		{ "\"x\":[[[[[[[[]]]]]]]]", "deep" },
		{ "\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{}}"
		  "}}}}}}",
			"deep" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf payload = { 0 };
		struct buf token;
		const char *why;
		enum jwt_result r;

		assert_int_equal(buf_add_printf(&payload,
					 "{\"exp\":1700000060,\"path\":\"/\","
					 "%s}",
					 cases[i].claim),
			0);
		token = sign(HEADER, buf_str(&payload));
		r = examine(buf_str(&token), &key, NOW, "/", &why);
		if (r != JWT_MALFORMED || !strstr(why, cases[i].why))
			fail_case(cases[i].claim, "%d: %s", r, why);
		buf_free(&token);
		buf_free(&payload);
	}
}

static void test_payload(void **state)
{
	static const struct {
		const char *payload;
		enum jwt_result result;
	} cases[] = {
		{ "{\"exp\":1700000060,\"path\":\"/\"}", JWT_OK },
		{ "{\"path\":\"/\"}", JWT_MALFORMED },
		{ "{\"exp\":1700000060}", JWT_MALFORMED },
		{ "{\"exp\":\"1700000060\",\"path\":\"/\"}", JWT_MALFORMED },
		{ "{\"exp\":1700000060,\"path\":\"\"}", JWT_MALFORMED },
		{ "{\"exp\":1700000060,\"path\":\"*\"}", JWT_MALFORMED },
		{ "{\"exp\":1700000060,\"path\":[\"/\"]}", JWT_MALFORMED },
		{ "{\"exp\":1700000060,\"path\":\"/\\u0009\"}", JWT_MALFORMED },
		{ "[]", JWT_MALFORMED },
		{ "null", JWT_MALFORMED },
		/* eight levels with the object itself; brackets in strings */
		{ "{\"exp\":1700000060,\"path\":\"/\",\"x\":[[[[[[[]]]]]]]}",
			JWT_OK },
		{ "{\"exp\":1700000060,\"path\":\"/\","
		  "\"x\":\"[[[[[[[[[[\\\"[[[[[[[[[[\\\\\"}",
			JWT_OK },
		{ "{\"exp\":1.70000006e9,\"path\":\"/\",\"aud\":[]}", JWT_OK },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (examine_payload(cases[i].payload, &key, NOW, "/") !=
			cases[i].result)
			fail_case(cases[i].payload, "%d is not it",
				cases[i].result);
}

static void test_subject_length(void **state)
{
	char payload[400];
	(void)state;

	for (int n = 250; n < 260; n++) {
		snprintf(payload, sizeof(payload),
			"{\"exp\":1700000060,\"path\":\"/\",\"sub\":\"%0*d\"}",
			n, 0);
		assert_int_equal(examine_payload(payload, &key, NOW, "/"),
			n <= JWT_SUBJECT_MAX ? JWT_OK : JWT_MALFORMED);
	}
}

static void test_shape(void **state)
{
	static const char *const cases[] = { "", ".", "..", "...", "a", "a.b",
		"a.b.", ".a.b", "a..b", "a.b.c.d", "e30.e30.", "e30.e30.e30.",
		" e30.e30.AAAA", "e30.e30.AAAA ", "e30.e30.AAAA\n", "\"\"" };
	const char *why;
	struct jwt t;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (examine(str_of(cases[i]), &key, NOW, "/", &why) !=
			JWT_MALFORMED)
			fail_case(cases[i], "accepted");
	assert_int_equal(jwt_parse(&t, STR_NONE, &why), JWT_MALFORMED);
	jwt_free(&t);
	/* Cut anywhere, it is no longer good. */
	for (size_t n = 0; n < strlen(vector); n++)
		assert_int_not_equal(examine((struct str){ vector, n }, &key,
					     NOW, "/sim/42", &why),
			JWT_OK);
}

/* A token of exactly n characters. */
static struct buf token_of_length(size_t n)
{
	for (size_t fill = n / 4 * 3 - 200;; fill++) {
		struct buf payload = { 0 };
		struct buf token;

		assert_int_equal(buf_add_printf(&payload,
					 "{\"exp\":1700000060,\"path\":\"/\","
					 "\"x\":\"%0*d\"}",
					 (int)fill, 0),
			0);
		token = sign(HEADER, buf_str(&payload));
		buf_free(&payload);
		assert_true(token.n <= n);
		if (token.n == n)
			return token;
		buf_free(&token);
	}
}

static void test_token_length(void **state)
{
	/* No base64url part has 4k + 1 characters: two lengths are enough. */
	struct buf good = token_of_length(JWT_TOKEN_MAX);
	struct buf bad = token_of_length(JWT_TOKEN_MAX + 1);
	const char *why;
	(void)state;

	assert_int_equal(examine(buf_str(&good), &key, NOW, "/", &why), JWT_OK);
	assert_int_equal(
		examine(buf_str(&bad), &key, NOW, "/", &why), JWT_MALFORMED);
	assert_non_null(strstr(why, "8192"));
	buf_free(&good);
	buf_free(&bad);
}

static void test_long_signature(void **state)
{
	uint8_t zeros[JWT_SIGNATURE_MAX + 1] = { 0 };
	const char *why;
	(void)state;

	for (size_t n = 1; n <= sizeof(zeros); n++) {
		struct buf token = { 0 };

		if (n == 34)
			n = JWT_SIGNATURE_MAX - 1;
		assert_int_equal(
			buf_add(&token, vector,
				(size_t)(strrchr(vector, '.') - vector) + 1,
				SIZE_MAX),
			0);
		add_part(&token, zeros, n);
		assert_int_equal(
			examine(buf_str(&token), &key, NOW, "/sim/42", &why),
			n <= JWT_SIGNATURE_MAX ? JWT_SIGNATURE : JWT_MALFORMED);
		buf_free(&token);
	}
}

/*
 * Whatever is changed anywhere, the token is refused; above all at the end
 * of a part, where four characters may decode to the same bytes.
 */
static void test_every_change(void **state)
{
	static const char replacements[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789-_.=+/ \n\"%\x80"; /* and the NUL behind */
	char token[sizeof(vector)];
	struct str s = { token, strlen(vector) };
	const char *why;
	(void)state;

	memcpy(token, vector, sizeof(vector));
	for (size_t i = 0; i < s.n; i++) {
		for (size_t j = 0; j < sizeof(replacements); j++) {
			if (replacements[j] == vector[i])
				continue;
			token[i] = replacements[j];
			if (examine(s, &key, NOW, "/sim/42", &why) == JWT_OK)
				fail_case(token, "at %zu", i);
		}
		token[i] = vector[i];
	}
	assert_int_equal(examine(s, &key, NOW, "/sim/42", &why), JWT_OK);
}

/* Other spellings of the same bytes are malformed, not merely unequal. */
static void test_spellings(void **state)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789-_";
	char token[sizeof(vector) + 2];
	size_t n = strlen(vector);
	const char *last = strchr(alphabet, vector[n - 1]);
	const char *why;
	int refused = 0;
	(void)state;

	memcpy(token, vector, n);
	/* 32 bytes leave two bits of the last character over. */
	for (int bits = 1; bits < 4; bits++) {
		token[n - 1] = alphabet[(last - alphabet) | bits];
		refused += examine((struct str){ token, n }, &key, NOW,
				   "/sim/42", &why) == JWT_MALFORMED;
	}
	assert_int_equal(refused, 3);
	snprintf(token, sizeof(token), "%s=", vector);
	assert_int_equal(examine(str_of(token), &key, NOW, "/sim/42", &why),
		JWT_MALFORMED);
	/* '-' stands in the vector's signature; base64 writes it '+'. */
	snprintf(token, sizeof(token), "%s", vector);
	*strchr(token, '-') = '+';
	assert_int_equal(examine(str_of(token), &key, NOW, "/sim/42", &why),
		JWT_MALFORMED);
}

static void test_verify(void **state)
{
	uint8_t other_secret[sizeof(secret)];
	struct jwt_key k = key;
	const char *why;
	struct jwt t;
	(void)state;

	k.name = "k2";
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_UNKNOWN_KEY);
	k.name = "k";
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_UNKNOWN_KEY);
	k.name = NULL;
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_UNKNOWN_KEY);
	k = key;
	k.algorithm = JWT_NONE;
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_UNKNOWN_KEY);
	memcpy(other_secret, secret, sizeof(secret));
	other_secret[39] ^= 1;
	k = key;
	k.secret = other_secret;
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_SIGNATURE);
	k = key;
	k.secret_n = sizeof(secret) - 1;
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_SIGNATURE);
	/* Of two secrets each counts, if it is long enough. */
	k = key;
	k.other_secret = other_secret;
	k.other_secret_n = sizeof(other_secret);
	assert_int_equal(
		examine(str_of(vector), &k, NOW, "/sim/42", &why), JWT_OK);
	k.secret = other_secret;
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_SIGNATURE);
	k.other_secret = secret;
	assert_int_equal(
		examine(str_of(vector), &k, NOW, "/sim/42", &why), JWT_OK);
	k.other_secret_n = JWT_SECRET_MIN - 1;
	assert_int_equal(examine(str_of(vector), &k, NOW, "/sim/42", &why),
		JWT_SIGNATURE);
	/* The right signature under another algorithm proves nothing. */
	assert_int_equal(jwt_parse(&t, str_of(vector), &why), JWT_OK);
	assert_int_equal(jwt_verify(&t, &key), JWT_OK);
	t.algorithm = JWT_NONE;
	assert_int_equal(jwt_verify(&t, &key), JWT_UNKNOWN_KEY);
	jwt_free(&t);
	/* Without a kid the key's name does not count. */
	k = key;
	k.name = "k2";
	assert_int_equal(examine_payload("{\"exp\":1700000060,\"path\":\"/\"}",
				 &k, NOW, "/"),
		JWT_OK);
}

static void test_times(void **state)
{
	static const struct {
		const char *claims;
		int64_t after; /* NOW, in ms */
		enum jwt_result result;
	} cases[] = {
		{ "\"exp\":1700000000", 4999, JWT_OK },
		{ "\"exp\":1700000000", 5000, JWT_EXPIRED },
		{ "\"exp\":1700000000.25", 5249, JWT_OK },
		{ "\"exp\":1700000000.25", 5250, JWT_EXPIRED },
		{ "\"exp\":0", 0, JWT_EXPIRED },
		{ "\"exp\":1700000060,\"nbf\":1700000010", 5000, JWT_OK },
		{ "\"exp\":1700000060,\"nbf\":1700000010", 4999,
			JWT_TOO_EARLY },
		{ "\"exp\":1700000060,\"iat\":1700000010", 5000, JWT_OK },
		{ "\"exp\":1700000060,\"iat\":1700000010", 4999,
			JWT_TOO_EARLY },
		{ "\"exp\":1700000060,\"nbf\":0", 0, JWT_OK },
		/* exp - iat, too, by no more than the leeway */
		{ "\"exp\":1700000060,\"iat\":1699996460", 0, JWT_OK },
		{ "\"exp\":1700000060,\"iat\":1699996455", 0, JWT_OK },
		{ "\"exp\":1700000060,\"iat\":1699996454.999", 0, JWT_TTL },
		{ "\"exp\":1700000060,\"iat\":0", 0, JWT_TTL },
		{ "\"exp\":1700000001,\"iat\":1700000002", 0, JWT_OK },
		{ "\"exp\":1700003600", 0, JWT_OK },
		{ "\"exp\":1700003600", -1, JWT_TTL },
		{ "\"exp\":1700003600.001", 0, JWT_TTL },
		{ "\"exp\":253402300799", 0, JWT_TTL },
		{ "\"exp\":1700000060", INT64_MAX - NOW, JWT_EXPIRED },
	};
	char payload[200];
	struct jwt_key k = key;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(payload, sizeof(payload), "{\"path\":\"/\",%s}",
			cases[i].claims);
		if (examine_payload(payload, &key, NOW + cases[i].after, "/") !=
			cases[i].result)
			fail_case(payload, "after %lld ms: %d is not it",
				(long long)cases[i].after, cases[i].result);
	}
	/* A clock and limits at the ends of their types. */
	assert_int_equal(
		examine_payload(payload, &key, INT64_MIN, "/"), JWT_TTL);
	k.leeway_ms = INT64_MAX;
	k.max_ttl_ms = INT64_MAX;
	assert_int_equal(examine_payload(payload, &k, INT64_MAX, "/"), JWT_OK);
	assert_int_equal(examine_payload(payload, &k, INT64_MIN, "/"), JWT_OK);
}

static void test_paths(void **state)
{
	static const struct {
		const char *claim, *path;
		bool ok;
	} cases[] = {
		{ "/sim/42", "/sim/42", true },
		{ "/sim/42", "/sim/43", false },
		{ "/sim/42", "/sim/42/", false },
		{ "/sim/42", "/sim/4", false },
		{ "/sim/42", "/sim/421", false },
		{ "/sim/42", "", false },
		{ "/sim/42", "/Sim/42", false },
		{ "/sim/*", "/sim/42", true },
		{ "/sim/*", "/sim/42/a", true },
		{ "/sim/*", "/sim/", false },
		{ "/sim/*", "/sim", false },
		{ "/sim/*", "/simx", false },
		{ "/sim/*", "/si", false },
		{ "/*", "/a", true },
		{ "/*", "/", false },
		{ "/sim*", "/sim42", false },
		{ "/sim*", "/sim*", true },
		{ "/*/42", "/sim/42", false },
		{ "/", "/", true },
		{ "/", "/a", false },
	};
	char payload[200];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(payload, sizeof(payload),
			"{\"exp\":1700000060,\"path\":\"%s\"}", cases[i].claim);
		if (examine_payload(payload, &key, NOW, cases[i].path) !=
			(cases[i].ok ? JWT_OK : JWT_PATH))
			fail_case(cases[i].claim, "path %s", cases[i].path);
	}
}

/* Tokens of an identity provider, which knows no paths. */
static void test_pathless(void **state)
{
	static const struct {
		const char *header, *payload;
		enum jwt_result with, without; /* a need for a path */
	} cases[] = {
		{ "{\"alg\":\"HS256\"}", "{\"exp\":1700000060}", JWT_MALFORMED,
			JWT_OK },
		{ "{\"alg\":\"HS256\",\"typ\":\"AT+jwt\"}",
			"{\"exp\":1700000060}", JWT_MALFORMED, JWT_OK },
		{ "{\"alg\":\"HS256\",\"typ\":\"application/at+jwt\"}",
			"{\"exp\":1700000060,\"path\":\"/sim/1\"}",
			JWT_MALFORMED, JWT_OK },
		{ "{\"alg\":\"HS256\",\"typ\":\"id+jwt\"}",
			"{\"exp\":1700000060}", JWT_MALFORMED, JWT_MALFORMED },
		{ "{\"alg\":\"HS256\"}", "{\"sub\":\"a\"}", JWT_MALFORMED,
			JWT_MALFORMED },
		{ "{\"alg\":\"HS256\"}", "{\"exp\":1600000000}", JWT_MALFORMED,
			JWT_EXPIRED },
		/* One that has a path is for that path. */
		{ "{\"alg\":\"HS256\"}",
			"{\"exp\":1700000060,\"path\":\"/sim/1\"}", JWT_OK,
			JWT_OK },
		{ "{\"alg\":\"HS256\"}",
			"{\"exp\":1700000060,\"path\":\"/sim/2\"}", JWT_PATH,
			JWT_PATH },
		{ "{\"alg\":\"HS256\"}",
			"{\"exp\":1700000060,\"path\":\"sim\"}", JWT_MALFORMED,
			JWT_MALFORMED },
		{ "{\"alg\":\"HS256\"}", "{\"exp\":1700000060,\"path\":null}",
			JWT_MALFORMED, JWT_MALFORMED },
	};
	struct jwt_key k = key;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf token = sign(
			str_of(cases[i].header), str_of(cases[i].payload));
		const char *why;

		for (int pathless = 0; pathless < 2; pathless++) {
			enum jwt_result r;

			k.pathless = pathless;
			r = examine(buf_str(&token), &k, NOW, "/sim/1", &why);
			if (r != (pathless ? cases[i].without : cases[i].with))
				fail_case(cases[i].payload, "%d: %d %s",
					pathless, r, why);
		}
		buf_free(&token);
	}
}

static void test_issuer_audience(void **state)
{
	static const struct {
		const char *claims, *issuer, *audience;
		enum jwt_result result;
	} cases[] = {
		{ "\"iss\":\"i\",\"aud\":\"a\"", NULL, NULL, JWT_OK },
		{ "\"iss\":\"i\"", "i", NULL, JWT_OK },
		{ "\"iss\":\"j\"", "i", NULL, JWT_ISSUER },
		{ "\"iss\":\"\"", "i", NULL, JWT_ISSUER },
		{ "\"x\":1", "i", NULL, JWT_ISSUER },
		{ "\"aud\":\"a\"", NULL, "a", JWT_OK },
		{ "\"aud\":[\"b\",\"a\"]", NULL, "a", JWT_OK },
		{ "\"aud\":[\"b\",\"ab\"]", NULL, "a", JWT_AUDIENCE },
		{ "\"aud\":[]", NULL, "a", JWT_AUDIENCE },
		{ "\"x\":1", NULL, "a", JWT_AUDIENCE },
	};
	char payload[200];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jwt_key k = key;

		k.issuer = cases[i].issuer;
		k.audience = cases[i].audience;
		snprintf(payload, sizeof(payload),
			"{\"exp\":1700000060,\"path\":\"/\",%s}",
			cases[i].claims);
		if (examine_payload(payload, &k, NOW, "/") != cases[i].result)
			fail_case(payload, "%d is not it", cases[i].result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7515_a1),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_header_refused),
		cmocka_unit_test(test_claims_refused),
		cmocka_unit_test(test_payload),
		cmocka_unit_test(test_subject_length),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_token_length),
		cmocka_unit_test(test_long_signature),
		cmocka_unit_test(test_every_change),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_pathless),
		cmocka_unit_test(test_issuer_audience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
