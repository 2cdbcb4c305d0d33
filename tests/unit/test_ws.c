#include "codec/ws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define NO_LIMIT UINT64_MAX

/*
 * What a decoder gave out, independent of where the input was cut:
 * "<1 payload>" for a message, "{9 payload}" for a control frame (a close:
 * "{8 1000 reason}"), "!1002 why" for a violation.
 */
struct record {
	struct ws_decoder d;
	struct buf text;
	size_t pieces; /* data events */
	bool inside;   /* a message is open */
	uint16_t bad;
	uint64_t length; /* of a message that is too long */
};

static void record_init(struct record *r, bool masked, uint64_t max)
{
	*r = (struct record){ .pieces = 0 };
	ws_decoder_init(&r->d, masked, max);
}

static void record_free(struct record *r)
{
	ws_decoder_free(&r->d);
	buf_free(&r->text);
}

static void record_bytes(struct record *r, const void *p, size_t n)
{
	assert_int_equal(buf_add(&r->text, p, n, SIZE_MAX), 0);
}

static void record_data(struct record *r, const struct ws_event *e)
{
	assert_int_equal(e->first, !r->inside);
	assert_true(e->n > 0 || e->last);
	if (e->first)
		assert_int_equal(
			buf_add_printf(&r->text, "<%d ", e->opcode), 0);
	record_bytes(r, e->data, e->n);
	if (e->last)
		record_bytes(r, ">", 1);
	r->inside = !e->last;
	r->pieces++;
}

static void record_event(struct record *r, const struct ws_event *e)
{
	switch (e->type) {
	case WS_EVENT_NONE:
		break;
	case WS_EVENT_DATA:
		record_data(r, e);
		break;
	case WS_EVENT_CONTROL:
		assert_int_equal(buf_add_printf(&r->text, "{%x ",
					 (unsigned int)e->opcode),
			0);
		if (e->opcode == WS_CLOSE)
			assert_int_equal(buf_add_printf(&r->text, "%u ",
						 (unsigned int)e->code),
				0);
		record_bytes(r, e->data, e->n);
		record_bytes(r, "}", 1);
		break;
	case WS_EVENT_EMPTY:
		record_bytes(r, "~", 1);
		break;
	case WS_EVENT_BAD:
		assert_non_null(e->why);
		assert_int_equal(buf_add_printf(&r->text, "!%u %s",
					 (unsigned int)e->code, e->why),
			0);
		r->bad = e->code;
		r->length = e->length;
		break;
	}
}

/*
 * Gives the decoder a copy in a block of its own, at an odd address, freed
 * afterwards: ASan sees a byte too many and a view kept too long.
 */
static void record_feed(struct record *r, const uint8_t *p, size_t n)
{
	uint8_t *block = malloc(n + 1), *at = block + 1;
	size_t left = n;
	struct ws_event e;

	if (n > 0)
		memcpy(at, p, n);
	while (!r->bad) {
		ws_decode(&r->d, &at, &left, &e);
		assert_ptr_equal(at, block + 1 + n - left);
		record_event(r, &e);
		if (e.type == WS_EVENT_NONE) {
			assert_int_equal(left, 0);
			break;
		}
	}
	free(block);
}

static void feed_whole(struct record *r, struct str s)
{
	record_feed(r, (const uint8_t *)s.p, s.n);
}

static void feed_bytes(struct record *r, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		record_feed(r, (const uint8_t *)s.p + i, 1);
}

static void assert_record(const struct record *r, struct str expected)
{
	assert_int_equal(r->text.n, expected.n);
	assert_memory_equal(r->text.p, expected.p, expected.n);
}

/* --- vectors --------------------------------------------------------------*/

struct vector {
	bool masked;
	struct str in, out;
	bool idle;
};

