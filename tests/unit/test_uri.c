#include "codec/http/uri.h"

#include <stdio.h>

#include "support.h"

/* --- targets ------------------------------------------------------------- */

static const struct {
	const char *target;
	const char *authority, *path, *query; /* NULL: none */
} targets[] = {
	{ "/", NULL, "/", NULL },
	{ "/sim/42", NULL, "/sim/42", NULL },
	{ "/sim?x", NULL, "/sim", "x" },
	{ "/sim?", NULL, "/sim", "" },
	{ "/?a=b&c=/?:@!$'()*+,;~", NULL, "/", "a=b&c=/?:@!$'()*+,;~" },
	{ "/a:b@c!$&'()*+,;=-._~%41", NULL, "/a:b@c!$&'()*+,;=-._~%41", NULL },
	/* What browsers leave as it is in a query. */
	{ "/?q[]={a|b}\\^`", NULL, "/", "q[]={a|b}\\^`" },
	/* Its parts are judged later. */
	{ "//a", NULL, "//a", NULL },
	{ "/%zz?%", NULL, "/%zz", "%" },
	{ "http://h/sim?x", "h", "/sim", "x" },
	{ "HTTPS://h:8443/", "h:8443", "/", NULL },
	{ "ws://[::1]:80/a", "[::1]:80", "/a", NULL },
	{ "wss://127.0.0.1", "127.0.0.1", "/", NULL },
	{ "http://h?x=/", "h", "/", "x=/" },
};

static const char *const bad_targets[] = {
	"",
	"*",
	"sim",
	"?x",
	"h:80",
	"ftp://h/",
	"http:/h/",
	"http:h",
	"http:",
	"http//h",
	"://h/",
	"http:///x",
	"http://",
	"http://u@h/",
	"http://u:p@h/",
	"http://h:/x",
	"http://h:0/",
	"http://h#f",
	"/a#f",
	"/a?b#f",
	"/a b",
	"/a?b c",
	"/a\\b",
	"/\"",
	"/<",
	"/[",
	"/{",
	"/|",
	"/^",
	"/`",
	"/?\"",
	"/?<",
	"/?>",
	"/\x7f",
	"/\xc3\xa9",
	"/?\xc3\xa9",
	"/\t",
	"/?\x01",
};

static int split_exact(const char *text, struct uri_target *t, char **copy)
{
	struct str s = str_of(text);

	*copy = exact_copy(s.p, s.n);
	return uri_split_target(t, (struct str){ *copy, s.n });
}

static void assert_part(struct str s, const char *want)
{
	assert_int_equal(!!s.p, !!want);
	if (want)
		assert_str(s, want);
}

static void test_split(void **state)
{
	struct uri_target t;
	char *copy;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		if (split_exact(targets[i].target, &t, &copy) != 0)
			fail_case(targets[i].target, "refused");
		assert_part(t.path, targets[i].path);
		assert_part(t.query, targets[i].query);
		assert_part(t.authority, targets[i].authority);
		free(copy);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_targets); i++) {
		if (split_exact(bad_targets[i], &t, &copy) != -1)
			fail_case(bad_targets[i], "accepted");
		free(copy);
	}
}

/* --- paths --------------------------------------------------------------- */

