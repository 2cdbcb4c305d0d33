/*
 * test_conf_files.c: what a configuration reads besides its own text: files
 * that it includes, and secrets.
 */
#include "conf_support.h"

#include <errno.h>
#include <fcntl.h>

#include "base/compiler.h"

#define LISTEN "[listen l]\n"
#define ECHO(name)                                                             \
	"[route " name "]\npath = /" name "\nauth = none\nbackend = echo:\n"

static struct conf *load_file(const char *name)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load(name, &errors);
	char *said = take_text(&errors);

	if (!c || said[0])
		fail_case(name, "%s", said);
	free(said);
	return c;
}

/* The routes' names in their order, with a blank behind each. */
static void assert_routes(const struct conf *c, const char *want)
{
	char names[256] = "";

	for (size_t i = 0; i < c->routes_n; i++) {
		strcat(names, c->routes[i].section.name);
		strcat(names, " ");
	}
	assert_string_equal(names, want);
}

static void test_include_sorted(void **state)
{
	struct conf *c;
	char *text;

	(void)state;
	assert_int_equal(mkdir("d", 0700), 0);
	put_text("d/20.ini", ECHO("c"));
	put_text("d/10.ini", ECHO("b"));
	put_text("d/30.conf", "not read");
	put_text("last.ini", ECHO("d"));
	put_text("m.ini", "[server]\ninclude = d/*.ini\ninclude = none/*.ini\n"
			  "include = last.ini\n" LISTEN ECHO("a"));
	c = load_file("m.ini");
	assert_routes(c, "a b c d ");
	assert_string_equal(c->routes[1].section.file, "d/10.ini");
	assert_int_equal(c->server.include.n, 3);

	/* The dump holds them all, and includes nothing. */
	text = dump(c);
	conf_unref(c);
	c = load_good(text);
	assert_routes(c, "a b c d ");
	assert_int_equal(c->server.include.n, 0);
	conf_unref(c);
	free(text);
}

/* Relative to the file, and shown as its name is written. */
static void test_include_relative(void **state)
{
	struct conf *c;

	(void)state;
	assert_int_equal(mkdir("[e]*", 0700), 0);
	assert_int_equal(mkdir("[e]*/sub", 0700), 0);
	put_text("[e]*/m.ini", "[server]\ninclude = sub/x.ini\n" LISTEN);
	put_text("[e]*/sub/x.ini",
		"[server]\ninclude = y.ini\n[page p]\nroot = .\n");
	put_text("[e]*/sub/y.ini", ECHO("y"));
	c = load_file("[e]*/m.ini");
	assert_routes(c, "y ");
	assert_string_equal(c->routes[0].section.file, "[e]*/sub/y.ini");
	assert_non_null(strstr(c->pages[0].root, "/[e]*/sub/."));
	assert_int_equal(c->pages[0].root[0], '/');
	conf_unref(c);
}

static void test_include_errors(void **state)
{
	(void)state;
	put_text("m1.ini", "[server]\ninclude = none.ini\n" LISTEN);
	expect_file_errors("m1.ini",
		"m1.ini:2: [server] include: none.ini: no such file, expected "
		"one (or a pattern such as conf.d/*.ini, which may match "
		"none)\n");
	put_text("m2.ini", "[server]\ninclude = bad.ini\n" LISTEN);
	put_text("bad.ini", "[listen l]\n[route r]\npath = x\n");
	expect_file_errors("m2.ini",
		"bad.ini:1: [listen l] is there twice, expected another name: "
		"the first is at m2.ini:3\n"
		"bad.ini:2: [route r] backend: is missing, expected a value: "
		"Where it leads: tcp://HOST:PORT, unix:/PATH, "
		"ws://HOST[:PORT][/PATH], tls:// and wss:// likewise, "
		"exec:PROGRAM ARGUMENTS, attach:NAME (a simulation that "
		"connects to the relay), attached:NAME, echo: for trying out, "
		"or room: (a "
		"hub whose clients speak to each "
		"other)\n"
		"bad.ini:3: [route r] path: \"x\": a path begins with '/', "
		"expected a path such as /sim/{id}\n"
		"bad.ini:2: [route r] auth: token needs a key, expected a "
		"section [key NAME] (or auth = none)\n");
}

static void test_include_twice(void **state)
{
	(void)state;
	put_text("t1.ini", "[server]\ninclude = t1.ini\n" LISTEN);
	expect_file_errors("t1.ini",
		"t1.ini:2: [server] include: t1.ini: is read already, "
		"expected every file once\n");
	put_text("t2.ini", "[server]\ninclude = t3.ini\ninclude = t?.inc\n"
			   "include = link.ini\n" LISTEN);
	put_text("t3.ini", ECHO("x"));
	assert_int_equal(symlink("t3.ini", "link.ini"), 0);
	expect_file_errors("t2.ini",
		"t2.ini:4: [server] include: link.ini: is read already, "
		"expected every file once\n");
	/* [server] may be in both, but not the same key. */
	put_text("t4.ini", "[server]\ninclude = t5.ini\nworkers = 1\n" LISTEN);
	put_text("t5.ini", "[server]\nmax_connections = 7\nworkers = 2\n");
	expect_file_errors("t4.ini",
		"t5.ini:3: [server] workers: is set twice, expected it once: "
		"the first is at t4.ini:3\n");
}

