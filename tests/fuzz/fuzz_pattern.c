/*
 * fuzz_pattern.c: two patterns, a path and a template, one per line.
 *
 * What must hold: captures lie inside the path; a pattern taken as a template
 * expands to the very path that it matched; a pattern that covers another
 * matches all that the other one does; a checked template expands.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/pattern.h"

static struct str next_line(struct str *text)
{
	const char *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	struct str line = { text->p, end ? (size_t)(end - text->p) : text->n };
	size_t used = end ? line.n + 1 : line.n;

	text->p += used;
	text->n -= used;
	return line;
}

static struct pattern *parse(struct str line)
{
	const char *why = NULL;
	char *text = str_dup(line);
	struct pattern *p;

	if (!text)
		return NULL;
	p = pattern_parse(text, &why);
	assert(p || why);
	free(text);
	return p;
}

static void check_captures(const struct captures *c, struct str path)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < pattern_captures(c->pattern); i++) {
		assert(c->v[i].n > 0 && c->v[i].p > path.p);
		assert(c->v[i].p + c->v[i].n <= path.p + path.n);
	}
	assert(template_expand(&out, str_of(pattern_text(c->pattern)), c) == 0);
	assert(str_eq(buf_str(&out), path));
	buf_free(&out);
}

static void check_template(struct str line, const struct captures *c)
{
	const char *why = NULL;
	char *text = str_dup(line);
	struct buf out = { 0 };

	if (!text)
		return;
	if (template_check(text, c->pattern, true, &why) == 0)
		assert(template_expand(&out, str_of(text), c) == 0);
	else
		assert(why);
	buf_free(&out);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	struct pattern *a = parse(next_line(&text));
	struct pattern *b = parse(next_line(&text));
	struct str path = next_line(&text);
	struct captures c;
	struct str rest;

	if (a && pattern_match(a, path, &c)) {
		check_captures(&c, path);
		check_template(next_line(&text), &c);
		assert(pattern_match_prefix(a, path, &c, &rest));
	}
	if (a && pattern_match_prefix(a, path, &c, &rest) && rest.n > 0)
		assert(rest.p[0] == '/' && rest.p + rest.n == path.p + path.n);
	if (a && b && pattern_covers(a, b) && pattern_match(b, path, &c))
		assert(pattern_match(a, path, &c));
	pattern_free(a);
	pattern_free(b);
	return 0;
}
