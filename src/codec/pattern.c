/*
 * pattern.c: a pattern is cut into its segments once; a path is then
 * compared segment by segment, without recursion or backtracking.
 *
 *   "/sim/{id}/{*}"  ->  LITERAL "sim", CAPTURE "id", REST "*"
 *   "/sim/"          ->  LITERAL "sim", slash
 *   "/"              ->  slash
 */
#include "codec/pattern.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "codec/http/uri.h"

enum segment_kind { SEGMENT_LITERAL, SEGMENT_CAPTURE, SEGMENT_REST };

struct segment {
	enum segment_kind kind;
	struct str text; /* a literal's bytes, a capture's name, "*" */
};

struct pattern {
	char *text;      /* as given; the segments point into it */
	size_t captures; /* {*} is one */
	bool slash;      /* ends in '/' */
	size_t n;
	struct segment segments[];
};

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z');
}

/*
 * A capture goes into host names, file names and arguments of programs: what
 * means something there, ".." or a '-' in front, is no capture's value.
 */
static bool is_capture_value(struct str s)
{
	if (s.n == 0 || s.n > PATTERN_CAPTURE_MAX)
		return false;
	if (!is_alphanumeric(s.p[0]) && s.p[0] != '_')
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!is_alphanumeric(s.p[i]) && !memchr("._~-", s.p[i], 4))
			return false;
	return true;
}

static bool is_capture_name(struct str s)
{
	if (s.n == 0 || s.n > PATTERN_CAPTURE_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alphanumeric(s.p[i]) && s.p[i] != '_' && s.p[i] != '-')
			return false;
	return true;
}

/* What is before the next '/'; the '/' in front of it is taken off. */
static struct str next_segment(struct str *path)
{
	struct str s = { path->p + 1, path->n - 1 };
	const char *slash = memchr(s.p, '/', s.n);

	if (slash)
		s.n = (size_t)(slash - s.p);
	path->p += s.n + 1;
	path->n -= s.n + 1;
	return s;
}

/* --- parsing --- */

/* A literal that differs from its normal form would never match. */
static const char *literal_check(struct str s)
{
	/* next_segment has seen the '/' in front of it. */
	struct str path = { s.p - 1, s.n + 1 };
	char *normal;
	bool same;

	if (memchr(s.p, '{', s.n) || memchr(s.p, '}', s.n))
		return "a brace inside a segment: a {capture} is a whole one";
	normal = malloc(path.n);
	if (!normal)
		return "no memory";
	same = uri_normalise_path(normal, path) == (ssize_t)path.n &&
	       memcmp(normal, path.p, path.n) == 0;
	free(normal);
	return same ? NULL : "a segment that no normalised path has";
}

/* The next segment of the text into s; NULL, or what is wrong. */
static const char *segment_parse(struct pattern *p, struct str text)
{
	struct segment *s = &p->segments[p->n];

	if (p->n > 0 && s[-1].kind == SEGMENT_REST)
		return "{*} must be the last segment";
	s->kind = SEGMENT_LITERAL;
	s->text = text;
	if (text.n == 0)
		return "an empty segment";
	if (text.n < 2 || text.p[0] != '{' || text.p[text.n - 1] != '}')
		return literal_check(text);
	s->text = (struct str){ text.p + 1, text.n - 2 };
	s->kind = str_eq(s->text, STR("*")) ? SEGMENT_REST : SEGMENT_CAPTURE;
	if (s->kind == SEGMENT_CAPTURE && !is_capture_name(s->text))
		return "a capture's name is 1 to 64 letters, digits, "
		       "'_' and '-'";
	if (pattern_has_capture(p, s->text))
		return "two captures of one name";
	if (p->captures == PATTERN_CAPTURES_MAX)
		return "more than 8 captures";
	p->captures++;
	return NULL;
}

