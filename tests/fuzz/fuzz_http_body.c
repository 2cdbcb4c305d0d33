/*
 * fuzz_http_body.c: a response's head and the bytes behind it.
 *
 * What must hold: content, verdict and end are the same however the bytes are
 * cut; content lies in the input; written down again as one chunk it reads the
 * same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/http/body.h"
#include "codec/http/http.h"

#define MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct result {
	struct buf content;
	enum http_body_event end;
	const char *why;
	size_t used;
};

static void feed(
	struct result *r, struct http_body *b, const char *bytes, size_t n)
{
	char *block = malloc(n > 0 ? n : 1);
	const char *p = block;
	struct str piece;
	size_t left = n;

	if (!block)
		abort();
	memcpy(block, bytes, n);
	while ((r->end = http_body_next(b, &p, &left, &piece, &r->why)) ==
		HTTP_BODY_PIECE) {
		assert(piece.n > 0 && piece.p >= block &&
			piece.p + piece.n == p);
		if (buf_add(&r->content, piece.p, piece.n, MAX) < 0)
			abort();
	}
	assert(p == block + n - left);
	assert(r->end != HTTP_BODY_MORE || left == 0);
	assert((r->end == HTTP_BODY_BAD) == (r->why != NULL));
	r->used += n - left;
	free(block);
}

static struct result run(
	const struct http_head *h, const char *p, size_t n, size_t step)
{
	struct result r = { .end = HTTP_BODY_MORE };
	struct http_body b;
	const char *why;

	if (http_body_init(&b, h, &why) < 0)
		abort();
	do {
		size_t take = n - r.used < step ? n - r.used : step;

		feed(&r, &b, p + r.used, take);
	} while (r.end == HTTP_BODY_MORE && r.used < n);
	return r;
}

static void compare(const struct result *a, const struct result *b)
{
	assert(a->end == b->end && a->why == b->why && a->used == b->used);
	assert(str_eq(buf_str(&a->content), buf_str(&b->content)));
}

static void check_again(const struct result *first)
{
	static struct http_head h;
	static const char head[] =
		"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n";
	struct buf text = { 0 };
	struct result again;
	const char *why;

	if (first->content.n > 0 &&
		(buf_add_printf(&text, "%zx\r\n", first->content.n) < 0 ||
			buf_add_str(&text, buf_str(&first->content)) < 0 ||
			buf_add_str(&text, STR("\r\n")) < 0))
		abort();
	if (buf_add_str(&text, STR("0\r\n\r\n")) < 0 ||
		http_parse_response(&h, head, sizeof(head) - 1, &why) < 0)
		abort();
	again = run(&h, (const char *)text.p, text.n, text.n);
	assert(again.end == HTTP_BODY_END && again.used == text.n);
	assert(str_eq(buf_str(&again.content), buf_str(&first->content)));
	buf_free(&again.content);
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct http_head h;
	const char *p = (const char *)data, *why;
	size_t scanned = 0;
	ssize_t end = http_find_end(p, n, &scanned);
	struct http_body b;
	struct result whole, parts;

	if (end <= 0 || n > MAX ||
		http_parse_response(&h, p, (size_t)end, &why) < 0)
		return 0;
	if (http_body_init(&b, &h, &why) < 0) {
		assert(why);
		return 0;
	}
	p += end;
	n -= (size_t)end;
	whole = run(&h, p, n, n + 1);
	for (size_t step = 1; step < 8; step += 3) {
		parts = run(&h, p, n, step);
		compare(&whole, &parts);
		buf_free(&parts.content);
	}
	check_again(&whole);
	buf_free(&whole.content);
	return 0;
}
