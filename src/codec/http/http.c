/*
 * A head is walked twice: http_find_end looks for its end as the bytes come
 * in and cares for line ends only; the parsers then take the complete head
 * apart, line by line, and judge every byte with one table of classes.
 * What has two readings is refused, because a proxy in front of us or a
 * server behind us may take the other one (RFC 9112 section 11).
 */
#include "codec/http/http.h"

#include <string.h>

#include "codec/http/uri.h"

enum {
	TOKEN = 1,  /* RFC 9110 section 5.6.2 */
	VALUE = 2,  /* field-content with SP and HTAB, section 5.5 */
	TARGET = 4, /* VCHAR: the form of a target is uri.c's to judge */
	DIGIT = 8
};

#define O (VALUE)                          /* SP, HTAB, obs-text */
#define V (VALUE | TARGET)                 /* delimiters */
#define T (TOKEN | VALUE | TARGET)         /* token characters */
#define D (TOKEN | VALUE | TARGET | DIGIT) /* digits, tokens too */

/* clang-format off */
static const unsigned char classes[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, O, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* SP ! " # $ % & ' ( ) * + , - . / */
	O, T, V, T, T, T, T, T, V, V, T, T, V, T, T, V,
	/* 0-9 : ; < = > ? */
	D, D, D, D, D, D, D, D, D, D, V, V, V, V, V, V,
	/* @ A-O */
	V, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,
	/* P-Z [ \ ] ^ _ */
	T, T, T, T, T, T, T, T, T, T, T, V, V, V, T, T,
	/* ` a-o */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,
	/* p-z { | } ~ DEL */
	T, T, T, T, T, T, T, T, T, T, T, V, T, V, T, 0,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
};
/* clang-format on */

#undef O
#undef V
#undef T
#undef D

/* Whether every byte of s is of that class. */
static bool all_of(struct str s, unsigned char class)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(classes[(unsigned char)s.p[i]] & class))
			return false;
	return true;
}

bool http_is_token(struct str s)
{
	return s.n > 0 && all_of(s, TOKEN);
}

/*
 * Each byte is judged by itself and the one before it, so the verdict does
 * not depend on how the bytes were cut, and no byte is looked at twice.
 */
ssize_t http_find_end(const char *p, size_t n, size_t *scanned)
{
	size_t i;

	for (i = *scanned; i < n; i++) {
		bool after_cr = i > 0 && p[i - 1] == '\r';

		if (p[i] == '\n' ? !after_cr : after_cr || p[i] == '\0') {
			*scanned = i;
			return -1;
		}
		/* An LF is before this CR LF, so a CR is before that LF. */
		if (p[i] == '\n' && i >= 3 && p[i - 2] == '\n') {
			*scanned = i;
			return (ssize_t)(i + 1);
		}
	}
	*scanned = i;
	return 0;
}

/* Takes a line and its CRLF off rest. False: there is no such line. */
static bool take_line(struct str *rest, struct str *line)
{
	const char *lf = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
	size_t n = lf ? (size_t)(lf - rest->p) : 0;

	if (n == 0 || rest->p[n - 1] != '\r')
		return false;
	*line = (struct str){ rest->p, n - 1 };
	rest->p += n + 1;
	rest->n -= n + 1;
	return true;
}

/* Takes what is before the next SP, and the SP, off rest. */
static bool take_word(struct str *rest, struct str *word)
{
	const char *sp = rest->n > 0 ? memchr(rest->p, ' ', rest->n) : NULL;
	size_t n = sp ? (size_t)(sp - rest->p) : 0;

	if (!sp)
		return false;
	*word = (struct str){ rest->p, n };
	rest->p += n + 1;
	rest->n -= n + 1;
	return true;
}

/*
 * "HTTP/" DIGIT "." DIGIT, in this case only (RFC 9112 section 2.3). A minor
 * version higher than ours is ours (RFC 9110 section 2.5); another major one
 * is refused.
 */
static int parse_version(struct str s, int *minor, const char **why)
{
	if (s.n != 8 || !str_starts(s, STR("HTTP/")) || s.p[6] != '.' ||
		!all_of((struct str){ s.p + 5, 1 }, DIGIT) ||
		!all_of((struct str){ s.p + 7, 1 }, DIGIT)) {
		*why = "no HTTP version in the first line";
		return 400;
	}
	if (s.p[5] != '1') {
		*why = "not HTTP/1.x";
		return 505;
	}
	*minor = s.p[7] > '0';
	return 0;
}

/*
 * field-name ":" OWS field-value OWS (RFC 9112 section 5). White space in
 * front of the colon and folded lines fail as a name that is no token.
 */
static const char *parse_field(struct http_field *field, struct str line)
{
	const char *colon = line.n > 0 ? memchr(line.p, ':', line.n) : NULL;
	size_t n = colon ? (size_t)(colon - line.p) : 0;

	if (!colon)
		return "a header line without a colon";
	field->name = (struct str){ line.p, n };
	if (!http_is_token(field->name))
		return "a header field's name is not a token";
	field->value = str_trim((struct str){ line.p + n + 1, line.n - n - 1 });
	if (!all_of(field->value, VALUE))
		return "a control byte in a header field";
	return NULL;
}

/* The field lines up to the empty line, which must be the end of rest. */
static int parse_fields(struct http_head *h, struct str rest, const char **why)
{
	struct str line;

	while (take_line(&rest, &line)) {
		if (line.n == 0 && rest.n == 0)
			return 0;
		if (line.n == 0)
			break;
		if (h->n == HTTP_FIELDS_MAX) {
			*why = "too many header fields";
			return 431;
		}
		*why = parse_field(&h->fields[h->n], line);
		if (*why)
			return 400;
		h->n++;
	}
	*why = "the header does not end with its empty line";
	return 400;
}

