/*
 * http.h: HTTP/1.1 message heads (RFC 9112), strictly.
 *
 * CRLF only, no folding, no white space before a colon, no control bytes in
 * values, exactly one Host, no body: any Transfer-Encoding and a
 * Content-Length other than a single 0 is refused in requests. Pure; every
 * str points into the caller's bytes.
 */
#ifndef CODEC_HTTP_HTTP_H
#define CODEC_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/str.h"

#define HTTP_FIELDS_MAX 100

struct http_field {
	struct str name, value;
};

struct http_head {
	/* request */
	struct str method;
	struct str target; /* as sent */
	/* response */
	int status;
	struct str reason;
	/* both */
	int minor; /* HTTP/1.0: 0; any later 1.x: 1 */
	size_t n;
	struct http_field fields[HTTP_FIELDS_MAX];
};

/*
 * Looks for the end of a head in the n bytes at p, without parsing it.
 * Returns the head's length (with its last CRLF CRLF), 0 when it is not
 * complete, -1 when the bytes can no longer become one (a bare LF, a CR
 * without LF, a NUL). An empty line in front belongs to the head; two of them
 * are one, which parses as nothing. *scanned is 0 at first and lets a later call with the
 * same beginning go on where this one stopped.
 */
MUST_CHECK ssize_t http_find_end(const char *p, size_t n, size_t *scanned);

/*
 * Parses a complete head of n bytes, as http_find_end measured it; one empty
 * line in front is skipped. Returns 0, or the status to answer with, and in *why what is wrong:
 *   400 grammar, Host missing, malformed or twice, a body announced
 *   431 more than HTTP_FIELDS_MAX fields
 *   501 a Transfer-Encoding
 *   505 not HTTP/1.x
 * Whether the method is served is the caller's to decide (405).
 */
MUST_CHECK int http_parse_request(
	struct http_head *h, const char *p, size_t n, const char **why);
/* The same for a response's head. Returns 0, or -1 and *why. */
MUST_CHECK int http_parse_response(
	struct http_head *h, const char *p, size_t n, const char **why);

/* The value of the first field of that name (any case); STR_NONE: none. */
struct str http_field(const struct http_head *h, struct str name);
/* How many fields of that name there are. */
size_t http_field_count(const struct http_head *h, struct str name);
/*
 * Whether a list field has this element, compared without regard to case, in
 * any of its lines: http_has_element(h, STR("Connection"), STR("upgrade")).
 */
bool http_has_element(
	const struct http_head *h, struct str name, struct str element);
/* Whether s is a token (RFC 9110 section 5.6.2): one byte or more. */
bool http_is_token(struct str s);
/* "Bad Gateway" for 502; "" for what is not in the registry. */
const char *http_status_text(int status);

#endif
