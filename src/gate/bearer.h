/*
 * bearer.h: what is remembered of a client's token once it was verified: what
 * revocations know tokens by. The token itself is not in it.
 */
#ifndef GATE_BEARER_H
#define GATE_BEARER_H

#include <stdint.h>

#include "base/compiler.h"
#include "codec/state.h"

struct jwt;

struct bearer {
	/*
	 * Unix time: its iat, or when it was shown, if that was earlier: a clock
	 * was ahead then. JWT_NEVER: it has no iat.
	 */
	int64_t issued_ms;
	const char *key;      /* the section's name that has signed it */
	const char *kid;      /* its name in a JWK Set, or that of key */
	const char *jti;      /* NULL: it has none */
	uint8_t id[STATE_ID]; /* of its header and payload */
	char text[];
};

/* At now_ms. The caller frees it. NULL without memory. */
MUST_CHECK struct bearer *bearer_new(
	const struct jwt *t, const char *key, const char *kid, int64_t now_ms);

#endif