static const struct vector vectors[] = {
	/* RFC 6455 section 5.7 */
	{ false, STR("\x81\x05Hello"), STR("<1 Hello>"), true },
	{ true, STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
		STR("<1 Hello>"), true },
	{ false, STR("\x01\x03Hel\x80\x02lo"), STR("<1 Hello>"), true },
	{ false, STR("\x89\x05Hello"), STR("{9 Hello}"), true },
	{ true, STR("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
		STR("{a Hello}"), true },
	/* Empty messages, and fragments (~). */
	{ false, STR("\x81\x00"), STR("<1 >"), true },
	{ false, STR("\x82\x00"), STR("<2 >"), true },
	{ true, STR("\x82\x80\x01\x02\x03\x04"), STR("<2 >"), true },
	{ false, STR("\x02\x00\x00\x00\x80\x00"), STR("~~<2 >"), true },
	{ false, STR("\x02\x00\x00\x01x\x00\x00\x80\x01y"), STR("~<2 x~y>"),
		true },
	{ false, STR("\x01\x01x\x80\x00"), STR("<1 x>"), true },
	{ false, STR("\x01\x00"), STR("~"), false },
	{ false, STR("\x01\x01x"), STR("<1 x"), false },
	/* Control frames between fragments, and behind messages. */
	{ false, STR("\x01\x03Hel\x89\x01p\x00\x01l\x8a\x00\x80\x01o\x89\x00"),
		STR("<1 Hel{9 p}l{a }o>{9 }"), true },
	{ true,
		STR("\x01\x82\x00\x00\x00\x00he\x89\x81\x01\x01\x01\x01q"
		    "\x80\x81\x00\x00\x00\x00y"),
		STR("<1 he{9 p}y>"), true },
	/* A character over three fragments. */
	{ false, STR("\x01\x01\xe2\x89\x00\x00\x01\x82\x80\x01\xac"),
		STR("<1 \xe2{9 }\x82\xac>"), true },
	/* Closes. */
	{ false, STR("\x88\x00"), STR("{8 1005 }"), true },
	{ false, STR("\x88\x02\x03\xe8"), STR("{8 1000 }"), true },
	{ false,
		STR("\x88\x06\x0b\xb8"
		    "gr\xc3\xbc"),
		STR("{8 3000 gr\xc3\xbc}"), true },
	{ true, STR("\x88\x84\x00\x00\x00\xff\x0f\xa0x\x86"),
		STR("{8 4000 xy}"), true },
	/* Heads that are not complete. */
	{ false, STR(""), STR(""), true },
	{ false, STR("\x81"), STR(""), false },
	{ false, STR("\x81\x05"), STR(""), false },
	{ false, STR("\x89\x02x"), STR(""), false },
};

static void check_vector(const struct vector *v)
{
	struct record r;

	record_init(&r, v->masked, NO_LIMIT);
	feed_whole(&r, v->in);
	assert_record(&r, v->out);
	assert_int_equal(ws_decoder_idle(&r.d), v->idle);
	record_free(&r);
	record_init(&r, v->masked, NO_LIMIT);
	feed_bytes(&r, v->in);
	assert_record(&r, v->out);
	assert_int_equal(ws_decoder_idle(&r.d), v->idle);
	record_free(&r);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		check_vector(&vectors[i]);
}

/* --- violations -----------------------------------------------------------*/

static const struct {
	bool masked;
	uint64_t max;
	struct str in;
	uint16_t code;
	const char *why; /* part of it */
} violations[] = {
	{ false, NO_LIMIT, STR("\xc1\x00"), 1002, "reserved bit" },
	{ false, NO_LIMIT, STR("\xa1\x00"), 1002, "reserved bit" },
	{ false, NO_LIMIT, STR("\x91\x00"), 1002, "reserved bit" },
	{ false, NO_LIMIT, STR("\xc9\x00"), 1002, "reserved bit" },
	{ false, NO_LIMIT, STR("\x83\x00"), 1002, "opcode" },
	{ false, NO_LIMIT, STR("\x87\x00"), 1002, "opcode" },
	{ false, NO_LIMIT, STR("\x8b\x00"), 1002, "opcode" },
	{ false, NO_LIMIT, STR("\x8f\x00"), 1002, "opcode" },
	{ false, NO_LIMIT, STR("\x81\x80"), 1002, "with a mask" },
	{ true, NO_LIMIT, STR("\x81\x00"), 1002, "without a mask" },
	{ true, NO_LIMIT, STR("\x88\x00"), 1002, "without a mask" },
	{ false, NO_LIMIT, STR("\x09\x00"), 1002, "fragmented control" },
	{ false, NO_LIMIT, STR("\x08\x00"), 1002, "fragmented control" },
	{ false, NO_LIMIT, STR("\x89\x7e"), 1002, "over 125" },
	{ false, NO_LIMIT, STR("\x8a\x7f"), 1002, "over 125" },
	{ false, NO_LIMIT, STR("\x80\x00"), 1002, "without a message" },
	{ false, NO_LIMIT, STR("\x00\x01"), 1002, "without a message" },
	{ false, NO_LIMIT, STR("\x81\x00\x80\x00"), 1002, "without a message" },
	{ false, NO_LIMIT, STR("\x01\x01x\x81\x00"), 1002, "inside" },
	{ false, NO_LIMIT, STR("\x01\x00\x82\x00"), 1002, "inside" },
	{ false, NO_LIMIT, STR("\x82\x7e\x00\x7d"), 1002, "shortest" },
	{ false, NO_LIMIT, STR("\x82\x7e\x00\x00"), 1002, "shortest" },
	{ false, NO_LIMIT, STR("\x82\x7f\0\0\0\0\0\0\xff\xff"), 1002,
		"shortest" },
	{ false, NO_LIMIT, STR("\x82\x7f\0\0\0\0\0\0\0\x01"), 1002,
		"shortest" },
	{ false, NO_LIMIT, STR("\x82\x7f\x80\0\0\0\0\1\0\0"), 1002,
		"highest bit" },
	{ false, NO_LIMIT, STR("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"),
		1002, "highest bit" },
	/* The sum over fragments would wrap around. */
	{ false, NO_LIMIT - 1,
		STR("\x02\x01x\x00\x7f\x7f\xff\xff\xff\xff\xff"
		    "\xff\xff"),
		0, "" },
	{ false, INT64_MAX,
		STR("\x02\x01x\x00\x7f\x7f\xff\xff\xff\xff\xff"
		    "\xff\xff"),
		1009, "too long" },
	/* max_message is judged by the head alone. */
	{ false, 4, STR("\x82\x05"), 1009, "too long" },
	{ false, 65535, STR("\x82\x7f\0\0\0\0\0\1\0\0"), 1009, "too long" },
	{ false, 4, STR("\x02\x03xyz\x80\x02"), 1009, "too long" },
	{ false, 4, STR("\x02\x04xyzz\x00\x00\x00\x01"), 1009, "too long" },
	{ false, 4, STR("\x02\x04xyzz\x80\x00\x82\x04zzyx"), 0, "" },
	{ false, 4, STR("\x02\x02xy\x89\x05zzzzz\x80\x02zz"), 0, "" },
	{ false, 0, STR("\x82\x00\x01\x00\x80\x00"), 0, "" },
	{ false, 0, STR("\x82\x01"), 1009, "too long" },
	/* Text. */
	{ false, NO_LIMIT, STR("\x81\x01\xff"), 1007, "not UTF-8" },
	{ false, NO_LIMIT, STR("\x81\x01\xc3"), 1007, "not UTF-8" },
	{ false, NO_LIMIT, STR("\x01\x01\xc3\x80\x00"), 1007, "not UTF-8" },
	{ false, NO_LIMIT, STR("\x01\x01\xc3\x80\x01x"), 1007, "not UTF-8" },
	{ false, NO_LIMIT, STR("\x01\x02\xed\xa0"), 1007, "not UTF-8" },
	{ false, NO_LIMIT, STR("\x81\x7f\0\0\0\0\0\1\0\0\xff"), 1007,
		"not UTF-8" }, /* before the frame is there */
	{ true, NO_LIMIT, STR("\x81\x81\x0f\0\0\0\xff"), 1007, "not UTF-8" },
	{ false, NO_LIMIT, STR("\x82\x01\xff"), 0, "" },
	{ false, NO_LIMIT, STR("\x02\x01\xff\x80\x01\xff\x81\x01x"), 0, "" },
	/* A new text starts anew. */
	{ false, NO_LIMIT, STR("\x81\x02\xc3\xa4\x81\x01x"), 0, "" },
	/* Closes. */
	{ false, NO_LIMIT, STR("\x88\x01\x03"), 1002, "one byte" },
	{ false, NO_LIMIT, STR("\x88\x02\x03\xe7"), 1002, "close code" },
	{ false, NO_LIMIT, STR("\x88\x02\x03\xed"), 1002, "close code" },
	{ false, NO_LIMIT, STR("\x88\x02\x03\xee"), 1002, "close code" },
	{ false, NO_LIMIT, STR("\x88\x02\0\0"), 1002, "close code" },
	{ false, NO_LIMIT, STR("\x88\x03\x03\xe8\xc3"), 1007, "reason" },
	{ false, NO_LIMIT, STR("\x88\x03\x03\xe8\xff"), 1007, "reason" },
	{ true, NO_LIMIT, STR("\x88\x83\0\0\0\0\x03\xe8\xff"), 1007, "reason" },
};

static void test_violations(void **state)
{
	struct record r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(violations); i++) {
		for (size_t cut = 0; cut <= violations[i].in.n; cut++) {
			struct str in = violations[i].in;
			const uint8_t *p = (const uint8_t *)in.p;

			record_init(
				&r, violations[i].masked, violations[i].max);
			record_feed(&r, p, cut);
			record_feed(&r, p + cut, in.n - cut);
			if (r.bad != violations[i].code)
				fail_msg("violation %zu cut at %zu: %u", i, cut,
					(unsigned int)r.bad);
			record_bytes(&r, "", 1);
			assert_non_null(
				strstr((char *)r.text.p, violations[i].why));
			if (r.bad == WS_CODE_TOO_BIG)
				assert_true(r.length > violations[i].max);
			else
				assert_int_equal(r.length, 0);
			record_free(&r);
		}
	}
}

