/*
 * test_conf_reread.c: the same settings again, with what their files hold by
 * now; and whether two configurations say the same.
 */
#include "conf_support.h"

#include "base/compiler.h"
#include "conf/build.h"

#define MORE_SECRET "fedcba9876543210fedcba9876543210"

/* Every kind of section, most of them twice, over two files. */
static const char first[] = "[route z]\n"
			    "path = /z\n"
			    "backend = exec:/bin/sh -c  x\n"
			    "exec_env = B=; c\n"
			    "[listen l]\n"
			    "certificates = d c\n"
			    "tls_client = optional\n"
			    "tls_client_ca = ca\n"
			    "[server]\n"
			    "include = second.ini\n"
			    "[key k]\n"
			    "secret_file = secret\n"
			    "[certificate d]\n"
			    "chain_file = chain\n"
			    "key_file = key\n"
			    "[page p]\n"
			    "root = dir\n"
			    "token_key = k\n";
static const char second[] = "[certificate c]\n"
			     "chain_file = chain\n"
			     "key_file = key\n"
			     "\n"
			     "[key j]\n"
			     "secret_file = secret\n"
			     "[page q]\n"
			     "path = /q\n"
			     "root = dir\n"
			     "[listen m]\n"
			     "address = 127.0.0.1:9\n"
			     "[route a]\n"
			     "path = /a/{id}\n"
			     "listen = l\n"
			     "client_subjects = CN=alice, O=lab\n"
			     "backend = tls://a.example:1\n"
			     "framing = raw\n"
			     "backend_ca = ca2\n"
			     "backend_certificate = c\n"
			     "keys = j\n"
			     "[attach t]\n"
			     "path = /t/{id}\n"
			     "keys = j\n"
			     "[route t]\n"
			     "path = /w/{id}\n"
			     "backend = attach:t\n"
			     "mode = hub\n"
			     "queue_limit = 16M\n"
			     "keys = j\n";

static void write_files(void)
{
	put_text("first.ini", first);
	put_text("second.ini", second);
	put_text("secret", SECRET "\n");
	put_text("ca", PEM_CA);
	put_text("ca2", PEM_RSA);
	put_text("chain", PEM_LEAF PEM_MIDDLE);
	put_text("key", PEM_LEAF_KEY);
}

static struct conf *load_quietly(const char *name)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load(name, &errors);
	char *said = take_text(&errors);

	if (!c || said[0])
		fail_case(name, "%s", said);
	free(said);
	return c;
}

static struct conf *reread_quietly(const struct conf *c)
{
	struct buf errors = { 0 };
	bool kept;
	struct conf *again = conf_reread(c, &errors, &kept);
	char *said = take_text(&errors);

	if (!again || kept || said[0])
		fail_case("reread", "%s", said);
	free(said);
	return again;
}

/* Name, file and line of every section; the index where it has one. */
static void assert_same_places(struct conf *a, struct conf *b)
{
	for (int s = 0; s < SECTION_COUNT; s++) {
		enum keys_section kind = (enum keys_section)s;

		assert_int_equal(build_count(a, kind), build_count(b, kind));
		assert_true(build_count(a, kind) > 0);
		for (size_t i = 0; i < build_count(a, kind); i++) {
			const struct conf_section *x = build_section(
				a, kind, i);
			const struct conf_section *y = build_section(
				b, kind, i);

			assert_string_equal(x->name, y->name);
			assert_string_equal(x->file, y->file);
			assert_int_equal(x->line, y->line);
		}
	}
	for (size_t i = 0; i < b->routes_n; i++)
		assert_int_equal(b->routes[i].index, i);
	for (size_t i = 0; i < b->certificates_n; i++)
		assert_int_equal(b->certificates[i].index, i);
	assert_int_equal(a->cas_n, b->cas_n);
	for (size_t i = 0; i < b->cas_n; i++) {
		assert_int_equal(b->cas[i].index, i);
		assert_string_equal(a->cas[i].file, b->cas[i].file);
	}
}

/* Whether both say the same, wherever it is written: 1 or 0. */
static int same_settings(const struct conf *a, const struct conf *b)
{
	char *x = dump(a), *y = dump(b);
	int same = strcmp(x, y) == 0;

	free(x);
	free(y);
	return same;
}

