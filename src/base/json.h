/*
 * json.h: lines of JSON (RFC 8259), made of the same fields as a line of the
 * log: what wsrelayctl is answered. Bytes that are not UTF-8 become U+FFFD, and
 * what looks like a token in a value "(token)", as in the log.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/str.h"

struct buf;

/* Longer values are cut, between characters, and end in "...". */
#define JSON_VALUE_MAX 4096

/*
 * Appends an object with these fields, LF behind it. Fields without a value are
 * left out. -1 without memory: *out is as it was.
 */
MUST_CHECK int json_add_line(
	struct buf *out, const struct log_field *fields, size_t n);

/* What JSON_LINE(out, F_STR("a", text), F_INT("b", 1)) does. */
#define JSON_LINE(out, ...)                                                    \
	json_add_line(out, (const struct log_field[]){ __VA_ARGS__ },          \
		sizeof((const struct log_field[]){ __VA_ARGS__ }) /            \
			sizeof(struct log_field))

/*
 * How the first character of s, which is not empty, or one byte that is none,
 * is written inside quotes: returns the length, and in *used how many bytes of s
 * that was.
 */
#define JSON_ESCAPED_MAX 8
size_t json_escape(char out[JSON_ESCAPED_MAX], struct str s, size_t *used);
/*
 * Appends the characters of *left as they are written inside quotes, and takes
 * them off: all of them, or as many as make `most` bytes or a few more. -1
 * without memory.
 */
MUST_CHECK int json_add_characters(
	struct buf *out, struct str *left, size_t most);
/* The letter behind the backslash; 0: none. */
char json_short_escape(char c);

#endif