static const struct {
	const char *path, *normal; /* NULL: refused */
} paths[] = {
	{ "/", "/" },
	{ "/sim", "/sim" },
	{ "/sim/", "/sim/" },
	{ "/a/b/c", "/a/b/c" },
	/* RFC 3986 section 6.2.2: case and percent-encoding */
	{ "/%7esmith/%41", "/~smith/A" },
	{ "/%7Esmith/home.html", "/~smith/home.html" },
	{ "/a%3a%3A", "/a%3A%3A" },
	{ "/%e4%c3%A9", "/%E4%C3%A9" },
	{ "/%2d%2E%5f%7e%30", "/-._~0" },
	{ "/a%20b%0a", "/a%20b%0A" },
	{ "/%25", "/%25" },
	{ "/%2525", "/%2525" },
	{ "/%252e%252e", "/%252e%252e" },
	{ "/a:b@c!$&'()*+,;=", "/a:b@c!$&'()*+,;=" },
	{ "/...", "/..." },
	{ "/.a", "/.a" },
	{ "/a.", "/a." },
	{ "/..a/b..", "/..a/b.." },
	{ "/%2e%2e%2e", "/..." },

	{ "", NULL },
	{ "a", NULL },
	{ "%2Fa", NULL },
	{ "//", NULL },
	{ "//a", NULL },
	{ "/a//b", NULL },
	{ "/a//", NULL },
	{ "/.", NULL },
	{ "/..", NULL },
	{ "/./a", NULL },
	{ "/a/./b", NULL },
	{ "/a/.", NULL },
	{ "/a/./", NULL },
	{ "/../a", NULL },
	{ "/a/..", NULL },
	{ "/a/../", NULL },
	{ "/%2e", NULL },
	{ "/%2E%2e/a", NULL },
	{ "/.%2e/a", NULL },
	{ "/a/%2e.", NULL },
	{ "/%2f", NULL },
	{ "/%2F", NULL },
	{ "/a%5cb", NULL },
	{ "/a%5Cb", NULL },
	{ "/a\\b", NULL },
	{ "/%00", NULL },
	{ "/a%00.html", NULL },
	{ "/%", NULL },
	{ "/%4", NULL },
	{ "/%4/", NULL },
	{ "/%g0", NULL },
	{ "/%0g", NULL },
	{ "/%%41", NULL },
	{ "/% 41", NULL },
	{ "/%+1", NULL },
	{ "/a b", NULL },
	{ "/a?b", NULL },
	{ "/a#b", NULL },
	{ "/\xc3\xa9", NULL },
	{ "/\x7f", NULL },
	{ "/\n", NULL },
	{ "/[1]", NULL },
	{ "/\"<>^`{|}", NULL },
};

static void test_normalise(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct str s = str_of(paths[i].path);
		char *copy = exact_copy(s.p, s.n);
		char *out = exact_copy(s.p, s.n), *again;
		ssize_t n = uri_normalise_path(out, (struct str){ copy, s.n });

		if ((n < 0) != !paths[i].normal)
			fail_case(s.p, "%zd", n);
		if (n >= 0) {
			struct str normal = { out, (size_t)n };

			assert_str(normal, paths[i].normal);
			again = exact_copy(out, normal.n);
			assert_int_equal(uri_normalise_path(again, normal), n);
			assert_memory_equal(again, out, normal.n);
			free(again);
		}
		free(copy);
		free(out);
	}
	/* A real NUL, which no C string can hold. */
	assert_int_equal(uri_normalise_path((char[4]){ 0 }, STR("/a\0b")), -1);
}

