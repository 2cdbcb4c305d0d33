/* Recordings, good, damaged and cut at every byte. */
#include "codec/recording.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "support.h"

#define HEAD "wsrelayd-recording 1\n\n"

/*
 * "head line; 0 text hello; 40000 dropped 12; 50000 end;", then "left 3;" for
 * bytes of an item that is not complete, or what is wrong and where. It is fed
 * in steps of so many bytes, from exact blocks.
 */
static void tell(struct buf *told, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(struct buf *told, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_int_equal(buf_add_str(told, str_of(text)), 0);
}

static void tell_item(struct buf *told, const struct recording_item *i)
{
	static const char *const words[] = { "head", "text", "binary",
		"dropped", "end" };

	if (i->kind == RECORDING_HEAD) {
		tell(told, "head %s;",
			i->framing ? framing_get(i->framing)->name : "none");
		return;
	}
	tell(told, "%" PRId64 " %s", i->at_us, words[i->kind]);
	if (i->kind == RECORDING_DROPPED)
		tell(told, " %" PRIu64, i->n);
	else if (i->kind != RECORDING_END)
		tell(told, " %.*s", (int)i->n, (const char *)i->data);
	tell(told, ";");
}

static char *read_in_steps(const char *text, size_t n, size_t step)
{
	struct recording r = { .headed = false };
	struct recording_item item;
	struct buf told = { 0 };
	const char *why = NULL;
	size_t from = 0, to = 0;
	ssize_t used = 0;

	while (used >= 0) {
		char *p = exact_copy(text + from, to - from);

		used = recording_read(&r, (uint8_t *)p, to - from, &item, &why);
		if (used > 0)
			tell_item(&told, &item);
		free(p);
		if (used < 0)
			tell(&told, "%s at %zu", why, from);
		if (used == 0 && to == n)
			break;
		if (used == 0)
			to += n - to < step ? n - to : step;
		if (used > 0)
			from += (size_t)used;
	}
	if (used == 0 && from < n)
		tell(&told, "left %zu", n - from);
	assert_int_equal(buf_add(&told, "", 1, SIZE_MAX), 0);
	return (char *)told.p;
}

static void expect(const char *text, size_t n, const char *told)
{
	for (size_t step = 1; step <= n + 1; step++) {
		char *got = read_in_steps(text, n, step);

		if (strcmp(got, told) != 0)
			fail_case(text, "%s (step %zu)", got, step);
		free(got);
	}
}

static void test_good(void **state)
{
	static const struct {
		const char *text, *told;
	} cases[] = {
		{ "", "" },
		{ HEAD, "head none;" },
		{ "wsrelayd-recording 1\nbegan now\nframing line\nmore of it\n"
		  "\n0 end\n",
			"head line;0 end;" },
		{ "wsrelayd-recording 1\nframing len32\n\n", "head len32;" },
		{ HEAD "0.000000 text 5\nhello\n0.000001 text 0\n\n"
		       "1.5 binary 3\n\n\n\n\n2 dropped 12\n2.500000 end\n",
			"head none;0 text hello;1 text ;1500000 binary \n\n\n;"
			"2000000 dropped 12;2500000 end;" },
		{ HEAD "1 text 2\n\xc3\xa9\n1 binary 1\n\xff\n",
			"head none;1000000 text \xc3\xa9;"
			"1000000 binary \xff;" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].text, strlen(cases[i].text), cases[i].told);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *told;
	} cases[] = {
		{ "{\"x\":1}\n", "this is no recording of wsrelayd at 0" },
		{ "wsrelayd-recorder\n\n",
			"this is no recording of wsrelayd at 0" },
		{ "wsrelayd-recording 2\n\n",
			"a recording of another version: this one reads 1 at "
			"0" },
		{ "wsrelayd-recording 1\nframing lines\n\n",
			"framing: expected raw, line or len32 at 0" },
		{ "wsrelayd-recording 1\nframing\n\n",
			"expected a name and a value, or an empty line at 0" },
		{ HEAD "x text 1\n",
			"head none;expected a time in seconds at 22" },
		{ HEAD "-1 text 1\n",
			"head none;expected a time in seconds at 22" },
		{ HEAD "1. text 1\n",
			"head none;expected a time in seconds at 22" },
		{ HEAD ".5 text 1\n",
			"head none;expected a time in seconds at 22" },
		{ HEAD "1.0000000 text 1\n",
			"head none;expected a time in seconds at 22" },
		{ HEAD "1000000000 end\n",
			"head none;expected a time in seconds at 22" },
		{ HEAD "99999999999999999999 end\n",
			"head none;expected a time in seconds at 22" },
		{ HEAD "\n", "head none;expected a time in seconds at 22" },
		{ HEAD "1 word 1\n",
			"head none;expected text, binary, dropped or end "
			"behind the time at 22" },
		{ HEAD "1\n", "head none;expected text, binary, dropped or end "
			      "behind the time at 22" },
		{ HEAD "1 end 1\n",
			"head none;expected nothing behind end at 22" },
		{ HEAD "1 dropped\n",
			"head none;expected how many messages were dropped at "
			"22" },
		{ HEAD "1 text -1\n",
			"head none;expected how many bytes the message has, "
			"16777216 at most at 22" },
		{ HEAD "1 text 16777217\n",
			"head none;expected how many bytes the message has, "
			"16777216 at most at 22" },
		{ HEAD "1 text 18446744073709551617\n",
			"head none;expected how many bytes the message has, "
			"16777216 at most at 22" },
		{ HEAD "1 text 1\nab\n",
			"head none;there is no line feed behind the message at "
			"22" },
		{ HEAD "1 text 1\n\xff\n",
			"head none;a text that is not UTF-8 at 22" },
		{ HEAD "2 text 1\na\n1.999999 text 1\nb\n",
			"head none;2000000 text a;the time goes back at 33" },
		{ HEAD "1 end\n2 end\n",
			"head none;1000000 end;there is more behind its end at "
			"28" },
		{ HEAD "0000000000000000000000000000000000000000000000000000000"
		       "00000000000000",
			"head none;a line longer than 64 bytes at 22" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].text, strlen(cases[i].text), cases[i].told);
}

