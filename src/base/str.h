/*
 * str.h: a borrowed view of bytes. Not terminated, never owned, never
 * stored longer than the buffer it points into.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_NONE     ((struct str){ NULL, 0 })

struct str str_of(const char *cstring); /* NULL gives STR_NONE */
bool str_eq(struct str a, struct str b);
/* ASCII letters compare without regard to case (RFC 9110 field names). */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
/* Without the SP and HTAB at both ends. */
struct str str_trim(struct str s);
/* Takes what is before the mark off *left, and the mark; all, without one. */
struct str str_cut(struct str *left, char mark);
/*
 * Takes the next element off a comma-separated list (RFC 9110 section 5.6.1):
 * trimmed, empty elements skipped. False at the end.
 */
bool str_next_element(struct str *list, struct str *element);
/*
 * The bytes of the UTF-8 character at the beginning of s, which is not empty: 1
 * to 4, and 0 when there is none (RFC 3629 section 4).
 */
size_t str_character(struct str s);
/*
 * A decimal number, at most max, of all of s: digits only, no sign. -1: it is
 * none.
 */
MUST_CHECK int str_decimal(struct str s, uint64_t max, uint64_t *out);
/* An owned, terminated copy; NULL without memory. */
MUST_CHECK char *str_dup(struct str s);
/*
 * Compares in a time that depends on the lengths only (for secrets and
 * MACs).
 */
bool str_eq_constant_time(const void *a, const void *b, size_t n);

#endif