/* --- behind a violation ---------------------------------------------------*/

/* 128 bytes that look like close frames. */
#define TWO_EIGHTS                                                             \
	"\x88\x00\x88\x00\x88\x00\x88\x00\x88\x00\x88\x00\x88\x00\x88\x00"
#define FOUR_EIGHTS  TWO_EIGHTS TWO_EIGHTS TWO_EIGHTS TWO_EIGHTS
#define EIGHTS       FOUR_EIGHTS FOUR_EIGHTS
#define MASKED_CLOSE "\x88\x82\x01\x02\x03\x04\x02\xea"

/* Streams whose close frame is their end; in front of it something is wrong. */
static const struct {
	bool masked;
	uint64_t max;
	struct str in;
} skipped[] = {
	/* The violation is in a head, and its frame has a payload. */
	{ false, NO_LIMIT, STR("\xc1\x02xx\x88\x00") },
	{ false, NO_LIMIT, STR("\x83\x02\x88\x00\x88\x02\x03\xe8") },
	{ false, NO_LIMIT, STR("\x89\x7e\x00\x80" EIGHTS "\x88\x00") },
	{ false, NO_LIMIT, STR("\x82\x7e\x00\x02xx\x88\x00") },
	{ true, NO_LIMIT, STR("\x81\x03xxx" MASKED_CLOSE) },
	/* Too long: the rest of it comes, and more. */
	{ false, 4, STR("\x82\x05\x88\x00xyz\x88\x00") },
	{ false, 4, STR("\x02\x03xyz\x80\x02\x88\x00\x81\x01x\x88\x00") },
	{ true, 4,
		STR("\x82\x85\0\0\0\0"
		    "12345" MASKED_CLOSE) },
	{ false, 4, STR("\x82\x7e\x00\x80" EIGHTS "\x8a\x00\x88\x00") },
	/* Text that is not UTF-8, in the middle of its frame. */
	{ false, NO_LIMIT, STR("\x81\x03\xff\x88\x00\x88\x00") },
	/* It is the close frame itself that is wrong. */
	{ false, NO_LIMIT, STR("\x88\x01\x03") },
	{ false, NO_LIMIT, STR("\x88\x03\x03\xe8\xff") },
	{ true, NO_LIMIT, STR("\x88\x82\0\0\0\0\x03\xe7") },
	{ true, NO_LIMIT, STR("\x88\x00") },
	/* A close frame in front of the violation is none behind it. */
	{ false, NO_LIMIT, STR("\x88\x00\x81\x00\xc1\x00\x88\x00") },
	{ false, NO_LIMIT, STR("\x88\x00\xc1\x01x\x88\x00") },
};