static const char *segments_parse(struct pattern *p, struct str rest)
{
	if (rest.n == 0 || rest.p[0] != '/')
		return "a path begins with '/'";
	while (rest.n > 1) {
		const char *wrong = segment_parse(p, next_segment(&rest));

		if (wrong)
			return wrong;
		p->n++;
	}
	p->slash = rest.n == 1;
	if (p->slash && p->n > 0 && p->segments[p->n - 1].kind == SEGMENT_REST)
		return "{*} must be the last segment";
	return NULL;
}

struct pattern *pattern_parse(const char *text, const char **why)
{
	struct pattern *p;
	size_t slashes = 0;

	*why = "no memory";
	for (const char *c = text; *c; c++)
		slashes += *c == '/';
	if (slashes > SIZE_MAX / sizeof(p->segments[0]) - 1)
		return NULL;
	p = calloc(1, sizeof(*p) + slashes * sizeof(p->segments[0]));
	if (!p)
		return NULL;
	p->text = str_dup(str_of(text));
	if (p->text)
		*why = segments_parse(p, str_of(p->text));
	if (*why) {
		pattern_free(p);
		return NULL;
	}
	return p;
}

void pattern_free(struct pattern *p)
{
	if (!p)
		return;
	free(p->text);
	free(p);
}

const char *pattern_text(const struct pattern *p)
{
	return p->text;
}

size_t pattern_captures(const struct pattern *p)
{
	return p->captures;
}

/* The place of a capture in struct captures; -1: there is none. */
static int capture_index(const struct pattern *p, struct str name)
{
	int index = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->segments[i].kind == SEGMENT_LITERAL)
			continue;
		if (str_eq(p->segments[i].text, name))
			return index;
		index++;
	}
	return -1;
}

struct str pattern_capture_name(const struct pattern *p, size_t i)
{
	for (size_t k = 0; k < p->n; k++)
		if (p->segments[k].kind != SEGMENT_LITERAL && i-- == 0)
			return p->segments[k].text;
	return STR_NONE;
}

struct str pattern_captured(const struct captures *c, struct str name)
{
	int i = capture_index(c->pattern, name);

	return i < 0 ? STR_NONE : c->v[i];
}

bool pattern_has_capture(const struct pattern *p, struct str name)
{
	return capture_index(p, name) >= 0;
}

/* --- matching --- */

/*
 * One segment or more and perhaps a '/' at the end. The path is normalised;
 * still, nothing that walks upwards may ever go through here.
 */
static bool rest_is_valid(struct str rest)
{
	if (rest.n < 2)
		return false;
	while (rest.n > 1) {
		struct str s = next_segment(&rest);

		if (s.n == 0 || str_eq(s, STR(".")) || str_eq(s, STR("..")))
			return false;
	}
	return true;
}

/* Matches the segments one by one; *rest is what they leave of the path. */
static bool segments_match(const struct pattern *p, struct str path,
	struct captures *captures, struct str *rest)
{
	size_t n = 0;

	captures->pattern = p;
	for (size_t i = 0; i < p->n; i++) {
		const struct segment *want = &p->segments[i];
		struct str got;

		if (path.n < 2 || path.p[0] != '/')
			return false;
		if (want->kind == SEGMENT_REST) {
			if (!rest_is_valid(path))
				return false;
			captures->v[n] = (struct str){ path.p + 1, path.n - 1 };
			path.p += path.n;
			path.n = 0;
			break;
		}
		got = next_segment(&path);
		if (want->kind == SEGMENT_LITERAL) {
			if (!str_eq(got, want->text))
				return false;
			continue;
		}
		if (!is_capture_value(got))
			return false;
		captures->v[n++] = got;
	}
	*rest = path;
	return true;
}

bool pattern_match(
	const struct pattern *p, struct str path, struct captures *captures)
{
	struct str rest;

	return segments_match(p, path, captures, &rest) &&
	       str_eq(rest, p->slash ? STR("/") : STR(""));
}

bool pattern_match_prefix(const struct pattern *p, struct str path,
	struct captures *captures, struct str *rest)
{
	return path.n > 0 && path.p[0] == '/' &&
	       segments_match(p, path, captures, rest);
}

