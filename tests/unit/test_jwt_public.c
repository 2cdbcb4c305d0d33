/*
 * test_jwt_public.c: RS256 and ES256: vectors, keys that are taken and that
 * are not, signatures in any shape.
 */
#include "support.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/random.h>

#include <mbedtls/bignum.h>
#include <mbedtls/md.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "codec/token/jwt.h"
#include "codec/token/jwt_algorithm.h"
#include "codec/token/jwt_private.h"
#include "codec/token/jwt_public.h"
#include "jwt_keys.h"

#define NOW INT64_C(1700000000000)

static int random_bytes(void *arg, unsigned char *out, size_t n)
{
	(void)arg;
	return getrandom(out, n, 0) == (ssize_t)n ? 0 : -1;
}

static void hash(uint8_t out[JWT_HASH], struct str input)
{
	assert_int_equal(
		mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256),
			(const unsigned char *)input.p, input.n, out),
		0);
}

/* Bytes of base64url, in memory of their exact size. */
static struct str decode(const char *text)
{
	size_t n = strlen(text);
	uint8_t bytes[1024];
	ssize_t got;

	assert_true(n < sizeof(bytes));
	got = base64url_decode(bytes, text, n);
	assert_true(got > 0);
	return (struct str){ exact_copy(bytes, (size_t)got), (size_t)got };
}

static void drop(struct str s)
{
	free((void *)(uintptr_t)s.p);
}

/* --- RFC 7515 --- */

#define RFC_PAYLOAD                                                            \
	".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx" \
	"lLmNvbS9pc19yb290Ijp0cnVlfQ"

/* One bit of the signature, or of what was signed, and it is another's. */
static void expect_only(const struct jwt_public *key,
	enum jwt_algorithm algorithm, struct str input, struct str signature)
{
	const struct jwt_algorithm_row *row = jwt_algorithm_get(algorithm);
	uint8_t good[JWT_HASH];
	uint8_t *s = (uint8_t *)(uintptr_t)signature.p;

	hash(good, input);
	assert_int_equal(row->verify_public(key, good, signature), 0);
	for (size_t i = 0; i < signature.n; i += 1 + signature.n / 40) {
		s[i] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(row->verify_public(key, good, signature), -1);
		s[i] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t i = 0; i < JWT_HASH; i += 5) {
		good[i] ^= 0x80;
		assert_int_equal(row->verify_public(key, good, signature), -1);
		good[i] ^= 0x80;
	}
	assert_int_equal(row->verify_public(key, good, signature), 0);
}

/* The whole token, which has no path. */
static void expect_token(const struct jwt_public *public,
	enum jwt_algorithm algorithm, const char *token)
{
	struct jwt_key key = { .name = "joe",
		.algorithm = algorithm,
		.publics = public,
		.publics_n = 1,
		.issuer = "joe",
		.max_ttl_ms = 1000,
		.pathless = true };
	const char *why;
	struct jwt t;

	assert_int_equal(jwt_parse(&t, str_of(token), &why), JWT_OK);
	assert_int_equal(jwt_verify(&t, &key), JWT_OK);
	assert_int_equal(
		jwt_check(&t, &key, t.exp - 1, STR("/x"), &why), JWT_OK);
	jwt_free(&t);
}

#define A2_SIGNATURE                                                           \
	"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5R"         \
	"Zmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQ"         \
	"jbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"         \
	"MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqt"         \
	"FZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq"         \
	"Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define A3_SIGNATURE                                                           \
	"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8I"         \
	"SlSApmWQxfKTUJqPP3-Kg6NU1Q"

