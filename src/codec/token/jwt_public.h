/*
 * jwt_public.h: a public key that verifies tokens: RSA of 2048 to 4096 bits
 * for RS256, P-256 for ES256 (RFC 7518 sections 3.3 and 3.4).
 *
 * It is kept as the DER of its SubjectPublicKeyInfo and taken apart for every
 * verification: 0.6 us beside the 40 to 1000 of the arithmetic. So it never
 * changes, and any number of threads may verify with it at a time; contexts
 * of mbedTLS, which keep intermediate results, do not promise that.
 */
#ifndef CODEC_TOKEN_JWT_PUBLIC_H
#define CODEC_TOKEN_JWT_PUBLIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"
#include "codec/token/jwt.h"

#define JWT_PUBLIC_DER 640   /* bytes; RSA of 4096 bits takes 550 */
#define JWT_PEM_MAX    16384 /* bytes of a PEM file that are looked at */

struct jwt_public {
	char *kid; /* owned; NULL: it has the name of its jwt_key */
	uint8_t der[JWT_PUBLIC_DER];
	size_t der_n;
	/* SHA-256 of the algorithm and the key: what it is, by any name. */
	uint8_t id[JWT_HASH];
};

/*
 * Reads the one key of a PEM file (PUBLIC KEY or RSA PUBLIC KEY, RFC 7468)
 * that this algorithm verifies with. -1 and *why, which lives forever: what it
 * holds instead.
 */
MUST_CHECK int jwt_public_from_pem(struct jwt_public *p,
	enum jwt_algorithm algorithm, struct str pem, const char **why);
/* The same from numbers, big-endian: RSA's modulus and exponent. */
MUST_CHECK int jwt_public_from_rsa(
	struct jwt_public *p, struct str n, struct str e, const char **why);
/* The same from the 32 bytes each of a point of P-256. */
MUST_CHECK int jwt_public_from_p256(
	struct jwt_public *p, struct str x, struct str y, const char **why);
void jwt_public_free(struct jwt_public *p);

/*
 * 0 when the signature of hash, as DER (ECDSA) or one number (RSA), is this
 * key's, else -1. Any thread.
 */
MUST_CHECK int jwt_public_check(const struct jwt_public *p,
	const uint8_t hash[JWT_HASH], struct str signature);

/*
 * The public keys of a key that may have made the token: those of its kid, or
 * all of them when it has none. *at is 0 at first. NULL: no more, or it is
 * for another algorithm or none with public keys.
 */
const struct jwt_public *jwt_public_next(
	const struct jwt *t, const struct jwt_key *key, size_t *at);

#endif
