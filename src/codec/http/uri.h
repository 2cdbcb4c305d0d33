/*
 * uri.h: request targets, paths, queries, authorities (RFC 3986, RFC 9112
 * section 3.2).
 *
 * A path is normalised once, and everything compares the normalised form.
 */
#ifndef CODEC_HTTP_URI_H
#define CODEC_HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/str.h"

struct uri_target {
	struct str authority; /* of the absolute form; else STR_NONE */
	struct str path;      /* raw, begins with '/' */
	struct str query; /* raw, without '?'; p is NULL when there is none */
};

/*
 * Splits a request target: origin-form ("/sim?x") or absolute-form
 * ("http://host/sim?x", also https, ws, wss; an empty path becomes "/"). -1
 * for the others, for an authority that uri_parse_authority refuses, for a
 * '#', and for bytes that no URI has; a query may have those that browsers
 * leave as they are ([ ] { } | \ ^ `).
 */
MUST_CHECK int uri_split_target(struct uri_target *t, struct str target);

/*
 * Normalises a path into out (room for path.n bytes): percent-encoded
 * unreserved characters are decoded, other escapes get upper-case digits.
 * Returns its length; -1 for what has no single meaning: no '/' in front, a
 * broken escape, an encoded slash, backslash or NUL, a raw backslash, a
 * segment "." or "..", an empty segment (but a '/' at the end is kept),
 * bytes that no path has.
 */
MUST_CHECK ssize_t uri_normalise_path(char *out, struct str path);
/* Why it refuses this one, in words that live forever. */
const char *uri_path_fault(struct str path);

/*
 * Finds a parameter of an application/x-www-form-urlencoded query by its name,
 * which is compared decoded. Returns how often it occurs; *value is the first
 * one, raw, STR_NONE when there is none.
 */
size_t uri_query_get(struct str query, struct str name, struct str *value);
/*
 * Copies the query without every parameter of that name into out (room for
 * query.n bytes). Returns the length.
 */
size_t uri_query_without(char *out, struct str query, struct str name);
/*
 * Decodes %XX (and '+' as a space with plus) into out (room for s.n bytes).
 * Returns the length, -1 for a broken escape.
 */
MUST_CHECK ssize_t uri_decode(char *out, struct str s, bool plus);
/*
 * Percent-encodes all but unreserved characters; out has room for 3 * s.n
 * bytes. Returns the length.
 */
size_t uri_encode(char *out, struct str s);

struct uri_authority {
	struct str host; /* a name, an IPv4 address, or "[...]" with brackets */
	uint16_t port;   /* 0 = not given */
	bool is_ip;
};

/*
 * "host", "host:port", "[v6]:port" (RFC 3986 section 3.2.2, no user
 * information, host names of letters, digits, '-', '_' and '.' as DNS has
 * them, ports from 1 without leading zeros). -1: bad.
 */
MUST_CHECK int uri_parse_authority(struct uri_authority *a, struct str s);

#endif
