/*
 * form.h: whether one element of a value is well-formed, by its type.
 */
#ifndef CONF_FORM_H
#define CONF_FORM_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/str.h"
#include "conf/keys.h"

#define FORM_NAME_MAX 40 /* bytes of a section's name: inih cuts at 49 */

/*
 * -1 and *why: what was expected of this type. Types whose values are not
 * plain strings are not looked at.
 */
MUST_CHECK int form_check(enum keys_type type, struct str s, const char **why);
/* A section's name. */
bool form_is_name(struct str s);

#endif
