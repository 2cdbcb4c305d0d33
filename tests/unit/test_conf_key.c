/*
 * test_conf_key.c: [key]: which files an algorithm has, what must be in them,
 * and who may use which key.
 */
#include "conf_support.h"

#include "base/compiler.h"
#include "codec/token/jwt_public.h"
#include "jwt_keys.h"

#define LISTEN "[listen a]\naddress = 127.0.0.1:81\n"
#define PAGE   "[page p]\nroot = dir\ntemplate = yes\n"

#define JWK_EC                                                                 \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"one\",\"x\":"             \
	"\"xSe-NYtZ9tnDuicMvNFV1n3sOnqXyPA2DfDb2WudL7U\",\"y\":"               \
	"\"xe5SyXVk5RfgQNEl9WAXB2jLGt6XSrwAdVTAxgNp04c\"}"

static int setup(void **state)
{
	if (scratch_setup(state) < 0)
		return -1;
	umask(077);
	put_text("ec.pem", PEM_EC_PUBLIC);
	put_text("rsa.pem", PEM_RSA_PUBLIC);
	put_text("short.pem", PEM_RSA_1024);
	put_text("private.pem", PEM_EC_PRIVATE);
	put_text("keys.json", "{\"keys\":[" JWK_EC "]}");
	put_text("mixed.json", "{\"keys\":[" JWK_EC ",{\"kty\":\"EC\","
			       "\"crv\":\"P-256\",\"use\":\"enc\"}]}");
	put_text("oct.json", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}");
	return 0;
}

/* Behind a listener; %s in want is the scratch directory. */
static void expect(const char *text, const char *want)
{
	char whole[1024], words[1024];
	const char *gap = strstr(want, "%s");

	snprintf(whole, sizeof(whole), LISTEN "%s", text);
	if (gap)
		snprintf(words, sizeof(words), "%.*s%s%s", (int)(gap - want),
			want, scratch, gap + 2);
	else
		snprintf(words, sizeof(words), "%s", want);
	expect_errors(whole, words);
}

static void test_public_key(void **state)
{
	struct conf *c = load_good(
		LISTEN "[key k]\nalgorithm = ES256\npublic_key_file = ec.pem\n"
		       "[key r]\nalgorithm = RS256\npublic_key_file = "
		       "rsa.pem\n");
	char *shown = dump(c);
	(void)state;

	assert_int_equal(c->keys[0].jwt.algorithm, JWT_ES256);
	assert_int_equal(c->keys[0].jwt.publics_n, 1);
	assert_int_equal(c->keys[0].jwt.publics[0].der_n, 91);
	assert_null(c->keys[0].jwt.secret);
	assert_string_equal(c->keys[0].jwt.name, "k");
	assert_int_equal(c->keys[1].jwt.algorithm, JWT_RS256);
	assert_int_equal(c->keys[1].jwt.publics[0].der_n, 294);
	conf_unref(c);
	/* What is shown is a configuration. */
	conf_unref(load_good(shown));
	free(shown);
}

