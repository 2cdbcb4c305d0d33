#include "ctl/rows.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/str.h"
#include "ctl/cell.h"

/* So many rows decide how wide columns are; later ones may be wider. */
#define ROWS_AT_ONCE 500
/* Of ROWS_BY_TIME, which wait for the last. */
#define ROWS_MAX    100000
#define COLUMNS_MAX 40

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

/* --- a sheet --------------------------------------------------------------*/

static void write_sheet(const json_t *row)
{
	char cell[CELL_MAX];
	size_t widest = 0;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)row, name, value)
	{
		size_t n = cell_width(cell_heading(cell, name));

		widest = n > widest ? n : widest;
	}
	json_object_foreach((json_t *)(uintptr_t)row, name, value)
	{
		size_t n = cell_width(cell_heading(cell, name));

		fputs(cell, stdout);
		cell_pad(widest - n + 2);
		puts(cell_format(cell, name, value));
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
		n = cell_width(cell_format(cell, name, value));
		c->width = n > c->width ? n : c->width;
		n = cell_width(cell_heading(cell, name));
		c->width = n > c->width ? n : c->width;
		c->right = c->right && json_is_integer(value);
	}
}

static void write_cell(const struct rows *r, size_t i, const char *cell)
{
	const struct column *c = &r->columns[i];
	size_t n = cell_width(cell);
	size_t gap = n < c->width ? c->width - n : 0;
	bool last = i + 1 == r->columns_n;

	if (c->right)
		cell_pad(gap);
	fputs(cell, stdout);
	if (!c->right && !last)
		cell_pad(gap);
	fputs(last ? "\n" : "  ", stdout);
}

static void write_heading(struct rows *r)
{
	char cell[CELL_MAX];

	for (size_t i = 0; i < r->columns_n; i++) {
		cell_heading(cell, r->columns[i].name);
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
			cell_format(cell, name, json_object_get(row, name)));
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