static void test_nothing_changed(void **state)
{
	struct conf *a, *b, *c;
	char *x, *y;

	(void)state;
	write_files();
	a = load_quietly("first.ini");
	b = reread_quietly(a);
	c = reread_quietly(b);
	assert_same_places(a, b);
	assert_same_places(a, c);
	assert_string_equal(b->routes[1].section.file, "second.ini");
	assert_int_equal(b->routes[1].section.line, 12);
	x = dump(a);
	y = dump(c);
	assert_string_equal(x, y);
	assert_int_equal(same_settings(a, b), 1);
	assert_int_equal(same_settings(c, a), 1);
	assert_string_equal(b->routes[0].exec_env.v[0], "B=; c");
	assert_ptr_equal(b->routes[1].ca, &b->cas[1]);
	assert_ptr_equal(b->listens[0].client_ca, &b->cas[0]);
	assert_ptr_equal(
		b->listens[0].use_certificates.v[0], &b->certificates[0]);
	assert_ptr_equal(
		b->routes[1].use_backend_certificate, &b->certificates[1]);
	assert_ptr_equal(b->pages[0].key, &b->keys[0]);
	free(x);
	free(y);
	conf_unref(a);
	conf_unref(b);
	conf_unref(c);
}

/* The INI files are not looked at, and need not be there. */
static void test_files_changed(void **state)
{
	struct conf *a, *b;

	(void)state;
	write_files();
	a = load_quietly("first.ini");
	put_text("secret", MORE_SECRET);
	put_text("chain", PEM_RSA);
	put_text("key", PEM_RSA_KEY);
	put_text("ca", PEM_P384);
	put_text("ca2", PEM_MIDDLE);
	assert_int_equal(remove("first.ini"), 0);
	put_text("second.ini", "not an INI file");
	b = reread_quietly(a);
	assert_same_places(a, b);
	assert_int_equal(same_settings(a, b), 1);
	assert_memory_equal(a->keys[1].jwt.secret, SECRET, 32);
	assert_memory_equal(b->keys[1].jwt.secret, MORE_SECRET, 32);
	assert_string_equal(
		(char *)a->certificates[1].chain, PEM_LEAF PEM_MIDDLE);
	assert_string_equal((char *)b->certificates[1].chain, PEM_RSA);
	assert_string_equal((char *)b->certificates[1].key, PEM_RSA_KEY);
	assert_string_equal((char *)b->cas[0].pem, PEM_P384);
	assert_string_equal((char *)b->cas[1].pem, PEM_MIDDLE);
	conf_unref(a);
	assert_string_equal((char *)b->certificates[0].chain, PEM_RSA);
	conf_unref(b);
}

static void assert_same_files(const struct conf *a, const struct conf *b)
{
	for (size_t i = 0; i < a->keys_n; i++) {
		assert_int_equal(
			a->keys[i].jwt.secret_n, b->keys[i].jwt.secret_n);
		assert_memory_equal(a->keys[i].jwt.secret,
			b->keys[i].jwt.secret, a->keys[i].jwt.secret_n);
	}
	for (size_t i = 0; i < a->certificates_n; i++) {
		assert_string_equal((char *)a->certificates[i].chain,
			(char *)b->certificates[i].chain);
		assert_string_equal((char *)a->certificates[i].key,
			(char *)b->certificates[i].key);
	}
	for (size_t i = 0; i < a->cas_n; i++)
		assert_string_equal(
			(char *)a->cas[i].pem, (char *)b->cas[i].pem);
}

/* Each complaint names its section's place, and the file at fault. */
static void test_faults(void **state)
{
	struct buf errors = { 0 };
	struct conf *a, *b;
	char want[1024];
	char *said;
	bool kept;

	(void)state;
	write_files();
	a = load_quietly("first.ini");
	put_text("secret", "short");
	put_text("key", PEM_RSA_KEY);
	assert_int_equal(remove("ca2"), 0);
	b = conf_reread(a, &errors, &kept);
	assert_non_null(b);
	assert_true(kept);
	said = take_text(&errors);
	snprintf(want, sizeof(want),
		"first.ini:13: [certificate d] key_file: %s/key does not "
		"belong to the certificate, expected the key of the first one "
		"of the chain\n"
		"second.ini:1: [certificate c] key_file: %s/key does not "
		"belong to the certificate, expected the key of the first one "
		"of the chain\n"
		"first.ini:11: [key k] secret_file: %s/secret holds 5 bytes, "
		"expected at least 32 (RFC 7518 section 3.2; wsrelayctl key "
		"makes a secret)\n"
		"second.ini:5: [key j] secret_file: %s/secret holds 5 bytes, "
		"expected at least 32 (RFC 7518 section 3.2; wsrelayctl key "
		"makes a secret)\n"
		"second.ini:12: [route a] backend_ca: %s/ca2: No such file or "
		"directory, expected a readable file\n",
		scratch, scratch, scratch, scratch, scratch);
	assert_string_equal(said, want);
	free(said);
	/* The old one is as it was, and the new one has the same files. */
	assert_memory_equal(a->keys[0].jwt.secret, SECRET, 32);
	assert_same_files(a, b);
	conf_unref(b);
	put_text("secret", SECRET);
	put_text("key", PEM_LEAF_KEY);
	put_text("ca2", PEM_CA);
	conf_unref(reread_quietly(a));
	conf_unref(a);
}