static void test_include_nesting(void **state)
{
	char name[32], text[128];
	struct conf *c;

	(void)state;
	for (int i = 0; i <= 9; i++) {
		snprintf(name, sizeof(name), "n%d.ini", i);
		snprintf(text, sizeof(text), "%s[server]\ninclude = n%d.ini\n",
			i == 0 ? LISTEN : "", i + 1);
		put_text(name, i == 8 ? ECHO("x") : text);
	}
	c = load_file("n0.ini");
	assert_routes(c, "x ");
	conf_unref(c);
	put_text("n8.ini", "[server]\ninclude = n9.ini\n");
	expect_file_errors("n0.ini",
		"n8.ini:2: [server] include: includes are nested too deeply, "
		"expected at most 8 levels\n");
}

static void test_files_refused(void **state)
{
	static char big[(1 << 20) + 1];

	(void)state;
	expect_file_errors(
		"nothing.ini", "nothing.ini: No such file or directory\n");
	expect_file_errors("dir", "dir: Is a directory\n");
	/* Opening a pipe would wait for a writer. */
	assert_int_equal(mkfifo("pipe", 0600), 0);
	expect_file_errors("pipe", "pipe: is not a regular file\n");
	memset(big, '\n', sizeof(big));
	put_file("big.ini", big, sizeof(big));
	expect_file_errors("big.ini", "big.ini: is longer than 1 MiB\n");
	put_text("p.ini", "[server]\ninclude = pipe\ninclude = d?r\n" LISTEN);
	expect_file_errors("p.ini",
		"p.ini:2: [server] include: pipe: is not a regular file\n"
		"p.ini:3: [server] include: dir: Is a directory\n");
}

/* --- secrets --------------------------------------------------------------- */

#define KEY LISTEN "[key k]\nsecret_file = s\n"

/* A secret of n bytes that is refused with words behind its name. */
static void expect_secret(const void *p, size_t n, const char *want)
{
	char whole[512];

	put_file("s", p, n);
	snprintf(whole, sizeof(whole),
		"t.ini:3: [key k] secret_file: %s/s %s\n", scratch, want);
	expect_errors(KEY, whole);
}

static void test_secrets(void **state)
{
	static const char bytes[4098] = "\n\0 tail";
	struct conf *c;

	(void)state;
	umask(077);
	put_text("s", SECRET);
	c = load_good(KEY);
	assert_int_equal(c->keys[0].jwt.secret_n, 32);
	conf_unref(c);

	/* One newline goes, and no more; other bytes are what they are. */
	put_text("s", SECRET "\n\n");
	c = load_good(KEY);
	assert_int_equal(c->keys[0].jwt.secret_n, 33);
	conf_unref(c);
	put_file("s", bytes, 4096);
	c = load_good(KEY);
	assert_int_equal(c->keys[0].jwt.secret_n, 4096);
	assert_memory_equal(c->keys[0].jwt.secret, bytes, 4096);
	conf_unref(c);
}

static void test_secrets_refused(void **state)
{
	static const char bytes[5000];
	char want[512];

	(void)state;
	expect_secret(SECRET, 31,
		"holds 31 bytes, expected at least 32 (RFC 7518 section 3.2; "
		"wsrelayctl key makes a secret)");
	expect_secret(SECRET "\n", 33 - 2,
		"holds 31 bytes, expected at least 32 (RFC 7518 section 3.2; "
		"wsrelayctl key makes a secret)");
	expect_secret("0123456789abcdef0123456789abcde\n", 32,
		"holds 31 bytes, expected at least 32 (RFC 7518 section 3.2; "
		"wsrelayctl key makes a secret)");
	expect_secret("", 0,
		"holds 0 bytes, expected at least 32 (RFC 7518 section 3.2; "
		"wsrelayctl key makes a secret)");
	expect_secret(bytes, 4097, "is too long, expected at most 4096 bytes");
	expect_secret(bytes, 5000, "is too long, expected at most 4096 bytes");
	expect_secret("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWm\n",
		50,
		"holds PEM, expected a secret for HS256 (wsrelayctl key "
		"makes one)");
	expect_secret("{\"keys\": [{\"kty\": \"RSA\", \"n\": \"AAAA\"}]}", 40,
		"holds a JWK, expected a secret for HS256 (wsrelayctl key "
		"makes one)");
	snprintf(want, sizeof(want),
		"t.ini:3: [key k] secret_file: %s/dir: Is "
		"a directory, expected a readable file\n",
		scratch);
	expect_errors(LISTEN "[key k]\nsecret_file = dir\n", want);
}

static void test_secret_of_everybody(void **state)
{
	struct buf errors = { 0 };
	char want[512];
	struct conf *c;
	char *said;

	(void)state;
	put_text("s", SECRET);
	assert_int_equal(chmod("s", 0644), 0);
	c = conf_load_text("t.ini", STR(KEY), &errors);
	said = take_text(&errors);
	assert_non_null(c);
	snprintf(want, sizeof(want),
		"t.ini:3: warning: [key k] secret_file: "
		"%s/s can be read by everybody (chmod o-r)\n",
		scratch);
	assert_string_equal(said, want);
	free(said);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_include_sorted),
		cmocka_unit_test(test_include_relative),
		cmocka_unit_test(test_include_errors),
		cmocka_unit_test(test_include_twice),
		cmocka_unit_test(test_include_nesting),
		cmocka_unit_test(test_files_refused),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_secrets_refused),
		cmocka_unit_test(test_secret_of_everybody),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
