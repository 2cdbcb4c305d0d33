/*
 * test_certificate.c: PEM as operators hand it in, whole and broken.
 */
#include "support.h"

#include <stdio.h>

#include "base/compiler.h"
#include "certificates.h"
#include "codec/certificate.h"

/* What a file would be, and the NUL, in a block of its own. */
struct pem {
	uint8_t *p;
	size_t n;
};

static struct pem pem_of(const char *text, size_t n)
{
	struct pem f = { calloc(1, n + 1), n + 1 };

	assert_non_null(f.p);
	memcpy(f.p, text, n);
	return f;
}

enum what { CHAIN, KEY, AUTHORITIES };

/* 0, or -1 and why. */
static int check(
	enum what what, const char *text, size_t n, char why[CERTIFICATE_WHY])
{
	struct pem f = pem_of(text, n);
	struct certificate_info info;
	int result = -1;

	why[0] = '\0';
	switch (what) {
	case CHAIN:
		result = certificate_read_chain(&info, f.p, f.n, why);
		certificate_info_free(&info);
		break;
	case KEY:
		result = certificate_check_key(f.p, f.n, why);
		break;
	case AUTHORITIES:
		result = certificate_check_authorities(f.p, f.n, NULL, why);
		break;
	}
	free(f.p);
	return result;
}

struct text_case {
	enum what what;
	const char *text;
	const char *want; /* NULL = good */
};

static void expect_cases(const struct text_case *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char why[CERTIFICATE_WHY];
		int r = check(v[i].what, v[i].text, strlen(v[i].text), why);

		if ((r == 0) != !v[i].want ||
			(v[i].want && strcmp(why, v[i].want) != 0))
			fail_case(v[i].text, "%zu said \"%s\"\nwant \"%s\"", i,
				why, v[i].want ? v[i].want : "nothing");
	}
}

/* --- good ones ------------------------------------------------------------- */

