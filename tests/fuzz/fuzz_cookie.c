/*
 * fuzz_cookie.c: a name of one to eight letters, by the first two bytes, and a
 * field. A second reader, written another way, must count the same.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/http/cookie.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * Cookies whose name is this one for whoever trims it; *strict counts those
 * that the grammar has.
 */
static ssize_t count(struct str field, struct str name, ssize_t *strict)
{
	ssize_t n = 0;

	*strict = 0;
	for (size_t i = 0; i <= field.n;) {
		size_t end = i, from = i, to, equals;
		bool good;

		while (end < field.n && field.p[end] != ';')
			end++;
		for (equals = i; equals < end && field.p[equals] != '=';)
			equals++;
		to = equals;
		while (from < to && is_blank(field.p[from]))
			from++;
		while (to > from && is_blank(field.p[to - 1]))
			to--;
		if (to - from == name.n &&
			memcmp(field.p + from, name.p, name.n) == 0) {
			n++;
			good = equals < end && to == equals &&
			       (i == 0 ? from == 0
				       : from == i + 1 && field.p[i] == ' ');
			for (size_t k = equals + 1; good && k < end; k++)
				good = strchr("\"\\,", field.p[k]) == NULL &&
				       field.p[k] > ' ' && field.p[k] < 0x7f;
			*strict += good;
		}
		i = end + 1;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char letters[8];
	struct str name, field, value = STR_NONE;
	ssize_t all, strict, found;
	char *out, *again;
	size_t left;

	if (n < 2)
		return 0;
	name = (struct str){ letters, 1 + data[0] % 8u };
	memset(letters, 't', sizeof(letters));
	letters[0] = (char)('a' + data[1] % 26);
	field = (struct str){ (const char *)data + 2, n - 2 };
	all = count(field, name, &strict);
	found = cookie_find(field, name, &value);
	assert(found == (all == strict ? all : -1));
	if (found > 0)
		assert(value.p >= field.p &&
			value.p + value.n <= field.p + field.n);

	out = malloc(field.n + 1);
	again = malloc(field.n + 1);
	if (!out || !again)
		abort();
	left = cookie_without(out, field, name);
	assert(left <= field.n && (all > 0 || left == field.n));
	assert(count((struct str){ out, left }, name, &strict) == 0);
	assert(cookie_without(again, (struct str){ out, left }, name) == left);
	memcpy(again, field.p, field.n);
	assert(cookie_without(again, (struct str){ again, field.n }, name) ==
		left);
	assert(memcmp(again, out, left) == 0);
	free(out);
	free(again);
	return 0;
}
