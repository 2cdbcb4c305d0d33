#include "codec/http/cookie.h"

#include <stdbool.h>
#include <string.h>

/* RFC 6265 section 4.1.1. */
static bool is_octet(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != ',' && c != ';' &&
	       c != '\\';
}

/* Takes what is before the next ';'; false at the end. */
static bool next_pair(struct str *left, struct str *pair)
{
	const char *end;

	if (!left->p)
		return false;
	end = left->n > 0 ? memchr(left->p, ';', left->n) : NULL;
	*pair = (struct str){ left->p,
		end ? (size_t)(end - left->p) : left->n };
	left->n -= pair->n;
	left->p = end ? end + 1 : NULL;
	left->n -= end != NULL;
	return true;
}

/* The name: what is before '=', or all of it, as lenient readers have it. */
static bool has_name(struct str pair, struct str name)
{
	const char *equals = pair.n > 0 ? memchr(pair.p, '=', pair.n) : NULL;

	if (equals)
		pair.n = (size_t)(equals - pair.p);
	return str_eq(str_trim(pair), name);
}

/* Without the SP that every pair has in front but the first. */
static bool take_space(struct str *pair, bool first)
{
	if (first)
		return true;
	if (pair->n == 0 || *pair->p != ' ')
		return false;
	pair->p++;
	pair->n--;
	return true;
}

/* NAME=value exactly. */
static int strict_value(struct str pair, struct str name, struct str *value)
{
	if (!str_starts(pair, name) || pair.n == name.n ||
		pair.p[name.n] != '=')
		return -1;
	*value = (struct str){ pair.p + name.n + 1, pair.n - name.n - 1 };
	for (size_t i = 0; i < value->n; i++)
		if (!is_octet((unsigned char)value->p[i]))
			return -1;
	return 0;
}

ssize_t cookie_find(struct str field, struct str name, struct str *value)
{
	struct str pair;
	ssize_t n = 0;

	for (bool first = true; next_pair(&field, &pair); first = false) {
		if (!has_name(pair, name))
			continue;
		if (!take_space(&pair, first) ||
			strict_value(pair, name, value) < 0)
			return -1;
		n++;
	}
	return n;
}

int cookie_find_first(struct str field, struct str name, struct str *value)
{
	struct str pair;

	for (bool first = true; next_pair(&field, &pair); first = false)
		if (has_name(pair, name))
			return take_space(&pair, first) &&
					       strict_value(
						       pair, name, value) == 0
				       ? 1
				       : -1;
	return 0;
}

static bool has_prefix(struct str pair, struct str prefix)
{
	return str_starts(str_trim(pair), prefix);
}

typedef bool cookie_test(struct str pair, struct str word);

static size_t without(
	char *out, struct str field, cookie_test *goes, struct str word)
{
	struct str pair;
	size_t n = 0, kept = 0, seen = 0;

	for (; next_pair(&field, &pair); seen++) {
		if (goes(pair, word))
			continue;
		if (kept > 0)
			out[n++] = ';';
		else if (seen > 0)
			pair = str_trim(pair); /* now the first: no SP */
		memmove(out + n, pair.p, pair.n);
		n += pair.n;
		kept++;
	}
	return n;
}

size_t cookie_without(char *out, struct str field, struct str name)
{
	return without(out, field, has_name, name);
}

size_t cookie_without_prefix(char *out, struct str field, struct str prefix)
{
	return without(out, field, has_prefix, prefix);
}
