/*
 * test_template.c: where placeholders stand in a text, where none do, and how
 * what is put in their place is escaped.
 */
#include "support.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/pattern.h"
#include "page/template.h"

/* The page /view/{id}/{part} as it is asked for: /view/42/left/x. */
struct page {
	struct pattern *pattern;
	struct captures captures;
	struct str rest;
};

static const char page_path[] = "/view/42/left/x";

static void page_open(struct page *p)
{
	const char *why;

	p->pattern = pattern_parse("/view/{id}/{part}", &why);
	assert_non_null(p->pattern);
	assert_true(pattern_match_prefix(
		p->pattern, str_of(page_path), &p->captures, &p->rest));
}

/* The text with each placeholder as <WORD path>; free() it. */
static char *marked(const struct page *page, const char *text, size_t n)
{
	char *copy = exact_copy(text, n), *result;
	struct str rest = { copy, n };
	struct template_piece piece;
	struct buf out = { 0 };

	do {
		assert_int_equal(
			template_next(&rest, &page->captures, &piece), 0);
		assert_int_equal(buf_add_str(&out, piece.text), 0);
		if (piece.word != TEMPLATE_END)
			assert_int_equal(
				buf_add_printf(&out, "<%s %s>",
					piece.word == TEMPLATE_WSURI ? "URI"
								     : "PATH",
					piece.path),
				0);
	} while (piece.word != TEMPLATE_END);
	assert_int_equal(rest.n, 0);
	result = str_dup(buf_str(&out));
	assert_non_null(result);
	buf_free(&out);
	free(copy);
	return result;
}

static void check(
	const struct page *page, const char *text, const char *expected)
{
	char *got = marked(page, text, strlen(text));

	if (strcmp(got, expected) != 0)
		fail_case(text, "became \"%s\", not \"%s\"", got, expected);
	free(got);
}

static void test_next_finds(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "", "" },
		{ "no placeholder", "no placeholder" },
		{ "{{wsuri /sim/42}}", "<URI /sim/42>" },
		{ "{{wspath /sim/42}}", "<PATH /sim/42>" },
		{ "a{{wsuri /}}b", "a<URI />b" },
		{ "{{ wsuri /a }}", "<URI /a>" },
		{ "{{\twsuri \t /a\t}}", "<URI /a>" },
		{ "{{wsuri /a}}{{wspath /b}}", "<URI /a><PATH /b>" },
		{ "{{wsuri /sim/{id}}}", "<URI /sim/42>" },
		{ "{{wsuri /sim/{id}/}}", "<URI /sim/42/>" },
		{ "{{wsuri /{part}/{id} }}", "<URI /left/42>" },
		{ "{{wspath /s-{id}}}}", "<PATH /s-42>}" },
		{ "{{{wsuri /a}}}", "{<URI /a>}" },
		{ "{{ {{wsuri /a}} }}", "{{ <URI /a> }}" },
		{ "{{wsuri {{wsuri /a}}", "{{wsuri <URI /a>" },
		{ "{{wsuri /x{{wsuri /a}}", "{{wsuri /x<URI /a>" },
		{ "{{wsuri /a'b&c}}", "<URI /a'b&c>" },
		{ "{{wsuri /a%20b}}", "<URI /a%20b>" },
		{ "{{wsuri /*a}}", "<URI /*a>" },
		{ "{\"a\":{\"b\":\"{{wspath /a}}\"}}",
			"{\"a\":{\"b\":\"<PATH /a>\"}}" },
	};
	struct page page;
	(void)state;

	page_open(&page);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check(&page, cases[i].text, cases[i].expected);
	pattern_free(page.pattern);
}

static void test_next_leaves_alone(void **state)
{
	static const char *const cases[] = {
		"{",
		"{{",
		"{{}}",
		"{{wsuri",
		"{{wsuri}}",
		"{{wsuri }}",
		"{{wsuri /a",
		"{{wsuri /a}",
		"{{wsuri /a} }",
		"{wsuri /a}",
		"{ {wsuri /a}}",
		"{{wsuri/a}}",
		"{{WSURI /a}}",
		"{{wsurl /a}}",
		"{{wsuris /a}}",
		"{{wsuri a}}",
		"{{wsuri\n/a}}",
		"{{wsuri /a b}}",
		"{{wsuri /a\n}}",
		/* captures that are not the page's, or no captures */
		"{{wsuri /{nix}}}",
		"{{wsuri /{}}}",
		"{{wsuri /{id}}",
		"{{wsuri /{*}}}",
		"{{wsuri /{id}",
		"{{wsuri /{i{id}}}}",
		/* no normal paths */
		"{{wsuri //a}}",
		"{{wsuri /a/../b}}",
		"{{wsuri /%61}}",
		"{{wsuri /a%2fb}}",
		"{{wsuri /a?b=c}}",
		"{{wsuri /a#b}}",
		"{{wsuri /a\"b}}",
		"{{wsuri /<b>}}",
		"{{wsuri /a%}}",
		"{{wsuri http://h/a}}",
		"{{wsuri /\xc3\xa4}}",
		/* would be a right to all that is below */
		"{{wsuri /*}}",
		"{{wsuri /sim/*}}",
		"{{wspath /{id}/*}}",
	};
	struct page page;
	(void)state;

	page_open(&page);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check(&page, cases[i], cases[i]);
	pattern_free(page.pattern);
}

