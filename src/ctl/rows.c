#include "ctl/rows.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/str.h"

/* So many rows decide how wide columns are; later ones may be wider. */
#define ROWS_AT_ONCE 500
/* Of ROWS_BY_TIME, which wait for the last. */
#define ROWS_MAX    100000
#define COLUMNS_MAX 40
#define CELL_MAX    512

struct column {
	char *name; /* of the member */
	size_t width;
	bool right; /* numbers only */
};

struct rows {
	enum rows_kind kind;
	bool headed; /* the heading was written */
	struct column columns[COLUMNS_MAX];
	size_t columns_n;
	json_t **rows;
	size_t rows_n, capacity;
};

/* --- cells ----------------------------------------------------------------*/

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcmp(name + n - k, end) == 0;
}

static void format_at(char *out, size_t size, int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
		strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, size, "%" PRId64, ms);
}

/* Two units at the most: "3d 4h", "12m 5s", "480ms". */
static void format_ms(char *out, size_t size, int64_t ms)
{
	int64_t s = ms / 1000;

	if (s >= 86400)
		snprintf(out, size, "%" PRId64 "d%" PRId64 "h", s / 86400,
			s / 3600 % 24);
	else if (s >= 3600)
		snprintf(out, size, "%" PRId64 "h%02" PRId64 "m", s / 3600,
			s / 60 % 60);
	else if (s >= 60)
		snprintf(out, size, "%" PRId64 "m%02" PRId64 "s", s / 60,
			s % 60);
	else if (s >= 10)
		snprintf(out, size, "%" PRId64 "s", s);
	else if (s >= 1)
		snprintf(out, size, "%" PRId64 ".%" PRId64 "s", s,
			ms % 1000 / 100);
	else
		snprintf(out, size, "%" PRId64 "ms", ms);
}

static void format_bytes(char *out, size_t size, int64_t n)
{
	static const char units[] = "KMGTP";
	double value = (double)n / 1024;
	size_t i = 0;

	if (n < 10000) {
		snprintf(out, size, "%" PRId64, n);
		return;
	}
	while (value >= 1000 && units[i + 1]) {
		value /= 1024;
		i++;
	}
	snprintf(out, size, value < 10 ? "%.1f%c" : "%.0f%c", value, units[i]);
}

/* What a terminal might act on is shown, not done. */
static void format_text(char *out, size_t size, const char *text)
{
	struct str s = str_of(text);
	size_t n = 0;

	while (s.n > 0 && n + 8 < size) {
		size_t length = str_character(s);
		unsigned char c = (unsigned char)s.p[0];

		if (length == 0 || c < 0x20 || c == 0x7f ||
			(c == 0xc2 && (unsigned char)s.p[1] < 0xa0)) {
			length = length == 0 ? 1 : length;
			n += (size_t)snprintf(out + n, size - n, "\\x%02x",
				length == 2 ? (unsigned char)s.p[1] : c);
		} else {
			memcpy(out + n, s.p, length);
			n += length;
		}
		s.p += length;
		s.n -= length;
	}
	out[n] = '\0';
}

static const char *format_cell(
	char out[CELL_MAX], const char *name, const json_t *value)
{
	int64_t n = json_integer_value(value);

	if (json_is_string(value))
		format_text(out, CELL_MAX, json_string_value(value));
	else if (!json_is_integer(value))
		snprintf(out, CELL_MAX, "-");
	else if (ends_in(name, "_at"))
		format_at(out, CELL_MAX, n);
	else if (ends_in(name, "_ms"))
		format_ms(out, CELL_MAX, n);
	else if (ends_in(name, "_bytes"))
		format_bytes(out, CELL_MAX, n);
	else
		snprintf(out, CELL_MAX, "%" PRId64, n);
	return out;
}

/* Of its name: "queued_bytes" is "queued". */
static const char *format_heading(char out[CELL_MAX], const char *name)
{
	size_t n = strlen(name);

	if (ends_in(name, "_at") || ends_in(name, "_ms"))
		n -= 3;
	snprintf(out, CELL_MAX, "%.*s", (int)n, name);
	for (char *p = out; *p; p++)
		if (*p == '_')
			*p = ' ';
	return out;
}

/* In characters; those of two columns are rare here. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void pad(size_t n)
{
	while (n-- > 0)
		putchar(' ');
}

/* --- a sheet --------------------------------------------------------------*/

static void write_sheet(const json_t *row)
{
	char cell[CELL_MAX];
	size_t widest = 0;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)row, name, value)
	{
		size_t n = width_of(format_heading(cell, name));

		widest = n > widest ? n : widest;
	}
	json_object_foreach((json_t *)(uintptr_t)row, name, value)
	{
		size_t n = width_of(format_heading(cell, name));

		fputs(cell, stdout);
		pad(widest - n + 2);
		puts(format_cell(cell, name, value));
	}
}

