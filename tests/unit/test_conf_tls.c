/*
 * test_conf_tls.c: certificates, and what is said about TLS in listeners and
 * routes.
 */
#include "conf_support.h"

#include <mbedtls/version.h>

#include "base/compiler.h"
#include "codec/certificate.h"

#define CERTIFICATE "[certificate c]\nchain_file = chain\nkey_file = key\n"
#define LISTEN      "[listen l]\n"
#define TLS         "[listen l]\ncertificates = c\n"
#define ROUTE       "[route r]\npath = /r\nauth = none\n"

struct tls_case {
	const char *text;
	const char *want; /* each %s is the scratch directory */
};

/* Good ones are silent; the others say exactly this. */
static void expect_cases(const struct tls_case *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf want = { 0 };
		const char *p = v[i].want;

		if (!p) {
			conf_unref(load_good(v[i].text));
			continue;
		}
		for (const char *at; (at = strstr(p, "%s")); p = at + 2)
			assert_int_equal(buf_add_printf(&want, "%.*s%s",
						 (int)(at - p), p, scratch),
				0);
		assert_int_equal(buf_add_printf(&want, "%s", p), 0);
		p = take_text(&want);
		expect_errors(v[i].text, p);
		free((void *)(uintptr_t)p);
	}
}

/* A configuration that is good, with exactly these warnings. */
static void expect_warnings(const char *text, const char *format)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("t.ini", str_of(text), &errors);
	char *said = take_text(&errors);
	char want[1024];
	const char *at = strstr(format, "%s");

	snprintf(want, sizeof(want), "%.*s%s%s", (int)(at - format), format,
		scratch, at + 2);
	if (!c || strcmp(said, want) != 0)
		fail_case(text, "said \"%s\"\nwant \"%s\"", said, want);
	free(said);
	conf_unref(c);
}

/* --- what is loaded -------------------------------------------------------- */

static void test_members(void **state)
{
	static const char text[] = TLS
		"certificates = d\ntls_client = optional\n"
		"tls_client_ca = ca\n"
		"[listen plain]\naddress = 127.0.0.1:1\n" CERTIFICATE
		"[certificate d]\nchain_file = chain\nkey_file = key\n"
		"[route w]\npath = /w\nlisten = l\nauth = none\n"
		"backend = wss://a.example\nbackend_ca = ca\n"
		"backend_certificate = d\n"
		"client_subjects = CN=alice, O=lab\n"
		"client_subjects = CN=bob\n"
		"[route t]\npath = /t\nauth = none\nframing = line\n"
		"backend = tls://a.example:7000\nsend_proxy = v2\n"
		"backend_ca = other\n"
		"[route p]\npath = /p\nauth = none\n"
		"backend = ws://a.example\n";
	struct conf *c;
	const struct conf_listen *l;
	const struct conf_route *r;

	(void)state;
	put_text("other", PEM_RSA);
	c = load_good(text);
	l = &c->listens[0];
	r = c->routes;
	assert_int_equal(c->certificates_n, 2);
	assert_int_equal(c->certificates[1].index, 1);
	assert_string_equal(
		(char *)c->certificates[0].chain, PEM_LEAF PEM_MIDDLE);
	assert_int_equal(
		c->certificates[0].chain_n, sizeof(PEM_LEAF PEM_MIDDLE));
	assert_string_equal((char *)c->certificates[0].key, PEM_LEAF_KEY);
	assert_int_equal(c->certificates[0].key_n, sizeof(PEM_LEAF_KEY));
	assert_int_equal(c->certificates[0].not_before, INT64_C(1577836800000));
	assert_int_equal(c->certificates[0].not_after, INT64_C(32503679999000));
	assert_ptr_equal(
		conf_find_certificate(c, STR("d")), &c->certificates[1]);
	assert_null(conf_find_certificate(c, STR("e")));

	assert_int_equal(l->use_certificates.n, 2);
	assert_ptr_equal(l->use_certificates.v[1], &c->certificates[1]);
	assert_int_equal(l->tls_min, CONF_TLS_1_2);
	assert_int_equal(l->tls_client, CONF_TLS_CLIENT_OPTIONAL);
	assert_int_equal(c->listens[1].use_certificates.n, 0);
	assert_null(c->listens[1].client_ca);

	/* One file, however many keys name it. */
	assert_int_equal(c->cas_n, 2);
	assert_ptr_equal(l->client_ca, &c->cas[0]);
	assert_ptr_equal(r[0].ca, &c->cas[0]);
	assert_ptr_equal(r[1].ca, &c->cas[1]);
	assert_int_equal(c->cas[1].index, 1);
	assert_string_equal((char *)c->cas[0].pem, PEM_CA);
	assert_int_equal(c->cas[0].pem_n, sizeof(PEM_CA));

	assert_int_equal(r[0].to.kind, BACKEND_WS);
	assert_true(r[0].to.tls);
	assert_string_equal(r[0].to.port, "443");
	assert_string_equal(r[0].to.path, "/");
	assert_ptr_equal(r[0].use_backend_certificate, &c->certificates[1]);
	assert_int_equal(r[0].client_subjects.n, 2);
	assert_string_equal(r[0].client_subjects.v[0], "CN=alice, O=lab");
	assert_true(r[0].backend_verify);
	assert_int_equal(r[1].to.kind, BACKEND_TCP);
	assert_true(r[1].to.tls);
	assert_string_equal(r[1].to.port, "7000");
	assert_int_equal(r[2].to.kind, BACKEND_WS);
	assert_false(r[2].to.tls);
	assert_string_equal(r[2].to.port, "80");
	assert_null(r[2].ca);
	conf_unref(c);
}

