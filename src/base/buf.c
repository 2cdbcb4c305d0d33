#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256

/* Room for n more bytes; the caller has checked that n + b->n is sane. */
static int buf_reserve(struct buf *b, size_t n)
{
	size_t need = b->n + n;
	size_t capacity = b->capacity ? b->capacity : BUF_FIRST;
	uint8_t *p;

	if (need <= b->capacity)
		return 0;
	while (capacity < need) {
		if (capacity > SIZE_MAX / 2) {
			capacity = need;
			break;
		}
		capacity *= 2;
	}
	p = realloc(b->p, capacity);
	if (!p)
		return -1;
	b->p = p;
	b->capacity = capacity;
	return 0;
}

int buf_add(struct buf *b, const void *p, size_t n, size_t max)
{
	if (n > max || b->n > max - n)
		return -1;
	if (n == 0)
		return 0;
	if (buf_reserve(b, n) < 0)
		return -1;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

int buf_add_str(struct buf *b, struct str s)
{
	return buf_add(b, s.p, s.n, SIZE_MAX);
}

int buf_add_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0 || buf_reserve(b, (size_t)n + 1) < 0)
		return -1;
	va_start(ap, format);
	vsnprintf((char *)b->p + b->n, (size_t)n + 1, format, ap);
	va_end(ap);
	b->n += (size_t)n;
	return 0;
}

void buf_drop(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

struct str buf_str(const struct buf *b)
{
	return (struct str){ (const char *)b->p, b->n };
}
