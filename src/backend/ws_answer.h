/*
 * ws_answer.h: a ws backend's answer to our upgrade, collected from the bytes
 * as they come.
 *
 *   1xx but 101 -> skipped (RFC 9110 section 15.2)
 *   101         -> WS_ANSWER_SWITCHED, frames may follow
 *   3xx to 5xx  -> its body -> WS_ANSWER_REFUSED
 *
 * Bounded: so many interim answers, so long heads, so much of a body. Of a
 * longer body the beginning is kept.
 */
#ifndef BACKEND_WS_ANSWER_H
#define BACKEND_WS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "codec/http/body.h"

struct http_head;

#define WS_ANSWER_HEAD_MAX    16384
#define WS_ANSWER_INTERIM_MAX 16
#define WS_ANSWER_BODY_MAX    65536

enum ws_answer_event {
	WS_ANSWER_MORE,     /* it is not complete */
	WS_ANSWER_SWITCHED, /* 101: what is behind the head are frames */
	WS_ANSWER_REFUSED,  /* the answer is complete, or as much as is kept */
	WS_ANSWER_BAD,      /* *why says what is wrong */
	WS_ANSWER_NO_MEMORY,
};

struct ws_answer {
	struct buf in;    /* the head, once head_n > 0; frames behind a 101 */
	struct buf body;  /* of a refusal */
	size_t head_n;    /* 0: it is not complete */
	size_t scanned;   /* see http_find_end */
	size_t body_read; /* bytes of the body as they came, sizes included */
	unsigned interim;
	struct http_body delimited;
};

/* Takes what came. Not to be called again after another result than MORE. */
MUST_CHECK enum ws_answer_event ws_answer_add(
	struct ws_answer *a, const uint8_t *p, size_t n, const char **why);
/* The head, once head_n > 0; its views are good as long as the answer. */
void ws_answer_head(const struct ws_answer *a, struct http_head *h);
/*
 * Appends what is passed on of a refusal's fields, "Name: value\r\n" each:
 * what describes the body, and what tells the client what to do. -1 without
 * memory.
 */
MUST_CHECK int ws_answer_fields(const struct ws_answer *a, struct buf *out);
void ws_answer_free(struct ws_answer *a);

#endif
