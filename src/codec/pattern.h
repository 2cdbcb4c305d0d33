/*
 * pattern.h: path patterns with captures, and templates that use them.
 *
 *   pattern  /sim/{id}/{*}      literal segments, captures, {*} last
 *   path     /sim/42/a/b        normalised (uri.h)
 *   template tcp://sim-{id}:7000/{*}
 *
 * A {capture} matches one segment of [A-Za-z0-9_][A-Za-z0-9._~-]{0,63}, never
 * "." or "..". {*} matches the rest, one segment or more, not empty.
 */
#ifndef CODEC_PATTERN_H
#define CODEC_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#define PATTERN_CAPTURES_MAX 8
#define PATTERN_CAPTURE_MAX  64 /* bytes */

struct pattern; /* immutable once parsed */

struct captures {
	const struct pattern *pattern;
	struct str v[PATTERN_CAPTURES_MAX]; /* in the path; {*} is one, last */
};

/*
 * NULL and *why: no '/' in front, a brace inside a segment, an empty or
 * repeated name, {*} not last, too many captures, a literal that no
 * normalised path has, no memory.
 */
MUST_CHECK struct pattern *pattern_parse(const char *text, const char **why);
void pattern_free(struct pattern *p);
const char *pattern_text(const struct pattern *p);
size_t pattern_captures(const struct pattern *p);
bool pattern_has_capture(const struct pattern *p, struct str name);

/* The name of the i-th, as in struct captures; "*" of {*}. */
struct str pattern_capture_name(const struct pattern *p, size_t i);
/* The value of the capture of this name; STR_NONE: there is none. */
struct str pattern_captured(const struct captures *c, struct str name);

/* Whether the whole path matches; captures then point into it. */
bool pattern_match(
	const struct pattern *p, struct str path, struct captures *captures);
/*
 * Whether the path begins with the pattern, at a segment boundary; *rest is
 * what follows ("/a/b", or "" or "/" at the end). A '/' at the end of the
 * pattern says nothing here. For pages.
 */
bool pattern_match_prefix(const struct pattern *p, struct str path,
	struct captures *captures, struct str *rest);
/*
 * Whether every path that b matches is also matched by a (a, first in the
 * file, then hides b).
 */
bool pattern_covers(const struct pattern *a, const struct pattern *b);
/*
 * Whether some path that a matches is that of the prefix, or below it. *below
 * is then what all such paths have behind the prefix, a view into a's text:
 * for the prefix "/x" it is "/y" of "/x/y" (*more is false) and of "/x/y/{id}"
 * (*more is true), and "" of "/x", "/x/{id}" and "/{*}".
 */
bool pattern_reaches(const struct pattern *a, const struct pattern *prefix,
	struct str *below, bool *more);

/*
 * Checks that a template's braces are closed and name captures of p; with
 * rest_allowed also {*}. -1 and *why.
 */
MUST_CHECK int template_check(const char *template, const struct pattern *p,
	bool rest_allowed, const char **why);
bool template_has_captures(struct str template);
/*
 * Appends the template with its captures filled in. -1 without memory, or
 * when template_check would refuse it.
 */
MUST_CHECK int template_expand(
	struct buf *out, struct str template, const struct captures *captures);

#endif