/* Appendix A.2. */
static void test_rfc7515_a2(void **state)
{
	struct str n = decode(
		"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHm"
		"fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
		"YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5"
		"z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD"
		"Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia"
		"GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ");
	struct str e = decode("AQAB");
	struct str signature = decode(A2_SIGNATURE);
	struct jwt_public key;
	const char *why;
	(void)state;

	assert_int_equal(jwt_public_from_rsa(&key, n, e, &why), 0);
	expect_only(&key, JWT_RS256, STR("eyJhbGciOiJSUzI1NiJ9" RFC_PAYLOAD),
		signature);
	expect_token(&key, JWT_RS256,
		"eyJhbGciOiJSUzI1NiJ9" RFC_PAYLOAD "." A2_SIGNATURE);
	jwt_public_free(&key);
	drop(n);
	drop(e);
	drop(signature);
}

/* Appendix A.3. */
static void test_rfc7515_a3(void **state)
{
	struct str x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
	struct str y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
	struct str signature = decode(A3_SIGNATURE);
	struct jwt_public key;
	const char *why;
	(void)state;

	assert_int_equal(jwt_public_from_p256(&key, x, y, &why), 0);
	expect_only(&key, JWT_ES256, STR("eyJhbGciOiJFUzI1NiJ9" RFC_PAYLOAD),
		signature);
	expect_token(&key, JWT_ES256,
		"eyJhbGciOiJFUzI1NiJ9" RFC_PAYLOAD "." A3_SIGNATURE);
	jwt_public_free(&key);
	drop(x);
	drop(y);
	drop(signature);
}

/* --- keys --- */

static void test_pem(void **state)
{
	static const struct {
		const char *pem;
		enum jwt_algorithm algorithm;
		const char *why; /* NULL = it is taken */
	} cases[] = {
		{ PEM_EC_PUBLIC, JWT_ES256, NULL },
		{ PEM_RSA_PUBLIC, JWT_RS256, NULL },
		{ PEM_RSA_PKCS1, JWT_RS256, NULL },
		{ "subject: lab\n\n" PEM_EC_PUBLIC "\n\n", JWT_ES256, NULL },
		{ PEM_EC_PUBLIC, JWT_RS256, "is not RSA" },
		{ PEM_RSA_PUBLIC, JWT_ES256, "no elliptic curve" },
		{ PEM_RSA_1024, JWT_RS256, "less than 2048" },
		{ PEM_RSA_4104, JWT_RS256, "more than 4096" },
		{ PEM_P384_PUBLIC, JWT_ES256, "other than P-256" },
		{ PEM_K1_PUBLIC, JWT_ES256, "other than P-256" },
		{ PEM_ED25519_PUBLIC, JWT_ES256, "public key" },
		{ PEM_EC_PRIVATE, JWT_ES256, "a private key" },
		{ PEM_RSA_PRIVATE, JWT_RS256, "a private key" },
		{ PEM_EC_ENCRYPTED, JWT_ES256, "a private key" },
		{ PEM_EC_PUBLIC PEM_EC_PRIVATE, JWT_ES256, "a private key" },
		{ PEM_CERTIFICATE, JWT_ES256, "a certificate" },
		{ PEM_EC_PUBLIC PEM_EC_PUBLIC, JWT_ES256, "more than one" },
		{ PEM_EC_PUBLIC PEM_P384_PUBLIC, JWT_ES256, "more than one" },
		{ "", JWT_ES256, "no PEM" },
		{ "0123456789abcdef0123456789abcdef", JWT_ES256, "no PEM" },
		{ "-----BEGIN PUBLIC KEY-----\n", JWT_ES256, "public key" },
		{ "-----BEGIN PUBLIC KEY-----\nAAAA\n"
		  "-----END PUBLIC KEY-----\n",
			JWT_ES256, "public key" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].pem);
		char *copy = exact_copy(cases[i].pem, n);
		const char *why = "";
		struct jwt_public key;
		int r = jwt_public_from_pem(&key, cases[i].algorithm,
			(struct str){ copy, n }, &why);

		if (cases[i].why ? r == 0 || !strstr(why, cases[i].why)
				 : r != 0)
			fail_case(cases[i].pem, "%d: %s", r, why);
		jwt_public_free(&key);
		free(copy);
	}
}