static void test_path_faults(void **state)
{
	static const struct {
		const char *path, *part;
	} cases[] = {
		{ "", "begin" },
		{ "a", "begin" },
		{ "//a", "empty segment (//)" },
		{ "/a//", "empty segment (//)" },
		{ "/a/%", "broken escape" },
		{ "/%zz", "broken escape" },
		{ "/%2f", "encoded slash" },
		{ "/%5C", "encoded slash" },
		{ "/%00", "encoded slash" },
		{ "/a b", "belongs into no path" },
		{ "/a\\b", "belongs into no path" },
		{ "/..", "segment . or .." },
		{ "/a/%2e/b", "segment . or .." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[32];
		struct str path = str_of(cases[i].path);

		assert_int_equal(uri_normalise_path(out, path), -1);
		if (!strstr(uri_path_fault(path), cases[i].part))
			fail_case(
				cases[i].path, "\"%s\"", uri_path_fault(path));
	}
}

/* Each of the 256 escapes, in both cases, and each raw byte. */
static void test_normalise_every_byte(void **state)
{
	static const char unreserved[] = "abcdefghijklmnopqrstuvwxyz"
					 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789-._~";
	static const char others[] = "!$&'()*+,;=:@";
	char path[8], want[8], out[8];

	(void)state;
	for (int i = 0; i < 256; i++) {
		bool plain = i > 0 && strchr(unreserved, i);
		bool bad = i == 0 || i == '/' || i == '\\';
		ssize_t n;

		snprintf(want, sizeof(want), plain ? "/x%c" : "/x%%%02X", i);
		for (int upper = 0; upper < 2; upper++) {
			snprintf(path, sizeof(path),
				upper ? "/x%%%02X" : "/x%%%02x", i);
			n = uri_normalise_path(out, str_of(path));
			assert_int_equal(n, bad ? -1 : (ssize_t)strlen(want));
			if (!bad)
				assert_memory_equal(out, want, (size_t)n);
		}
		memcpy(path, "/a.a", 5);
		path[2] = (char)i;
		n = uri_normalise_path(out, (struct str){ path, 4 });
		if (plain || i == '/' || (i > 0 && strchr(others, i)))
			assert_int_equal(n, 4);
		else
			assert_int_equal(n, -1);
	}
}

/* --- queries ------------------------------------------------------------- */

static const struct {
	const char *query, *name;
	size_t count;
	const char *value, *without;
} queries[] = {
	{ "", "token", 0, NULL, "" },
	{ "token=x", "token", 1, "x", "" },
	{ "token", "token", 1, "", "" },
	{ "token=", "token", 1, "", "" },
	{ "token=a=b", "token", 1, "a=b", "" },
	{ "token=%41+", "token", 1, "%41+", "" },
	{ "a=1&token=x&b=2", "token", 1, "x", "a=1&b=2" },
	{ "a=1&token=x", "token", 1, "x", "a=1" },
	{ "token=x&b=2", "token", 1, "x", "b=2" },
	{ "token=x&token=y&b", "token", 2, "x", "b" },
	{ "token=x&a&token", "token", 2, "x", "a" },
	{ "tokens=x&toke=y&Token=z", "token", 0, NULL,
		"tokens=x&toke=y&Token=z" },
	{ "a=token&b=token=x", "token", 0, NULL, "a=token&b=token=x" },
	/* another spelling of the name is the name */
	{ "%74oken=x&a", "token", 1, "x", "a" },
	{ "tok%65n=x&%74%6F%6b%65%6E=y", "token", 2, "x", "" },
	{ "a+b=1&a%20b=2&a b=3", "a b", 3, "1", "" },
	{ "%=1&%4=2", "%", 1, "1", "%4=2" },
	{ "token%3Dx", "token", 0, NULL, "token%3Dx" },
	{ "token%00=x", "token", 0, NULL, "token%00=x" },
	/* separators of what stays are kept as they are */
	{ "&", "token", 0, NULL, "&" },
	{ "&&a&&", "token", 0, NULL, "&&a&&" },
	{ "&token=x&", "token", 1, "x", "&" },
	{ "token=x&&a", "token", 1, "x", "&a" },
	{ "a;token=x", "token", 0, NULL, "a;token=x" },
	{ "=x&a", "", 1, "x", "a" },
	{ "&&", "", 0, NULL, "&&" },
};

static void test_queries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		struct str s = str_of(queries[i].query);
		struct str name = str_of(queries[i].name), value;
		char *copy = exact_copy(s.p, s.n);
		char *out = exact_copy(s.p, s.n);
		struct str query = { copy, s.n };
		size_t count = uri_query_get(query, name, &value);
		size_t n = uri_query_without(out, query, name);

		if (count != queries[i].count)
			fail_case(s.p, "found %zu times", count);
		assert_int_equal(!!value.p, !!queries[i].value);
		if (value.p)
			assert_str(value, queries[i].value);
		assert_str(((struct str){ out, n }), queries[i].without);
		free(copy);
		free(out);
	}
}

/* A target without a query hands on STR_NONE. */
static void test_no_query(void **state)
{
	struct str value;

	(void)state;
	assert_int_equal(uri_query_get(STR_NONE, STR("a"), &value), 0);
	assert_null(value.p);
	assert_int_equal(uri_query_without(NULL, STR_NONE, STR("a")), 0);
}

/* --- escapes ------------------------------------------------------------- */

static void test_decode(void **state)
{
	static const struct {
		const char *text;
		bool plus;
		const char *want;
	} cases[] = {
		{ "", false, "" },
		{ "abc", false, "abc" },
		{ "a+b%2B", false, "a+b+" },
		{ "a+b%2B", true, "a b+" },
		{ "%2f%2F%41", false, "//A" },
		{ "%c3%A9", false, "\xc3\xa9" },
		{ "%", false, NULL },
		{ "a%4", false, NULL },
		{ "%4g", false, NULL },
		{ "%g4", false, NULL },
		{ "%%41", false, NULL },
	};
	char out[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str s = str_of(cases[i].text);
		char *copy = exact_copy(s.p, s.n);
		ssize_t n = uri_decode(
			out, (struct str){ copy, s.n }, cases[i].plus);

		if ((n < 0) != !cases[i].want)
			fail_case(s.p, "%zd", n);
		if (n >= 0)
			assert_str(((struct str){ out, (size_t)n }),
				cases[i].want);
		free(copy);
	}
	assert_int_equal(uri_decode(out, STR("a%00b"), false), 3);
	assert_memory_equal(out, "a\0b", 3);
}

