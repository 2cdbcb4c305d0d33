/*
 * rows.h: rows of an answer as a table for people, or as a sheet, a line for
 * each member.
 *
 * The end of a member's name says what a number is: _at is Unix milliseconds,
 * _ms is a time, _bytes a size; its heading is the name without that.
 */
#ifndef CTL_ROWS_H
#define CTL_ROWS_H

#include <stddef.h>

#include "base/compiler.h"

struct json_t;
struct rows;

enum rows_kind {
	ROWS_TABLE,
	ROWS_SHEET,
	ROWS_BY_TIME, /* a table in the order of its first column */
};

/* NULL without memory. */
MUST_CHECK struct rows *rows_new(enum rows_kind kind);
void rows_free(struct rows *r);
/* Takes row, which is written now or later. -1 without memory. */
MUST_CHECK int rows_add(struct rows *r, struct json_t *row);
/* Writes what it has, to standard output. */
void rows_flush(struct rows *r);

#endif