static void test_good(void **state)
{
	static const struct text_case cases[] = {
		{ CHAIN, PEM_LEAF, NULL },
		{ CHAIN, PEM_LEAF PEM_MIDDLE PEM_CA, NULL },
		{ CHAIN, "words\n\n" PEM_RSA "words\n" PEM_MIDDLE "words",
			NULL },
		{ CHAIN, "\xef\xbb\xbf" PEM_P384, NULL },
		{ CHAIN, PEM_PAST, NULL },
		{ CHAIN, PEM_FUTURE, NULL },
		{ KEY, PEM_LEAF_KEY, NULL },
		{ KEY, PEM_LEAF_EC_KEY, NULL },
		{ KEY, PEM_PARAMETERS_KEY, NULL },
		{ KEY, PEM_RSA_KEY, NULL },
		{ KEY, PEM_RSA_OLD_KEY, NULL },
		{ KEY, PEM_P384_KEY, NULL },
		{ AUTHORITIES, PEM_CA, NULL },
		{ AUTHORITIES, "# words\n" PEM_CA "\n" PEM_RSA PEM_WEAK, NULL },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_info(void **state)
{
	struct pem f = pem_of(PEM_LEAF PEM_MIDDLE, strlen(PEM_LEAF PEM_MIDDLE));
	struct certificate_info info;
	char why[CERTIFICATE_WHY];

	(void)state;
	assert_int_equal(certificate_read_chain(&info, f.p, f.n, why), 0);
	assert_string_equal(
		info.subject, "C=NO, O=wsrelayd, CN=relay.example.org");
	assert_int_equal(info.not_before, INT64_C(1577836800000));
	assert_int_equal(info.not_after, INT64_C(32503679999000));
	assert_int_equal(info.names_n, 2);
	assert_string_equal(info.names[0], "relay.example.org");
	assert_string_equal(info.names[1], "*.relay.example.org");
	assert_int_equal(info.count, 2);
	assert_int_equal(info.misplaced, 0);
	certificate_info_free(&info);
	certificate_info_free(&info);
	free(f.p);

	f = pem_of(PEM_PAST, strlen(PEM_PAST));
	assert_int_equal(certificate_read_chain(&info, f.p, f.n, why), 0);
	assert_int_equal(info.not_after, INT64_C(1612325106000));
	assert_int_equal(info.names_n, 0);
	certificate_info_free(&info);
	free(f.p);
}

static void test_usage(void **state)
{
	static const struct {
		const char *text;
		bool server, client;
	} cases[] = {
		{ PEM_LEAF, true, true },
		{ PEM_SERVER, true, false },
		{ PEM_CLIENT, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pem f = pem_of(cases[i].text, strlen(cases[i].text));
		struct certificate_info info;
		char why[CERTIFICATE_WHY];

		assert_int_equal(
			certificate_read_chain(&info, f.p, f.n, why), 0);
		assert_int_equal(info.not_for_servers, !cases[i].server);
		assert_int_equal(info.not_for_clients, !cases[i].client);
		certificate_info_free(&info);
		free(f.p);
	}
}

static void test_order(void **state)
{
	static const struct {
		const char *text;
		size_t misplaced;
	} cases[] = {
		{ PEM_LEAF, 0 },
		{ PEM_LEAF PEM_MIDDLE PEM_CA, 0 },
		{ PEM_LEAF PEM_CA PEM_MIDDLE, 2 },
		{ PEM_LEAF PEM_LEAF PEM_MIDDLE, 2 },
		{ PEM_LEAF PEM_MIDDLE PEM_RSA, 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pem f = pem_of(cases[i].text, strlen(cases[i].text));
		struct certificate_info info;
		char why[CERTIFICATE_WHY];

		assert_int_equal(
			certificate_read_chain(&info, f.p, f.n, why), 0);
		assert_int_equal(info.misplaced, cases[i].misplaced);
		certificate_info_free(&info);
		free(f.p);
	}
}

/* --- bad ones -------------------------------------------------------------- */

#define BROKEN  "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
#define UNENDED "-----BEGIN CERTIFICATE-----\nMIIB\n"

static void test_not_pem(void **state)
{
	static const struct text_case cases[] = {
		{ CHAIN, "", "is empty, expected PEM" },
		{ KEY, "", "is empty, expected PEM" },
		{ AUTHORITIES, "", "is empty, expected PEM" },
		{ CHAIN, "hello\n", "holds no BEGIN line, expected PEM" },
		{ CHAIN, "0\x82\x01\x02",
			"holds DER, expected PEM (openssl converts it)" },
		{ KEY, "0\x82\x01\x02",
			"holds DER, expected PEM (openssl converts it)" },
		{ CHAIN, "-----BEGIN ",
			"holds a BEGIN line that is not understood, "
			"expected PEM" },
		{ CHAIN, "-----BEGIN -----",
			"holds a BEGIN line that is not understood, "
			"expected PEM" },
		{ CHAIN, "-----BEGIN X\nY-----",
			"holds a BEGIN line that is not understood, "
			"expected PEM" },
		{ CHAIN,
			"-----BEGIN 01234567890123456789012345678901234567890"
			"-----\n",
			"holds a BEGIN line that is not understood, "
			"expected PEM" },
		{ CHAIN, UNENDED,
			"holds a CERTIFICATE without its END line, expected "
			"PEM" },
		/* The second would be passed over without a word. */
		{ CHAIN, PEM_LEAF UNENDED,
			"holds a CERTIFICATE without its END line, expected "
			"PEM" },
		{ CHAIN, UNENDED PEM_LEAF,
			"holds a CERTIFICATE without its END line, expected "
			"PEM" },
		{ CHAIN, PEM_LEAF "-----END CERTIFICATE-----\n",
			"holds an END line without its BEGIN line, expected "
			"PEM" },
		/* A BEGIN that was damaged. */
		{ CHAIN,
			"---BEGIN CERTIFICATE-----\nMIIB\n"
			"-----END CERTIFICATE-----\n" PEM_LEAF,
			"holds an END line without its BEGIN line, expected "
			"PEM" },
		{ AUTHORITIES, PEM_CA UNENDED,
			"holds a CERTIFICATE without its END line, expected "
			"PEM" },
		{ KEY, "-----BEGIN PRIVATE KEY-----\nMIIB\n",
			"holds a PRIVATE KEY without its END line, expected "
			"PEM" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

/* A NUL would end the text for the library, and hide what follows. */
static void test_nul_and_length(void **state)
{
	static const char with_nul[] = PEM_LEAF "\0" PEM_MIDDLE;
	size_t n = CERTIFICATE_PEM_MAX + 1;
	char *big = malloc(n);
	char why[CERTIFICATE_WHY];

	(void)state;
	assert_int_equal(check(CHAIN, with_nul, sizeof(with_nul) - 1, why), -1);
	assert_string_equal(why, "holds a NUL, expected PEM");

	assert_non_null(big);
	memset(big, '\n', n);
	memcpy(big, PEM_LEAF, strlen(PEM_LEAF));
	assert_int_equal(check(CHAIN, big, n - 1, why), 0);
	assert_int_equal(check(CHAIN, big, n, why), -1);
	assert_string_equal(why, "is longer than 1 MiB, expected PEM");
	free(big);
}

static void test_bad_chains(void **state)
{
	static const struct text_case cases[] = {
		{ CHAIN, PEM_LEAF PEM_LEAF_KEY,
			"holds a PRIVATE KEY, expected CERTIFICATE blocks and "
			"nothing else: others may read this file" },
		{ CHAIN, PEM_LEAF_KEY,
			"holds a PRIVATE KEY, expected CERTIFICATE blocks and "
			"nothing else: others may read this file" },
		{ AUTHORITIES, PEM_CA PEM_RSA_OLD_KEY,
			"holds a RSA PRIVATE KEY, expected CERTIFICATE blocks "
			"and nothing else: others may read this file" },
		{ CHAIN, PEM_PUBLIC_KEY,
			"holds a PUBLIC KEY, expected CERTIFICATE blocks and "
			"nothing else" },
		{ AUTHORITIES, PEM_PUBLIC_KEY,
			"holds a PUBLIC KEY, expected CERTIFICATE blocks and "
			"nothing else" },
		{ CHAIN, PEM_SIGNLESS,
			"has a key that may not sign, expected keyUsage = "
			"digitalSignature in the certificate" },
		{ CHAIN, PEM_WEAK,
			"has an RSA key of 1024 bits, expected 2048 or more" },
		{ CHAIN, PEM_P521,
			"has a key of another kind, expected RSA or ECDSA on "
			"P-256 or P-384" },
		{ CHAIN, PEM_K256,
			"has a key of another kind, expected RSA or ECDSA on "
			"P-256 or P-384" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

/* The library's words differ between its versions: the rest is ours. */
static void test_unreadable(void **state)
{
	static const struct text_case cases[] = {
		{ CHAIN, BROKEN,
			"holds 1 of 1 certificates that cannot be read: "
			"number 1: " },
		{ CHAIN, PEM_LEAF BROKEN PEM_MIDDLE BROKEN,
			"holds 2 of 4 certificates that cannot be read: "
			"number 2: " },
		{ CHAIN, PEM_ED25519,
			"holds 1 of 1 certificates that cannot be read: "
			"number 1: " },
		{ AUTHORITIES, BROKEN BROKEN,
			"holds 2 of 2 certificates that cannot be read: "
			"number 1: " },
		{ KEY, PEM_ED25519_KEY, "holds a key that cannot be read (" },
		{ KEY,
			"-----BEGIN PRIVATE KEY-----\nMIIB\n"
			"-----END PRIVATE KEY-----\n",
			"holds a key that cannot be read (" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct text_case *c = &cases[i];
		char why[CERTIFICATE_WHY];

		assert_int_equal(
			check(c->what, c->text, strlen(c->text), why), -1);
		if (strncmp(why, c->want, strlen(c->want)) != 0 ||
			!strstr(why, ", expected "))
			fail_case(c->text, "said \"%s\"", why);
	}
}

/* Lists of the world's authorities hold what mbedTLS cannot read. */
static void test_some_authorities(void **state)
{
	static const char text[] = PEM_ED25519 PEM_CA BROKEN;
	struct pem f = pem_of(text, sizeof(text) - 1);
	char why[CERTIFICATE_WHY];
	size_t bad = 0;

	(void)state;
	assert_int_equal(certificate_check_authorities(f.p, f.n, &bad, why), 0);
	assert_int_equal(bad, 2);
	free(f.p);
}

static void test_bad_keys(void **state)
{
	static const struct text_case cases[] = {
		{ KEY, PEM_ENCRYPTED_KEY,
			"is encrypted, expected a key without a passphrase "
			"(openssl pkey -in OLD -out NEW)" },
		{ KEY, PEM_ENCRYPTED_EC_KEY,
			"is encrypted, expected a key without a passphrase "
			"(openssl pkey -in OLD -out NEW)" },
		{ KEY, PEM_LEAF_KEY PEM_RSA_KEY,
			"holds 2 private keys, expected one" },
		{ KEY, PEM_LEAF,
			"holds a CERTIFICATE, expected one PRIVATE KEY and "
			"nothing else" },
		{ KEY, PEM_LEAF_KEY PEM_LEAF,
			"holds a CERTIFICATE, expected one PRIVATE KEY and "
			"nothing else" },
		{ KEY, PEM_PUBLIC_KEY,
			"holds a PUBLIC KEY, expected one PRIVATE KEY and "
			"nothing else" },
		{ KEY,
			"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
			"-----END EC PARAMETERS-----\n",
			"holds 0 private keys, expected one" },
		{ KEY, PEM_WEAK_KEY,
			"has an RSA key of 1024 bits, expected 2048 or more" },
		{ KEY, PEM_P521_KEY,
			"has a key of another kind, expected RSA or ECDSA on "
			"P-256 or P-384" },
		{ KEY, PEM_K256_KEY,
			"has a key of another kind, expected RSA or ECDSA on "
			"P-256 or P-384" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_too_long_chain(void **state)
{
	size_t one = strlen(PEM_MIDDLE);
	char *text = calloc(1, 60 * one + 1);
	char why[CERTIFICATE_WHY];

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < 60; i++)
		memcpy(text + (size_t)i * one, PEM_MIDDLE, one);
	assert_int_equal(check(CHAIN, text, 60 * one, why), -1);
	assert_non_null(strstr(why, "in DER, expected at most 16000"));
	free(text);
}

/* --- pairs ----------------------------------------------------------------- */

static void test_pairs(void **state)
{
	static const struct {
		const char *chain, *key, *want;
	} cases[] = {
		{ PEM_LEAF PEM_MIDDLE, PEM_LEAF_KEY, NULL },
		{ PEM_LEAF, PEM_LEAF_EC_KEY, NULL },
		{ PEM_RSA, PEM_RSA_KEY, NULL },
		{ PEM_RSA, PEM_RSA_OLD_KEY, NULL },
		{ PEM_P384, PEM_P384_KEY, NULL },
		{ PEM_PAST, PEM_LEAF_KEY, NULL },
		{ PEM_LEAF, PEM_P384_KEY,
			"does not belong to the certificate, expected the key "
			"of the first one of the chain" },
		{ PEM_LEAF, PEM_PARAMETERS_KEY,
			"does not belong to the certificate, expected the key "
			"of the first one of the chain" },
		{ PEM_LEAF, PEM_RSA_KEY,
			"does not belong to the certificate, expected the key "
			"of the first one of the chain" },
		{ PEM_RSA, PEM_LEAF_KEY,
			"does not belong to the certificate, expected the key "
			"of the first one of the chain" },
		{ PEM_MIDDLE PEM_CA PEM_LEAF, PEM_LEAF_KEY,
			"belongs to certificate 3 of the chain, expected that "
			"one to be the first" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pem chain = pem_of(
			cases[i].chain, strlen(cases[i].chain));
		struct pem key = pem_of(cases[i].key, strlen(cases[i].key));
		char why[CERTIFICATE_WHY] = "";
		int r = certificate_check_pair(
			&(struct certificate_pem){ chain.p, chain.n },
			&(struct certificate_pem){ key.p, key.n }, why);

		if ((r == 0) != !cases[i].want ||
			(cases[i].want && strcmp(why, cases[i].want) != 0))
			fail_case(cases[i].chain, "%zu said \"%s\"", i, why);
		free(chain.p);
		free(key.p);
	}
}

/* --- what editors and transfers do to text --------------------------------- */

static char *with_crlf(const char *text)
{
	char *out = calloc(2, strlen(text) + 1);
	char *q = out;

	assert_non_null(out);
	for (; *text; text++) {
		if (*text == '\n')
			*q++ = '\r';
		*q++ = *text;
	}
	return out;
}

static void test_crlf(void **state)
{
	static const struct {
		enum what what;
		const char *text;
	} cases[] = {
		{ CHAIN, PEM_LEAF PEM_MIDDLE },
		{ KEY, PEM_LEAF_KEY },
		{ KEY, PEM_RSA_OLD_KEY },
		{ AUTHORITIES, PEM_CA PEM_RSA },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = with_crlf(cases[i].text);
		char why[CERTIFICATE_WHY];

		if (check(cases[i].what, text, strlen(text), why) < 0)
			fail_case(text, "%s", why);
		free(text);
	}
}

/* Cut anywhere: refused, unless only the last line's end is gone. */
static void test_cut(void **state)
{
	static const char chain[] = PEM_LEAF PEM_MIDDLE;
	char why[CERTIFICATE_WHY];

	(void)state;
	for (size_t n = 0; n < sizeof(chain) - 1; n++) {
		bool whole = n + 1 == sizeof(chain) - 1 ||
			     n == strlen(PEM_LEAF) || n + 1 == strlen(PEM_LEAF);
		bool good = check(CHAIN, chain, n, why) == 0;

		/* Up to the dashes of the next BEGIN it is one certificate. */
		if (n > strlen(PEM_LEAF) &&
			n < strlen(PEM_LEAF) + strlen("-----BEGIN "))
			whole = true;
		if (good != whole)
			fail_case(why, "cut at %zu", n);
	}
	for (size_t n = 0; n < strlen(PEM_LEAF_KEY) - 1; n++)
		assert_int_equal(check(KEY, PEM_LEAF_KEY, n, why), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_not_pem),
		cmocka_unit_test(test_nul_and_length),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_some_authorities),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_too_long_chain),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_crlf),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
