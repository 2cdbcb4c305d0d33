/*
 * verified.h: signatures that were found good, over all workers. A client that
 * comes back, or a page that is loaded again, brings the same token, to any of
 * the workers; ES256 costs a millisecond each time.
 *
 * An entry is a fact that cannot change: this key has signed this text. Both
 * are known by their SHA-256: the whole token as it was sent, and the key by
 * what it is (jwt_public.h), not by its name. So entries of a key that is
 * replaced or taken away are never found again, those of one that stays in a
 * new configuration are, and whatever else there is to check of a token, its
 * times, path, origin and single use, is checked each time.
 *
 * A fixed table (328 KiB, of which the kernel gives the pages that are used)
 * behind one short lock; any thread may call. An entry counts until the
 * token's exp; when there is no place, the one that was not used for longest
 * gives way.
 */
#ifndef GATE_VERIFIED_H
#define GATE_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "codec/token/jwt.h"

struct verified;

#define VERIFIED_MAX 4096 /* entries */

MUST_CHECK struct verified *verified_new(void);
void verified_free(struct verified *v);

/* Whether this key was found to have signed this text; Unix time in ms. */
MUST_CHECK bool verified_has(struct verified *v, const uint8_t text[JWT_HASH],
	const uint8_t key[JWT_HASH], int64_t now_ms);
/* It was. */
void verified_add(struct verified *v, const uint8_t text[JWT_HASH],
	const uint8_t key[JWT_HASH], int64_t exp_ms);

#endif
