/*
 * cell.h: a member of a row for people. The end of its name says what a number
 * is: _at is Unix milliseconds, _ms is a time, _bytes a size.
 */
#ifndef CTL_CELL_H
#define CTL_CELL_H

#include <stddef.h>

#include "base/str.h"

struct json_t;

#define CELL_MAX 512

/* Both return out. What a terminal might act on is shown, not done. */
const char *cell_format(
	char out[CELL_MAX], const char *name, const struct json_t *value);
/* Of its name, without what says the unit. */
const char *cell_heading(char out[CELL_MAX], const char *name);
/*
 * A text as it is shown, with a NUL, in a room of size bytes, 16 at least.
 * Returns how many bytes of it that has.
 */
size_t cell_text(char *out, size_t size, struct str text);
/* In characters; those of two columns are rare here. */
size_t cell_width(const char *text);
/* So many blanks, to standard output. */
void cell_pad(size_t n);

#endif
