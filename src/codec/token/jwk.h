/*
 * jwk.h: a JWK Set (RFC 7517 section 5): the public keys of an issuer of
 * tokens, such as an identity provider.
 *
 * Keys for another algorithm are not for us and are left out in silence: by
 * their alg, or without one by kty and crv. So are keys that would fit but for
 * their use or key_ops, which is worth a warning. What should not be in such a
 * file at all is an error: symmetric and private keys, RSA under 2048 bits, two
 * keys of one kid, members that are not what RFC 7518 section 6 says.
 */
#ifndef CODEC_TOKEN_JWK_H
#define CODEC_TOKEN_JWK_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/str.h"
#include "codec/token/jwt.h"

#define JWK_SET_MAX (256 * 1024) /* bytes of JSON that are looked at */
#define JWK_KEYS    100          /* of one set */
#define JWK_WHY     200          /* bytes for a complaint, with its NUL */

struct jwk_set {
	struct jwt_public *keys; /* owned, in the order of the file */
	size_t n;
	size_t unused;         /* fit, but have another use */
	char warning[JWK_WHY]; /* the first of them; "" = none */
};

/*
 * Reads the keys for this algorithm. -1 and why: it is not a JWK Set, a key in
 * it is an error, or none is for this algorithm. Owns nothing then.
 */
MUST_CHECK int jwk_set_parse(struct jwk_set *set, struct str json,
	enum jwt_algorithm algorithm, char why[JWK_WHY]);
void jwk_set_free(struct jwk_set *set);

#endif