static struct jwt_public read_pem(const char *pem, enum jwt_algorithm algorithm)
{
	struct jwt_public key;
	const char *why;

	if (jwt_public_from_pem(&key, algorithm, str_of(pem), &why) < 0)
		fail_case(pem, "%s", why);
	return key;
}

/* Two spellings of a key are the same key; what differs is another. */
static void test_identity(void **state)
{
	struct jwt_public spki = read_pem(PEM_RSA_PUBLIC, JWT_RS256);
	struct jwt_public pkcs1 = read_pem(PEM_RSA_PKCS1, JWT_RS256);
	struct jwt_public ec = read_pem(PEM_EC_PUBLIC, JWT_ES256);
	(void)state;

	assert_memory_equal(spki.id, pkcs1.id, sizeof(spki.id));
	assert_memory_not_equal(spki.id, ec.id, sizeof(ec.id));
	/* openssl pkey -pubin -outform DER wrote the same 294 and 91 bytes. */
	assert_int_equal(spki.der_n, 294);
	assert_int_equal(ec.der_n, 91);
}

static void test_pem_bytes(void **state)
{
	static const char pem[] = PEM_EC_PUBLIC;
	size_t n = sizeof(pem) - 1;
	struct jwt_public key;
	char copy[sizeof(pem)];
	const char *why;
	char *large;
	(void)state;

	/* Cut anywhere: no key before its last dash. */
	for (size_t i = 0; i + 1 < n; i++) {
		char *cut = exact_copy(pem, i);

		assert_int_equal(jwt_public_from_pem(&key, JWT_ES256,
					 (struct str){ cut, i }, &why),
			-1);
		free(cut);
	}
	memcpy(copy, pem, sizeof(pem));
	copy[n - 1] = '\0';
	assert_int_equal(jwt_public_from_pem(&key, JWT_ES256,
				 (struct str){ copy, n }, &why),
		-1);
	large = malloc(JWT_PEM_MAX + 1);
	assert_non_null(large);
	memset(large, '\n', JWT_PEM_MAX + 1);
	memcpy(large, pem, n);
	assert_int_equal(jwt_public_from_pem(&key, JWT_ES256,
				 (struct str){ large, JWT_PEM_MAX }, &why),
		0);
	assert_int_equal(jwt_public_from_pem(&key, JWT_ES256,
				 (struct str){ large, JWT_PEM_MAX + 1 }, &why),
		-1);
	free(large);
}

static void test_numbers(void **state)
{
	static const uint8_t big[JWT_SIGNATURE_MAX + 1] = { 0x80, [512] = 1 };
	static const uint8_t e[33] = { 1, [32] = 1 };
	struct jwt_public key;
	const char *why;
	(void)state;
#define BYTES(p, n) ((struct str){ (const char *)(p), (n) })

	/* Numbers that are no key: even, small, none, too long. */
	assert_int_equal(jwt_public_from_rsa(
				 &key, BYTES(big, 512), BYTES("\3", 1), &why),
		-1);
	assert_int_equal(
		jwt_public_from_rsa(&key, STR_NONE, BYTES("\3", 1), &why), -1);
	assert_int_equal(jwt_public_from_rsa(
				 &key, BYTES(big, 513), BYTES("\3", 1), &why),
		-1);
	assert_non_null(strstr(why, "more than 4096"));
	assert_int_equal(jwt_public_from_rsa(&key, BYTES(big + 1, 512),
				 BYTES("\1", 1), &why),
		-1);
	assert_int_equal(jwt_public_from_rsa(
				 &key, BYTES(big + 1, 512), BYTES(e, 33), &why),
		-1);
	assert_non_null(strstr(why, "exponent"));
	/* (0, 0), a point that is on no curve, and lengths. */
	assert_int_equal(jwt_public_from_p256(&key, BYTES(big + 40, 32),
				 BYTES(big + 40, 32), &why),
		-1);
	assert_int_equal(
		jwt_public_from_p256(&key, BYTES(e, 32), BYTES(e, 32), &why),
		-1);
	assert_non_null(strstr(why, "no point"));
	assert_int_equal(
		jwt_public_from_p256(&key, BYTES(e, 31), BYTES(e, 32), &why),
		-1);
	assert_int_equal(
		jwt_public_from_p256(&key, BYTES(e, 32), BYTES(e, 33), &why),
		-1);
	assert_non_null(strstr(why, "32 bytes"));
}