/* Up to the violation, then on; whether the close frame was seen. */
static bool skip_piece(
	struct ws_decoder *d, bool *bad, const char *bytes, size_t n)
{
	uint8_t *block = malloc(n + 1), *at = block;
	struct ws_event e = { .type = WS_EVENT_DATA };
	bool seen;

	memcpy(block, bytes, n);
	while (!*bad && e.type != WS_EVENT_NONE) {
		ws_decode(d, &at, &n, &e);
		*bad = e.type == WS_EVENT_BAD;
	}
	seen = *bad && ws_skip_to_close(d, at, n);
	free(block);
	return seen;
}

static void test_skip_to_close(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(skipped); i++) {
		struct str in = skipped[i].in;

		for (size_t cut = 0; cut < in.n; cut++) {
			struct ws_decoder d;
			bool bad = false;

			ws_decoder_init(&d, skipped[i].masked, skipped[i].max);
			if (skip_piece(&d, &bad, in.p, cut))
				fail_msg("%zu: seen in %zu bytes", i, cut);
			if (!skip_piece(&d, &bad, in.p + cut, in.n - cut))
				fail_msg("%zu: not seen, cut at %zu", i, cut);
			ws_decoder_free(&d);
		}
	}
}

/* A new decoder: nothing is decoded at all. */
static void test_skip_from_the_beginning(void **state)
{
	static const char in[] = "\x81\x82\0\0\0\0xx" MASKED_CLOSE "behind";
	size_t end = sizeof(in) - sizeof("behind");
	struct ws_decoder d;
	uint8_t byte;

	(void)state;
	ws_decoder_init(&d, true, 0);
	for (size_t i = 0; i < sizeof(in); i++) {
		byte = (uint8_t)in[i];
		assert_int_equal(ws_skip_to_close(&d, &byte, 1), i + 1 >= end);
	}
}