static void test_encode(void **state)
{
	char all[256], out[3 * 256], back[3 * 256];
	size_t n;

	(void)state;
	n = uri_encode(out, STR("aZ09-._~ /%\xe4\0"));
	assert_str(((struct str){ out, n }), "aZ09-._~%20%2F%25%E4%00");
	assert_int_equal(uri_encode(out, STR("")), 0);
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	n = uri_encode(out, (struct str){ all, sizeof(all) });
	assert_int_equal(n, 66 + 3 * (256 - 66));
	assert_int_equal(
		uri_decode(back, (struct str){ out, n }, true), sizeof(all));
	assert_memory_equal(back, all, sizeof(all));
}

/* --- authorities --------------------------------------------------------- */

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define L61 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxy"

static const struct {
	const char *text, *host;
	unsigned port;
	bool is_ip;
} authorities[] = {
	{ "h", "h", 0, false },
	{ "example.org", "example.org", 0, false },
	{ "example.org.", "example.org.", 0, false },
	{ "Ex-am_ple.ORG:80", "Ex-am_ple.ORG", 80, false },
	{ "h:1", "h", 1, false },
	{ "h:65535", "h", 65535, false },
	{ "127.0.0.1", "127.0.0.1", 0, true },
	{ "127.0.0.1:8080", "127.0.0.1", 8080, true },
	{ "127.0.0.256", "127.0.0.256", 0, false },
	{ "[::1]", "[::1]", 0, true },
	{ "[::1]:443", "[::1]", 443, true },
	{ "[2001:db8::192.0.2.1]:1", "[2001:db8::192.0.2.1]", 1, true },
	{ L63 ".a", L63 ".a", 0, false },
	{ L63 "." L63 "." L63 "." L61, L63 "." L63 "." L63 "." L61, 0, false },
};

static const char *const bad_authorities[] = {
	"",
	":",
	":80",
	".",
	".a",
	"a..b",
	"a..",
	"h:",
	"h:0",
	"h:080",
	"h:65536",
	"h:99999",
	"h:100000",
	"h:-1",
	"h:+1",
	"h:8 0",
	"h: 80",
	"h:80:80",
	"h :80",
	" h",
	"h ",
	"u@h",
	"u:p@h",
	"h/",
	"h?x",
	"h#x",
	"h,i",
	"h%41",
	"h~",
	"h\xe4",
	"::1",
	"[::1",
	"::1]",
	"[]",
	"[",
	"]",
	"[h]",
	"[127.0.0.1]",
	"[::1%25eth0]",
	"[::1%lo]",
	"[v1.a]",
	"[::1]80",
	"[::1]:",
	"[::1]]:80",
	"[[::1]]",
	"[:::1]",
	"[2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:0:0]",
	L63 "x.a",
	L63 "." L63 "." L63 "." L61 "x",
};

static int parse_exact(const char *text, struct uri_authority *a, char **copy)
{
	struct str s = str_of(text);

	*copy = exact_copy(s.p, s.n);
	return uri_parse_authority(a, (struct str){ *copy, s.n });
}

static void test_authority(void **state)
{
	struct uri_authority a;
	char *copy;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(authorities); i++) {
		if (parse_exact(authorities[i].text, &a, &copy) != 0)
			fail_case(authorities[i].text, "refused");
		assert_str(a.host, authorities[i].host);
		assert_int_equal(a.port, authorities[i].port);
		assert_int_equal(a.is_ip, authorities[i].is_ip);
		free(copy);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_authorities); i++) {
		if (parse_exact(bad_authorities[i], &a, &copy) != -1)
			fail_case(bad_authorities[i], "accepted");
		free(copy);
	}
	assert_int_equal(uri_parse_authority(&a, STR("h\0")), -1);
	assert_int_equal(uri_parse_authority(&a, STR("[::1\0]")), -1);
	assert_int_equal(uri_parse_authority(&a, STR_NONE), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_path_faults),
		cmocka_unit_test(test_normalise_every_byte),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_no_query),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_authority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
