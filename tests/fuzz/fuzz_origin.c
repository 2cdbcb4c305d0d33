/*
 * An Origin, a pattern and a Host, one per line.
 *
 * What must hold: a pattern that is refused matches nothing; a good one
 * without a '*' matches itself; an Origin is at most of one scheme at home;
 * and a Host that is well-formed is at home with itself.
 */
#include "codec/http/origin.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct str next_line(struct str *text)
{
	const char *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	struct str line = { text->p, end ? (size_t)(end - text->p) : text->n };
	size_t used = end ? line.n + 1 : line.n;

	text->p += used;
	text->n -= used;
	return line;
}

static void check_pattern(struct str origin, struct str pattern)
{
	const char *why = NULL;
	bool good = origin_pattern_check(pattern, &why) == 0;
	bool has_star = pattern.n > 0 && memchr(pattern.p, '*', pattern.n);

	if (!good && (!why || origin_matches(origin, pattern) ||
			     origin_matches(pattern, pattern)))
		abort();
	if (good && origin_matches(pattern, pattern) == has_star)
		abort();
}

static void check_host(struct str host)
{
	struct uri_authority authority;
	struct buf own = { 0 };

	if (buf_add_str(&own, STR("https://")) < 0 ||
		buf_add_str(&own, host) < 0)
		abort();
	if (origin_is_same(buf_str(&own), host, true) !=
		(uri_parse_authority(&authority, host) == 0))
		abort();
	buf_free(&own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	struct str origin = next_line(&text);
	struct str pattern = next_line(&text);
	struct str host = next_line(&text);

	check_pattern(origin, pattern);
	check_host(host);
	if (origin_is_same(origin, host, true) &&
		origin_is_same(origin, host, false))
		abort();
	return 0;
}