/* --- cuts -----------------------------------------------------------------*/

/* Appends a frame; the payload is masked when mask is given. */
static void add_frame(
	struct buf *b, uint8_t first, struct str payload, const uint8_t *mask)
{
	uint8_t head[WS_HEAD_MAX];
	size_t head_n = ws_encode_head(
		head, first & 0xf, first >> 7, payload.n, mask);
	size_t at = b->n + head_n;

	assert_int_equal(buf_add(b, head, head_n, SIZE_MAX), 0);
	assert_int_equal(buf_add_str(b, payload), 0);
	if (mask && payload.n > 0)
		ws_mask(b->p + at, payload.n, mask);
}

/* Everything that is allowed, in one stream. */
static void add_stream(struct buf *b, const uint8_t *mask)
{
	static const char euros[] = "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac";
	char long_text[400];

	memset(long_text, 'L', sizeof(long_text));
	memcpy(long_text + 120, euros, sizeof(euros) - 1);
	add_frame(b, 0x81, STR("Hello"), mask);
	add_frame(b, 0x81, STR(""), mask);
	add_frame(b, 0x82, (struct str){ long_text, 126 }, mask);
	add_frame(b, 0x01, STR("a\xe2"), mask);
	add_frame(b, 0x89, STR("ping"), mask);
	add_frame(b, 0x00, STR(""), mask);
	add_frame(b, 0x00,
		STR("\x82\xac"
		    "b"),
		mask);
	add_frame(b, 0x8a, STR(""), mask);
	add_frame(b, 0x80, (struct str){ long_text, 400 }, mask);
	add_frame(b, 0x89, (struct str){ long_text, 125 }, mask);
	add_frame(b, 0x02, STR(""), mask);
	add_frame(b, 0x80, STR("\0\xff"), mask);
	add_frame(b, 0x88,
		STR("\x03\xe8"
		    "bye \xe2\x82\xac"),
		mask);
}

