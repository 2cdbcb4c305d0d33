/*
 * A chunked body, byte by byte but for its data:
 *
 *   SIZE 1a -> [BLANK] -> [EXTENSION ;x=y] -> SIZE_LF -> DATA 26 bytes
 *     ^                                        |          -> DATA_CR, DATA_LF
 *     '----------------------------------------|-----------------'
 *              size 0: -> LINE -> NAME -> VALUE -> VALUE_LF -> LINE
 *                           '-> LAST_LF -> OVER
 */
#include "codec/http/body.h"

#include "codec/http/http.h"

enum {
	STATE_LENGTH, /* left bytes, no chunks */
	STATE_CLOSE,  /* everything that comes */
	STATE_SIZE,
	STATE_BLANK, /* behind a size: white space up to ; or CR */
	STATE_EXTENSION,
	STATE_SIZE_LF,
	STATE_DATA,
	STATE_DATA_CR,
	STATE_DATA_LF,
	STATE_LINE, /* the beginning of a trailer, or the last CR */
	STATE_NAME,
	STATE_VALUE,
	STATE_VALUE_LF,
	STATE_LAST_LF,
	STATE_OVER,
	STATE_DEAD,
};

/* --- how it is delimited -----------------------------------------------------*/

static bool parse_length(struct str s, uint64_t *length)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*length = n;
	return s.n > 0;
}

/*
 * Section 6.3 point 5: the same length twice is that length, in one field or
 * in several.
 */
static const char *read_length(struct http_body *b, const struct http_head *h)
{
	bool found = false;

	for (size_t i = 0; i < h->n; i++) {
		struct str list = h->fields[i].value, e;
		uint64_t length;

		if (!str_eq_nocase(h->fields[i].name, STR("Content-Length")))
			continue;
		while (str_next_element(&list, &e)) {
			if (!parse_length(e, &length))
				return "a Content-Length that is no number";
			if (found && length != b->left)
				return "two different Content-Length";
			b->left = length;
			found = true;
		}
	}
	return found ? NULL : "an empty Content-Length";
}

int http_body_init(
	struct http_body *b, const struct http_head *h, const char **why)
{
	size_t codings = http_field_count(h, STR("Transfer-Encoding"));
	bool has_length = http_field_count(h, STR("Content-Length")) > 0;

	*b = (struct http_body){ .state = STATE_CLOSE };
	*why = NULL;
	if (codings > 0) {
		b->state = STATE_SIZE;
		if (has_length)
			*why = "Content-Length beside Transfer-Encoding";
		else if (h->minor == 0)
			*why = "a Transfer-Encoding in HTTP/1.0";
		else if (codings > 1 ||
			 !str_eq_nocase(http_field(h, STR("Transfer-Encoding")),
				 STR("chunked")))
			*why = "a Transfer-Encoding that is not chunked alone";
	} else if (has_length) {
		b->state = STATE_LENGTH;
		*why = read_length(b, h);
	}
	return *why ? -1 : 0;
}

bool http_body_ends_by_close(const struct http_body *b)
{
	return b->state == STATE_CLOSE;
}

/* --- chunks -------------------------------------------------------------------*/

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* field-content (RFC 9110 section 5.5): no control bytes but HTAB. */
static bool is_text(char c)
{
	return c == '\t' || ((unsigned char)c >= ' ' && c != '\x7f');
}

static bool is_token(char c)
{
	return http_is_token((struct str){ &c, 1 });
}

static const char *take_size(struct http_body *b, char c)
{
	int digit = hex_digit(c);

	if (digit >= 0) {
		if (b->left >> 60)
			return "a chunk's size is too large";
		b->left = b->left << 4 | (unsigned)digit;
		b->has_size = true;
		return NULL;
	}
	if (!b->has_size)
		return "a chunk without a size";
	b->state = c == '\r'  ? STATE_SIZE_LF
		   : c == ';' ? STATE_EXTENSION
			      : STATE_BLANK;
	return c == '\r' || c == ';' || c == ' ' || c == '\t'
		       ? NULL
		       : "a chunk's size is no number";
}

