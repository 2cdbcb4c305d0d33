/*
 * fuzz_uri.c: a request target, whose bytes serve as path, query, authority
 * and text too.
 *
 * What must hold: the parts of a target lie inside of it and put together
 * are the target; a normalised path is no longer than the path, normalises
 * to itself and means the same bytes; a query without a parameter has none
 * of it and keeps all the others; what is encoded decodes to what it was.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/http/uri.h"

/* A block of n bytes and no more, so that a byte too many is seen. */
static char *block(size_t n)
{
	char *p = malloc(n > 0 ? n : 1);

	if (!p)
		abort();
	return p;
}

static void check_normalise(struct str path)
{
	char *out = block(path.n), *again, *a, *b;
	ssize_t n = uri_normalise_path(out, path), na, nb;
	struct str normal = { out, (size_t)n };

	if (n < 0) {
		assert(strlen(uri_path_fault(path)) > 10);
		free(out);
		return;
	}
	assert(n > 0 && normal.n <= path.n && out[0] == '/');
	again = block(normal.n);
	assert(uri_normalise_path(again, normal) == n);
	assert(memcmp(again, out, normal.n) == 0);

	a = block(path.n);
	b = block(normal.n);
	na = uri_decode(a, path, false);
	nb = uri_decode(b, normal, false);
	assert(na > 0 && na == nb && memcmp(a, b, (size_t)na) == 0);
	/* It stays one path for whoever decodes it. */
	assert(!memchr(a, '\0', (size_t)na) && !memchr(a, '\\', (size_t)na));
	assert(!memmem(a, (size_t)na, "//", 2));
	assert(!memmem(a, (size_t)na, "/../", 4));
	assert(!memmem(a, (size_t)na, "/./", 3));
	free(a);
	free(b);
	free(again);
	free(out);
}

/* How many parameters a query has; empty ones between two '&' are none. */
static size_t count_parameters(struct str query)
{
	size_t count = 0;

	for (size_t i = 0; i < query.n; i++)
		count += query.p[i] != '&' && (i == 0 || query.p[i - 1] == '&');
	return count;
}

static void check_query(struct str query, struct str name)
{
	char *out = block(query.n);
	struct str value, rest = { out, 0 };
	size_t count = uri_query_get(query, name, &value);

	assert((count > 0) == (value.p != NULL));
	if (value.p)
		assert(value.p >= query.p &&
			value.p + value.n <= query.p + query.n);
	rest.n = uri_query_without(out, query, name);
	assert(rest.n <= query.n);
	assert(uri_query_get(rest, name, &value) == 0);
	assert(count_parameters(query) == count + count_parameters(rest));
	if (count == 0)
		assert(str_eq(rest, query));
	free(out);
}

static void check_escapes(struct str s)
{
	char *encoded = block(3 * s.n), *decoded = block(3 * s.n);
	struct str e = { encoded, uri_encode(encoded, s) };
	ssize_t n;

	assert(e.n >= s.n && e.n <= 3 * s.n);
	for (int plus = 0; plus < 2; plus++) {
		n = uri_decode(decoded, e, plus);
		assert(n == (ssize_t)s.n);
		assert(s.n == 0 || memcmp(decoded, s.p, s.n) == 0);
		n = uri_decode(decoded, s, plus);
		assert(n >= -1 && n <= (ssize_t)s.n);
	}
	free(encoded);
	free(decoded);
}

static void check_authority(struct str s)
{
	struct uri_authority a, again;

	if (uri_parse_authority(&a, s) < 0)
		return;
	assert(a.host.p == s.p && a.host.n > 0 && a.host.n <= s.n);
	assert((a.port != 0) == (a.host.n < s.n));
	assert(uri_parse_authority(&again, a.host) == 0);
	assert(str_eq(a.host, again.host) && again.port == 0);
	assert(a.is_ip == again.is_ip);
}

static void check_split(struct str target)
{
	const char *end = target.p + target.n;
	struct uri_target t;

	if (uri_split_target(&t, target) < 0)
		return;
	assert(t.path.n > 0 && t.path.p[0] == '/');
	/* Each part ends where the next one begins. */
	if (t.query.p)
		assert(t.query.p + t.query.n == end && t.query.p[-1] == '?');
	if (t.query.p)
		end = t.query.p - 1;
	if (t.path.p >= target.p && t.path.p < target.p + target.n) {
		assert(t.path.p + t.path.n == end);
		end = t.path.p;
	}
	if (t.authority.p)
		assert(t.authority.p + t.authority.n == end &&
			t.authority.n > 0);
	else
		assert(end == target.p);
	check_normalise(t.path);
	check_query(t.query, STR("token"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str s = { (const char *)data, n };

	if (n == 0)
		return 0;
	check_split(s);
	check_normalise(s);
	check_query(s, STR("token"));
	check_query(s, (struct str){ s.p, 1 });
	check_escapes(s);
	check_authority(s);
	return 0;
}
