#include "codec/http/body.h"

#include "base/buf.h"
#include "codec/http/http.h"

#include "support.h"

/* --- how it is delimited ------------------------------------------------- */

#define OK   "HTTP/1.1 403 No\r\n"
#define OLD  "HTTP/1.0 403 No\r\n"
#define SIZE "Content-Length: "
#define CODE "Transfer-Encoding: "

static const struct {
	const char *head;
	const char *why; /* a part of it; NULL: it is good */
	bool by_close;
} heads[] = {
	{ OK "\r\n", NULL, true },
	{ OLD "\r\n", NULL, true },
	{ OK SIZE "5\r\n\r\n", NULL, false },
	{ OK SIZE "0005\r\n\r\n", NULL, false },
	{ OK SIZE "18446744073709551615\r\n\r\n", NULL, false },
	{ OK SIZE "5\r\n" SIZE "5\r\n\r\n", NULL, false },
	{ OK SIZE "5, 05\r\n\r\n", NULL, false },
	{ OK CODE "chunked\r\n\r\n", NULL, false },
	{ OK CODE "Chunked \r\n\r\n", NULL, false },

	{ OK SIZE "5\r\n" SIZE "6\r\n\r\n", "different", false },
	{ OK SIZE "5, 6\r\n\r\n", "different", false },
	{ OK SIZE "5\r\n" SIZE "5, 6\r\n\r\n", "different", false },
	{ OK SIZE "\r\n\r\n", "empty", false },
	{ OK SIZE ",\r\n\r\n", "empty", false },
	{ OK SIZE "-5\r\n\r\n", "no number", false },
	{ OK SIZE "+5\r\n\r\n", "no number", false },
	{ OK SIZE "0x5\r\n\r\n", "no number", false },
	{ OK SIZE "5 5\r\n\r\n", "no number", false },
	{ OK SIZE "18446744073709551616\r\n\r\n", "no number", false },
	{ OK SIZE "5\r\n" CODE "chunked\r\n\r\n", "beside", false },
	{ OK CODE "chunked\r\n" SIZE "5\r\n\r\n", "beside", false },
	{ OLD CODE "chunked\r\n\r\n", "HTTP/1.0", false },
	{ OK CODE "gzip, chunked\r\n\r\n", "chunked alone", false },
	{ OK CODE "chunked, chunked\r\n\r\n", "chunked alone", false },
	{ OK CODE "chunked\r\n" CODE "chunked\r\n\r\n", "chunked alone",
		false },
	{ OK CODE "identity\r\n\r\n", "chunked alone", false },
	{ OK CODE "\r\n\r\n", "chunked alone", false },
};

static int begin(struct http_body *b, const char *head, const char **why)
{
	struct http_head h;

	assert_int_equal(http_parse_response(&h, head, strlen(head), why), 0);
	return http_body_init(b, &h, why);
}

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct http_body b;
		const char *why;
		int result = begin(&b, heads[i].head, &why);

		if ((result == 0) != !heads[i].why)
			fail_case(heads[i].head, "%s", why ? why : "taken");
		if (result == 0)
			assert_int_equal(
				http_body_ends_by_close(&b), heads[i].by_close);
		else if (!strstr(why, heads[i].why))
			fail_case(heads[i].head, "%s", why);
	}
}

/* --- bodies -------------------------------------------------------------- */

#define CHUNKED OK CODE "chunked\r\n\r\n"
#define X1024   X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64
#define X64     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X8192   X1024 X1024 X1024 X1024 X1024 X1024 X1024 X1024

