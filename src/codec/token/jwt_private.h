/*
 * jwt_private.h: a private key that signs tokens, for wsrelayctl: the relay
 * itself has public keys only.
 */
#ifndef CODEC_TOKEN_JWT_PRIVATE_H
#define CODEC_TOKEN_JWT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/str.h"
#include "codec/token/jwt.h"

/* Fills n bytes; 0, or a number that is not. As mbedTLS wants it. */
typedef int jwt_private_random(void *arg, unsigned char *out, size_t n);

/*
 * Reads the one key of a PEM file. random is kept and called by the functions
 * below. NULL and *why, which lives forever.
 */
MUST_CHECK struct jwt_private *jwt_private_new(
	struct str pem, jwt_private_random *random, const char **why);
void jwt_private_free(struct jwt_private *s);
/* Whether the other half of this one is that one. */
bool jwt_private_fits(const struct jwt_private *s, const struct jwt_public *p);
/*
 * Signs a hash: ECDSA as DER, RSA as one number, in at most JWT_SIGNATURE_MAX
 * bytes. Its length, or -1.
 */
MUST_CHECK ssize_t jwt_private_sign(const struct jwt_private *s,
	const uint8_t hash[JWT_HASH], uint8_t signature[JWT_SIGNATURE_MAX]);

#endif
