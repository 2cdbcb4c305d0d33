/*
 * test_pattern.c: path patterns, what they capture, hide and expand to.
 */
#include "support.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/pattern.h"

static struct pattern *parse(const char *text)
{
	const char *why = "nothing was said";
	struct pattern *p = pattern_parse(text, &why);

	if (!p)
		fail_case(text, "refused: %s", why);
	return p;
}

static void test_parse_accepts(void **state)
{
	static const struct {
		const char *text;
		size_t captures;
	} cases[] = {
		{ "/", 0 },
		{ "/sim", 0 },
		{ "/sim/", 0 },
		{ "/sim/{id}", 1 },
		{ "/sim/{id}/", 1 },
		{ "/{*}", 1 },
		{ "/a/{x}/b/{y}/{*}", 3 },
		{ "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{*}", 8 },
		{ "/a%20b/~x/a:b@c", 0 },
		{ "/{user-id}/{user_id}", 2 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pattern *p = parse(cases[i].text);

		assert_string_equal(pattern_text(p), cases[i].text);
		assert_int_equal(pattern_captures(p), cases[i].captures);
		pattern_free(p);
	}
}

static void test_parse_refuses(void **state)
{
	static const struct {
		const char *text, *why; /* why: a part of it */
	} cases[] = {
		{ "", "begins with '/'" },
		{ "sim", "begins with '/'" },
		{ "{id}", "begins with '/'" },
		{ "//", "empty segment" },
		{ "/a//b", "empty segment" },
		{ "/sim/x{id}", "brace" },
		{ "/sim/{id}x", "brace" },
		{ "/sim/{id", "brace" },
		{ "/sim/id}", "brace" },
		{ "/{", "brace" },
		{ "/{a}{b}", "name" },
		{ "/{}", "name" },
		{ "/{a b}", "name" },
		{ "/{**}", "name" },
		{ "/{a}/{a}", "one name" },
		{ "/{*}/a", "last" },
		{ "/{*}/", "last" },
		{ "/{*}/{*}", "last" },
		{ "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "8 captures" },
		{ "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{*}", "8 captures" },
		{ "/a/../b", "normalised" },
		{ "/.", "normalised" },
		{ "/a b", "normalised" },
		{ "/%41", "normalised" },
		{ "/%c3%a4", "normalised" },
		{ "/\xc3\xa4", "normalised" },
		{ "/a%2fb", "normalised" },
		{ "/a?b", "normalised" },
		{ "/a#b", "normalised" },
		{ "/%", "normalised" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = NULL;
		struct pattern *p = pattern_parse(cases[i].text, &why);

		if (p)
			fail_case(cases[i].text, "accepted");
		if (!why || !strstr(why, cases[i].why))
			fail_case(cases[i].text, "said: %s", why);
	}
}

static void test_long_name(void **state)
{
	char text[80];
	const char *why;
	struct pattern *p;
	(void)state;

	snprintf(text, sizeof(text), "/{%064d}", 0);
	p = parse(text);
	pattern_free(p);
	snprintf(text, sizeof(text), "/{%065d}", 0);
	assert_null(pattern_parse(text, &why));
}

static void test_has_capture(void **state)
{
	struct pattern *p = parse("/id/{sim}/{*}");
	(void)state;

	assert_true(pattern_has_capture(p, STR("sim")));
	assert_true(pattern_has_capture(p, STR("*")));
	assert_false(pattern_has_capture(p, STR("id")));
	assert_false(pattern_has_capture(p, STR("si")));
	assert_false(pattern_has_capture(p, STR("")));
	pattern_free(p);
}

/* The captures joined by '|', or "-" when the path does not match. */
static void match(const char *pattern, const char *path, char out[256])
{
	struct pattern *p = parse(pattern);
	size_t n = strlen(path);
	char *copy = exact_copy(path, n);
	struct captures c;
	size_t used = 0;

	strcpy(out, "-");
	if (pattern_match(p, (struct str){ copy, n }, &c)) {
		assert_ptr_equal(c.pattern, p);
		out[0] = '\0';
		for (size_t i = 0; i < pattern_captures(p); i++)
			used += (size_t)snprintf(out + used, 256 - used,
				"%s%.*s", i ? "|" : "", (int)c.v[i].n,
				c.v[i].p);
	}
	free(copy);
	pattern_free(p);
}

static void test_match(void **state)
{
	static const struct {
		const char *pattern, *path, *captures;
	} cases[] = {
		{ "/", "/", "" },
		{ "/", "/a", "-" },
		{ "/", "", "-" },
		{ "/sim", "/sim", "" },
		{ "/sim", "/sim/", "-" },
		{ "/sim/", "/sim", "-" },
		{ "/sim/", "/sim/", "" },
		{ "/sim", "/simx", "-" },
		{ "/sim", "/si", "-" },
		{ "/sim", "/Sim", "-" },
		{ "/sim", "sim", "-" },
		{ "/sim/{id}", "/sim/42", "42" },
		{ "/sim/{id}", "/sim/", "-" },
		{ "/sim/{id}", "/sim", "-" },
		{ "/sim/{id}", "/sim/42/", "-" },
		{ "/sim/{id}", "/sim/42/a", "-" },
		{ "/sim/{id}/", "/sim/42/", "42" },
		{ "/sim/{id}/", "/sim/42", "-" },
		{ "/sim/{id}", "/sim/.", "-" },
		{ "/sim/{id}", "/sim/..", "-" },
		{ "/sim/{id}", "/sim/.a", "-" },
		{ "/sim/{id}", "/sim/-rf", "-" },
		{ "/sim/{id}", "/sim/~a", "-" },
		{ "/sim/{id}", "/sim/_a", "_a" },
		{ "/sim/{id}", "/sim/a.b~c-d_e", "a.b~c-d_e" },
		{ "/sim/{id}", "/sim/a%20b", "-" },
		{ "/sim/{id}", "/sim/a:b", "-" },
		{ "/sim/{id}", "/sim/a@b", "-" },
		{ "/{a}/x/{b}", "/1/x/2", "1|2" },
		{ "/{a}/x/{b}", "/1/y/2", "-" },
		{ "/{*}", "/a", "a" },
		{ "/{*}", "/a/", "a/" },
		{ "/{*}", "/a/b%20c", "a/b%20c" },
		{ "/{*}", "/", "-" },
		{ "/{*}", "/-a", "-a" },
		{ "/{*}", "//", "-" },
		{ "/{*}", "//a", "-" },
		{ "/{*}", "/a//b", "-" },
		{ "/{*}", "/a/../b", "-" },
		{ "/{*}", "/.", "-" },
		{ "/sim/{id}/{*}", "/sim/42/a/b", "42|a/b" },
		{ "/sim/{id}/{*}", "/sim/42/", "-" },
		{ "/sim/{id}/{*}", "/sim/42", "-" },
	};
	char got[256];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		match(cases[i].pattern, cases[i].path, got);
		if (strcmp(got, cases[i].captures) != 0)
			fail_case(cases[i].path, "by %s: %s", cases[i].pattern,
				got);
	}
}

static void test_capture_bytes(void **state)
{
	char path[80], got[256];
	(void)state;

	snprintf(path, sizeof(path), "/sim/%064d", 0);
	match("/sim/{id}", path, got);
	assert_string_equal(got, path + strlen("/sim/"));
	snprintf(path, sizeof(path), "/sim/%065d", 0);
	match("/sim/{id}", path, got);
	assert_string_equal(got, "-");

	/* Every byte, first and later, against the set by its own words. */
	for (int c = 1; c < 256; c++) {
		bool first = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789_",
				     c) != NULL;
		bool later = first || strchr(".~-", c) != NULL;

		if (c == '/')
			continue;
		snprintf(path, sizeof(path), "/sim/%c", c);
		match("/sim/{id}", path, got);
		/* "-" is what match() says when there is no match. */
		assert_int_equal(c != '-' && strcmp(got, path + 5) == 0, first);
		snprintf(path, sizeof(path), "/sim/a%c", c);
		match("/sim/{id}", path, got);
		assert_int_equal(strcmp(got, path + 5) == 0, later);
	}
}

static void test_match_prefix(void **state)
{
	static const struct {
		const char *pattern, *path, *rest; /* NULL: no match */
	} cases[] = {
		{ "/", "/", "/" },
		{ "/", "/a/b", "/a/b" },
		{ "/", "", NULL },
		{ "/view", "/view", "" },
		{ "/view", "/view/", "/" },
		{ "/view", "/view/a/b", "/a/b" },
		{ "/view", "/viewer", NULL },
		{ "/view", "/vie", NULL },
		{ "/view/", "/view", "" },
		{ "/view/", "/view/a", "/a" },
		{ "/view/{id}", "/view/1/a.js", "/a.js" },
		{ "/view/{id}", "/view", NULL },
		{ "/view/{id}", "/view/", NULL },
		{ "/view/{*}", "/view/a/b", "" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pattern *p = parse(cases[i].pattern);
		struct captures c;
		struct str rest;
		bool matches = pattern_match_prefix(
			p, str_of(cases[i].path), &c, &rest);

		if (matches != (cases[i].rest != NULL) ||
			(matches && !str_eq(rest, str_of(cases[i].rest))))
			fail_case(cases[i].path, "by %s", cases[i].pattern);
		pattern_free(p);
	}
}

static void test_covers(void **state)
{
	static const struct {
		const char *a, *b;
		bool covers;
	} cases[] = {
		{ "/", "/", true },
		{ "/a", "/a", true },
		{ "/a", "/a/", false },
		{ "/a/", "/a", false },
		{ "/a", "/b", false },
		{ "/{x}", "/a", true },
		{ "/{x}", "/{y}", true },
		{ "/{x}", "/-a", false },
		{ "/{x}", "/a%20b", false },
		{ "/a", "/{x}", false },
		{ "/{x}", "/{*}", false },
		{ "/{x}/", "/{*}", false },
		{ "/{*}", "/{x}", true },
		{ "/{*}", "/{x}/", true },
		{ "/{*}", "/-a/b", true },
		{ "/{*}", "/{*}", true },
		{ "/{*}", "/", false },
		{ "/a/{*}", "/a/", false },
		{ "/a/{*}", "/a/{x}/{*}", true },
		{ "/a/{x}/{*}", "/a/{*}", false },
		{ "/{x}/{*}", "/a/b/c", true },
		{ "/{x}/b", "/a/{y}", false },
		{ "/a/b", "/a", false },
		{ "/a", "/a/b", false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pattern *a = parse(cases[i].a);
		struct pattern *b = parse(cases[i].b);

		if (pattern_covers(a, b) != cases[i].covers)
			fail_case(cases[i].a, "covers %s", cases[i].b);
		pattern_free(a);
		pattern_free(b);
	}
}

static void test_reaches(void **state)
{
	static const struct {
		const char *a, *prefix, *below; /* NULL = it does not */
		bool more;
	} cases[] = {
		{ "/x", "/", "/x", false },
		{ "/x/y", "/x", "/y", false },
		{ "/x/y/z/", "/x/", "/y/z", false },
		{ "/x/y/{id}/z", "/x", "/y", true },
		{ "/x/{id}", "/x", "", true },
		{ "/x/{id}", "/", "/x", true },
		{ "/{id}", "/", "", true },
		{ "/{*}", "/x/y", "", true },
		{ "/x/{*}", "/x/y", "", true },
		{ "/x/{*}", "/x", "", true },
		{ "/x", "/x", "", false },
		{ "/", "/", "", false },
		{ "/{id}/y", "/x", "/y", false },
		{ "/{id}/y", "/{room}", "/y", false },
		{ "/x/y", "/{room}", "/y", false },
		{ "/-x/y", "/{room}", NULL, false },
		{ "/x", "/x/y", NULL, false },
		{ "/y/x", "/x", NULL, false },
		{ "/", "/x", NULL, false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pattern *a = parse(cases[i].a);
		struct pattern *prefix = parse(cases[i].prefix);
		struct str below;
		bool more;

		if (pattern_reaches(a, prefix, &below, &more) !=
				!!cases[i].below ||
			(cases[i].below &&
				(!str_eq(below, str_of(cases[i].below)) ||
					more != cases[i].more)))
			fail_case(cases[i].a, "reaches %s", cases[i].prefix);
		pattern_free(a);
		pattern_free(prefix);
	}
}

static void test_template_check(void **state)
{
	static const struct {
		const char *template;
		bool rest_allowed, ok;
	} cases[] = {
		{ "", false, true },
		{ "tcp://127.0.0.1:7000", false, true },
		{ "tcp://sim-{id}:7000", false, true },
		{ "{id}{id}", false, true },
		{ "a/{*}", true, true },
		{ "a/{*}", false, false },
		{ "{other}", true, false },
		{ "{}", true, false },
		{ "{id", true, false },
		{ "id}", true, false },
		{ "{", true, false },
		{ "}", true, false },
		{ "{{id}}", true, false },
		{ "{id}}", true, false },
	};
	struct pattern *p = parse("/sim/{id}/{*}");
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = NULL;
		struct captures c = { .pattern = p };
		struct buf out = { 0 };
		int result = template_check(
			cases[i].template, p, cases[i].rest_allowed, &why);

		if (result != (cases[i].ok ? 0 : -1) || (result < 0 && !why))
			fail_case(cases[i].template, "%s", why ? why : "");
		/* What no check lets pass is not expanded either. */
		c.v[0] = STR("1");
		c.v[1] = STR("2");
		result = template_expand(&out, str_of(cases[i].template), &c);
		if (cases[i].rest_allowed)
			assert_int_equal(result, cases[i].ok ? 0 : -1);
		buf_free(&out);
	}
	pattern_free(p);
}

static void test_template_expand(void **state)
{
	struct pattern *p = parse("/sim/{id}/{*}");
	struct captures c;
	struct buf out = { 0 };
	(void)state;

	assert_true(pattern_match(p, STR("/sim/42/a/b/"), &c));
	assert_int_equal(buf_add_str(&out, STR("> ")), 0);
	assert_int_equal(
		template_expand(&out, STR("ws://s{id}.lan:{id}/x/{*}?y"), &c),
		0);
	assert_str(buf_str(&out), "> ws://s42.lan:42/x/a/b/?y");
	buf_free(&out);

	assert_true(template_has_captures(STR("a{id}")));
	assert_false(template_has_captures(STR("a}")));
	assert_false(template_has_captures(STR_NONE));
	pattern_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_accepts),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_has_capture),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_capture_bytes),
		cmocka_unit_test(test_match_prefix),
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_reaches),
		cmocka_unit_test(test_template_check),
		cmocka_unit_test(test_template_expand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