static void test_jwks(void **state)
{
	struct conf *c = load_good(
		LISTEN "[key k]\nalgorithm = ES256\njwks_file = keys.json\n");
	struct buf errors = { 0 };
	char want[512];
	char *said;
	(void)state;

	assert_int_equal(c->keys[0].jwt.publics_n, 1);
	assert_string_equal(c->keys[0].jwt.publics[0].kid, "one");
	conf_unref(c);

	/* One that is for something else does not count, and that is said. */
	c = conf_load_text("t.ini",
		STR(LISTEN "[key k]\nalgorithm = ES256\n"
			   "jwks_file = mixed.json\n"),
		&errors);
	said = take_text(&errors);
	assert_non_null(c);
	assert_int_equal(c->keys[0].jwt.publics_n, 1);
	snprintf(want, sizeof(want),
		"t.ini:5: warning: [key k] jwks_file: %s/mixed.json: key 2 is "
		"left out: its use is not sig\n",
		scratch);
	assert_string_equal(said, want);
	free(said);
	conf_unref(c);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "public_key_file = ec.pem\n",
			"t.ini:3: [key k] algorithm: is HS256, expected RS256 "
			"or ES256 for public_key_file\n" },
		{ "algorithm = HS256\njwks_file = keys.json\n",
			"t.ini:4: [key k] algorithm: is HS256, expected RS256 "
			"or ES256 for jwks_file\n" },
		{ "algorithm = RS256\n",
			"t.ini:3: [key k] public_key_file: is missing, "
			"expected a public key in PEM (or a jwks_file)\n" },
		{ "algorithm = ES256\nsecret_file = secret\n",
			"t.ini:5: [key k] secret_file: means nothing to RS256 "
			"and ES256, expected it only for HS256\n"
			"t.ini:3: [key k] public_key_file: is missing, "
			"expected a public key in PEM (or a jwks_file)\n" },
		{ "algorithm = ES256\npublic_key_file = ec.pem\n"
		  "secret_file = secret\n",
			"t.ini:6: [key k] secret_file: means nothing to RS256 "
			"and ES256, expected it only for HS256\n" },
		{ "algorithm = ES256\npublic_key_file = ec.pem\n"
		  "jwks_file = keys.json\n",
			"t.ini:6: [key k] jwks_file: is set beside "
			"public_key_file, expected one of them\n" },
		{ "secret_file = ec.pem\n",
			"t.ini:4: [key k] secret_file: %s/ec.pem holds PEM, "
			"expected a secret for HS256 (wsrelayctl key makes "
			"one)\n" },
		{ "secret_file = keys.json\n",
			"t.ini:4: [key k] secret_file: %s/keys.json holds a "
			"JWK, expected a secret for HS256 (wsrelayctl key "
			"makes one)\n" },
		{ "algorithm = ES256\npublic_key_file = rsa.pem\n",
			"t.ini:5: [key k] public_key_file: %s/rsa.pem holds "
			"a key of no elliptic curve, expected a P-256 public "
			"key in PEM, for ES256\n" },
		{ "algorithm = RS256\npublic_key_file = short.pem\n",
			"t.ini:5: [key k] public_key_file: %s/short.pem holds "
			"RSA of less than 2048 bits, expected an RSA public "
			"key in PEM, of 2048 to 4096 bits, for RS256\n" },
		{ "algorithm = ES256\npublic_key_file = private.pem\n",
			"t.ini:5: [key k] public_key_file: %s/private.pem "
			"holds a private key (openssl pkey -pubout makes the "
			"public one), expected a P-256 public key in PEM, for "
			"ES256\n" },
		{ "algorithm = ES256\npublic_key_file = dir\n",
			"t.ini:5: [key k] public_key_file: %s/dir: Is a "
			"directory, expected a readable file\n" },
		{ "algorithm = RS256\njwks_file = keys.json\n",
			"t.ini:5: [key k] jwks_file: %s/keys.json: no key for "
			"RS256, expected a JWK Set of public keys\n" },
		{ "algorithm = RS256\njwks_file = oct.json\n",
			"t.ini:5: [key k] jwks_file: %s/oct.json: key 1 is "
			"symmetric (kty oct), expected "
			"a JWK Set of public keys\n" },
		{ "algorithm = RS256\njwks_file = ec.pem\n",
			"t.ini:5: [key k] jwks_file: %s/ec.pem: not a JSON "
			"object, or one with a name twice, expected a JWK Set "
			"of public keys\n" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];

		snprintf(text, sizeof(text), "[key k]\n%s", cases[i].text);
		expect(text, cases[i].want);
	}
}