/* What is good is taken, section by section: never half a certificate. */
static void test_faults_elsewhere(void **state)
{
	struct buf errors = { 0 };
	struct conf *a, *b, *c;
	bool kept;

	(void)state;
	write_files();
	a = load_quietly("first.ini");
	put_text("secret", "short");
	put_text("ca", "no PEM");
	put_text("ca2", PEM_MIDDLE);
	put_text("chain", PEM_RSA);
	put_text("key", PEM_RSA_KEY);
	b = conf_reread(a, &errors, &kept);
	assert_non_null(b);
	assert_true(kept);
	free(take_text(&errors));
	assert_same_places(a, b);
	assert_memory_equal(b->keys[0].jwt.secret, SECRET, 32);
	assert_string_equal((char *)b->cas[0].pem, PEM_CA);
	assert_string_equal((char *)b->cas[1].pem, PEM_MIDDLE);
	assert_string_equal((char *)b->certificates[0].chain, PEM_RSA);
	assert_string_equal((char *)b->certificates[0].key, PEM_RSA_KEY);
	/* The next time what was kept is kept again, by what is kept then. */
	conf_unref(a);
	put_text("key", PEM_LEAF_KEY);
	c = conf_reread(b, &errors, &kept);
	assert_non_null(c);
	assert_true(kept);
	free(take_text(&errors));
	assert_memory_equal(c->keys[1].jwt.secret, SECRET, 32);
	assert_string_equal((char *)c->certificates[1].key, PEM_RSA_KEY);
	assert_string_equal((char *)c->certificates[1].chain, PEM_RSA);
	conf_unref(b);
	conf_unref(c);
}

/* A [server] that was never written has no place. */
static void test_warnings(void **state)
{
	static const char text[] = "\n[listen l]\n[certificate c]\n"
				   "chain_file = chain\nkey_file = key\n";
	struct buf errors = { 0 };
	struct conf *a, *b;
	char want[256];
	char *said;
	bool kept;

	(void)state;
	write_files();
	a = load_good(text);
	put_text("chain", PEM_PAST);
	b = conf_reread(a, &errors, &kept);
	assert_false(kept);
	said = take_text(&errors);
	snprintf(want, sizeof(want),
		"t.ini:3: warning: [certificate c] chain_file: %s/chain "
		"expired on 2021-02-03\n",
		scratch);
	assert_string_equal(said, want);
	assert_non_null(b);
	assert_null(b->server.section.file);
	free(said);
	conf_unref(a);
	conf_unref(b);
}

static void test_same_settings(void **state)
{
	static const struct {
		const char *a, *b;
		int same;
	} cases[] = {
		{ "[listen l]\n", "[server]\n[listen l]\n", 1 },
		{ "[listen l]\n", "[listen m]\n", 0 },
		{ "[listen l]\nmax_header = 16K\n", "; x\n[listen l]\n", 1 },
		{ "[listen l]\nmax_header = 8K\n",
			"[listen l]\nmax_header = 8192\n", 1 },
		{ "[listen l]\nmax_header = 8K\n", "[listen l]\n", 0 },
		{ "[listen l]\nhosts = a, b\n",
			"[listen l]\nhosts = a\nhosts = b\n", 1 },
		{ "[listen l]\nhosts = a b\n", "[listen l]\nhosts = b a\n", 0 },
		/* The first match wins: order is a setting. */
		{ "[listen l]\n[page p]\nroot = dir\n[page q]\nroot = dir\n"
		  "path = /q\n",
			"[page q]\nroot = dir\npath = /q\n[page p]\n"
			"root = dir\n[listen l]\n",
			0 },
		{ "[listen l]\n[page p]\nroot = dir\n",
			"[page p]\nroot = dir/../dir\n[listen l]\n", 0 },
		{ "[listen l]\n[page p]\nroot = dir\n",
			"[page p]\nroot = dir\n[listen l]\n", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct conf *a = load_good(cases[i].a);
		struct conf *b = load_good(cases[i].b);

		if (same_settings(a, b) != cases[i].same)
			fail_case(cases[i].a, "against \"%s\"", cases[i].b);
		conf_unref(a);
		conf_unref(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_changed),
		cmocka_unit_test(test_files_changed),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_faults_elsewhere),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_same_settings),
	};

	umask(077);
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
