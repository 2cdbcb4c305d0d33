#include "base/str.h"

#include <stdlib.h>
#include <string.h>

struct str str_of(const char *cstring)
{
	if (!cstring)
		return STR_NONE;
	return (struct str){ cstring, strlen(cstring) };
}

bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n &&
	       (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct str str_cut(struct str *left, char mark)
{
	const char *at = left->n > 0 ? memchr(left->p, mark, left->n) : NULL;
	struct str part = { left->p, at ? (size_t)(at - left->p) : left->n };
	size_t used = part.n + (at ? 1 : 0);

	left->p += used;
	left->n -= used;
	return part;
}

bool str_next_element(struct str *list, struct str *element)
{
	while (list->n > 0) {
		const char *comma = memchr(list->p, ',', list->n);
		size_t n = comma ? (size_t)(comma - list->p) : list->n;
		struct str e = str_trim((struct str){ list->p, n });
		size_t used = comma ? n + 1 : n;

		list->p += used;
		list->n -= used;
		if (e.n > 0) {
			*element = e;
			return true;
		}
	}
	return false;
}

int str_decimal(struct str s, uint64_t max, uint64_t *out)
{
	*out = 0;
	if (s.n == 0)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(s.p[i] - '0');

		if (digit > 9 || *out > (max - digit) / 10)
			return -1;
		*out = 10 * *out + digit;
	}
	return 0;
}

char *str_dup(struct str s)
{
	char *copy = malloc(s.n + 1);

	if (!copy)
		return NULL;
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

bool str_eq_constant_time(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a;
	const volatile unsigned char *y = b;
	unsigned char difference = 0;

	for (size_t i = 0; i < n; i++)
		difference = (unsigned char)(difference | (x[i] ^ y[i]));
	return difference == 0;
}

size_t str_character(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char c = p[0];
	unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (n == 1)
		return 1;
	if (c < 0xc2 || c > 0xf4 || s.n < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}
