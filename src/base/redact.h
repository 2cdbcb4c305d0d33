/*
 * redact.h: text of others for the log, without what looks like a JWT in it,
 * for a user may have put one into a path.
 *
 * A token that was cut off looks like none any more: so first this, then cut.
 */
#ifndef BASE_REDACT_H
#define BASE_REDACT_H

#include <stddef.h>

#include "base/str.h"

/*
 * s itself when there is none in it; else out, of size bytes, with s or as much
 * of it as there is room for, and "(token)" in place of each.
 */
struct str redact_tokens(struct str s, char *out, size_t size);

#endif