static void check_cuts(const uint8_t *mask)
{
	struct buf in = { 0 };
	struct record whole, r;

	add_stream(&in, mask);
	record_init(&whole, mask != NULL, 1000);
	feed_whole(&whole, buf_str(&in));
	assert_int_equal(whole.bad, 0);
	/* One piece per data frame, but for the empty ones inside. */
	assert_int_equal(whole.pieces, 7);
	assert_true(ws_decoder_idle(&whole.d));
	for (size_t cut = 0; cut <= in.n; cut++) {
		record_init(&r, mask != NULL, 1000);
		record_feed(&r, in.p, cut);
		record_feed(&r, in.p + cut, in.n - cut);
		assert_record(&r, buf_str(&whole.text));
		record_free(&r);
	}
	for (size_t step = 1; step < 40; step++) {
		record_init(&r, mask != NULL, 1000);
		for (size_t at = 0; at < in.n; at += step)
			record_feed(&r, in.p + at,
				step < in.n - at ? step : in.n - at);
		assert_record(&r, buf_str(&whole.text));
		record_free(&r);
	}
	record_free(&whole);
	buf_free(&in);
}

static void test_cuts(void **state)
{
	static const uint8_t mask[4] = { 0x12, 0x00, 0xfe, 0x80 };

	(void)state;
	check_cuts(NULL);
	check_cuts(mask);
}

/* --- round trips ----------------------------------------------------------*/

static void check_round_trip(
	size_t n, const uint8_t *mask, size_t head_n, size_t step)
{
	struct buf in = { 0 };
	struct record r;
	char *payload = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		payload[i] = (char)(i * 31 + i / 251);
	add_frame(&in, 0x82, (struct str){ payload, n }, mask);
	assert_int_equal(in.n, head_n + n);
	record_init(&r, mask != NULL, n);
	for (size_t at = 0; at < in.n; at += step)
		record_feed(&r, in.p + at, step < in.n - at ? step : in.n - at);
	assert_int_equal(r.text.n, n + 4);
	assert_memory_equal(r.text.p, "<2 ", 3);
	assert_memory_equal(r.text.p + 3, payload, n);
	if (step >= in.n)
		assert_int_equal(r.pieces, 1);
	record_free(&r);
	buf_free(&in);
	free(payload);
}

static void test_round_trips(void **state)
{
	static const struct {
		size_t n, head;
	} cases[] = { { 0, 2 }, { 1, 2 }, { 125, 2 }, { 126, 4 }, { 127, 4 },
		{ 65535, 4 }, { 65536, 10 }, { 300000, 10 } };
	static const uint8_t mask[4] = { 0xde, 0xad, 0xbe, 0xef };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static const size_t steps[] = { SIZE_MAX / 2, 4096, 1001, 7 };

		for (size_t k = 0; k < ARRAY_SIZE(steps); k++) {
			check_round_trip(
				cases[i].n, NULL, cases[i].head, steps[k]);
			check_round_trip(
				cases[i].n, mask, cases[i].head + 4, steps[k]);
		}
	}
}

