#include "backend/ws_answer.h"

#include <assert.h>

#include "codec/http/http.h"

/* Sizes of chunks, their extensions and trailers come on top of a body. */
#define BODY_READ_MAX (4 * WS_ANSWER_BODY_MAX)

static enum ws_answer_event take_body(
	struct ws_answer *a, const char *p, size_t n, const char **why)
{
	struct str piece;

	a->body_read += n;
	for (;;) {
		switch (http_body_next(&a->delimited, &p, &n, &piece, why)) {
		case HTTP_BODY_MORE:
			return a->body_read > BODY_READ_MAX ? WS_ANSWER_REFUSED
							    : WS_ANSWER_MORE;
		case HTTP_BODY_PIECE:
			if (piece.n > WS_ANSWER_BODY_MAX - a->body.n)
				piece.n = WS_ANSWER_BODY_MAX - a->body.n;
			if (buf_add_str(&a->body, piece) < 0)
				return WS_ANSWER_NO_MEMORY;
			if (a->body.n == WS_ANSWER_BODY_MAX)
				return WS_ANSWER_REFUSED;
			break;
		case HTTP_BODY_END:
			return WS_ANSWER_REFUSED;
		case HTTP_BODY_BAD:
			return WS_ANSWER_BAD;
		}
	}
}

static enum ws_answer_event bad_answer(const char **why, const char *text)
{
	*why = text;
	return WS_ANSWER_BAD;
}

/* A head of n bytes is there. MORE: it was an interim one and is gone. */
static enum ws_answer_event take_head(
	struct ws_answer *a, size_t n, const char **why)
{
	struct http_head h;

	if (http_parse_response(&h, (const char *)a->in.p, n, why) < 0)
		return WS_ANSWER_BAD;
	if (h.status < 200 && h.status != 101) {
		if (++a->interim > WS_ANSWER_INTERIM_MAX)
			return bad_answer(why, "too many interim answers");
		buf_drop(&a->in, n);
		a->scanned = 0;
		return WS_ANSWER_MORE;
	}
	if (h.status != 101 && (h.status < 300 || h.status == 304))
		return bad_answer(
			why, "its status is neither 101 nor a refusal");
	a->head_n = n;
	if (h.status == 101)
		return WS_ANSWER_SWITCHED;
	if (http_body_init(&a->delimited, &h, why) < 0)
		return WS_ANSWER_BAD;
	return take_body(a, (const char *)a->in.p + n, a->in.n - n, why);
}

enum ws_answer_event ws_answer_add(
	struct ws_answer *a, const uint8_t *p, size_t n, const char **why)
{
	enum ws_answer_event event = WS_ANSWER_MORE;

	*why = NULL;
	if (a->head_n > 0)
		return take_body(a, (const char *)p, n, why);
	if (buf_add(&a->in, p, n, SIZE_MAX) < 0)
		return WS_ANSWER_NO_MEMORY;
	while (event == WS_ANSWER_MORE && a->head_n == 0) {
		ssize_t end = http_find_end(
			(const char *)a->in.p, a->in.n, &a->scanned);

		if (end < 0)
			return bad_answer(why, "its answer is not HTTP");
		if (end > WS_ANSWER_HEAD_MAX ||
			(end == 0 && a->in.n > WS_ANSWER_HEAD_MAX))
			return bad_answer(why, "its answer's head is too long");
		if (end == 0)
			return WS_ANSWER_MORE;
		event = take_head(a, (size_t)end, why);
	}
	return event;
}

void ws_answer_head(const struct ws_answer *a, struct http_head *h)
{
	const char *why;
	int result = http_parse_response(
		h, (const char *)a->in.p, a->head_n, &why);

	assert(result == 0); /* take_head has parsed it */
	(void)result;
}

int ws_answer_fields(const struct ws_answer *a, struct buf *out)
{
	static const char *const passed[] = { "Content-Type",
		"Content-Encoding", "WWW-Authenticate", "Allow", "Location",
		"Retry-After" };
	struct http_head h;

	ws_answer_head(a, &h);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		for (size_t k = 0; k < h.n; k++)
			if (str_eq_nocase(
				    h.fields[k].name, str_of(passed[i])) &&
				buf_add_printf(out, "%s: %.*s\r\n", passed[i],
					(int)h.fields[k].value.n,
					h.fields[k].value.p) < 0)
				return -1;
	return 0;
}

void ws_answer_free(struct ws_answer *a)
{
	buf_free(&a->in);
	buf_free(&a->body);
}
