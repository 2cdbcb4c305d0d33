/*
 * Decodes a stream whole and in cuts, and compares what came out. The first
 * byte chooses the role and the limit, the second seeds the cuts.
 *
 * After a violation only the code and the words are compared, and whether a
 * close frame follows: how much of the last message was given out before it
 * depends on the cuts.
 */
#include "codec/ws.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct result {
	struct buf text;
	size_t intact; /* of text: before the message under way */
	const char *why;
	uint16_t code;
	bool inside;
	bool closed;     /* behind the violation comes a close frame */
	uint64_t length; /* of the message under way */
};

static void record(struct result *r, const void *p, size_t n)
{
	if (buf_add(&r->text, p, n, SIZE_MAX) < 0)
		abort();
}

static void record_data(
	struct result *r, const struct ws_event *e, uint64_t max)
{
	if (e->first == r->inside || (e->n == 0 && !e->last) ||
		(e->opcode != WS_TEXT && e->opcode != WS_BINARY))
		abort();
	if (e->first) {
		record(r, &e->opcode, 1);
		r->length = 0;
	}
	record(r, e->data, e->n);
	r->length += e->n;
	if (r->length > max)
		abort();
	if (e->last)
		record(r, &r->length, sizeof(r->length));
	r->inside = !e->last;
}

static void record_control(struct result *r, const struct ws_event *e)
{
	if (e->n > WS_CONTROL_MAX || !(e->opcode & 8))
		abort();
	if (e->opcode == WS_CLOSE &&
		((e->code != WS_CODE_NONE && !ws_code_valid(e->code)) ||
			!utf8_valid(e->data, e->n)))
		abort();
	record(r, &e->opcode, 1);
	record(r, &e->code, sizeof(e->code));
	record(r, e->data, e->n);
}

static void feed(
	struct result *r, struct ws_decoder *d, const uint8_t *p, size_t n)
{
	uint8_t *block = malloc(n + 1), *at = block;
	struct ws_event e = { .type = WS_EVENT_DATA };

	if (!block)
		abort();
	memcpy(block, p, n);
	/* The block ends where the input does, for ASan. */
	at = realloc(block, n + (n == 0));
	if (!at)
		abort();
	block = at;
	while (e.type != WS_EVENT_NONE && !r->why) {
		ws_decode(d, &at, &n, &e);
		if (e.type == WS_EVENT_DATA)
			record_data(r, &e, d->max_message);
		else if (e.type == WS_EVENT_CONTROL)
			record_control(r, &e);
		else if (e.type == WS_EVENT_BAD) {
			r->why = e.why;
			r->code = e.code;
		} else if (e.type == WS_EVENT_NONE && n != 0)
			abort();
		if (!r->inside)
			r->intact = r->text.n;
	}
	if (r->why)
		r->closed = ws_skip_to_close(d, at, n);
	free(block);
}

static struct result run(
	const uint8_t *data, size_t n, bool masked, uint64_t max, uint32_t seed)
{
	struct result r = { .inside = false };
	struct ws_decoder d;

	ws_decoder_init(&d, masked, max);
	for (size_t at = 0; at < n;) {
		size_t step = n - at;

		if (seed) {
			seed = seed * 1103515245 + 12345;
			if (step > 1 + (seed >> 16) % (seed >> 28 ? 9 : 200))
				step = 1 +
				       (seed >> 16) % (seed >> 28 ? 9 : 200);
		}
		feed(&r, &d, data + at, step);
		at += step;
	}
	ws_decoder_free(&d);
	return r;
}

static void compare(const struct result *a, const struct result *b)
{
	size_t n = a->text.n;

	if (a->why != b->why || a->code != b->code || a->closed != b->closed)
		abort();
	if (a->why)
		n = a->intact < b->intact ? a->intact : b->intact;
	else if (n != b->text.n)
		abort();
	if (n > 0 && memcmp(a->text.p, b->text.p, n) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint64_t limits[] = { UINT64_MAX, 1 << 20, 200, 5 };
	struct result whole, parts;
	bool masked;
	uint64_t max;

	if (n < 2)
		return 0;
	masked = data[0] & 1;
	max = limits[data[0] >> 1 & 3];
	whole = run(data + 2, n - 2, masked, max, 0);
	parts = run(data + 2, n - 2, masked, max, data[1] + 1u);
	compare(&whole, &parts);
	buf_free(&whole.text);
	buf_free(&parts.text);
	return 0;
}
