/*
 * The grammar is RFC 3986's, narrowed to what has one reading: routes, pages
 * and tokens all compare a path as text, so two spellings of one path must not
 * both get through, and no server behind us may read another path out of the
 * one that was checked.
 */
#include "codec/http/uri.h"

#include <arpa/inet.h>
#include <string.h>

enum {
	UNRESERVED = 1, /* RFC 3986 section 2.3 */
	PATH = 2,       /* pchar and '/', '%' for escapes; section 3.3 */
	QUERY = 4,
	NAME = 8, /* of a host */
	HEX = 16,
	DIGIT = 32
};

/*
 * Browsers send [ ] { } | \ ^ ` in a query as they are (the URL Standard's
 * query percent-encode set leaves them alone), so a query may have them:
 * it names no file, and refusing would break honest pages. A path may not.
 */
#define Q (QUERY)
#define P (PATH | QUERY)                           /* sub-delims : @ / % */
#define U (UNRESERVED | PATH | QUERY)              /* '~' */
#define N (UNRESERVED | PATH | QUERY | NAME)       /* letters - . _ */
#define H (UNRESERVED | PATH | QUERY | NAME | HEX) /* A-F, a-f */
#define D (UNRESERVED | PATH | QUERY | NAME | HEX | DIGIT)

/* clang-format off */
static const unsigned char classes[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* SP ! " # $ % & ' ( ) * + , - . / */
	0, P, 0, 0, P, P, P, P, P, P, P, P, P, N, N, P,
	/* 0-9 : ; < = > ? */
	D, D, D, D, D, D, D, D, D, D, P, P, 0, P, 0, Q,
	/* @ A-O */
	P, H, H, H, H, H, H, N, N, N, N, N, N, N, N, N,
	/* P-Z [ \ ] ^ _ */
	N, N, N, N, N, N, N, N, N, N, N, Q, Q, Q, Q, N,
	/* ` a-o */
	Q, H, H, H, H, H, H, N, N, N, N, N, N, N, N, N,
	/* p-z { | } ~ DEL, and nothing above */
	N, N, N, N, N, N, N, N, N, N, N, Q, Q, Q, U, 0,
};
/* clang-format on */

#undef Q
#undef P
#undef U
#undef N
#undef H
#undef D

static bool is_of(char c, unsigned char class)
{
	return classes[(unsigned char)c] & class;
}

static bool all_of(struct str s, unsigned char class)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_of(s.p[i], class))
			return false;
	return true;
}

/* The first n bytes of s, and what follows them. */
static struct str head_of(struct str s, size_t n)
{
	return (struct str){ s.p, n };
}

static struct str tail_of(struct str s, size_t n)
{
	return (struct str){ s.p + n, s.n - n };
}