static const struct body_case {
	const char *head, *bytes;
	const char *content; /* all of it, or what came before the fault */
	enum http_body_event end;
	size_t behind;   /* END: bytes that are left */
	const char *why; /* BAD: a part of it */
} bodies[] = {
	{ OK SIZE "5\r\n\r\n", "hello", "hello", HTTP_BODY_END, 0, NULL },
	{ OK SIZE "5\r\n\r\n", "hello, you", "hello", HTTP_BODY_END, 5, NULL },
	{ OK SIZE "0\r\n\r\n", "", "", HTTP_BODY_END, 0, NULL },
	{ OK SIZE "0\r\n\r\n", "x", "", HTTP_BODY_END, 1, NULL },
	{ OK SIZE "6\r\n\r\n", "hello", "hello", HTTP_BODY_MORE, 0, NULL },
	{ OK "\r\n", "hello", "hello", HTTP_BODY_MORE, 0, NULL },
	{ OK "\r\n", "", "", HTTP_BODY_MORE, 0, NULL },

	{ CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello", HTTP_BODY_END, 0, NULL },
	{ CHUNKED, "0\r\n\r\n", "", HTTP_BODY_END, 0, NULL },
	{ CHUNKED, "0\r\n\r\nHTTP/1.1", "", HTTP_BODY_END, 8, NULL },
	{ CHUNKED, "5\r\nhel\r\n\r\n2\r\nlo\r\n0\r\n\r\n", "hel\r\nlo",
		HTTP_BODY_END, 0, NULL },
	{ CHUNKED, "A\r\n0123456789\r\nb\r\n0123456789a\r\n000\r\n\r\n",
		"01234567890123456789a", HTTP_BODY_END, 0, NULL },
	{ CHUNKED, "00000000000000000001\r\nx\r\n0\r\n\r\n", "x", HTTP_BODY_END,
		0, NULL },
	{ CHUNKED, "1;a\r\nx\r\n0;b=c;d=\"e f\"\r\n\r\n", "x", HTTP_BODY_END, 0,
		NULL },
	{ CHUNKED, "1 \t\r\nx\r\n0 ; a = b\r\n\r\n", "x", HTTP_BODY_END, 0,
		NULL },
	{ CHUNKED, "0\r\nA: b\r\nC:\r\n\r\nx", "", HTTP_BODY_END, 1, NULL },

	{ CHUNKED, "", "", HTTP_BODY_MORE, 0, NULL },
	{ CHUNKED, "5", "", HTTP_BODY_MORE, 0, NULL },
	{ CHUNKED, "5\r\nhello", "hello", HTTP_BODY_MORE, 0, NULL },
	{ CHUNKED, "5\r\nhello\r\n0\r\n", "hello", HTTP_BODY_MORE, 0, NULL },
	{ CHUNKED, "fffffffffffffff\r\nhello", "hello", HTTP_BODY_MORE, 0,
		NULL },

	{ CHUNKED, "\r\n", "", HTTP_BODY_BAD, 0, "without a size" },
	{ CHUNKED, ";a\r\n", "", HTTP_BODY_BAD, 0, "without a size" },
	{ CHUNKED, " 5\r\nhello", "", HTTP_BODY_BAD, 0, "without a size" },
	{ CHUNKED, "-1\r\n", "", HTTP_BODY_BAD, 0, "without a size" },
	{ CHUNKED, "0x5\r\nhello", "", HTTP_BODY_BAD, 0, "no number" },
	{ CHUNKED, "5h\r\nhello", "", HTTP_BODY_BAD, 0, "no number" },
	{ CHUNKED, "5 5\r\nhello", "", HTTP_BODY_BAD, 0, "no number" },
	{ CHUNKED, "5\nhello", "", HTTP_BODY_BAD, 0, "no number" },
	{ CHUNKED, "5 \nhello", "", HTTP_BODY_BAD, 0, "no number" },
	{ CHUNKED, "5\rhello", "", HTTP_BODY_BAD, 0, "CRLF" },
	{ CHUNKED, "5;a\nhello", "", HTTP_BODY_BAD, 0, "control" },
	{ CHUNKED, "5;\x01\r\n", "", HTTP_BODY_BAD, 0, "control" },
	{ CHUNKED, "5\r\nhello0\r\n\r\n", "hello", HTTP_BODY_BAD, 0, "CRLF" },
	{ CHUNKED, "5\r\nhello\n0\r\n\r\n", "hello", HTTP_BODY_BAD, 0, "CRLF" },
	{ CHUNKED, "5\r\nhello\r0\r\n\r\n", "hello", HTTP_BODY_BAD, 0, "CRLF" },
	{ CHUNKED, "5\r\nhello, you\r\n", "hello", HTTP_BODY_BAD, 0, "CRLF" },
	{ CHUNKED, "10000000000000000\r\n", "", HTTP_BODY_BAD, 0, "too large" },
	{ CHUNKED, "ffffffffffffffffffffff\r\n", "", HTTP_BODY_BAD, 0,
		"too large" },
	{ CHUNKED, "0\r\n\n", "", HTTP_BODY_BAD, 0, "name" },
	{ CHUNKED, "0\r\n\rx", "", HTTP_BODY_BAD, 0, "CRLF" },
	{ CHUNKED, "0\r\nA\r\n\r\n", "", HTTP_BODY_BAD, 0, "colon" },
	{ CHUNKED, "0\r\nA : b\r\n\r\n", "", HTTP_BODY_BAD, 0, "colon" },
	{ CHUNKED, "0\r\n A: b\r\n\r\n", "", HTTP_BODY_BAD, 0, "name" },
	{ CHUNKED, "0\r\n: b\r\n\r\n", "", HTTP_BODY_BAD, 0, "name" },
	{ CHUNKED, "0\r\nA: b\n\r\n", "", HTTP_BODY_BAD, 0, "control" },
	{ CHUNKED, "0\r\nA: b\rC\r\n", "", HTTP_BODY_BAD, 0, "CRLF" },
	{ CHUNKED, "5;" X1024, "", HTTP_BODY_BAD, 0, "size line is too long" },
	{ CHUNKED, "0\r\nA:" X8192, "", HTTP_BODY_BAD, 0,
		"trailers are too long" },
};

struct reading {
	struct http_body body;
	struct buf content;
	enum http_body_event end;
	const char *why;
	size_t used;
};

static void feed(struct reading *r, const char *bytes, size_t n)
{
	char *block = exact_copy(bytes, n);
	const char *p = block;
	struct str piece;
	size_t left = n;

	if (r->end != HTTP_BODY_MORE) {
		free(block);
		return;
	}
	while ((r->end = http_body_next(&r->body, &p, &left, &piece,
			&r->why)) == HTTP_BODY_PIECE) {
		assert_true(piece.n > 0 && piece.p >= block &&
			    piece.p + piece.n == p);
		assert_int_equal(buf_add_str(&r->content, piece), 0);
	}
	assert_ptr_equal(p, block + n - left);
	if (r->end == HTTP_BODY_MORE)
		assert_int_equal(left, 0);
	r->used += n - left;
	free(block);
}

static void check(const struct body_case *c, struct reading *r)
{
	struct str content = str_of(c->content);

	if (r->end != c->end || r->content.n != content.n ||
		(content.n > 0 &&
			memcmp(r->content.p, content.p, content.n) != 0))
		fail_case(c->bytes, "%d, %.*s: %s", (int)r->end,
			(int)r->content.n, (const char *)r->content.p,
			r->why ? r->why : "");
	if (c->end == HTTP_BODY_END)
		assert_int_equal(r->used, strlen(c->bytes) - c->behind);
	if (c->end == HTTP_BODY_BAD && !strstr(r->why, c->why))
		fail_case(c->bytes, "%s", r->why);
	if (c->end != HTTP_BODY_BAD)
		assert_null(r->why);
	buf_free(&r->content);
}

static void reading_init(struct reading *r, const struct body_case *c)
{
	*r = (struct reading){ .end = HTTP_BODY_MORE };
	assert_int_equal(begin(&r->body, c->head, &r->why), 0);
}

static void test_split_at_every_byte(void **state)
{
	struct reading r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		const struct body_case *c = &bodies[i];
		size_t n = strlen(c->bytes), step = n > 2000 ? 37 : 1;

		for (size_t cut = 0; cut <= n; cut += step) {
			reading_init(&r, c);
			feed(&r, c->bytes, cut);
			feed(&r, c->bytes + cut, n - cut);
			check(c, &r);
		}
		reading_init(&r, c);
		for (size_t at = 0; at < n; at++)
			feed(&r, c->bytes + at, 1);
		feed(&r, "", 0);
		check(c, &r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_split_at_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
