/*
 * jwt_algorithm.h: THE table of signature algorithms (RFC 7518 section 3.1).
 * A further algorithm is a row here and its key material in struct jwt_key;
 * nothing else of jwt.h asks which one it is. Private to codec/token.
 */
#ifndef CODEC_TOKEN_JWT_ALGORITHM_H
#define CODEC_TOKEN_JWT_ALGORITHM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/str.h"
#include "codec/token/jwt.h"

struct jwt_algorithm_row {
	enum jwt_algorithm id;
	const char *name; /* alg */
	/* Of its public keys as JWKs; NULL where keys are secrets. */
	const char *kty, *crv;
	/*
	 * 0 when the signature of the input is this key's, else -1. One of
	 * them: with the secret, or with a public key and the input's SHA-256.
	 */
	int (*verify)(const struct jwt_key *key, struct str input,
		struct str signature);
	int (*verify_public)(const struct jwt_public *key,
		const uint8_t hash[JWT_HASH], struct str signature);
	/*
	 * Writes the signature, at most JWT_SIGNATURE_MAX bytes; its length,
	 * or -1, also when the key can only verify.
	 */
	ssize_t (*sign)(const struct jwt_key *key, struct str input,
		uint8_t *signature);
};

/* Both give NULL when there is none, as for "none" and JWT_NONE. */
const struct jwt_algorithm_row *jwt_algorithm_find(struct str name);
const struct jwt_algorithm_row *jwt_algorithm_get(enum jwt_algorithm id);

#endif
