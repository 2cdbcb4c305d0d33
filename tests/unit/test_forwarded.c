#include "codec/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "codec/http.h"

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
		forwarded_read(&f, &head, &peer, &trusted);
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

	head.n = 2;
	head.fields[0] = (struct http_field){ str_of(name), str_of(first) };
	head.fields[1] = (struct http_field){ str_of(name), str_of(second) };
	forwarded_read(&f, &head, &peer, &nobody);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_proto),
		cmocka_unit_test(test_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