/* Nor may a visitor bring the asterisk along. */
static void test_next_rest_is_no_wildcard(void **state)
{
	struct page page;
	const char *why;
	(void)state;

	page.pattern = pattern_parse("/view/{*}", &why);
	assert_non_null(page.pattern);
	assert_true(pattern_match_prefix(
		page.pattern, STR("/view/a/b"), &page.captures, &page.rest));
	check(&page, "{{wsuri /{*}}}", "<URI /a/b>");
	assert_true(pattern_match_prefix(
		page.pattern, STR("/view/a/*"), &page.captures, &page.rest));
	check(&page, "{{wsuri /{*}}}", "{{wsuri /{*}}}");
	pattern_free(page.pattern);
}

static void test_next_length(void **state)
{
	char text[TEMPLATE_PATH_MAX + 64];
	struct page page;
	(void)state;

	page_open(&page);
	for (size_t n = TEMPLATE_PATH_MAX - 2; n <= TEMPLATE_PATH_MAX + 2;
		n++) {
		bool fits = n <= TEMPLATE_PATH_MAX;
		char *got;
		size_t end;

		memset(text, 'a', sizeof(text));
		memcpy(text, "{{wsuri /", 9);
		end = 8 + n; /* the path begins at 8 */
		memcpy(text + end, "}}", 3);
		got = marked(&page, text, end + 2);
		if (fits != (strncmp(got, "<URI /", 6) == 0))
			fail_msg("a path of %zu bytes", n);
		free(got);
	}
	/* Short when written, too long when filled in. */
	assert_true(pattern_match_prefix(page.pattern,
		STR("/view/42/a-longer-part"), &page.captures, &page.rest));
	memset(text, 'a', sizeof(text));
	memcpy(text, "{{wsuri /", 9);
	memcpy(text + 8 + TEMPLATE_PATH_MAX - 7, "/{part}}}", 10);
	check(&page, text, text);
	pattern_free(page.pattern);
}

/* However a text is cut off, no byte of it is lost or read beyond. */
static void test_next_cut_everywhere(void **state)
{
	static const char text[] = "a {{ wspath /x/{id}/{part} }} {{wsuri /b}}";
	struct page page;
	(void)state;

	page_open(&page);
	for (size_t n = 0; n < sizeof(text); n++) {
		char *got = marked(&page, text, n);

		if (n < strlen("a {{ wspath /x/{id}/{part} }}"))
			assert_int_equal(strlen(got), n);
		free(got);
	}
	pattern_free(page.pattern);
}

static void test_escape(void **state)
{
	static const struct {
		enum template_kind kind;
		const char *text, *expected;
	} cases[] = {
		{ TEMPLATE_HTML, "ws://h/a?token=x.y-z_",
			"ws://h/a?token=x.y-z_" },
		{ TEMPLATE_HTML, "a&b<c>\"d'", "a&amp;b&lt;c&gt;&quot;d&#39;" },
		{ TEMPLATE_SVG, "a&b<c>\"d'\\",
			"a&amp;b&lt;c&gt;&quot;d&#39;\\" },
		{ TEMPLATE_SCRIPT, "ws://h/a?token=x.y-z_",
			"ws://h/a?token=x.y-z_" },
		{ TEMPLATE_SCRIPT, "a&b<c>\"d'\\`$",
			"a\\u0026b\\u003cc\\u003e\\u0022d\\u0027\\u005c"
			"\\u0060\\u0024" },
		{ TEMPLATE_SCRIPT, "\x01\n\x7f", "\\u0001\\u000a\\u007f" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf out = { 0 };

		assert_int_equal(template_escape(&out, cases[i].kind,
					 str_of(cases[i].text)),
			0);
		assert_str(buf_str(&out), cases[i].expected);
		buf_free(&out);
	}
}

/* What is left as text, and hardly meant so. */
static void test_odd(void **state)
{
	static const struct {
		const char *text, *odd;
	} cases[] = {
		{ "", "" },
		{ "{{name}} {ws} {{ w}} ws {{{wsuri /a}}}", "" },
		{ "a{{wsurl /sim/42}}b", "{{wsurl /sim/42}}" },
		{ "{{ ws}}{{wsx}}", "{{ ws}}" },
		{ "{{wsuri sim}}", "{{wsuri sim}}" },
		{ "{{wsuri /a/{no}}}", "{{wsuri /a/{no}}" },
		{ "{{wsuri /a", "{{wsuri /a" },
		{ "{{wsuri /a\n}}", "{{wsuri /a" },
		{ "{{wsuri /2345678901234567890123456789012345678901234567890"
		  "*<1234567890",
			"{{wsuri "
			"/2345678901234567890123456789012345678901234567890*"
			"<" },
	};
	struct page page;
	(void)state;

	page_open(&page);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].text);
		char *copy = exact_copy(cases[i].text, n);
		struct str rest = { copy, n };
		struct template_piece piece;

		assert_int_equal(
			template_next(&rest, &page.captures, &piece), 0);
		if (!str_eq(piece.odd, str_of(cases[i].odd)))
			fail_case(cases[i].text, "\"%.*s\"", (int)piece.odd.n,
				piece.odd.p);
		free(copy);
	}
	pattern_free(page.pattern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_next_finds),
		cmocka_unit_test(test_next_leaves_alone),
		cmocka_unit_test(test_next_rest_is_no_wildcard),
		cmocka_unit_test(test_next_length),
		cmocka_unit_test(test_next_cut_everywhere),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
