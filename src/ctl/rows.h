/*
 * rows.h: rows of an answer as a table for people, or as a sheet, a line for
 * each member.
 *
 * The end of a member's name says what a number is: _at is Unix milliseconds,
 * _ms is a time, _bytes a size; its heading is the name without that.
 */
#ifndef CTL_ROWS_H
#define CTL_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct json_t;
struct rows;

/* NULL without memory. */
MUST_CHECK struct rows *rows_new(bool sheet);
void rows_free(struct rows *r);
/* Takes row. It may be written now or later. */
void rows_add(struct rows *r, struct json_t *row);
/* Writes what it has, to standard output. */
void rows_flush(struct rows *r);

#endif