/* --- tokens --- */

struct pair {
	struct jwt_public public;
	struct jwt_private *private;
	struct jwt_key key;
};

static void pair_init(struct pair *p, enum jwt_algorithm algorithm)
{
	bool rsa = algorithm == JWT_RS256;
	const char *why;

	p->public = read_pem(rsa ? PEM_RSA_PUBLIC : PEM_EC_PUBLIC, algorithm);
	p->private = jwt_private_new(
		str_of(rsa ? PEM_RSA_PRIVATE : PEM_EC_PRIVATE), random_bytes,
		&why);
	assert_non_null(p->private);
	p->key = (struct jwt_key){ .name = "k1",
		.algorithm = algorithm,
		.publics = &p->public,
		.publics_n = 1,
		.private = p->private,
		.max_ttl_ms = 3600000,
		.leeway_ms = 5000 };
}

static void pair_free(struct pair *p)
{
	jwt_public_free(&p->public);
	jwt_private_free(p->private);
}

static struct buf mint(const struct jwt_key *key)
{
	struct buf token = { 0 };

	assert_int_equal(jwt_mint(&token, key,
				 &(struct jwt_claims){ .path = "/sim/42",
					 .iat_ms = NOW,
					 .exp_ms = NOW + 60000,
					 .expire_at_ms = JWT_NEVER }),
		0);
	return token;
}

static enum jwt_result examine(struct str token, const struct jwt_key *key)
{
	char *copy = exact_copy(token.p, token.n);
	const char *why;
	struct jwt t;
	enum jwt_result r = jwt_parse(&t, (struct str){ copy, token.n }, &why);

	if (r == JWT_OK)
		r = jwt_verify(&t, key);
	if (r == JWT_OK)
		r = jwt_check(&t, key, NOW, STR("/sim/42"), &why);
	jwt_free(&t);
	free(copy);
	return r;
}

static void test_round_trip(void **state)
{
	static const enum jwt_algorithm all[] = { JWT_RS256, JWT_ES256 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct pair p;
		struct buf token;

		pair_init(&p, all[i]);
		assert_true(jwt_can_sign(&p.key));
		/* DER drops zeros in front: one in 128 signatures is shorter. */
		for (int n = 0; n < (all[i] == JWT_ES256 ? 200 : 2); n++) {
			token = mint(&p.key);
			assert_int_equal(
				examine(buf_str(&token), &p.key), JWT_OK);
			buf_free(&token);
		}
		/* Without the private key there is no token. */
		p.key.private = NULL;
		assert_false(jwt_can_sign(&p.key));
		assert_int_equal(jwt_mint(&token, &p.key,
					 &(struct jwt_claims){ .path = "/",
						 .expire_at_ms = JWT_NEVER }),
			-1);
		buf_free(&token);
		pair_free(&p);
	}
}

