#include "codec/http/forwarded.h"

#include <stdio.h>

#include "base/compiler.h"
#include "codec/http/http.h"
#include "support.h"

static struct addr address(const char *text)
{
	struct addr a = { .family = ADDR_UNIX };

	if (strcmp(text, "unix") != 0)
		assert_int_equal(addr_parse(&a, str_of(text)), 0);
	return a;
}

/* --- X-Forwarded-* --------------------------------------------------------*/

static const struct {
	const char *socket_peer;
	const char *lines[3]; /* of X-Forwarded-For */
	const char *peer;
} walks[] = {
	{ "10.0.0.1:1234", { NULL }, "10.0.0.1" },
	{ "10.0.0.1", { "192.0.2.7" }, "192.0.2.7" },
	{ "10.0.0.1", { "192.0.2.7:4711" }, "192.0.2.7" },
	{ "10.0.0.1", { "[2001:db8::7]:4711" }, "2001:db8::7" },
	{ "10.0.0.1", { "2001:db8::7" }, "2001:db8::7" },
	{ "unix", { "192.0.2.7" }, "192.0.2.7" },
	{ "unix", { NULL }, "unix" },
	/* The first one from the right that is not trusted. */
	{ "10.0.0.1", { "1.1.1.1, 192.0.2.7" }, "192.0.2.7" },
	{ "10.0.0.1", { "192.0.2.7, 10.0.0.2" }, "192.0.2.7" },
	{ "10.0.0.1", { "1.1.1.1,192.0.2.7,10.0.0.3,10.0.0.2" }, "192.0.2.7" },
	{ "10.0.0.1", { "10.0.0.3, 10.0.0.2" }, "10.0.0.3" },
	/* Several lines are one list. */
	{ "10.0.0.1", { "1.1.1.1", "192.0.2.7", "10.0.0.2" }, "192.0.2.7" },
	{ "10.0.0.1", { "192.0.2.7", "10.0.0.3", "10.0.0.2" }, "192.0.2.7" },
	/* What is no address ends the walk. */
	{ "10.0.0.1", { "192.0.2.7, unknown" }, "10.0.0.1" },
	{ "10.0.0.1", { "192.0.2.7, unknown, 10.0.0.2" }, "10.0.0.2" },
	{ "10.0.0.1", { "192.0.2.7", "x, 10.0.0.2" }, "10.0.0.2" },
	{ "10.0.0.1", { "192.0.2.7, 10.0.0.2, \"10.0.0.3\"" }, "10.0.0.1" },
	/* Empty elements are none. */
	{ "10.0.0.1", { ", 192.0.2.7 ,, " }, "192.0.2.7" },
	{ "10.0.0.1", { "192.0.2.7", "" }, "192.0.2.7" },
	{ "10.0.0.1", { " , ", "," }, "10.0.0.1" },
	/* A mapped address is no way around the list. */
	{ "::ffff:10.0.0.1", { "192.0.2.7" }, "192.0.2.7" },
	{ "10.0.0.1", { "192.0.2.7, ::ffff:10.0.0.2" }, "192.0.2.7" },
	/* Whoever is not trusted is not believed. */
	{ "192.0.2.9:1234", { "192.0.2.7" }, "192.0.2.9" },
};