/* Whether every value of the segment b is also one of a; neither is {*}. */
static bool segment_covers(const struct segment *a, const struct segment *b)
{
	switch (a->kind) {
	case SEGMENT_LITERAL:
		return b->kind == SEGMENT_LITERAL && str_eq(a->text, b->text);
	case SEGMENT_CAPTURE:
		return b->kind == SEGMENT_CAPTURE || is_capture_value(b->text);
	case SEGMENT_REST:
		break;
	}
	return false;
}

bool pattern_covers(const struct pattern *a, const struct pattern *b)
{
	for (size_t i = 0; i < a->n; i++) {
		if (i == b->n)
			return false;
		if (a->segments[i].kind == SEGMENT_REST)
			return true;
		/* b's {*} also matches two segments, a's capture does not. */
		if (b->segments[i].kind == SEGMENT_REST)
			return false;
		if (!segment_covers(&a->segments[i], &b->segments[i]))
			return false;
	}
	return a->n == b->n && a->slash == b->slash;
}

/* Whether some value of the segment a is also one of b; neither is {*}. */
static bool segments_meet(const struct segment *a, const struct segment *b)
{
	return segment_covers(a, b) || segment_covers(b, a);
}

bool pattern_reaches(const struct pattern *a, const struct pattern *prefix,
	struct str *below, bool *more)
{
	size_t i = 0;

	*below = STR_NONE;
	*more = true;
	for (; i < prefix->n; i++) {
		if (i == a->n)
			return false;
		if (a->segments[i].kind == SEGMENT_REST ||
			prefix->segments[i].kind == SEGMENT_REST)
			return true;
		if (!segments_meet(&a->segments[i], &prefix->segments[i]))
			return false;
	}
	for (; i < a->n && a->segments[i].kind == SEGMENT_LITERAL; i++) {
		const struct str *s = &a->segments[i].text;

		if (!below->p)
			below->p = s->p - 1; /* its '/' */
		below->n = (size_t)(s->p + s->n - below->p);
	}
	*more = i < a->n;
	return true;
}

/* --- templates --- */

/*
 * Takes the next piece off a template: text up to a brace, or what is between
 * two braces (*name is then true). -1 when they do not pair.
 */
static int template_next(struct str *template, struct str *piece, bool *name)
{
	const char *end = template->p + template->n;
	const char *p = template->p;

	*name = *p == '{';
	if (*name)
		p++;
	piece->p = p;
	while (p < end && *p != '{' && *p != '}')
		p++;
	piece->n = (size_t)(p - piece->p);
	if (*name ? p == end || *p != '}' : p < end && *p == '}')
		return -1;
	if (*name)
		p++;
	template->n = (size_t)(end - p);
	template->p = p;
	return 0;
}

int template_check(const char *template, const struct pattern *p,
	bool rest_allowed, const char **why)
{
	struct str left = str_of(template);
	struct str piece;
	bool name;

	while (left.n > 0) {
		if (template_next(&left, &piece, &name) < 0) {
			*why = "braces that do not pair";
			return -1;
		}
		if (!name)
			continue;
		if (!pattern_has_capture(p, piece)) {
			*why = "a capture that the path does not have";
			return -1;
		}
		if (!rest_allowed && str_eq(piece, STR("*"))) {
			*why = "{*} is not allowed here";
			return -1;
		}
	}
	return 0;
}

bool template_has_captures(struct str template)
{
	return template.n > 0 && memchr(template.p, '{', template.n);
}

int template_expand(
	struct buf *out, struct str template, const struct captures *captures)
{
	struct str piece;
	bool name;

	while (template.n > 0) {
		if (template_next(&template, &piece, &name) < 0)
			return -1;
		if (name) {
			int i = capture_index(captures->pattern, piece);

			if (i < 0)
				return -1;
			piece = captures->v[i];
		}
		if (buf_add_str(out, piece) < 0)
			return -1;
	}
	return 0;
}