/* The key's algorithm counts, whatever else the token says. */
static void test_confusion(void **state)
{
	static const char pem[] = PEM_RSA_PUBLIC;
	struct pair rsa, ec;
	struct jwt_key hmac = { .name = "k1",
		.algorithm = JWT_HS256,
		.secret = (const uint8_t *)pem,
		.secret_n = sizeof(pem) - 1,
		.max_ttl_ms = 3600000 };
	struct buf by_rsa, by_ec, by_hmac;
	(void)state;

	pair_init(&rsa, JWT_RS256);
	pair_init(&ec, JWT_ES256);
	by_rsa = mint(&rsa.key);
	by_ec = mint(&ec.key);
	/* The attack: the public key's text as an HMAC secret. */
	by_hmac = mint(&hmac);
	assert_int_equal(examine(buf_str(&by_hmac), &rsa.key), JWT_UNKNOWN_KEY);
	assert_int_equal(examine(buf_str(&by_hmac), &ec.key), JWT_UNKNOWN_KEY);
	assert_int_equal(examine(buf_str(&by_rsa), &ec.key), JWT_UNKNOWN_KEY);
	assert_int_equal(examine(buf_str(&by_ec), &rsa.key), JWT_UNKNOWN_KEY);
	assert_int_equal(examine(buf_str(&by_ec), &hmac), JWT_UNKNOWN_KEY);
	buf_free(&by_rsa);
	buf_free(&by_ec);
	buf_free(&by_hmac);
	pair_free(&rsa);
	pair_free(&ec);
}

/* Several keys: a kid chooses, without one a few are tried. */
static void test_several(void **state)
{
	struct pair p;
	struct jwt_public v[JWT_TRIES + 1];
	struct str other = decode(
		"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHm"
		"fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
		"YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5"
		"z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD"
		"Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia"
		"GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ");
	char kid[] = "a", last[] = "z";
	struct buf named, unnamed;
	const char *why;
	struct jwt_key set;
	(void)state;

	pair_init(&p, JWT_RS256);
	named = mint(&p.key);
	p.key.name = NULL;
	unnamed = mint(&p.key);
	for (size_t i = 0; i < JWT_TRIES; i++) {
		assert_int_equal(
			jwt_public_from_rsa(&v[i], other, STR("\1\0\1"), &why),
			0);
		v[i].kid = kid;
	}
	v[JWT_TRIES] = p.public;
	v[JWT_TRIES].kid = NULL;
	set = (struct jwt_key){ .name = "k1",
		.algorithm = JWT_RS256,
		.publics = v,
		.publics_n = JWT_TRIES + 1,
		.max_ttl_ms = 3600000 };
	/* A key without a kid has the name of the whole. */
	assert_int_equal(examine(buf_str(&named), &set), JWT_OK);
	/* So many are not tried. */
	assert_int_equal(examine(buf_str(&unnamed), &set), JWT_SIGNATURE);
	set.publics = v + 1;
	set.publics_n = JWT_TRIES;
	assert_int_equal(examine(buf_str(&unnamed), &set), JWT_OK);
	v[JWT_TRIES].kid = last;
	assert_int_equal(examine(buf_str(&named), &set), JWT_UNKNOWN_KEY);
	v[JWT_TRIES].kid = kid;
	assert_int_equal(examine(buf_str(&named), &set), JWT_UNKNOWN_KEY);
	buf_free(&named);
	buf_free(&unnamed);
	drop(other);
	pair_free(&p);
}

