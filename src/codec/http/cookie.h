/*
 * cookie.h: the Cookie field of a request (RFC 6265 section 4.2.1):
 *
 *   cookie-string = cookie-pair *( ";" SP cookie-pair )
 *
 * Every service of a host sets cookies for all of them, and not each keeps to
 * the grammar, so only the cookie that is asked for has to. What is between two
 * semicolons is a pair, also inside quotes, as in browsers. Names compare byte
 * by byte.
 */
#ifndef CODEC_HTTP_COOKIE_H
#define CODEC_HTTP_COOKIE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/str.h"

/*
 * How many cookies of this name the field has; *value is that of the last one,
 * a view into the field. -1: one that this name may be meant by, but which is
 * not NAME=value as the grammar says: other readers could see another value,
 * or none. Blanks around its parts, no '=', quotes, and bytes that are no
 * cookie-octet are such.
 */
MUST_CHECK ssize_t cookie_find(
	struct str field, struct str name, struct str *value);
/* 1: the first one of this name, 0: there is none, -1: as above. */
MUST_CHECK int cookie_find_first(
	struct str field, struct str name, struct str *value);
/*
 * Writes the field without what cookie_find counts or refuses; out has room for
 * field.n bytes, and may be where the field is. Returns its length.
 */
size_t cookie_without(char *out, struct str field, struct str name);
/* The same for every cookie whose name begins with the prefix. */
size_t cookie_without_prefix(char *out, struct str field, struct str prefix);

#endif