static void test_encode_head(void **state)
{
	uint8_t head[WS_HEAD_MAX];

	(void)state;
	assert_int_equal(ws_encode_head(head, WS_TEXT, true, 5, NULL), 2);
	assert_memory_equal(head, "\x81\x05", 2);
	assert_int_equal(ws_encode_head(head, WS_CONTINUATION, false, 126,
				 (const uint8_t *)"abcd"),
		8);
	assert_memory_equal(head,
		"\x00\xfe\x00\x7e"
		"abcd",
		8);
	assert_int_equal(ws_encode_head(head, WS_BINARY, true, INT64_MAX,
				 (const uint8_t *)"abcd"),
		WS_HEAD_MAX);
	assert_memory_equal(head,
		"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
		"abcd",
		14);
}

/* Every length around the steps of the loop, at every address. */
static void test_mask_alignment(void **state)
{
	static const uint8_t mask[4] = { 1, 0x80, 0xff, 0x3c };

	(void)state;
	for (size_t offset = 0; offset < 9; offset++) {
		for (size_t n = 0; n < 110; n++) {
			uint8_t *block = malloc(offset + n + 1);
			uint8_t *p = block + offset;

			for (size_t i = 0; i < n; i++)
				p[i] = (uint8_t)(i * 3);
			p[n] = 0x55;
			ws_mask(p, n, mask);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(
					p[i], (uint8_t)(i * 3) ^ mask[i % 4]);
			assert_int_equal(p[n], 0x55);
			free(block);
		}
	}
}

/* --- closes ---------------------------------------------------------------*/

static void test_encode_close(void **state)
{
	uint8_t out[WS_CONTROL_MAX];
	char reason[200];

	(void)state;
	assert_int_equal(ws_encode_close(out, WS_CODE_NONE, STR("x")), 0);
	assert_int_equal(ws_encode_close(out, 1000, STR_NONE), 2);
	assert_memory_equal(out, "\x03\xe8", 2);
	assert_int_equal(ws_encode_close(out, 4999, STR("why")), 5);
	assert_memory_equal(out, "\x13\x87why", 5);
	memset(reason, 'x', sizeof(reason));
	assert_int_equal(
		ws_encode_close(out, 1000, (struct str){ reason, 123 }), 125);
	assert_int_equal(
		ws_encode_close(out, 1000, (struct str){ reason, 200 }), 125);
	/* The character over the edge goes as a whole. */
	memcpy(reason + 121, "\xe2\x82\xac", 3);
	assert_int_equal(
		ws_encode_close(out, 1000, (struct str){ reason, 200 }), 123);
	assert_int_equal(out[122], 'x');
	memcpy(reason + 120, "\xe2\x82\xacx", 4);
	assert_int_equal(
		ws_encode_close(out, 1000, (struct str){ reason, 200 }), 125);
}

static void test_code_valid(void **state)
{
	(void)state;
	for (unsigned int code = 0; code <= UINT16_MAX; code++) {
		bool valid = (code >= 3000 && code < 5000) || code == 1000 ||
			     code == 1001 || code == 1002 || code == 1003 ||
			     code == 1007 || code == 1008 || code == 1009 ||
			     code == 1010 || code == 1011 || code == 1012 ||
			     code == 1013 || code == 1014;

		assert_int_equal(ws_code_valid((uint16_t)code), valid);
	}
}

/* One per connection and direction: it is counted in the idle memory. */
static void test_size(void **state)
{
	(void)state;
	assert_true(sizeof(struct ws_decoder) <= 192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_violations),
		cmocka_unit_test(test_skip_to_close),
		cmocka_unit_test(test_skip_from_the_beginning),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_encode_head),
		cmocka_unit_test(test_mask_alignment),
		cmocka_unit_test(test_encode_close),
		cmocka_unit_test(test_code_valid),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
