/*
 * test_ini.c: lines as a file may have them, and what is refused.
 */
#include "support.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "conf/ini.h"

/* Writes down what is told: "3[listen a]", "4 key=value", "5!what". */
static void note_section(void *data, int line, const char *section)
{
	assert_int_equal(buf_add_printf(data, section ? "%d[%s]\n" : "%d[]%s\n",
				 line, section ? section : "?"),
		0);
}

static void note_pair(void *data, int line, const char *key, const char *value)
{
	assert_int_equal(
		buf_add_printf(data, "%d %s=%s\n", line, key, value), 0);
}

/* Only up to what was expected: the words are for people. */
static void note_error(void *data, int line, const char *what)
{
	const char *comma = strstr(what, ", expected ");

	assert_non_null(comma);
	assert_int_equal(buf_add_printf(data, "%d!%.*s\n", line,
				 (int)(comma - what), what),
		0);
}

static void expect(const char *text, size_t n, const char *want)
{
	struct buf notes = { 0 };
	struct ini_handler h = { note_section, note_pair, note_error, &notes };
	char *copy = exact_copy(text, n);

	ini_read((struct str){ copy, n }, &h);
	if (!str_eq(buf_str(&notes), str_of(want)))
		fail_case(text, "said \"%.*s\"\nwant \"%s\"", (int)notes.n,
			(const char *)notes.p, want);
	free(copy);
	buf_free(&notes);
}

#define EXPECT(text, want) expect(text, sizeof(text) - 1, want)

static void test_lines(void **state)
{
	(void)state;
	EXPECT("", "");
	EXPECT("\n\n", "");
	EXPECT("[a]", "1[a]\n");
	EXPECT("[listen  x ]\n\n[b]\n", "1[listen  x]\n3[b]\n");
	EXPECT("[a]\nk = v", "1[a]\n2 k=v\n");
	EXPECT("k=v\n", "1 k=v\n");
	EXPECT("k =\n", "1 k=\n");
	EXPECT("k = a = b : c\n", "1 k=a = b : c\n");
	EXPECT("k\t=\tv \t\n", "1 k=v\n");
	EXPECT("k = v\r\n\r\n[a]\r\nx = y\r\n", "1 k=v\n3[a]\n4 x=y\n");
	EXPECT("k = \xC3\xA9\n", "1 k=\xC3\xA9\n");
}

static void test_comments(void **state)
{
	(void)state;
	EXPECT("; a\n# b\n  ; c\n\t# d\n", "");
	EXPECT("k = v ; c # d\n", "1 k=v\n");
	EXPECT("k = v\t;c\n", "1 k=v\n");
	EXPECT("k = v;c\n", "1 k=v;c\n");
	EXPECT("k = v#c\n", "1 k=v#c\n");
	EXPECT("k = ; all of it\n", "1 k=\n");
	EXPECT("[a] ; c\n", "1[a]\n");
	EXPECT("k ; = v\n", "1!no \"key =\" in this line\n");
	EXPECT("k = v # c\n", "1!a # in a value, which begins no comment "
			      "there\n");
	EXPECT("k = # c\n",
		"1!a # in a value, which begins no comment there\n");
	EXPECT("k =;c\n", "1!a value that begins with ;\n");
}

static void test_refused(void **state)
{
	(void)state;
	EXPECT("[a]\nk = v\n x = y\nz = 1\n",
		"1[a]\n2 k=v\n3!white space in front\n4 z=1\n");
	EXPECT(" [a]\n", "1!white space in front\n1[]?\n");
	EXPECT("k : v\n", "1!no \"key =\" in this line\n");
	EXPECT("k:v = x\n", "1!no \"key =\" in this line\n");
	EXPECT("k\n", "1!no \"key =\" in this line\n");
	EXPECT("= v\n", "1!no \"key =\" in this line\n");
	EXPECT("[a\nk = v\n",
		"1!a section header without its ]\n1[]?\n2 k=v\n");
	EXPECT("[a ; b]\n", "1!a section header without its ]\n1[]?\n");
	EXPECT("[a] k = v\n",
		"1!text behind the ] of a section header\n1[]?\n");
	EXPECT("[a]]\n", "1!text behind the ] of a section header\n1[]?\n");
	EXPECT("[]\n", "1[]\n");
}

static void test_bytes(void **state)
{
	(void)state;
	EXPECT("a = b\0c\nd = e\n", "1!a NUL byte\n2 d=e\n");
	EXPECT("; a\0\n", "1!a NUL byte\n");
	EXPECT("a = b\rc = d\n", "1!a carriage return inside of a line\n");
	EXPECT("a = b\r\r\n", "1!a carriage return inside of a line\n");
	EXPECT("a = \033[1m\n", "1!a control character\n");
	EXPECT("a = \177\n", "1!a control character\n");
	EXPECT("a = \xFF\n", "1!bytes that are not UTF-8\n");
	EXPECT("\xEF\xBB\xBF[a]\nk = v\n",
		"1!a byte order mark\n1[a]\n2 k=v\n");
	EXPECT("\xEF\xBB\xBFx\n\xEF\xBB\xBF[a]\n",
		"1!a byte order mark\n1!no \"key =\" in this line\n"
		"2!no \"key =\" in this line\n");
	EXPECT("\xFF\xFE[\0a\0]\0\n\0k\0=\0v\0", "1!UTF-16 text\n1[]?\n");
	EXPECT("\xFE\xFF\0[\0a\0]\0\n", "1!UTF-16 text\n1[]?\n");
	EXPECT("[\0a\0]\0\n\0", "1!UTF-16 text\n1[]?\n");
	EXPECT("\0[\0a\0]\0\n", "1!UTF-16 text\n1[]?\n");
	EXPECT("[a\0]\nk = v\n", "1!a NUL byte\n1[]?\n2 k=v\n");
}

/* A line or a name of exactly n bytes. */
static void expect_length(const char *front, char fill, const char *back,
	size_t n, const char *want)
{
	char text[512];
	size_t head = strlen(front), tail = strlen(back);

	assert_true(head + tail <= n && n < sizeof(text) - 8);
	memcpy(text, front, head);
	memset(text + head, fill, n - head - tail);
	memcpy(text + n - tail, back, tail);
	strcpy(text + n, "\nz = 1\n");
	if (want) {
		expect(text, strlen(text), want);
	} else {
		char whole[600];

		snprintf(whole, sizeof(whole), "1 k=%.*s\n2 z=1\n",
			(int)(n - head), text + head);
		expect(text, strlen(text), whole);
	}
}

static void test_lengths(void **state)
{
	char want[128];

	(void)state;
	expect_length("k = ", 'v', "", INI_LINE_MAX, NULL);
	expect_length("k = ", 'v', "", INI_LINE_MAX + 1,
		"1!a line that is too long\n2 z=1\n");
	/* inih would take the tail of this line for another one. */
	expect_length("k = ", ' ', "evil = 1", 199 + 8,
		"1!a line that is too long\n2 z=1\n");
	/* A comment may be as long as it likes. */
	expect_length("; ", 'c', "", 400, "2 z=1\n");
	expect_length("k = v ; ", 'c', "", 400, "1 k=v\n2 z=1\n");

	snprintf(want, sizeof(want), "1[%.49s]\n2 z=1\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	expect_length("[", 'a', "]", INI_SECTION_MAX + 2, want);
	expect_length("[", 'a', "]", INI_SECTION_MAX + 3,
		"1!a section header that is too long\n1[]?\n2 z=1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