static void test_walk(void **state)
{
	static struct http_head head;
	struct cidr nets[2];
	struct cidr_list trusted = { nets, 2 };

	(void)state;
	assert_int_equal(cidr_parse(&nets[0], STR("10.0.0.0/8")), 0);
	assert_int_equal(cidr_parse(&nets[1], STR("unix")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
		struct addr peer = address(walks[i].socket_peer);
		struct forwarded f;
		const char *why;
		char text[ADDR_TEXT];

		head.n = 0;
		for (size_t k = 0; k < 3 && walks[i].lines[k]; k++) {
			head.fields[head.n++] = (struct http_field){
				STR("X-Other"), STR("9.9.9.9")
			};
			head.fields[head.n++] = (struct http_field){
				STR("x-forwarded-FOR"),
				str_of(walks[i].lines[k])
			};
		}
		assert_int_equal(
			forwarded_read(&f, &head, &peer, &trusted, &why), 0);
		assert_null(why);
		assert_string_equal(addr_format(&f.peer, text), walks[i].peer);
		assert_false(f.has_proto);
		assert_false(f.secure);
		assert_null(f.host.p);
	}
}

static struct forwarded read_field(
	const char *name, const char *first, const char *second)
{
	static struct http_head head;
	struct cidr_list nobody = { NULL, 0 };
	struct addr peer = address("10.0.0.1");
	struct forwarded f;
	const char *why;

	head.n = 2;
	head.fields[0] = (struct http_field){ str_of(name), str_of(first) };
	head.fields[1] = (struct http_field){ str_of(name), str_of(second) };
	assert_int_equal(forwarded_read(&f, &head, &peer, &nobody, &why), 0);
	return f;
}

static void test_proto(void **state)
{
	static const struct {
		const char *first, *second;
		bool has, secure;
	} cases[] = {
		{ "http", "https", true, true },
		{ "https", "http", true, false },
		{ "http", "HTTPS", true, true },
		{ "http", "wss", true, true },
		{ "https", "ws", true, false },
		{ "http", "http, https", true, true },
		{ "http", "https, http", true, false },
		{ "https", "ftp", false, false },
		{ "https", "", false, false },
		{ "https", "https x", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct forwarded f = read_field(
			"X-Forwarded-Proto", cases[i].first, cases[i].second);

		assert_int_equal(f.has_proto, cases[i].has);
		assert_int_equal(f.secure, cases[i].secure);
	}
}

static void test_host(void **state)
{
	static const struct {
		const char *first, *second, *host;
	} cases[] = {
		{ "a", "example.org", "example.org" },
		{ "a", "b, example.org:8443", "example.org:8443" },
		{ "a", "[::1]:80", "[::1]:80" },
		{ "a", "exa mple.org", NULL },
		{ "a", "http://example.org", NULL },
		{ "a", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct forwarded f = read_field(
			"X-Forwarded-Host", cases[i].first, cases[i].second);

		assert_true(str_eq(f.host, str_of(cases[i].host)));
		assert_int_equal(f.host.p == NULL, cases[i].host == NULL);
	}
}

/* --- Forwarded --------------------------------------------------------------*/

/* Lines "N: value": F is Forwarded, X -For, P -Proto, H -Host. */
static int read_lines(struct forwarded *f, const char *socket_peer,
	const char *const *lines, const char **why)
{
	static const char *const names[] = { ['F'] = "forwarded",
		['X'] = "X-Forwarded-For",
		['P'] = "X-Forwarded-Proto",
		['H'] = "X-Forwarded-Host" };
	static struct http_head head;
	static struct cidr nets[2];
	struct cidr_list trusted = { nets, 2 };
	struct addr peer = address(socket_peer);

	assert_int_equal(cidr_parse(&nets[0], STR("10.0.0.0/8")), 0);
	assert_int_equal(cidr_parse(&nets[1], STR("unix")), 0);
	for (head.n = 0; head.n < 4 && lines[head.n]; head.n++)
		head.fields[head.n] = (struct http_field){
			str_of(names[(int)lines[head.n][0]]),
			str_of(lines[head.n] + 3)
		};
	return forwarded_read(f, &head, &peer, &trusted, why);
}

static const struct {
	const char *socket_peer;
	const char *lines[4];
	const char *peer;
	const char *proto; /* NULL: not said */
	const char *host;
} good[] = {
	{ "10.0.0.1:99", { "F: for=192.0.2.7" }, "192.0.2.7", NULL, NULL },
	{ "10.0.0.1", { "F: For=\"192.0.2.7:4711\";PROTO=https" }, "192.0.2.7",
		"https", NULL },
	{ "10.0.0.1", { "F: for=\"[2001:db8::7]:4711\";by=10.0.0.1" },
		"2001:db8::7", NULL, NULL },
	{ "10.0.0.1", { "F: for=\"[2001:DB8::7]\"" }, "2001:db8::7", NULL,
		NULL },
	{ "10.0.0.1", { "F: for=\"[::ffff:192.0.2.7]\"" }, "192.0.2.7", NULL,
		NULL },
	{ "10.0.0.1", { "F: for=\"192.0.2.7:_port-1\"" }, "192.0.2.7", NULL,
		NULL },
	{ "10.0.0.1", { "F: host=a.example;for=192.0.2.7;proto=http" },
		"192.0.2.7", "http", "a.example" },
	{ "10.0.0.1", { "F: for=192.0.2.7;host=\"a.example:8443\"" },
		"192.0.2.7", NULL, "a.example:8443" },
	{ "10.0.0.1", { "F: for=192.0.2.7;host=\"[::1]:80\"" }, "192.0.2.7",
		NULL, "[::1]:80" },
	{ "10.0.0.1", { "F: for=192.0.2.7;proto=wss" }, "192.0.2.7", "https",
		NULL },
	{ "10.0.0.1", { "F: for=192.0.2.7;proto=ws" }, "192.0.2.7", "http",
		NULL },
	{ "10.0.0.1", { "F: for=192.0.2.7;proto=gopher" }, "192.0.2.7", NULL,
		NULL },
	{ "unix", { "F: for=192.0.2.7" }, "192.0.2.7", NULL, NULL },
	/* Others than ours, escapes in them, empty pairs and elements, blanks. */
	{ "10.0.0.1", { "F: secret=\"a\\\"b,;\\\\\";for=192.0.2.7" },
		"192.0.2.7", NULL, NULL },
	{ "10.0.0.1", { "F: ,, ;for=192.0.2.7;;x=y;,\t, " }, "192.0.2.7", NULL,
		NULL },
	{ "10.0.0.1", { "F: for=192.0.2.7 ; proto=https" }, "192.0.2.7",
		"https", NULL },
	{ "10.0.0.1", { "F: " }, "10.0.0.1", NULL, NULL },
	{ "10.0.0.1", { NULL }, "10.0.0.1", NULL, NULL },
	/* From the right; what stands to the left of the client is its own. */
	{ "10.0.0.1", { "F: for=1.1.1.1;proto=https;host=evil, for=192.0.2.7" },
		"192.0.2.7", NULL, NULL },
	{ "10.0.0.1",
		{ "F: for=1.1.1.1, for=192.0.2.7;proto=https, "
		  "for=10.0.0.2;proto=http;host=inner" },
		"192.0.2.7", "https", "inner" },
	{ "10.0.0.1", { "F: for=\"evil, for=10.9.9.9\", for=192.0.2.7" },
		"192.0.2.7", NULL, NULL },
	{ "10.0.0.1",
		{ "F: for=!!, for=192.0.2.7, for=10.0.0.3, for=10.0.0.2" },
		"192.0.2.7", NULL, NULL },
	{ "10.0.0.1", { "F: for=10.0.0.3, for=10.0.0.2" }, "10.0.0.3", NULL,
		NULL },
	{ "10.0.0.1", { "F: host=\"no host\", for=192.0.2.7" }, "192.0.2.7",
		NULL, NULL },
	/* Several lines are one list. */
	{ "10.0.0.1",
		{ "F: for=1.1.1.1;host=x", "F: for=192.0.2.7",
			"F: for=10.0.0.2;proto=https" },
		"192.0.2.7", "https", NULL },
	/* No address ends the walk; the one who says so counts. */
	{ "10.0.0.1", { "F: for=unknown" }, "10.0.0.1", NULL, NULL },
	{ "10.0.0.1", { "F: for=\"Unknown:80\";proto=https" }, "10.0.0.1",
		"https", NULL },
	{ "10.0.0.1", { "F: for=192.0.2.7, for=_hidden-1.x" }, "10.0.0.1", NULL,
		NULL },
	{ "10.0.0.1",
		{ "F: for=192.0.2.7;host=evil, for=_x;host=a, "
		  "for=10.0.0.2;host=b" },
		"10.0.0.2", NULL, "a" },
	{ "10.0.0.1", { "F: for=192.0.2.7, proto=https" }, "10.0.0.1", "https",
		NULL },
	{ "10.0.0.1", { "F: for=_a, for=_b, for=10.0.0.3, for=10.0.0.2" },
		"10.0.0.3", NULL, NULL },
	/* Not from a proxy: nothing is believed, nor judged. */
	{ "192.0.2.9", { "F: for=192.0.2.7;proto=https;host=a" }, "192.0.2.9",
		NULL, NULL },
	{ "192.0.2.9", { "F: \"" }, "192.0.2.9", NULL, NULL },
	/* Both kinds. */
	{ "10.0.0.1",
		{ "F: for=192.0.2.7;proto=https;host=a", "X: 192.0.2.7",
			"P: https", "H: A" },
		"192.0.2.7", "https", "a" },
	{ "10.0.0.1",
		{ "F: for=\"[2001:db8::7]\"", "X: [2001:db8::7]:80",
			"P: https" },
		"2001:db8::7", "https", NULL },
	{ "10.0.0.1", { "F: proto=https", "X: 192.0.2.7", "H: a" }, "192.0.2.7",
		"https", "a" },
	{ "10.0.0.1", { "F: for=192.0.2.7", "X: " }, "192.0.2.7", NULL, NULL },
	{ "10.0.0.1", { "F: for=unknown", "X: unknown" }, "10.0.0.1", NULL,
		NULL },
};

static void test_forwarded(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const char *why = "unset", *proto = NULL;
		char text[ADDR_TEXT];
		struct forwarded f;

		if (read_lines(&f, good[i].socket_peer, good[i].lines, &why) <
				0 ||
			why)
			fail_msg("case %zu: %s", i, why);
		if (f.has_proto)
			proto = f.secure ? "https" : "http";
		if (strcmp(addr_format(&f.peer, text), good[i].peer) != 0)
			fail_msg("case %zu: %s", i, text);
		if (!str_eq(str_of(proto), str_of(good[i].proto)))
			fail_msg("case %zu: proto", i);
		if (!str_eq(f.host, str_of(good[i].host)))
			fail_msg("case %zu: host", i);
		assert_int_equal(!f.host.p, !good[i].host);
	}
}

#define FORM "Forwarded is not well-formed"
#define NODE "Forwarded has a node that is none"
#define HOST "Forwarded has a host that is none"
#define BACK "Forwarded has a backslash in a value"

static void test_forwarded_refused(void **state)
{
	static const struct {
		const char *lines[4];
		const char *why;
	} cases[] = {
		{ { "F: for" }, FORM },
		{ { "F: for=" }, FORM },
		{ { "F: =192.0.2.7" }, FORM },
		{ { "F: for =192.0.2.7" }, FORM },
		{ { "F: for= 192.0.2.7" }, FORM },
		{ { "F: for=192.0.2.7:80" }, FORM },
		{ { "F: for=[2001:db8::7]" }, FORM },
		{ { "F: for=192.0.2.7 proto=https" }, FORM },
		{ { "F: for=\"192.0.2.7" }, FORM },
		{ { "F: for=\"192.0.2.7\\\"" }, FORM },
		{ { "F: for=\"192.0.2.7\\" }, FORM },
		{ { "F: for=\"192.0.2.7\"x" }, FORM },
		{ { "F: for=192.0.2.7;for=192.0.2.8" }, FORM },
		{ { "F: for=192.0.2.7;FOR=192.0.2.7" }, FORM },
		{ { "F: proto=http;for=192.0.2.7;proto=https" }, FORM },
		{ { "F: 192.0.2.7" }, FORM },
		/* What a client begins, its proxy's element must not end. */
		{ { "F: for=\"evil, for=192.0.2.7" }, FORM },
		{ { "F: x=\", for=\"[2001:db8::7]\"" }, FORM },
		{ { "F: x=\"", "F: for=192.0.2.7" }, FORM },
		/* Elements that count. */
		{ { "F: for=localhost" }, NODE },
		{ { "F: for=\"\"" }, NODE },
		{ { "F: for=_" }, NODE },
		{ { "F: for=_a!" }, NODE },
		{ { "F: for=\"2001:db8::7\"" }, NODE },
		{ { "F: for=\"[192.0.2.7]\"" }, NODE },
		{ { "F: for=\"[2001:db8::7\"" }, NODE },
		{ { "F: for=\"[2001:db8::7]80\"" }, NODE },
		{ { "F: for=\"192.0.2.7:\"" }, NODE },
		{ { "F: for=\"192.0.2.7:123456\"" }, NODE },
		{ { "F: for=\"192.0.2.7:8o\"" }, NODE },
		{ { "F: for=\"192.0.2.7, 10.0.0.1\"" }, NODE },
		{ { "F: for=192.0.2.07" }, NODE },
		{ { "F: for=1.1.1.1, for=x, for=10.0.0.2" }, NODE },
		{ { "F: for=192.0.2.7;host=\"a b\"" }, HOST },
		{ { "F: for=192.0.2.7;host=\"\"" }, HOST },
		{ { "F: for=192.0.2.7, for=10.0.0.2;host=\"a/b\"" }, HOST },
		{ { "F: for=\"192\\.0.2.7\"" }, BACK },
		{ { "F: for=192.0.2.7;proto=\"http\\s\"" }, BACK },
		/* Both kinds. */
		{ { "F: for=192.0.2.7", "X: 192.0.2.8" },
			"Forwarded and X-Forwarded-For disagree" },
		{ { "F: for=10.0.0.2", "X: 192.0.2.8" },
			"Forwarded and X-Forwarded-For disagree" },
		{ { "F: for=unknown", "X: 192.0.2.8" },
			"Forwarded and X-Forwarded-For disagree" },
		{ { "F: for=192.0.2.7", "X: unknown" },
			"Forwarded and X-Forwarded-For disagree" },
		{ { "F: proto=https", "P: http" },
			"Forwarded and X-Forwarded-Proto disagree" },
		{ { "F: proto=http;for=192.0.2.7", "X: 192.0.2.7", "P: wss" },
			"Forwarded and X-Forwarded-Proto disagree" },
		{ { "F: host=a", "H: b" },
			"Forwarded and X-Forwarded-Host disagree" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = NULL;
		struct forwarded f;

		if (read_lines(&f, "10.0.0.1", cases[i].lines, &why) != -1)
			fail_case(cases[i].lines[0], "is taken");
		if (!why || strcmp(why, cases[i].why) != 0)
			fail_case(cases[i].lines[0], "%s", why);
	}
}

/* What we write, others can read; so can we. */
static void test_write(void **state)
{
	static const struct {
		const char *peer, *host;
		bool secure;
		const char *value;
	} cases[] = {
		{ "192.0.2.7:80", "a.example", true,
			"for=192.0.2.7;host=a.example;proto=https" },
		{ "[2001:db8::7]:80", "a.example:8443", false,
			"for=\"[2001:db8::7]\";host=\"a.example:8443\";"
			"proto=http" },
		{ "::ffff:192.0.2.7", "[::1]", false,
			"for=192.0.2.7;host=\"[::1]\";proto=http" },
		{ "unix", NULL, true, "for=unknown;proto=https" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct addr peer = address(cases[i].peer);
		struct buf out = { 0 };
		const char *lines[4] = { NULL }, *why;
		char line[200];
		struct forwarded f;

		assert_int_equal(
			forwarded_write(&out, &peer, str_of(cases[i].host),
				cases[i].secure),
			0);
		assert_str(buf_str(&out), cases[i].value);
		snprintf(line, sizeof(line), "F: %s", cases[i].value);
		lines[0] = line;
		assert_int_equal(read_lines(&f, "10.0.0.1", lines, &why), 0);
		assert_true(addr_same_ip(&f.peer, &peer) ||
			    peer.family == ADDR_UNIX);
		assert_int_equal(f.secure, cases[i].secure);
		assert_true(str_eq(f.host, str_of(cases[i].host)));
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_proto),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_forwarded),
		cmocka_unit_test(test_forwarded_refused),
		cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
