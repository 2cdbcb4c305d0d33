#include "codec/framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "codec/ws.h"

#define NO_LIMIT SIZE_MAX

/*
 * Reads a stream that comes in steps of so many bytes, as an end does: what
 * is not complete waits in a buffer. Writes "<1 text>" per message and
 * "!-1" for an error into out, which is returned as a string.
 */
static char *read_stream(
	const struct framing *f, struct str in, size_t max, size_t step)
{
	struct buf waiting = { 0 }, out = { 0 };
	size_t scanned = 0;
	ssize_t used = 1;

	for (size_t at = 0; at < in.n && used >= 0; at += step) {
		size_t n = step < in.n - at ? step : in.n - at;

		assert_int_equal(buf_add(&waiting, in.p + at, n, SIZE_MAX), 0);
		for (used = 1; used > 0 && waiting.n > 0;) {
			struct framing_message m = { 0 };
			/* An exact block: ASan sees a byte too many. */
			uint8_t *block = malloc(waiting.n);

			memcpy(block, waiting.p, waiting.n);
			used = f->decode(block, waiting.n, max, &scanned, &m);
			if (used > 0) {
				assert_in_range(used, 1, waiting.n);
				assert_int_equal(
					buf_add_printf(&out, "<%d ", m.opcode),
					0);
				assert_int_equal(
					buf_add(&out, m.data, m.n, SIZE_MAX),
					0);
				assert_int_equal(
					buf_add_str(&out, STR(">")), 0);
				buf_drop(&waiting, (size_t)used);
				scanned = 0;
			}
			free(block);
		}
		if (used < 0)
			assert_int_equal(
				buf_add_printf(&out, "!%d", (int)used), 0);
	}
	assert_int_equal(buf_add(&out, "", 1, SIZE_MAX), 0);
	buf_free(&waiting);
	return (char *)out.p;
}

static void check_stream(
	enum framing_id id, struct str in, size_t max, const char *expected)
{
	for (size_t step = 1; step <= in.n; step++) {
		char *out = read_stream(framing_get(id), in, max, step);

		assert_string_equal(out, expected);
		free(out);
	}
}

