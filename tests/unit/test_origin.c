#include "codec/http/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A copy in a block of its own, so that ASan sees a byte too many. */
static struct str own(const char *text)
{
	size_t n = strlen(text);
	char *copy = malloc(n + (n == 0));

	assert_non_null(copy);
	memcpy(copy, text, n);
	return (struct str){ copy, n };
}

static void release(struct str s)
{
	free((void *)(uintptr_t)s.p);
}

static bool matches(const char *origin, const char *pattern)
{
	struct str o = own(origin), p = own(pattern);
	bool result = origin_matches(o, p);

	release(o);
	release(p);
	return result;
}

static void test_pattern_check(void **state)
{
	static const char *good[] = { "null", "http://localhost",
		"https://example.org", "https://example.org:8443",
		"HTTPS://Example.ORG", "https://*.example.org",
		"https://a.*.example.org:444", "http://*", "http://[::1]:8080",
		"http://127.0.0.1:1", "chrome-extension://abcdefghijkl",
		"ws://example.org", "https://example.org." };
	static const char *bad[] = { "", "*", "any", "same", "Null", "null ",
		"example.org", "https:example.org", "https:/example.org",
		"https://", "://example.org", "1http://example.org",
		"ht tp://example.org", "https://example.org/",
		"https://example.org/x", "https://example.org?x",
		"https://example.org:", "https://example.org:0",
		"https://example.org:65536", "https://example.org:*",
		"https://u@example.org", "https://*example.org",
		"https://ex*.org", "https://*.*.org", "https://[::1",
		"https://[*]", "https://**.org", "https://.example.org",
		"https://a..b", "https://*:", "https://ex\xc3\xa4mple.org",
		" https://example.org" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const char *why = NULL;

		assert_int_equal(
			origin_pattern_check(str_of(good[i]), &why), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *why = NULL;
		struct str s = own(bad[i]);

		assert_int_equal(origin_pattern_check(s, &why), -1);
		assert_non_null(why);
		release(s);
	}
}

static void test_matches(void **state)
{
	static const struct {
		const char *origin, *pattern;
		bool matches;
	} cases[] = {
		{ "https://example.org", "https://example.org", true },
		{ "https://example.org:443", "https://example.org", true },
		{ "https://example.org", "https://example.org:443", true },
		{ "http://example.org:80", "http://example.org", true },
		{ "HTTPS://EXAMPLE.org", "https://example.ORG", true },
		{ "https://example.org:444", "https://example.org", false },
		{ "http://example.org", "https://example.org", false },
		{ "http://example.org:443", "https://example.org", false },
		{ "https://example.org.evil.net", "https://example.org",
			false },
		{ "https://evilexample.org", "https://example.org", false },
		{ "https://example.org.", "https://example.org", false },
		{ "https://example.org.", "https://example.org.", true },
		{ "https://example.org", "https://example.org.", false },
		/* One label, never none, never two. */
		{ "https://a.example.org", "https://*.example.org", true },
		{ "https://a.example.org:443", "https://*.example.org", true },
		{ "https://example.org", "https://*.example.org", false },
		{ "https://a.b.example.org", "https://*.example.org", false },
		{ "https://.example.org", "https://*.example.org", false },
		{ "https://evil.net", "https://*.example.org", false },
		{ "https://a.x.org", "https://a.*.org", true },
		{ "https://a.x.y.org", "https://a.*.org", false },
		{ "http://localhost", "http://*", true },
		{ "http://a.b", "http://*", false },
		{ "https://*.example.org", "https://*.example.org", false },
		/* Addresses have no labels, and many spellings. */
		{ "http://1.2.3.4", "http://1.2.3.*", false },
		{ "http://1.2.3.4:8080", "http://1.2.3.4:8080", true },
		{ "http://[::1]:8080", "http://[0:0::1]:8080", true },
		{ "http://[::1]", "http://[::2]", false },
		{ "http://[::ffff:1.2.3.4]", "http://1.2.3.4", false },
		{ "http://[::ffff:1.2.3.4]", "http://[::ffff:102:304]", true },
		/* null */
		{ "null", "null", true },
		{ "null", "https://example.org", false },
		{ "null", "http://*", false },
		{ "https://null", "null", false },
		{ "NULL", "null", false },
		{ "", "null", false },
		/* Other schemes have no default port. */
		{ "app://x", "app://x", true },
		{ "app://x:80", "app://x", false },
		/* Malformed origins. */
		{ "", "https://example.org", false },
		{ "https://example.org/", "https://example.org", false },
		{ "https://example.org ", "https://example.org", false },
		{ "https://u@example.org", "https://example.org", false },
		{ "https://example.org https://example.org",
			"https://example.org", false },
		{ "https://example.org:0443", "https://example.org", false },
		{ "example.org", "https://example.org", false },
		/* A malformed pattern matches nothing. */
		{ "https://example.org", "https://example.org/", false },
		{ "https://example.org", "*", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (matches(cases[i].origin, cases[i].pattern) !=
			cases[i].matches)
			fail_msg("%s against %s", cases[i].origin,
				cases[i].pattern);
}

static void test_same(void **state)
{
	static const struct {
		const char *origin, *host;
		bool secure, same;
	} cases[] = {
		{ "http://localhost:8080", "localhost:8080", false, true },
		{ "http://localhost:8080", "LOCALHOST:8080", false, true },
		{ "http://localhost:8080", "localhost:8081", false, false },
		{ "http://localhost:8080", "localhost", false, false },
		{ "http://example.org", "example.org", false, true },
		{ "http://example.org", "example.org:80", false, true },
		{ "http://example.org:80", "example.org", false, true },
		{ "https://example.org", "example.org", true, true },
		{ "https://example.org", "example.org:443", true, true },
		{ "https://example.org", "example.org", false, false },
		{ "http://example.org", "example.org", true, false },
		{ "http://example.org:443", "example.org", true, false },
		{ "ws://example.org", "example.org", false, false },
		{ "http://127.0.0.1:8080", "127.0.0.1:8080", false, true },
		{ "http://[::1]:8080", "[::1]:8080", false, true },
		{ "http://localhost", "127.0.0.1", false, false },
		{ "http://evil.net", "example.org", false, false },
		{ "null", "null", false, false },
		{ "http://*", "*", false, false },
		{ "", "", false, false },
		{ "http://", "", false, false },
		{ "http://example.org", "example.org/", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str o = own(cases[i].origin), h = own(cases[i].host);

		if (origin_is_same(o, h, cases[i].secure) != cases[i].same)
			fail_msg("%s at %s", cases[i].origin, cases[i].host);
		release(o);
		release(h);
	}
	assert_false(origin_is_same(STR_NONE, STR_NONE, false));
	assert_false(origin_matches(STR_NONE, STR("http://*")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern_check),
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
