/*
 * origin.h: the Origin field (RFC 6454, RFC 6455 section 10.2) against what a
 * route allows.
 */
#ifndef CODEC_HTTP_ORIGIN_H
#define CODEC_HTTP_ORIGIN_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/str.h"

/*
 * Whether a pattern of the configuration is well-formed: "null", or
 * scheme://host[:port] with an optional "*" as a whole host label. -1 and
 * *why.
 */
MUST_CHECK int origin_pattern_check(struct str pattern, const char **why);
/*
 * Whether an Origin value matches one pattern: scheme and host without
 * regard to case, default ports (80, 443) filled in, "*" one label, "null"
 * only as itself. A malformed Origin matches nothing.
 */
bool origin_matches(struct str origin, struct str pattern);
/*
 * Whether the Origin is the page's own: the same host and port as the Host
 * value, and http or https as secure says.
 */
bool origin_is_same(struct str origin, struct str host, bool secure);

#endif