/* --- a table --------------------------------------------------------------*/

static struct column *column_get(struct rows *r, const char *name)
{
	struct column *c;

	for (size_t i = 0; i < r->columns_n; i++)
		if (strcmp(r->columns[i].name, name) == 0)
			return &r->columns[i];
	if (r->headed || r->columns_n == COLUMNS_MAX)
		return NULL; /* --json has it */
	c = &r->columns[r->columns_n];
	c->name = str_dup(str_of(name));
	if (!c->name)
		return NULL;
	c->right = true;
	r->columns_n++;
	return c;
}

static void measure(struct rows *r, json_t *row)
{
	char cell[CELL_MAX];
	const char *name;
	json_t *value;

	json_object_foreach(row, name, value)
	{
		struct column *c = column_get(r, name);
		size_t n;

		if (!c)
			continue;
		n = width_of(format_cell(cell, name, value));
		c->width = n > c->width ? n : c->width;
		n = width_of(format_heading(cell, name));
		c->width = n > c->width ? n : c->width;
		c->right = c->right && json_is_integer(value);
	}
}

static void write_cell(const struct rows *r, size_t i, const char *cell)
{
	const struct column *c = &r->columns[i];
	size_t n = width_of(cell);
	size_t gap = n < c->width ? c->width - n : 0;
	bool last = i + 1 == r->columns_n;

	if (c->right)
		pad(gap);
	fputs(cell, stdout);
	if (!c->right && !last)
		pad(gap);
	fputs(last ? "\n" : "  ", stdout);
}

static void write_heading(struct rows *r)
{
	char cell[CELL_MAX];

	for (size_t i = 0; i < r->columns_n; i++) {
		format_heading(cell, r->columns[i].name);
		for (char *p = cell; *p; p++)
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		write_cell(r, i, cell);
	}
	r->headed = true;
}

static void write_row(const struct rows *r, const json_t *row)
{
	char cell[CELL_MAX];

	for (size_t i = 0; i < r->columns_n; i++) {
		const char *name = r->columns[i].name;

		write_cell(r, i,
			format_cell(cell, name, json_object_get(row, name)));
	}
}

static void write_table(struct rows *r)
{
	for (size_t i = 0; i < r->rows_n; i++)
		measure(r, r->rows[i]);
	if (!r->headed && r->rows_n > 0)
		write_heading(r);
	for (size_t i = 0; i < r->rows_n; i++)
		write_row(r, r->rows[i]);
}

/* --- life -----------------------------------------------------------------*/

struct rows *rows_new(enum rows_kind kind)
{
	struct rows *r = calloc(1, sizeof(*r));

	if (r)
		r->kind = kind;
	return r;
}

static int64_t time_of(json_t *row)
{
	return json_integer_value(
		json_object_iter_value(json_object_iter(row)));
}

static const char *id_of(const json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "id"));

	return id ? id : "";
}

/* In the same millisecond by the ids, which are given in order. */
static int compare(const void *a, const void *b)
{
	json_t *one = *(json_t *const *)a, *other = *(json_t *const *)b;
	int64_t x = time_of(one), y = time_of(other);

	return x == y ? strcmp(id_of(one), id_of(other)) : (x > y) - (x < y);
}

void rows_flush(struct rows *r)
{
	if (r->kind == ROWS_BY_TIME && r->rows_n > 1)
		qsort(r->rows, r->rows_n, sizeof(*r->rows), compare);
	if (r->kind == ROWS_SHEET)
		for (size_t i = 0; i < r->rows_n; i++) {
			if (r->headed)
				putchar('\n');
			write_sheet(r->rows[i]);
			r->headed = true;
		}
	else
		write_table(r);
	for (size_t i = 0; i < r->rows_n; i++)
		json_decref(r->rows[i]);
	r->rows_n = 0;
}

void rows_free(struct rows *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->rows_n; i++)
		json_decref(r->rows[i]);
	for (size_t i = 0; i < r->columns_n; i++)
		free(r->columns[i].name);
	free(r->rows);
	free(r);
}

int rows_add(struct rows *r, json_t *row)
{
	size_t most = r->kind == ROWS_BY_TIME ? ROWS_MAX : ROWS_AT_ONCE;

	if (r->rows_n == r->capacity) {
		size_t n = r->capacity ? 2 * r->capacity : 64;
		json_t **rows = realloc(r->rows, n * sizeof(json_t *));

		if (!rows) {
			json_decref(row);
			return -1;
		}
		r->rows = rows;
		r->capacity = n;
	}
	r->rows[r->rows_n++] = row;
	if (r->rows_n == most)
		rows_flush(r);
	return 0;
}