static void test_files_refused(void **state)
{
	static const struct {
		const char *file, *chain, *key, *want;
	} cases[] = {
		{ "chain_file", "", PEM_LEAF_KEY, "is empty, expected PEM" },
		{ "chain_file", PEM_LEAF_KEY, PEM_LEAF_KEY,
			"holds a PRIVATE KEY, expected CERTIFICATE blocks and "
			"nothing else: others may read this file" },
		{ "key_file", PEM_LEAF, PEM_ENCRYPTED_KEY,
			"is encrypted, expected a key without a passphrase "
			"(openssl pkey -in OLD -out NEW)" },
		{ "key_file", PEM_LEAF, PEM_RSA_KEY,
			"does not belong to the certificate, expected the key "
			"of the first one of the chain" },
		{ "chain_file", PEM_WEAK, PEM_LEAF_KEY,
			"has an RSA key of 1024 bits, expected 2048 or more" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool chain = strcmp(cases[i].file, "chain_file") == 0;
		char want[512];

		put_text("bad-chain", cases[i].chain);
		put_text("bad-key", cases[i].key);
		assert_int_equal(chmod("bad-key", 0600), 0);
		snprintf(want, sizeof(want),
			"t.ini:%d: [certificate c] %s: %s/bad-%s %s\n",
			chain ? 3 : 4, cases[i].file, scratch,
			chain ? "chain" : "key", cases[i].want);
		expect_errors("[listen l]\n[certificate c]\n"
			      "chain_file = bad-chain\nkey_file = bad-key\n",
			want);
	}
}

/* Both files of a certificate have their say in one run. */
static void test_both_files(void **state)
{
	static const struct tls_case cases[] = {
		{ LISTEN "[certificate c]\n",
			"t.ini:2: [certificate c] chain_file: is missing, "
			"expected a value: PEM: the certificate first, then "
			"those that lead to its authority\n"
			"t.ini:2: [certificate c] key_file: is missing, "
			"expected a value: PEM: its private key, not "
			"encrypted\n" },
		{ LISTEN "[certificate c]\nchain_file = dir\nkey_file = no\n",
			"t.ini:3: [certificate c] chain_file: %s/dir: Is a "
			"directory, expected a readable file\n"
			"t.ini:4: [certificate c] key_file: %s/no: No such "
			"file or directory, expected a readable file\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_long_files(void **state)
{
	static char big[CERTIFICATE_PEM_MAX + 2];
	static const struct tls_case cases[] = {
		{ LISTEN "[certificate c]\nchain_file = big\nkey_file = key\n",
			"t.ini:3: [certificate c] chain_file: %s/big is too "
			"long, expected at most 1048576 bytes\n" },
	};

	(void)state;
	memset(big, '\n', sizeof(big));
	memcpy(big, PEM_LEAF, strlen(PEM_LEAF));
	put_file("big", big, CERTIFICATE_PEM_MAX + 1);
	expect_cases(cases, ARRAY_SIZE(cases));
	put_file("big", big, CERTIFICATE_PEM_MAX);
	conf_unref(load_good(LISTEN "[certificate c]\nchain_file = big\n"
				    "key_file = key\n"));
}

/* --- dates, rights and order ----------------------------------------------- */

static void test_dates(void **state)
{
	static const char text[] = LISTEN
		"[certificate c]\nchain_file = dated\nkey_file = key\n";

	(void)state;
	put_text("dated", PEM_PAST);
	expect_warnings(text, "t.ini:3: warning: [certificate c] chain_file: "
			      "%s/dated expired on 2021-02-03\n");
	put_text("dated", PEM_FUTURE);
	expect_warnings(text, "t.ini:3: warning: [certificate c] chain_file: "
			      "%s/dated is not valid before 2990-01-01\n");
}

/* Made here, because it must expire soon. */
static void test_expires_soon(void **state)
{
	static const char text[] = LISTEN
		"[certificate c]\nchain_file = soon\nkey_file = key\n";
	static const char *const commands[] = {
		"openssl req -x509 -new -key key -subj /CN=x -days 13 "
		"-out soon 2>/dev/null",
		"openssl req -x509 -new -key key -subj /CN=x -days 15 "
		"-out soon 2>/dev/null",
	};
	struct buf errors = { 0 };
	struct conf *c;
	char *said;

	(void)state;
	assert_int_equal(system(commands[0]), 0);
	c = conf_load_text("t.ini", STR(text), &errors);
	said = take_text(&errors);
	assert_non_null(c);
	assert_non_null(strstr(said, "/soon expires on 20"));
	free(said);
	conf_unref(c);
	assert_int_equal(system(commands[1]), 0);
	conf_unref(load_good(text));
}

static void test_warned(void **state)
{
	(void)state;
	put_text("open-key", PEM_LEAF_KEY);
	assert_int_equal(chmod("open-key", 0644), 0);
	expect_warnings(LISTEN "[certificate c]\nchain_file = chain\n"
			       "key_file = open-key\n",
		"t.ini:4: warning: [certificate c] key_file: %s/open-key can "
		"be read by everybody (chmod o-r)\n");
	put_text("order", PEM_LEAF PEM_CA PEM_MIDDLE);
	expect_warnings(LISTEN "[certificate c]\nchain_file = order\n"
			       "key_file = key\n",
		"t.ini:3: warning: [certificate c] chain_file: %s/order: "
		"certificate 2 did not sign the one before it, some clients "
		"will refuse the chain\n");
	put_text("some", PEM_ED25519 PEM_CA);
	expect_warnings(TLS "tls_client = required\n"
			    "tls_client_ca = some\n" CERTIFICATE,
		"t.ini:4: warning: [listen l] tls_client_ca: %s/some holds 1 "
		"certificates that cannot be read and do not count\n");
}

/* What no client would accept is an error, what some backends will not. */
static void test_usage(void **state)
{
	static const struct tls_case cases[] = {
		{ TLS "[certificate c]\nchain_file = for-clients\n"
		      "key_file = key\n",
			"t.ini:2: [listen l] certificates: [certificate c] is "
			"not for servers, expected one whose extendedKeyUsage "
			"has serverAuth\n" },
		/* It may be for a backend. */
		{ LISTEN "[certificate c]\nchain_file = for-clients\n"
			 "key_file = key\n" ROUTE
			 "backend = wss://a\nbackend_ca = ca\n"
			 "backend_certificate = c\n",
			NULL },
		/* One thing at a time. */
		{ TLS "[certificate c]\nchain_file = none\nkey_file = key\n",
			"t.ini:4: [certificate c] chain_file: %s/none: No such "
			"file or directory, expected a readable file\n" },
	};
	struct buf errors = { 0 };
	struct conf *c;
	char *said;

	(void)state;
	put_text("for-clients", PEM_CLIENT);
	put_text("for-servers", PEM_SERVER);
	expect_cases(cases, ARRAY_SIZE(cases));
	c = conf_load_text("t.ini",
		STR(LISTEN "[certificate c]\nchain_file = for-servers\n"
			   "key_file = key\n" ROUTE
			   "backend = wss://a\nbackend_ca = ca\n"
			   "backend_certificate = c\n"),
		&errors);
	said = take_text(&errors);
	assert_non_null(c);
	assert_string_equal(said,
		"t.ini:10: warning: [route r] backend_certificate: "
		"[certificate c] is not for clients, many backends will refuse "
		"it (its extendedKeyUsage has no clientAuth)\n");
	free(said);
	conf_unref(c);
}

/* --- listeners ------------------------------------------------------------- */

static void test_listeners(void **state)
{
	static const char cut[] = "-----BEGIN X509 CRL-----\nMIIB\n";
	static const char odd[] = "-----BEGIN X509 CRL-----\nMAA=\n"
				  "-----END X509 CRL-----\n";
	static const struct tls_case cases[] = {
		{ TLS CERTIFICATE, NULL },
		{ TLS "tls_min = 1.2\ntls_client = none\n" CERTIFICATE, NULL },
		{ LISTEN "tls_min = 1.2\ntls_client = none\n", NULL },
		{ LISTEN "tls_min = 1.3\ntls_client = required\n"
			 "tls_client_ca = ca\n",
			"t.ini:2: [listen l] tls_min: means nothing without "
			"TLS, expected certificates beside it\n"
			"t.ini:3: [listen l] tls_client: means nothing without "
			"TLS, expected certificates beside it\n"
			"t.ini:4: [listen l] tls_client_ca: means nothing "
			"without TLS, expected certificates beside it\n" },
		{ TLS "tls_client = optional\n" CERTIFICATE,
			"t.ini:1: [listen l] tls_client_ca: is missing, "
			"expected a file of authorities, because tls_client is "
			"optional\n" },
		{ TLS "tls_client = required\n" CERTIFICATE,
			"t.ini:1: [listen l] tls_client_ca: is missing, "
			"expected a file of authorities, because tls_client is "
			"required\n" },
		{ TLS "tls_client_ca = ca\n" CERTIFICATE,
			"t.ini:3: [listen l] tls_client_ca: means nothing with "
			"tls_client = none, expected optional or required\n" },
		{ TLS "tls_client = optional\ntls_client_ca = "
		      "key\n" CERTIFICATE,
			"t.ini:4: [listen l] tls_client_ca: %s/key holds a "
			"PRIVATE KEY, expected CERTIFICATE blocks and nothing "
			"else: others may read this file\n" },
		{ LISTEN "tls_client_crl = crl\n",
			"t.ini:2: [listen l] tls_client_crl: means nothing "
			"without TLS, expected certificates beside it\n" },
		{ TLS "tls_client_crl = crl\n" CERTIFICATE,
			"t.ini:3: [listen l] tls_client_crl: means nothing "
			"with tls_client = none, expected optional or "
			"required\n" },
		{ TLS "tls_client = optional\ntls_client_ca = ca\n"
		      "tls_client_crl = ca\n" CERTIFICATE,
			"t.ini:5: [listen l] tls_client_crl: %s/ca holds a "
			"CERTIFICATE, expected revocation lists (X509 CRL) and "
			"nothing else\n" },
		{ TLS "tls_client = optional\ntls_client_ca = ca\n"
		      "tls_client_crl = cut-crl\n" CERTIFICATE,
			"t.ini:5: [listen l] tls_client_crl: %s/cut-crl holds "
			"a X509 CRL without its END line, expected PEM\n" },
		{ TLS "tls_client = optional\ntls_client_ca = ca\n"
		      "tls_client_crl = odd-crl\n" CERTIFICATE,
			"t.ini:5: [listen l] tls_client_crl: %s/odd-crl holds "
			"a revocation list that cannot be read (-0x21e0)\n" },
		{ LISTEN "certificates = c d, c\n",
			"t.ini:2: [listen l] certificates: \"c\" is there "
			"twice, expected it once\n"
			"t.ini:2: [listen l] certificates: there is no "
			"[certificate c], expected names of certificates\n"
			"t.ini:2: [listen l] certificates: there is no "
			"[certificate d], expected names of certificates\n" },
		/* One thing at a time. */
		{ LISTEN "certificates = /\ntls_client = optional\n",
			"t.ini:2: [listen l] certificates: \"/\" is not "
			"well-formed, expected a section's name: at most 40 "
			"letters, digits, _ . -\n" },
	};

	put_text("cut-crl", cut);
	put_text("odd-crl", odd);
	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

/* Which one is right depends on the library that this was built with. */
static void test_tls13(void **state)
{
	static const char text[] = TLS "tls_min = 1.3\n" CERTIFICATE;
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("t.ini", STR(text), &errors);
	char *said = take_text(&errors);

	(void)state;
	assert_int_equal(c != NULL, MBEDTLS_VERSION_MAJOR >= 3);
	if (c) {
		assert_string_equal(said, "");
		assert_int_equal(c->listens[0].tls_min, CONF_TLS_1_3);
	} else {
		assert_non_null(strstr(said,
			"t.ini:3: [listen l] tls_min: 1.3 is not in this "
			"program's mbed TLS 2."));
		assert_non_null(strstr(said, ", expected 1.2\n"));
	}
	free(said);
	conf_unref(c);
}

/* --- routes ---------------------------------------------------------------- */

static void test_routes(void **state)
{
	static const struct tls_case cases[] = {
		{ LISTEN ROUTE "backend = ws://a\nbackend_ca = ca\n"
			       "backend_certificate = c\n"
			       "backend_verify = no\n" CERTIFICATE,
			"t.ini:6: [route r] backend_ca: means nothing to ws "
			"backends, expected it only for tls and wss backends\n"
			"t.ini:7: [route r] backend_certificate: means nothing "
			"to ws backends, expected it only for tls and wss "
			"backends\n"
			"t.ini:8: [route r] backend_verify: means nothing to "
			"ws backends, expected it only for tls and wss "
			"backends\n" },
		{ LISTEN ROUTE "backend = tls://a:1\nbackend_ca = ca\n",
			"t.ini:2: [route r] framing: is missing, expected raw, "
			"line or len32 for tls backends\n" },
		{ LISTEN ROUTE "backend = wss://a\nbackend_ca = ca\n"
			       "framing = raw\nsend_proxy = v1\n",
			"t.ini:7: [route r] framing: wss backends have "
			"messages of their own, expected no framing\n"
			"t.ini:8: [route r] send_proxy: means nothing to wss "
			"backends, expected it only for tcp, tls and unix "
			"backends\n" },
		{ LISTEN ROUTE "backend = tls://a:1/x\nframing = raw\n"
			       "backend_ca = ca\n",
			"t.ini:5: [route r] backend: \"/x\" behind the port, "
			"expected tls://HOST:PORT\n" },
		{ LISTEN ROUTE "backend = wss://a\nbackend_ca = none\n",
			"t.ini:6: [route r] backend_ca: %s/none: No such file "
			"or directory, expected a readable file\n" },
		/* Said once for all that name it. */
		{ LISTEN ROUTE "backend = wss://a\nbackend_ca = none\n"
			       "[route s]\npath = /s\nauth = none\n"
			       "backend = wss://a\nbackend_ca = none\n",
			"t.ini:6: [route r] backend_ca: %s/none: No such file "
			"or directory, expected a readable file\n" },
		{ "[listen a]\naddress = 127.0.0.1:1\n" TLS
		  "tls_client = optional\ntls_client_ca = ca\n" CERTIFICATE
				ROUTE
		  "backend = echo:\nclient_subjects = CN=x\n",
			"t.ini:14: [route r] client_subjects: needs "
			"certificates of clients, expected tls_client = "
			"optional or required in [listen a]\n" },
		{ "[listen a]\naddress = 127.0.0.1:1\n" TLS
		  "tls_client = optional\ntls_client_ca = ca\n" CERTIFICATE
				ROUTE
		  "backend = echo:\nclient_subjects = CN=x\n"
		  "listen = l\n",
			NULL },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_no_verify(void **state)
{
	struct buf errors = { 0 };
	struct conf *c;
	char *said;

	(void)state;
	c = conf_load_text("t.ini",
		STR(LISTEN ROUTE "backend = wss://a\nbackend_verify = no\n"),
		&errors);
	said = take_text(&errors);
	assert_non_null(c);
	assert_null(c->routes[0].ca);
	assert_string_equal(said,
		"t.ini:6: warning: [route r] backend_verify: is no: anybody on "
		"the way to the backend can read and change what passes\n");
	free(said);
	conf_unref(c);
	c = conf_load_text("t.ini",
		STR(LISTEN ROUTE "backend = wss://a\nbackend_verify = no\n"
				 "backend_ca = ca\n"),
		&errors);
	said = take_text(&errors);
	assert_non_null(c);
	assert_null(c->routes[0].ca);
	assert_string_equal(said,
		"t.ini:6: warning: [route r] backend_verify: is no: anybody on "
		"the way to the backend can read and change what passes, and "
		"backend_ca does not count\n");
	free(said);
	conf_unref(c);
}

/* The system's list, or a word about its absence. */
static void test_system_ca(void **state)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text(
		"t.ini", STR(LISTEN ROUTE "backend = wss://a\n"), &errors);
	char *said = take_text(&errors);

	(void)state;
	if (access(conf_system_ca(), R_OK) == 0) {
		assert_non_null(c);
		assert_string_equal(c->routes[0].ca->file, conf_system_ca());
	} else {
		assert_null(c);
		assert_non_null(
			strstr(said, "t.ini:2: [route r] backend_ca: "));
		assert_non_null(strstr(said,
			": No such file or directory, expected a readable "
			"file\n"));
	}
	free(said);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_files_refused),
		cmocka_unit_test(test_both_files),
		cmocka_unit_test(test_long_files),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_expires_soon),
		cmocka_unit_test(test_warned),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_tls13),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_no_verify),
		cmocka_unit_test(test_system_ca),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