/* Where c first occurs in s; s.n when it does not. */
static size_t find_char(struct str s, char c)
{
	const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

static int hex_value(char c)
{
	if (is_of(c, DIGIT))
		return c - '0';
	return is_of(c, HEX) ? (c | 0x20) - 'a' + 10 : -1;
}

/* The byte of the escape at s.p[i], which is a '%'; -1: broken. */
static int escape_at(struct str s, size_t i)
{
	int high, low;

	if (s.n - i < 3)
		return -1;
	high = hex_value(s.p[i + 1]);
	low = hex_value(s.p[i + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void write_escape(char out[3], unsigned char byte)
{
	static const char digits[] = "0123456789ABCDEF";

	out[0] = '%';
	out[1] = digits[byte >> 4];
	out[2] = digits[byte & 15];
}

/*
 * Takes scheme "://" authority off the absolute form (RFC 9112 section
 * 3.2.2). An empty host and user information are errors (RFC 9110 sections
 * 4.2.1 and 4.2.4).
 */
static int take_authority(struct uri_target *t, struct str *rest)
{
	static const struct str schemes[] = { { "http", 4 }, { "https", 5 },
		{ "ws", 2 }, { "wss", 3 } };
	struct uri_authority ignored;
	size_t colon = find_char(*rest, ':'), n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (!str_eq_nocase(head_of(*rest, colon), schemes[i]))
			continue;
		*rest = tail_of(*rest, colon);
		if (!str_starts(*rest, STR("://")))
			return -1;
		*rest = tail_of(*rest, 3);
		while (n < rest->n && rest->p[n] != '/' && rest->p[n] != '?')
			n++;
		t->authority = head_of(*rest, n);
		*rest = tail_of(*rest, n);
		return uri_parse_authority(&ignored, t->authority);
	}
	return -1;
}

int uri_split_target(struct uri_target *t, struct str target)
{
	struct str rest = target;
	size_t mark;

	t->authority = t->path = t->query = STR_NONE;
	if (rest.n == 0)
		return -1;
	if (rest.p[0] != '/' && take_authority(t, &rest) < 0)
		return -1;
	mark = find_char(rest, '?');
	/* "http://host" means "http://host/" (RFC 9110 section 4.2.3). */
	t->path = mark == 0 ? STR("/") : head_of(rest, mark);
	if (mark < rest.n)
		t->query = tail_of(rest, mark + 1);
	return all_of(t->path, PATH) && all_of(t->query, QUERY) ? 0 : -1;
}

/* An empty segment is right only behind the last slash. */
static bool segment_is_bad(const char *p, size_t n, bool last)
{
	return (n == 0 && !last) || (n == 1 && p[0] == '.') ||
	       (n == 2 && p[0] == '.' && p[1] == '.');
}

ssize_t uri_normalise_path(char *out, struct str path)
{
	size_t n = 0, segment = 1;

	if (path.n == 0 || path.p[0] != '/')
		return -1;
	for (size_t i = 0; i < path.n; i++) {
		int byte;

		if (!is_of(path.p[i], PATH))
			return -1;
		if (path.p[i] == '/' && i > 0) {
			if (segment_is_bad(out + segment, n - segment, false))
				return -1;
			segment = n + 1;
		}
		if (path.p[i] != '%') {
			out[n++] = path.p[i];
			continue;
		}
		byte = escape_at(path, i);
		if (byte <= 0 || byte == '/' || byte == '\\')
			return -1;
		i += 2;
		if (is_of((char)byte, UNRESERVED)) {
			out[n++] = (char)byte;
		} else {
			write_escape(out + n, (unsigned char)byte);
			n += 3;
		}
	}
	if (segment_is_bad(out + segment, n - segment, true))
		return -1;
	return (ssize_t)n;
}

const char *uri_path_fault(struct str path)
{
	if (path.n == 0 || path.p[0] != '/')
		return "the path does not begin with a slash";
	for (size_t i = 0; i < path.n; i++) {
		int byte = path.p[i] == '%' ? escape_at(path, i) : 1;

		if (path.p[i] == '/' && i > 0 && path.p[i - 1] == '/')
			return "the path has an empty segment (//)";
		if (byte < 0)
			return "the path has a broken escape";
		if (byte == 0 || byte == '/' || byte == '\\')
			return "the path has an encoded slash, backslash or "
			       "NUL";
		if (!is_of(path.p[i], PATH))
			return "the path has a character that belongs into no "
			       "path";
	}
	return "the path has a segment . or ..";
}

/*
 * Takes the next parameter off a query, with what separates it: *more is
 * whether there was a '&'. Empty ones count, so that a copy stays as it was.
 */
static struct str take_parameter(struct str *query, bool *more)
{
	size_t n = find_char(*query, '&');
	struct str parameter = head_of(*query, n);

	*more = n < query->n;
	*query = tail_of(*query, n + *more);
	return parameter;
}

/*
 * Whether a parameter has this name. The name is compared decoded: "%74oken" is
 * the token too, to a server that reads the query behind us.
 */
static bool has_name(struct str parameter, struct str name)
{
	struct str raw = head_of(parameter, find_char(parameter, '='));
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++, n++) {
		char c = raw.p[i];
		int byte = c == '%' ? escape_at(raw, i) : -1;

		if (byte >= 0) {
			c = (char)byte;
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (n == name.n || c != name.p[n])
			return false;
	}
	return n == name.n && parameter.n > 0;
}

size_t uri_query_get(struct str query, struct str name, struct str *value)
{
	size_t count = 0;
	bool more = query.n > 0;

	*value = STR_NONE;
	while (more) {
		struct str parameter = take_parameter(&query, &more);
		size_t equals = find_char(parameter, '=');

		if (!has_name(parameter, name))
			continue;
		if (count++ == 0)
			*value = tail_of(
				parameter, equals + (equals < parameter.n));
	}
	return count;
}

size_t uri_query_without(char *out, struct str query, struct str name)
{
	size_t n = 0;
	bool more = query.n > 0, first = true;

	while (more) {
		struct str parameter = take_parameter(&query, &more);

		if (has_name(parameter, name))
			continue;
		if (!first)
			out[n++] = '&';
		first = false;
		if (parameter.n > 0)
			memcpy(out + n, parameter.p, parameter.n);
		n += parameter.n;
	}
	return n;
}

ssize_t uri_decode(char *out, struct str s, bool plus)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int byte = (unsigned char)s.p[i];

		if (byte == '%') {
			byte = escape_at(s, i);
			if (byte < 0)
				return -1;
			i += 2;
		} else if (byte == '+' && plus) {
			byte = ' ';
		}
		out[n++] = (char)byte;
	}
	return (ssize_t)n;
}

size_t uri_encode(char *out, struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (is_of(s.p[i], UNRESERVED)) {
			out[n++] = s.p[i];
		} else {
			write_escape(out + n, (unsigned char)s.p[i]);
			n += 3;
		}
	}
	return n;
}

