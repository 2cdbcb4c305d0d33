/*
 * value.h: one value of one key: parsed into the struct of its section,
 * written back, freed. Numbers, sizes, times, lists: see keys.h.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "conf/keys.h"

#define VALUE_WHY      400  /* bytes for a complaint, with its NUL */
#define VALUE_LIST_MAX 1000 /* elements of one list */

/*
 * Parses text into the member of object (a struct conf_server, ...): replaces
 * a single value, appends to a list. directory is what relative paths begin
 * at. -1 and why: what is wrong, what was expected; the object is then as it
 * was, but for elements of a list in front of the bad one.
 */
MUST_CHECK int value_parse(const struct key_row *row, void *object,
	struct str text, const char *directory, char why[VALUE_WHY]);
/* Whether a string or a list is empty; no other value ever is. */
bool value_is_empty(const struct key_row *row, const void *object);
/* Elements of a list. */
size_t value_count(const struct key_row *row, const void *object);
/*
 * Appends the value as value_parse reads it; of a list, its i-th element. -1
 * without memory.
 */
MUST_CHECK int value_format(struct buf *out, const struct key_row *row,
	const void *object, size_t i);
/* Empties the member. */
void value_free(const struct key_row *row, void *object);
/* Appends what a row accepts, for people: "a time, 100ms to 1h". */
MUST_CHECK int value_describe(struct buf *out, const struct key_row *row);

/*
 * Makes room for one more element behind n of size bytes: the new array, or
 * NULL without memory (v is then as it was). The array must have been made
 * by it alone.
 */
MUST_CHECK void *value_grow(void *v, size_t n, size_t size);
/* Writes a complaint; returns -1. */
int value_fail(char why[VALUE_WHY], const char *format, ...) PRINTF_LIKE(2, 3);

#endif
