/*
 * buf.h: a growing array of bytes with a bound. Owned by one thread.
 * A struct buf of zeros is empty and holds no memory.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

struct buf {
	uint8_t *p;
	size_t n;        /* bytes held */
	size_t capacity; /* bytes allocated */
};

/*
 * Appends n bytes. -1 when the result would be longer than max bytes or
 * memory is out; the buffer is then as it was.
 */
MUST_CHECK int buf_add(struct buf *b, const void *p, size_t n, size_t max);
/* Appends without a bound of its own: for text that the program makes. */
MUST_CHECK int buf_add_str(struct buf *b, struct str s);
MUST_CHECK int buf_add_printf(struct buf *b, const char *format, ...)
	PRINTF_LIKE(2, 3);
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);
/* Frees the memory; the buffer is empty again. */
void buf_free(struct buf *b);
struct str buf_str(const struct buf *b);

#endif