/* The line of a size is over: data, or the trailers of the last chunk. */
static void size_done(struct http_body *b)
{
	b->state = b->left > 0 ? STATE_DATA : STATE_LINE;
	b->has_size = false;
	b->line = 0;
}

/* What a line ends with; every CR is followed by its LF. */
static const char *expect(
	struct http_body *b, char c, char expected, uint8_t next)
{
	b->state = next;
	return c == expected ? NULL : "a chunk without its CRLF";
}

static const char *take_trailer(struct http_body *b, char c)
{
	switch (b->state) {
	case STATE_LINE:
		b->state = c == '\r' ? STATE_LAST_LF : STATE_NAME;
		return c == '\r' || is_token(c) ? NULL
						: "a trailer without a name";
	case STATE_NAME:
		if (c == ':')
			b->state = STATE_VALUE;
		return c == ':' || is_token(c) ? NULL
					       : "a trailer without a colon";
	default:
		if (c == '\r')
			b->state = STATE_VALUE_LF;
		return c == '\r' || is_text(c) ? NULL
					       : "a control byte in a trailer";
	}
}

/* One byte that is not data. What is wrong with it, or NULL. */
static const char *take_byte(struct http_body *b, char c)
{
	switch (b->state) {
	case STATE_SIZE:
		return take_size(b, c);
	case STATE_BLANK:
		if (c == ' ' || c == '\t')
			return NULL;
		b->state = c == ';' ? STATE_EXTENSION : STATE_SIZE_LF;
		return c == ';' || c == '\r' ? NULL
					     : "a chunk's size is no number";
	case STATE_EXTENSION:
		if (c == '\r')
			b->state = STATE_SIZE_LF;
		return c == '\r' || is_text(c)
			       ? NULL
			       : "a control byte in a chunk's extension";
	case STATE_SIZE_LF:
		size_done(b);
		return c == '\n' ? NULL : "a chunk without its CRLF";
	case STATE_DATA_CR:
		return expect(b, c, '\r', STATE_DATA_LF);
	case STATE_DATA_LF:
		return expect(b, c, '\n', STATE_SIZE);
	case STATE_VALUE_LF:
		return expect(b, c, '\n', STATE_LINE);
	case STATE_LAST_LF:
		return expect(b, c, '\n', STATE_OVER);
	default:
		return take_trailer(b, c);
	}
}

/* Skipped lines are bounded: a peer could send them for ever. */
static const char *take_line_byte(struct http_body *b, char c)
{
	bool trailer = b->state >= STATE_LINE;

	if (++b->line > (trailer ? HTTP_TRAILERS_MAX : HTTP_CHUNK_LINE_MAX))
		return trailer ? "the trailers are too long"
			       : "a chunk's size line is too long";
	return take_byte(b, c);
}

static enum http_body_event take_data(
	struct http_body *b, const char **p, size_t *n, struct str *piece)
{
	size_t take = *n;

	if (b->state != STATE_CLOSE) {
		if (take > b->left)
			take = (size_t)b->left;
		b->left -= take;
	}
	if (take == 0)
		return HTTP_BODY_MORE;
	if (b->state == STATE_DATA && b->left == 0)
		b->state = STATE_DATA_CR;
	*piece = (struct str){ *p, take };
	*p += take;
	*n -= take;
	return HTTP_BODY_PIECE;
}

enum http_body_event http_body_next(struct http_body *b, const char **p,
	size_t *n, struct str *piece, const char **why)
{
	*piece = STR_NONE;
	*why = NULL;
	if (b->state == STATE_LENGTH && b->left == 0)
		b->state = STATE_OVER;
	while (b->state != STATE_OVER) {
		if (b->state == STATE_LENGTH || b->state == STATE_CLOSE ||
			b->state == STATE_DATA)
			return take_data(b, p, n, piece);
		if (*n == 0)
			return HTTP_BODY_MORE;
		*why = take_line_byte(b, **p);
		if (*why) {
			b->state = STATE_DEAD;
			return HTTP_BODY_BAD;
		}
		(*p)++;
		(*n)--;
	}
	return HTTP_BODY_END;
}