/* RFC 9112 section 3: method SP request-target SP HTTP-version. */
static int parse_request_line(
	struct http_head *h, struct str line, const char **why)
{
	if (!take_word(&line, &h->method) || !http_is_token(h->method)) {
		*why = "the method is not a token";
		return 400;
	}
	if (!take_word(&line, &h->target) || h->target.n == 0 ||
		!all_of(h->target, TARGET)) {
		*why = "the request target is not one word";
		return 400;
	}
	return parse_version(line, &h->minor, why);
}

/*
 * RFC 9112 section 3.2: exactly one valid Host; HTTP/1.0 may do without.
 * Browsers never leave it empty, and nothing here could use an empty one.
 */
static int check_host(const struct http_head *h, const char **why)
{
	size_t n = http_field_count(h, STR("Host"));
	struct uri_authority host;

	if (n == 0 && h->minor == 0)
		return 0;
	if (n != 1) {
		*why = n == 0 ? "no Host" : "more than one Host";
		return 400;
	}
	if (uri_parse_authority(&host, http_field(h, STR("Host"))) < 0) {
		*why = "the Host is malformed";
		return 400;
	}
	return 0;
}

/*
 * No request that is served here has a body. Whatever announces one is
 * refused, so that its length is never a matter of interpretation
 * (RFC 9112 section 6.3).
 */
static int check_no_body(const struct http_head *h, const char **why)
{
	size_t n = http_field_count(h, STR("Content-Length"));

	if (http_field_count(h, STR("Transfer-Encoding")) > 0) {
		*why = "a Transfer-Encoding";
		return 501;
	}
	if (n > 1 || (n == 1 && !str_eq(http_field(h, STR("Content-Length")),
					STR("0")))) {
		*why = "a request body";
		return 400;
	}
	return 0;
}

/* Fields are written up to n only, so the array needs no clearing. */
static void init_head(struct http_head *h, const char **why)
{
	h->method = h->target = h->reason = STR_NONE;
	h->status = 0;
	h->minor = 0;
	h->n = 0;
	*why = NULL;
}

int http_parse_request(
	struct http_head *h, const char *p, size_t n, const char **why)
{
	struct str rest = { p, n }, line;
	int status;

	init_head(h, why);
	/* One empty line in front is skipped (RFC 9112 section 2.2). */
	if (!take_line(&rest, &line) ||
		(line.n == 0 && !take_line(&rest, &line))) {
		*why = "no request line";
		return 400;
	}
	status = parse_request_line(h, line, why);
	if (status == 0)
		status = parse_fields(h, rest, why);
	if (status == 0)
		status = check_no_body(h, why);
	if (status == 0)
		status = check_host(h, why);
	return status;
}

/* RFC 9112 section 4: HTTP-version SP 3DIGIT SP [ reason-phrase ]. */
static int parse_status_line(
	struct http_head *h, struct str line, const char **why)
{
	struct str version, code;

	if (!take_word(&line, &version) ||
		parse_version(version, &h->minor, why) != 0) {
		*why = "not HTTP/1.x";
		return -1;
	}
	if (!take_word(&line, &code) || code.n != 3 || !all_of(code, DIGIT) ||
		code.p[0] < '1' || code.p[0] > '5') {
		*why = "no status from 100 to 599 in the status line";
		return -1;
	}
	if (!all_of(line, VALUE)) {
		*why = "a control byte in the status line";
		return -1;
	}
	h->status = (code.p[0] - '0') * 100 + (code.p[1] - '0') * 10 +
		    (code.p[2] - '0');
	h->reason = line;
	return 0;
}

int http_parse_response(
	struct http_head *h, const char *p, size_t n, const char **why)
{
	struct str rest = { p, n }, line;

	init_head(h, why);
	if (!take_line(&rest, &line)) {
		*why = "no status line";
		return -1;
	}
	if (parse_status_line(h, line, why) < 0 ||
		parse_fields(h, rest, why) != 0)
		return -1;
	return 0;
}

struct str http_field(const struct http_head *h, struct str name)
{
	for (size_t i = 0; i < h->n; i++)
		if (str_eq_nocase(h->fields[i].name, name))
			return h->fields[i].value;
	return STR_NONE;
}

size_t http_field_count(const struct http_head *h, struct str name)
{
	size_t count = 0;

	for (size_t i = 0; i < h->n; i++)
		count += str_eq_nocase(h->fields[i].name, name);
	return count;
}

bool http_has_element(
	const struct http_head *h, struct str name, struct str element)
{
	for (size_t i = 0; i < h->n; i++) {
		struct str list = h->fields[i].value, e;

		if (!str_eq_nocase(h->fields[i].name, name))
			continue;
		while (str_next_element(&list, &e))
			if (str_eq_nocase(e, element))
				return true;
	}
	return false;
}

/* The IANA registry of status codes, less what it calls unused. */
static const struct {
	int status;
	const char *text;
} statuses[] = {
	{ 100, "Continue" },
	{ 101, "Switching Protocols" },
	{ 102, "Processing" },
	{ 103, "Early Hints" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 203, "Non-Authoritative Information" },
	{ 204, "No Content" },
	{ 205, "Reset Content" },
	{ 206, "Partial Content" },
	{ 207, "Multi-Status" },
	{ 208, "Already Reported" },
	{ 226, "IM Used" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 305, "Use Proxy" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 424, "Failed Dependency" },
	{ 425, "Too Early" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 506, "Variant Also Negotiates" },
	{ 507, "Insufficient Storage" },
	{ 508, "Loop Detected" },
	{ 510, "Not Extended" },
	{ 511, "Network Authentication Required" },
};

const char *http_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "";
}