/* r and s by themselves: lengths, zero, the order and more. */
static void test_raw_signatures(void **state)
{
	static const char order[] = "\xff\xff\xff\xff\0\0\0\0"
				    "\xff\xff\xff\xff\xff\xff\xff\xff"
				    "\xbc\xe6\xfa\xad\xa7\x17\x9e\x84"
				    "\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
	const struct jwt_algorithm_row *row = jwt_algorithm_get(JWT_ES256);
	uint8_t good[JWT_SIGNATURE_MAX], h[JWT_HASH], s[64];
	struct str input = STR("input");
	struct pair p;
	mbedtls_mpi n, v;
	(void)state;

	pair_init(&p, JWT_ES256);
	hash(h, input);
	assert_int_equal(row->sign(&p.key, input, good), 64);
	for (size_t i = 0; i < 130; i++) {
		char *copy = exact_copy(good, i);

		assert_int_equal(row->verify_public(
					 &p.public, h, (struct str){ copy, i }),
			i == 64 ? 0 : -1);
		free(copy);
	}
	for (int half = 0; half < 2; half++) {
		static const int fills[] = { 0x00, 0xff, -1 };

		for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
			memcpy(s, good, 64);
			if (fills[i] < 0)
				memcpy(s + 32 * half, order, 32);
			else
				memset(s + 32 * half, fills[i], 32);
			assert_int_equal(row->verify_public(&p.public, h,
						 (struct str){ (char *)s, 64 }),
				-1);
		}
	}
	/* (r, n - s) verifies, too: a signature is nobody's identity. */
	mbedtls_mpi_init(&n);
	mbedtls_mpi_init(&v);
	memcpy(s, good, 64);
	assert_int_equal(
		mbedtls_mpi_read_binary(&n, (const unsigned char *)order, 32),
		0);
	assert_int_equal(mbedtls_mpi_read_binary(&v, s + 32, 32), 0);
	assert_int_equal(mbedtls_mpi_sub_mpi(&v, &n, &v), 0);
	assert_int_equal(mbedtls_mpi_write_binary(&v, s + 32, 32), 0);
	assert_int_equal(
		row->verify_public(&p.public, h, (struct str){ (char *)s, 64 }),
		0);
	mbedtls_mpi_free(&n);
	mbedtls_mpi_free(&v);
	pair_free(&p);
}

static void test_private(void **state)
{
	static const struct {
		const char *pem, *why;
	} cases[] = {
		{ PEM_EC_PRIVATE, NULL },
		{ PEM_RSA_PRIVATE, NULL },
		{ PEM_EC_PUBLIC, "takes for a private key" },
		{ PEM_EC_ENCRYPTED, "encrypted" },
		{ PEM_CERTIFICATE, "takes for a private key" },
		{ "", "no PEM" },
		{ "x", "takes for a private key" },
	};
	struct jwt_public ec = read_pem(PEM_EC_PUBLIC, JWT_ES256);
	struct jwt_public rsa = read_pem(PEM_RSA_PUBLIC, JWT_RS256);
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = "";
		struct jwt_private *s = jwt_private_new(
			str_of(cases[i].pem), random_bytes, &why);

		if (cases[i].why ? s || !strstr(why, cases[i].why) : !s)
			fail_case(cases[i].pem, "%s", why);
		if (s) {
			assert_int_equal(jwt_private_fits(s, &ec), i == 0);
			assert_int_equal(jwt_private_fits(s, &rsa), i == 1);
		}
		jwt_private_free(s);
	}
}

/* --- threads --- */

struct racer {
	const struct jwt_key *key;
	struct str token;
	int good;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	for (int i = 0; i < 20; i++)
		r->good += examine(r->token, r->key) == JWT_OK;
	return NULL;
}

/* Any number of threads verify with one key. */
static void test_threads(void **state)
{
	static const enum jwt_algorithm all[] = { JWT_RS256, JWT_ES256 };
	(void)state;

	for (size_t a = 0; a < ARRAY_SIZE(all); a++) {
		struct racer racers[4];
		pthread_t threads[4];
		struct buf token;
		struct pair p;

		pair_init(&p, all[a]);
		token = mint(&p.key);
		for (int i = 0; i < 4; i++) {
			racers[i] = (struct racer){ &p.key, buf_str(&token),
				0 };
			assert_int_equal(pthread_create(&threads[i], NULL, race,
						 &racers[i]),
				0);
		}
		for (int i = 0; i < 4; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(racers[i].good, 20);
		}
		buf_free(&token);
		pair_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7515_a2),
		cmocka_unit_test(test_rfc7515_a3),
		cmocka_unit_test(test_pem),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_pem_bytes),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_confusion),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_raw_signatures),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
