#include "codec/http/origin.h"

#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "codec/http/uri.h"

/* A host is 253 bytes at most, a port 5, and ":" and brackets go with them. */
#define AUTHORITY_MAX 264

/* scheme://host:port; the port is filled in where the scheme has one. */
struct origin {
	struct str scheme;
	struct str host;
	uint16_t port;
	bool is_ip;
};

static uint16_t default_port(struct str scheme)
{
	if (str_eq_nocase(scheme, STR("http")) ||
		str_eq_nocase(scheme, STR("ws")))
		return 80;
	if (str_eq_nocase(scheme, STR("https")) ||
		str_eq_nocase(scheme, STR("wss")))
		return 443;
	return 0;
}

/* RFC 3986 section 3.1: a letter, then letters, digits, '+', '-', '.'. */
static bool is_scheme(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!letter && (i == 0 || !memchr("0123456789+-.", c, 13)))
			return false;
	}
	return s.n > 0;
}

/* Splits at "://"; what follows may only be an authority (RFC 6454, 6.2). */
static int split_scheme(struct str s, struct str *scheme, struct str *rest)
{
	const char *colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
	size_t n = colon ? (size_t)(colon - s.p) : 0;

	*scheme = (struct str){ s.p, n };
	if (!colon || s.n - n < 3 || memcmp(colon, "://", 3) != 0 ||
		!is_scheme(*scheme))
		return -1;
	*rest = (struct str){ colon + 3, s.n - n - 3 };
	return 0;
}

static int parse_origin(struct origin *o, struct str s)
{
	struct uri_authority authority;
	struct str rest;

	if (split_scheme(s, &o->scheme, &rest) < 0 ||
		uri_parse_authority(&authority, rest) < 0)
		return -1;
	o->host = authority.host;
	o->is_ip = authority.is_ip;
	o->port = authority.port ? authority.port : default_port(o->scheme);
	return 0;
}

/* --- patterns -------------------------------------------------------------*/

/* Whether the '*' at i is a whole label: dots or the ends beside it. */
static bool is_whole_label(struct str s, size_t i)
{
	return (i == 0 || s.p[i - 1] == '.') &&
	       (i + 1 == s.n || s.p[i + 1] == '.' || s.p[i + 1] == ':');
}

/*
 * Copies an authority with an 'x' in place of its '*', so that one parser
 * judges them all. What is wrong with the '*', or NULL.
 */
static const char *replace_star(char out[AUTHORITY_MAX], struct str s)
{
	size_t stars = 0;

	if (s.n == 0 || s.n > AUTHORITY_MAX)
		return "an origin has a host";
	for (size_t i = 0; i < s.n; i++) {
		out[i] = s.p[i] == '*' ? 'x' : s.p[i];
		if (s.p[i] != '*')
			continue;
		if (!is_whole_label(s, i))
			return "a * stands for a whole label of a host name";
		if (++stars > 1)
			return "an origin has one * at most";
	}
	return NULL;
}

/* Like parse_origin, with a '*' in the host. */
static int pattern_parse_origin(
	struct origin *o, struct str s, const char **why)
{
	char copy[AUTHORITY_MAX];
	struct uri_authority authority;
	struct str rest;

	*why = "an origin is scheme://host or scheme://host:port";
	if (split_scheme(s, &o->scheme, &rest) < 0)
		return -1;
	*why = replace_star(copy, rest);
	if (*why)
		return -1;
	*why = "an origin's host or port is malformed, or more follows";
	if (uri_parse_authority(&authority, (struct str){ copy, rest.n }) < 0)
		return -1;
	o->host = (struct str){ rest.p, authority.host.n };
	o->is_ip = authority.is_ip;
	o->port = authority.port ? authority.port : default_port(o->scheme);
	return 0;
}

int origin_pattern_check(struct str pattern, const char **why)
{
	struct origin o;

	if (str_eq(pattern, STR("null")))
		return 0;
	return pattern_parse_origin(&o, pattern, why);
}

/* --- matching -------------------------------------------------------------*/

/* "[::1]" has many spellings; "[::ffff:127.0.0.1]" is not 127.0.0.1 here. */
static bool same_ip(struct str a, struct str b)
{
	struct addr x, y;

	return (a.p[0] == '[') == (b.p[0] == '[') && addr_parse(&x, a) == 0 &&
	       addr_parse(&y, b) == 0 && addr_same_ip(&x, &y);
}

/* Takes the first label off a host. */
static struct str next_label(struct str *host)
{
	const char *dot = memchr(host->p, '.', host->n);
	size_t n = dot ? (size_t)(dot - host->p) : host->n;
	struct str label = { host->p, n };

	host->p += dot ? n + 1 : n;
	host->n -= dot ? n + 1 : n;
	return label;
}

/* Label by label; an address has none, so that "1.2.3.*" matches no address. */
static bool host_matches(const struct origin *o, const struct origin *pattern)
{
	struct str host = o->host, wanted = pattern->host;

	/* "a." is another origin than "a" to a browser. */
	if ((host.p[host.n - 1] == '.') != (wanted.p[wanted.n - 1] == '.'))
		return false;
	if (o->is_ip || pattern->is_ip)
		return o->is_ip && pattern->is_ip && same_ip(host, wanted);
	while (host.n > 0 && wanted.n > 0) {
		struct str have = next_label(&host);
		struct str want = next_label(&wanted);

		if (!str_eq(want, STR("*")) && !str_eq_nocase(have, want))
			return false;
	}
	return host.n == 0 && wanted.n == 0;
}

bool origin_matches(struct str origin, struct str pattern)
{
	struct origin have, want;
	const char *why;

	if (str_eq(pattern, STR("null")))
		return str_eq(origin, STR("null"));
	return pattern_parse_origin(&want, pattern, &why) == 0 &&
	       parse_origin(&have, origin) == 0 &&
	       str_eq_nocase(have.scheme, want.scheme) &&
	       have.port == want.port && host_matches(&have, &want);
}

bool origin_is_same(struct str origin, struct str host, bool secure)
{
	struct uri_authority authority;
	struct origin have,
		own = { .scheme = secure ? STR("https") : STR("http") };

	if (parse_origin(&have, origin) < 0 ||
		uri_parse_authority(&authority, host) < 0)
		return false;
	own.host = authority.host;
	own.is_ip = authority.is_ip;
	own.port = authority.port ? authority.port : default_port(own.scheme);
	return str_eq_nocase(have.scheme, own.scheme) &&
	       have.port == own.port && host_matches(&have, &own);
}