/* Whether s is an address of that family, in inet_pton's strict spelling. */
static bool is_address(int family, struct str s)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char ip[16];

	/* A NUL would end the text early. */
	if (s.n == 0 || s.n >= sizeof(text) || find_char(s, '\0') < s.n)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, ip) == 1;
}

/*
 * A registered name as DNS has it: labels of 1 to 63 bytes, 253 in all, and
 * a dot at the end is allowed (RFC 1034 section 3.1).
 */
static bool is_host_name(struct str s)
{
	if (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n > 253 || !all_of(s, NAME))
		return false;
	for (;;) {
		size_t dot = find_char(s, '.');

		if (dot == 0 || dot > 63)
			return false;
		if (dot == s.n)
			return true;
		s = tail_of(s, dot + 1);
	}
}

/* 1 to 65535 without leading zeros: one port has one spelling. */
static int parse_port(struct str s, uint16_t *port)
{
	unsigned value = 0;

	if (s.n == 0 || s.n > 5 || s.p[0] == '0' || !all_of(s, DIGIT))
		return -1;
	for (size_t i = 0; i < s.n; i++)
		value = value * 10 + (unsigned)(s.p[i] - '0');
	if (value > UINT16_MAX)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

int uri_parse_authority(struct uri_authority *a, struct str s)
{
	bool bracket = s.n > 0 && s.p[0] == '[';
	size_t n = bracket ? find_char(s, ']') + 1 : find_char(s, ':');

	a->host = STR_NONE;
	a->port = 0;
	a->is_ip = false;
	if (s.n == 0 || n > s.n)
		return -1;
	if (bracket && !is_address(AF_INET6, (struct str){ s.p + 1, n - 2 }))
		return -1;
	if (!bracket && !is_host_name(head_of(s, n)))
		return -1;
	if (n < s.n &&
		(s.p[n] != ':' || parse_port(tail_of(s, n + 1), &a->port) < 0))
		return -1;
	a->host = head_of(s, n);
	a->is_ip = bracket || is_address(AF_INET, a->host);
	return 0;
}
