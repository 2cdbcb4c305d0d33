/*
 * number.c: a time must name its unit, because "30" has been read as seconds
 * and as milliseconds by different programs; a size without one is bytes.
 * Ranges are written in the table like values.
 */
#include "conf/number.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "conf/conf.h"

struct unit {
	const char *name;
	int64_t factor;
};

/* The largest first: value_format takes the first that divides. */
static const struct unit sizes[] = {
	{ "G", 1 << 30 },
	{ "M", 1 << 20 },
	{ "K", 1 << 10 },
	{ "", 1 },
};
static const struct unit times[] = {
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

static const struct unit *units(enum keys_type t, size_t *n)
{
	if (t == TYPE_TIME) {
		*n = ARRAY_SIZE(times);
		return times;
	}
	*n = ARRAY_SIZE(sizes);
	return t == TYPE_SIZE ? sizes : sizes + *n - 1;
}

/* Digits and a unit; -1: neither, or too large for an int64_t. */
static int parse_number(int64_t *out, enum keys_type type, struct str s)
{
	int64_t v = 0;
	size_t i = 0;
	size_t n;
	const struct unit *u = units(type, &n);
	struct str rest;

	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, s.p[i] - '0', &v))
			return -1;
	if (i == 0)
		return -1;
	rest = (struct str){ s.p + i, s.n - i };
	*out = 0;
	if (rest.n == 0 && v == 0)
		return 0;
	if (type == TYPE_COUNT)
		n = 1;
	for (; n > 0; n--, u++)
		if (str_eq(rest, str_of(u->name)))
			return __builtin_mul_overflow(v, u->factor, out) ? -1
									 : 0;
	return -1;
}

/* A minimum or maximum of the table, which the unit test has parsed. */
static int64_t limit(const struct key_row *row, const char *text)
{
	int64_t v = 0;
	int r = parse_number(&v, row->type, str_of(text));

	assert(r == 0);
	return v;
}

static bool is_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

static const char *number_kind(enum keys_type t)
{
	if (t == TYPE_TIME)
		return "a time with its unit such as 500ms, 10s, 5m, 1h";
	if (t == TYPE_SIZE)
		return "a size such as 4096, 16K, 1M, 1G";
	return "a whole number";
}

int number_parse(const struct key_row *row, int64_t *out, struct str s,
	char why[VALUE_WHY])
{
	int64_t v;
	int len = (int)s.n;

	if ((row->flags & KEY_AUTO) && str_eq(s, STR("auto"))) {
		*out = 0;
		return 0;
	}
	if (parse_number(&v, row->type, s) < 0) {
		if (row->type == TYPE_TIME && is_digits(s))
			return value_fail(why,
				"\"%.*s\" has no unit, "
				"expected ms, s, m or h behind it",
				len, s.p);
		return value_fail(why,
			"\"%.*s\" is not understood, expected %s%s", len, s.p,
			number_kind(row->type),
			row->flags & KEY_AUTO ? ", or auto" : "");
	}
	if (v == 0 && (row->flags & KEY_ZERO)) {
		*out = 0;
		return 0;
	}
	if (v < limit(row, row->min) || v > limit(row, row->max))
		return value_fail(why,
			"\"%.*s\" is out of range, "
			"expected %s%s to %s",
			len, s.p, row->flags & KEY_ZERO ? "0, or " : "",
			row->min, row->max);
	*out = v;
	return 0;
}

int number_format(struct buf *out, const struct key_row *row, int64_t v)
{
	size_t n;
	const struct unit *u = units(row->type, &n);
	int64_t initial = 0;

	if (v == 0)
		return buf_add_printf(
			out, "%s", row->flags & KEY_AUTO ? "auto" : "0");
	/* 60s, not 1m, when that is how the table says it. */
	if (parse_number(&initial, row->type, str_of(row->initial)) == 0 &&
		v == initial)
		return buf_add_printf(out, "%s", row->initial);
	if (row->type == TYPE_COUNT)
		return buf_add_printf(out, "%" PRId64, v);
	while (v % u->factor != 0)
		u++;
	return buf_add_printf(out, "%" PRId64 "%s", v / u->factor, u->name);
}

/* --- rates ----------------------------------------------------------------- */

static const struct unit periods[] = {
	{ "/s", 1000 },
	{ "/m", 60000 },
	{ "/h", 3600000 },
};

int number_parse_rate(struct conf_rate *out, struct str s, char why[VALUE_WHY])
{
	const char *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
	struct str digits = { s.p, slash ? (size_t)(slash - s.p) : s.n };
	struct str period = { slash, s.n - digits.n };
	int64_t n;

	if (parse_number(&n, TYPE_COUNT, digits) < 0)
		return value_fail(why,
			"\"%.*s\" is not understood, expected a rate such as "
			"5/s, 20/m, 100/h, or 0",
			(int)s.n, s.p);
	if (n == 0 && !slash) {
		*out = (struct conf_rate){ 0 };
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(periods); i++) {
		if (!str_eq(period, str_of(periods[i].name)))
			continue;
		if (n < 1 || n > NUMBER_RATE_MAX)
			return value_fail(why,
				"\"%.*s\" is out of range, expected 0, or 1 to "
				"%d in a time",
				(int)s.n, s.p, NUMBER_RATE_MAX);
		*out = (struct conf_rate){ n, periods[i].factor };
		return 0;
	}
	return value_fail(why,
		"\"%.*s\" names no time, expected /s, /m or /h behind it",
		(int)s.n, s.p);
}

int number_format_rate(struct buf *out, const struct conf_rate *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(periods); i++)
		if (r->n > 0 && r->ms == periods[i].factor)
			return buf_add_printf(
				out, "%" PRId64 "%s", r->n, periods[i].name);
	return buf_add_str(out, STR("0"));
}

/* --- modes ----------------------------------------------------------------- */

int number_parse_mode(int64_t *out, struct str s, char why[VALUE_WHY])
{
	int64_t mode = 0;
	bool good = s.n == 3 || (s.n == 4 && s.p[0] == '0');

	for (size_t i = 0; good && i < s.n; i++) {
		good = s.p[i] >= '0' && s.p[i] <= '7';
		mode = 8 * mode + (s.p[i] - '0');
	}
	if (!good)
		return value_fail(why,
			"\"%.*s\" is not understood, expected three octal "
			"digits such as 0660",
			(int)s.n, s.p);
	*out = mode;
	return 0;
}

int number_format_mode(struct buf *out, int64_t mode)
{
	return buf_add_printf(out, "0%03" PRIo64, mode);
}