static void test_line(void **state)
{
	static const struct {
		struct str in;
		size_t max;
		const char *out;
	} cases[] = {
		{ STR("a\nbc\n"), NO_LIMIT, "<1 a><1 bc>" },
		{ STR("a\nb"), NO_LIMIT, "<1 a>" },
		{ STR("\n\r\n\n"), NO_LIMIT, "<1 ><1 ><1 >" },
		{ STR("a\r\nb\r\n"), NO_LIMIT, "<1 a><1 b>" },
		{ STR("\ra\rb\r\r\n"), NO_LIMIT, "<1 \ra\rb\r>" },
		{ STR("abc\n"), 3, "<1 abc>" },
		{ STR("abc\r\nabc\n"), 3, "<1 abc><1 abc>" },
		{ STR("abc\nabcd\n"), 3, "<1 abc>!-1" },
		{ STR("abcd"), 3, "!-1" },
		{ STR("abc\r"), 3, "" },
		{ STR("abc\rd\n"), 3, "!-1" },
		{ STR("abc\r\r\n"), 3, "!-1" },
		{ STR("\n\r\n"), 0, "<1 ><1 >" },
		{ STR("x\n"), 0, "!-1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_stream(
			FRAMING_LINE, cases[i].in, cases[i].max, cases[i].out);
}

/*
 * A line of a mebibyte that comes byte by byte: were it looked at anew each
 * time, this would be 5 * 10^11 bytes. The scanned offset says it is not.
 */
static void test_line_linear(void **state)
{
	const struct framing *f = framing_get(FRAMING_LINE);
	size_t n = 1 << 20, scanned = 0;
	uint8_t *p = malloc(n);
	struct framing_message m;

	(void)state;
	memset(p, 'x', n);
	for (size_t i = 1; i < n; i++) {
		assert_int_equal(f->decode(p, i, n, &scanned, &m), 0);
		assert_int_equal(scanned, i);
	}
	p[n - 1] = '\n';
	/* What was looked at is not looked at again. */
	p[100] = '\n';
	assert_int_equal(f->decode(p, n, n, &scanned, &m), n);
	assert_int_equal(m.n, n - 1);
	free(p);
}

static void test_len32(void **state)
{
	static const struct {
		struct str in;
		size_t max;
		const char *out;
	} cases[] = {
		{ STR("\0\0\0\x02\x01x"), NO_LIMIT, "<1 x>" },
		{ STR("\0\0\0\x01\x01\0\0\0\x01\x02"), NO_LIMIT, "<1 ><2 >" },
		{ STR("\0\0\0\x04\x02xyz\0\0\0\x02\x01\n\0\0"), NO_LIMIT,
			"<2 xyz><1 \n>" },
		{ STR("\0\0\0\x04\x02xy"), NO_LIMIT, "" },
		{ STR("\0\0\0\x04\x02xyz"), 3, "<2 xyz>" },
		{ STR("\0\0\0\x05\x02xyzz"), 3, "!-1" },
		{ STR("\0\0\0\x05"), 3, "!-1" },
		{ STR("\0\0\0\x05\x03"), 3, "!-1" }, /* the length is first */
		{ STR("\xff\xff\xff\xff"), 1 << 20, "!-1" },
		{ STR("\xff\xff\xff\xff\x02xyz"), NO_LIMIT, "" },
		{ STR("\0\0\0\0"), NO_LIMIT, "!-3" },
		{ STR("\0\0\0\x01\0"), NO_LIMIT, "!-2" },
		{ STR("\0\0\0\x02\x03"), NO_LIMIT, "!-2" },
		{ STR("\0\0\0\x02\x08x"), NO_LIMIT, "!-2" },
		{ STR("\0\0\0\x01\x02"), 0, "<2 >" },
		{ STR("\0\0\0\x02\x02x"), 0, "!-1" },
		{ STR("HTTP/1.1 400"), 1 << 20, "!-1" }, /* not our peer */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_stream(
			FRAMING_LEN32, cases[i].in, cases[i].max, cases[i].out);
}

static void test_raw(void **state)
{
	const struct framing *f = framing_get(FRAMING_RAW);
	char *out;

	(void)state;
	out = read_stream(f, STR("abcdefg"), NO_LIMIT, 3);
	assert_string_equal(out, "<2 abc><2 def><2 g>");
	free(out);
	out = read_stream(f, STR("abcdefg"), 4, 7);
	assert_string_equal(out, "<2 abcd><2 efg>");
	free(out);
}

/* What encode writes, decode reads. */
static void check_round_trip(enum framing_id id, uint8_t opcode, size_t n)
{
	const struct framing *f = framing_get(id);
	uint8_t head[FRAMING_HEAD_MAX], tail[FRAMING_TAIL_MAX];
	size_t head_n = 99, tail_n = 99, scanned = 0;
	struct framing_message in = { opcode, malloc(n + 1), n, 0 }, back;
	struct buf b = { 0 };

	memset(in.data, 0xe4, n);
	assert_int_equal(f->encode(&in, head, &head_n, tail, &tail_n), 0);
	assert_int_equal(buf_add(&b, head, head_n, SIZE_MAX), 0);
	assert_int_equal(buf_add(&b, in.data, n, SIZE_MAX), 0);
	assert_int_equal(buf_add(&b, tail, tail_n, SIZE_MAX), 0);
	assert_int_equal(f->decode(b.p, b.n, n, &scanned, &back), b.n);
	assert_int_equal(back.opcode, opcode);
	assert_int_equal(back.n, n);
	assert_memory_equal(back.data, in.data, n);
	buf_free(&b);
	free(in.data);
}

static void test_round_trips(void **state)
{
	static const size_t lengths[] = { 0, 1, 254, 255, 256, 65535, 65536,
		1 << 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		check_round_trip(FRAMING_LINE, WS_TEXT, lengths[i]);
		check_round_trip(FRAMING_LEN32, WS_TEXT, lengths[i]);
		check_round_trip(FRAMING_LEN32, WS_BINARY, lengths[i]);
		if (lengths[i] > 0)
			check_round_trip(FRAMING_RAW, WS_BINARY, lengths[i]);
	}
}

/* The prefix counts, and goes between the head and the data. */
static void test_prefix(void **state)
{
	uint8_t head[FRAMING_HEAD_MAX], tail[FRAMING_TAIL_MAX];
	struct framing_message m = {
		.opcode = WS_TEXT, .data = NULL, .n = 3, .prefix_n = 5
	};
	size_t head_n, tail_n;

	(void)state;
	assert_int_equal(framing_get(FRAMING_LEN32)
				 ->encode(&m, head, &head_n, tail, &tail_n),
		0);
	assert_memory_equal(head, "\0\0\0\x09\x01", 5);
	m.prefix_n = UINT32_MAX - 3;
	assert_int_equal(framing_get(FRAMING_LEN32)
				 ->encode(&m, head, &head_n, tail, &tail_n),
		FRAMING_TOO_BIG);
}

/* What is too long is passed over, cut anywhere, and what follows is read. */
static void check_skip(enum framing_id id, struct str in, size_t length)
{
	const struct framing *f = framing_get(id);

	for (size_t first = 4; first <= in.n; first++) {
		struct framing_skip s = { 0 };
		struct framing_message m;
		size_t scanned = 0, used;

		assert_int_equal(framing_length(f, (const uint8_t *)in.p),
			id == FRAMING_LINE ? 0 : length - 5);
		framing_skip_begin(f, (const uint8_t *)in.p, &s);
		assert_true(s.left > 0);
		used = framing_skip(f, (const uint8_t *)in.p, first, &s);
		assert_int_equal(used, first < length ? first : length);
		for (; s.left > 0; used++)
			assert_int_equal(
				framing_skip(
					f, (const uint8_t *)in.p + used, 1, &s),
				1);
		assert_int_equal(used, length);
		assert_true(f->decode((uint8_t *)(uintptr_t)in.p + used,
				    in.n - used, 4, &scanned, &m) > 0);
		assert_int_equal(m.n, 2);
	}
}

static void test_skip(void **state)
{
	(void)state;
	check_skip(FRAMING_LINE, STR("too long\nok\n"), 9);
	check_skip(FRAMING_LEN32,
		STR("\0\0\0\x09\x01"
		    "too long\0\0\0\x03\x01ok"),
		13);
}

static int try_encode(
	enum framing_id id, uint8_t opcode, struct str s, size_t n)
{
	uint8_t head[FRAMING_HEAD_MAX], tail[FRAMING_TAIL_MAX];
	struct framing_message m = { opcode, (uint8_t *)(uintptr_t)s.p, n, 0 };
	size_t head_n, tail_n;

	return framing_get(id)->encode(&m, head, &head_n, tail, &tail_n);
}

static void test_encode_refused(void **state)
{
	(void)state;
	assert_int_equal(try_encode(FRAMING_LINE, WS_BINARY, STR("a"), 1),
		FRAMING_BINARY);
	assert_int_equal(try_encode(FRAMING_LINE, WS_TEXT, STR("a\nb"), 3),
		FRAMING_LINE_BREAK);
	assert_int_equal(try_encode(FRAMING_LINE, WS_TEXT, STR("a\n"), 2),
		FRAMING_LINE_BREAK);
	assert_int_equal(try_encode(FRAMING_LINE, WS_TEXT, STR("a\rb"), 3),
		FRAMING_LINE_BREAK);
	assert_int_equal(try_encode(FRAMING_LINE, WS_TEXT, STR("a\r"), 2),
		FRAMING_LINE_BREAK);
	assert_int_equal(
		try_encode(FRAMING_LEN32, WS_TEXT, STR("a\r\nb"), 4), 0);
	assert_int_equal(try_encode(FRAMING_LEN32, WS_CLOSE, STR("a"), 1),
		FRAMING_BAD_OPCODE);
	/* The payload is not read, so a length will do. */
	assert_int_equal(
		try_encode(FRAMING_LEN32, WS_BINARY, STR("a"), UINT32_MAX),
		FRAMING_TOO_BIG);
	assert_int_equal(
		try_encode(FRAMING_LEN32, WS_BINARY, STR("a"), UINT32_MAX - 1),
		0);
	assert_int_equal(try_encode(FRAMING_RAW, WS_TEXT, STR("a\nb"), 3), 0);
}

static void test_table(void **state)
{
	(void)state;
	assert_null(framing_get(FRAMING_NONE));
	assert_string_equal(framing_get(FRAMING_RAW)->name, "raw");
	assert_string_equal(framing_get(FRAMING_LINE)->name, "line");
	assert_string_equal(framing_get(FRAMING_LEN32)->name, "len32");
	assert_false(framing_get(FRAMING_RAW)->whole);
	assert_true(framing_get(FRAMING_LINE)->whole);
	assert_true(framing_get(FRAMING_LEN32)->whole);
	for (int e = FRAMING_LINE_BREAK; e <= FRAMING_TOO_BIG; e++)
		assert_true(strlen(framing_strerror(e)) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_line_linear),
		cmocka_unit_test(test_len32),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_encode_refused),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
