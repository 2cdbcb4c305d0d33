/*
 * body.h: the body of a response: where it ends (RFC 9112 section 6.3),
 * and its content without the chunks' sizes (section 7.1). Pure.
 *
 *   head          -> http_body_init: a length | chunked | up to the close
 *   bytes as read -> http_body_next -> pieces of content -> HTTP_BODY_END
 *
 * As strict as http.h: CRLF only, one length, nothing beside chunked. For
 * responses that may have a body: not of HEAD, not 1xx, 204 or 304.
 */
#ifndef CODEC_HTTP_BODY_H
#define CODEC_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

struct http_head;

#define HTTP_CHUNK_LINE_MAX 1024 /* bytes of a chunk's size and extensions */
#define HTTP_TRAILERS_MAX   8192 /* bytes of all trailer fields */

struct http_body {     /* its members are its own */
	uint64_t left; /* bytes of the body, or of the chunk under way */
	size_t line;   /* bytes of the size line, or of the trailers, so far */
	bool has_size; /* a digit of the chunk's size has come */
	uint8_t state;
};

/*
 * Reads how the body is delimited. 0, or -1 and *why: lengths that differ or
 * are none, a length beside a Transfer-Encoding, one that is not chunked
 * alone, one in HTTP/1.0.
 */
MUST_CHECK int http_body_init(
	struct http_body *b, const struct http_head *h, const char **why);

enum http_body_event {
	HTTP_BODY_MORE,  /* all n bytes are taken; more are needed */
	HTTP_BODY_PIECE, /* *piece is content, one byte at least, where it was */
	HTTP_BODY_END,   /* the body is over, *p is behind it */
	HTTP_BODY_BAD,   /* no proper chunks, *why says what; not to go on */
};

/*
 * Takes the next event off the *n bytes at *p and moves both. Call until it
 * is not HTTP_BODY_PIECE. The end of the stream is the body's end, too, when
 * http_body_ends_by_close; else it was cut off.
 */
MUST_CHECK enum http_body_event http_body_next(struct http_body *b,
	const char **p, size_t *n, struct str *piece, const char **why);
bool http_body_ends_by_close(const struct http_body *b);

#endif
