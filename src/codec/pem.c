/*
 * mbedTLS looks for the blocks it knows, wherever they are, and passes over the
 * rest: a chain whose second half is missing its END, or a key among
 * certificates, would be read as if nothing were wrong. So the blocks are
 * walked here first, and a file holds only what it is for.
 */
#include "codec/pem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void pem_explain(char why[PEM_WHY], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, PEM_WHY, format, ap);
	va_end(ap);
}

static const struct str begin = { "-----BEGIN ", 11 };
static const struct str dashes = { "-----", 5 };

/* Where part begins in s; NULL: nowhere. */
static const char *find_text(struct str s, struct str part)
{
	return memmem(s.p, s.n, part.p, part.n);
}

static struct str from(struct str s, const char *p)
{
	return (struct str){ p, s.n - (size_t)(p - s.p) };
}

/* The words of a label between its dashes; false: it is none. */
static bool take_label(struct str *s, struct str *label)
{
	const char *end = find_text(*s, dashes);

	if (!end)
		return false;
	*label = (struct str){ s->p, (size_t)(end - s->p) };
	for (size_t i = 0; i < label->n; i++)
		if (label->p[i] < ' ' || label->p[i] > '~')
			return false;
	*s = from(*s, end + dashes.n);
	return label->n > 0 && label->n <= 40;
}

/*
 * Whether no END is in front of the next BEGIN. A block whose BEGIN line was
 * damaged would pass for text, and mbedTLS would take its END for that of the
 * next block.
 */
static bool is_only_words(struct str s)
{
	const char *end = find_text(s, STR("-----END "));
	const char *start = find_text(s, begin);

	return !end || (start && start < end);
}

int pem_next(struct str *s, struct pem_block *b, char why[PEM_WHY])
{
	const char *start = find_text(*s, begin);
	char end[64];
	const char *found, *next;
	int n;

	if (!is_only_words(*s))
		return pem_fail(why,
			"holds an END line without its BEGIN line, "
			"expected PEM");
	if (!start)
		return 0;
	*s = from(*s, start + begin.n);
	if (!take_label(s, &b->label))
		return pem_fail(why,
			"holds a BEGIN line that is not understood, "
			"expected PEM");
	n = snprintf(end, sizeof(end), "-----END %.*s-----", (int)b->label.n,
		b->label.p);
	found = find_text(*s, (struct str){ end, (size_t)n });
	next = find_text(*s, begin);
	if (!found || (next && next < found))
		return pem_fail(why,
			"holds a %.*s without its END line, expected PEM",
			(int)b->label.n, b->label.p);
	b->text.p = start;
	b->text.n = (size_t)(found - start) + (size_t)n;
	*s = from(*s, start + b->text.n);
	return 1;
}

int pem_open(struct str *s, const uint8_t *pem, size_t n, char why[PEM_WHY])
{
	if (n < 2)
		return pem_fail(why, "is empty, expected PEM");
	if (n - 1 > PEM_MAX)
		return pem_fail(why, "is longer than 1 MiB, expected PEM");
	*s = (struct str){ (const char *)pem, n - 1 };
	if (!find_text(*s, begin) && pem[0] == 0x30)
		return pem_fail(why,
			"holds DER, expected PEM (openssl converts "
			"it)");
	if (!find_text(*s, begin))
		return pem_fail(why, "holds no BEGIN line, expected PEM");
	/* mbedTLS would stop there. */
	if (memchr(s->p, '\0', s->n))
		return pem_fail(why, "holds a NUL, expected PEM");
	return 0;
}