/* Cut anywhere it is either whole so far, or something is left. */
static void test_cut_at_every_byte(void **state)
{
	static const char text[] = HEAD
		"0.5 text 5\nhello\n0.75 binary 2\n\n\n\n1 dropped 3\n"
		"2 end\n";
	static const size_t whole[] = { 0, 22, 39, 56, 68, 74 };
	size_t at = 0;

	(void)state;
	assert_int_equal(strlen(text), whole[ARRAY_SIZE(whole) - 1]);
	for (size_t n = 0; n <= strlen(text); n++) {
		char *told = read_in_steps(text, n, n + 1);
		const char *left = strstr(told, "left ");

		if (at + 1 < ARRAY_SIZE(whole) && n == whole[at + 1])
			at++;
		assert_null(strstr(told, " at "));
		assert_int_equal(
			left ? strtoul(left + 5, NULL, 10) : 0, n - whole[at]);
		free(told);
	}
}

static void test_a_head_without_an_end(void **state)
{
	size_t n = RECORDING_HEAD_MAX;
	char *text = malloc(n + 1), *told;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', n);
	memcpy(text, recording_version, strlen(recording_version));
	told = read_in_steps(text, n - 1, n);
	assert_string_equal(told, "left 65535");
	free(told);
	told = read_in_steps(text, n, n);
	assert_string_equal(
		told, "the lines at its beginning have no end at 0");
	free(told);
	free(text);
}

/* The longest message fits into the room that a reader is promised to need. */
static void test_the_longest_message(void **state)
{
	struct recording r = { .headed = true };
	char line[RECORDING_LINE_MAX];
	size_t n = recording_line(line, RECORDING_BINARY,
		RECORDING_TIME_MAX - 1000000, RECORDING_MESSAGE_MAX);
	size_t all = n + RECORDING_MESSAGE_MAX + 1;
	uint8_t *p = malloc(all);
	struct recording_item item;
	const char *why;

	(void)state;
	assert_non_null(p);
	assert_true(all <= RECORDING_ITEM_MAX);
	memset(p, 'x', all);
	memcpy(p, line, n);
	p[all - 1] = '\n';
	assert_int_equal(recording_read(&r, p, all - 1, &item, &why), 0);
	assert_int_equal(recording_read(&r, p, all, &item, &why), all);
	assert_int_equal(item.n, RECORDING_MESSAGE_MAX);
	free(p);
}

static void test_lines_are_read_as_they_are_written(void **state)
{
	static const struct {
		enum recording_kind kind;
		int64_t at_us;
		uint64_t n;
		const char *line;
	} cases[] = {
		{ RECORDING_TEXT, 0, 7, "0.000000 text 7\n" },
		{ RECORDING_BINARY, 1, 0, "0.000001 binary 0\n" },
		{ RECORDING_DROPPED, 1000001, UINT64_MAX,
			"1.000001 dropped 18446744073709551615\n" },
		{ RECORDING_END, RECORDING_TIME_MAX - 1, 0,
			"999999999.999999 end\n" },
	};
	char line[RECORDING_LINE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = recording_line(
			line, cases[i].kind, cases[i].at_us, cases[i].n);

		assert_int_equal(n, strlen(cases[i].line));
		assert_memory_equal(line, cases[i].line, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_a_head_without_an_end),
		cmocka_unit_test(test_the_longest_message),
		cmocka_unit_test(test_lines_are_read_as_they_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
