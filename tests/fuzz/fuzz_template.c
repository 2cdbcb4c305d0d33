/*
 * fuzz_template.c: any text as a template of the page /p/{id}/{part}.
 *
 * What must hold: pieces and what was between them are the whole text, in
 * order; a path is in its normal form, no prefix, not too long; escaped text
 * ends no string and no element.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/buf.h"
#include "codec/http/uri.h"
#include "codec/pattern.h"
#include "page/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_path(const char *path)
{
	char normal[TEMPLATE_PATH_MAX];
	size_t n = strlen(path);

	assert(n > 0 && n <= TEMPLATE_PATH_MAX);
	assert(uri_normalise_path(normal, str_of(path)) == (ssize_t)n);
	assert(memcmp(normal, path, n) == 0);
	assert(n < 2 || memcmp(path + n - 2, "/*", 2) != 0);
}

static void check_escape(enum template_kind kind, struct str s)
{
	struct buf out = { 0 };

	if (template_escape(&out, kind, s) < 0)
		abort();
	assert(out.n >= s.n);
	for (size_t i = 0; i < out.n; i++)
		assert(!memchr("<>\"'", out.p[i], 4));
	buf_free(&out);
}

static void check_pieces(struct str text, const struct captures *captures)
{
	struct str rest = text;
	struct template_piece piece;

	do {
		const char *before = rest.p;

		if (template_next(&rest, captures, &piece) < 0)
			abort();
		assert(piece.text.p == before);
		assert(rest.p + rest.n == text.p + text.n);
		assert(piece.text.p + piece.text.n <= rest.p);
		if (piece.word == TEMPLATE_END) {
			assert(rest.n == 0);
			assert(piece.text.p + piece.text.n == rest.p);
			continue;
		}
		assert(memcmp(piece.text.p + piece.text.n, "{{", 2) == 0);
		assert(memcmp(rest.p - 2, "}}", 2) == 0);
		check_path(piece.path);
	} while (piece.word != TEMPLATE_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *why;
	struct pattern *p = pattern_parse("/p/{id}/{part}", &why);
	struct captures captures;
	struct str text = { (const char *)data, n }, rest;

	if (!p || !pattern_match_prefix(
			  p, STR("/p/42/a-much-longer.part"), &captures, &rest))
		abort();
	check_pieces(text, &captures);
	check_escape(TEMPLATE_HTML, text);
	check_escape(TEMPLATE_SVG, text);
	check_escape(TEMPLATE_SCRIPT, text);
	pattern_free(p);
	return 0;
}