/* A secret that comes or goes: the first signs. */
static void test_two_secrets(void **state)
{
	struct conf *c;
	char *shown;
	(void)state;

	put_text("next", "the secret that is the next one, 32\n");
	c = load_good(LISTEN "[key k]\nsecret_file = next\n"
			     "secret_file = secret\n");
	assert_int_equal(c->keys[0].jwt.secret_n, 35);
	assert_memory_equal(c->keys[0].jwt.secret, "the secret that is", 18);
	assert_int_equal(c->keys[0].jwt.other_secret_n, strlen(SECRET));
	assert_memory_equal(
		c->keys[0].jwt.other_secret, SECRET, strlen(SECRET));
	shown = dump(c);
	assert_non_null(strstr(shown, "/next\nsecret_file = /"));
	free(shown);
	conf_unref(c);

	expect("[key k]\nsecret_file = next\nsecret_file = secret\n"
	       "secret_file = third\n",
		"t.ini:6: [key k] secret_file: is there 3 times, expected it "
		"once or twice: the first signs, both verify\n");
	expect("[key k]\nsecret_file = next\nsecret_file = ./next\n"
	       "secret_file = next\n",
		"t.ini:6: [key k] secret_file: \"next\" is there twice, "
		"expected it once\n");
	expect("[key k]\nsecret_file = next\nsecret_file = nowhere\n",
		"t.ini:5: [key k] secret_file: %s/nowhere: No such file or "
		"directory, expected a readable file\n");
	expect("[key k]\nalgorithm = ES256\npublic_key_file = ec.pem\n"
	       "secret_file = next\nsecret_file = secret\n",
		"t.ini:6: [key k] secret_file: means nothing to RS256 and "
		"ES256, expected it only for HS256\n");
}

/* Pages mint tokens: with the one key that can, or a named one that can. */
static void test_page_key(void **state)
{
#define ES "[key e]\nalgorithm = ES256\npublic_key_file = ec.pem\n"
#define HS "[key h]\nsecret_file = secret\n"
	struct conf *c = load_good(LISTEN ES HS PAGE);
	(void)state;

	assert_ptr_equal(c->pages[0].key, &c->keys[1]);
	conf_unref(c);
	c = load_good(LISTEN ES HS PAGE "token_key = h\n");
	assert_ptr_equal(c->pages[0].key, &c->keys[1]);
	conf_unref(c);
	expect(ES PAGE, "t.ini:6: [page p] token_key: is missing, expected the "
			"name of a key with a secret, because template is yes "
			"and there are 1 keys\n");
	expect(ES HS PAGE "token_key = e\n",
		"t.ini:11: [page p] token_key: [key e] can only verify, "
		"expected one with a secret_file\n");
}

/* Keys whose tokens have no path are for routes that name them. */
static void test_pathless(void **state)
{
#define IDP                                                                    \
	"[key i]\nsecret_file = secret\nrequire_path = no\n"                   \
	"issuer = https://idp.example\naudience = relay\n"
#define ROUTE "[route r]\npath = /r\nbackend = echo:\n"
	struct conf *c = load_good(LISTEN HS IDP ROUTE
		"keys = i\n[page p]\nroot = dir\nauth = token\n");
	struct buf errors = { 0 };
	char *said;
	(void)state;

	assert_true(c->keys[1].jwt.pathless);
	assert_false(c->keys[0].jwt.pathless);
	/* An invitation to a page has a path. */
	assert_int_equal(c->pages[0].use_keys.n, 1);
	assert_ptr_equal(c->pages[0].use_keys.v[0], &c->keys[0]);
	conf_unref(c);
	conf_unref(load_good(LISTEN HS IDP ROUTE "keys = h i\n"));
	conf_unref(load_good(LISTEN IDP ROUTE "auth = none\n"));
	expect(HS IDP ROUTE,
		"t.ini:10: [route r] keys: is missing, expected names of keys, "
		"because [key i] has require_path = no\n");
	expect(IDP "[page p]\nroot = dir\nauth = token\n",
		"t.ini:10: [page p] auth: token needs a key, expected a "
		"section [key NAME] with require_path = yes\n");

	c = conf_load_text("t.ini",
		STR(LISTEN "[key i]\nsecret_file = secret\n"
			   "require_path = no\n"),
		&errors);
	said = take_text(&errors);
	assert_non_null(c);
	assert_string_equal(said,
		"t.ini:5: warning: [key i] require_path: is no without an "
		"audience: tokens for other services open the routes of this "
		"key\nt.ini:5: warning: [key i] require_path: is no without "
		"an issuer\n");
	free(said);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_public_key),
		cmocka_unit_test(test_jwks),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_two_secrets),
		cmocka_unit_test(test_page_key),
		cmocka_unit_test(test_pathless),
	};

	return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
