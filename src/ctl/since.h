/* since.h: a time that people write. */
#ifndef CTL_SINCE_H
#define CTL_SINCE_H

#include <stdint.h>

#include "base/compiler.h"

#define SINCE_EXPECTED "a time such as 10m, 14:03 or 2026-11-20 14:03"

/*
 * "90s", "10m", "2h", "3d": so long before now; "14:03", "14:03:20": when it was
 * that last; "2026-11-20", and with such a time behind a blank or a T. Local
 * time. In and out Unix ms; -1: it is none of them.
 */
MUST_CHECK int since_parse(int64_t *out, const char *text, int64_t now);

/* "90s", "10m", "2h", "3d": a length, in ms. -1: it is none. */
MUST_CHECK int since_parse_length(int64_t *ms, const char *text);

#endif
