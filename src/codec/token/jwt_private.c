#include "codec/token/jwt_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/mbedtls.h"
#include "codec/token/jwt_public.h"

struct jwt_private {
	mbedtls_pk_context pk;
	jwt_private_random *random;
};

static int parse_key(struct jwt_private *s, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;

	return mbed_parse_key(&s->pk, p, n, s->random);
}

struct jwt_private *jwt_private_new(
	struct str pem, jwt_private_random *random, const char **why)
{
	struct jwt_private *s;
	char *text;
	int r;

	*why = "more than 16384 bytes";
	if (pem.n > JWT_PEM_MAX)
		return NULL;
	*why = "no PEM";
	if (pem.n == 0 || memchr(pem.p, '\0', pem.n))
		return NULL;
	*why = "no memory";
	s = calloc(1, sizeof(*s));
	text = str_dup(pem); /* mbedTLS wants its NUL */
	if (!s || !text) {
		free(s);
		free(text);
		return NULL;
	}
	mbedtls_pk_init(&s->pk);
	s->random = random;
	r = parse_key(s, text, pem.n + 1);
	explicit_bzero(text, pem.n);
	free(text);
	if (r == 0)
		return s;
	*why = r == MBEDTLS_ERR_PK_PASSWORD_REQUIRED
		       ? "an encrypted key"
		       : "nothing that mbedTLS takes for a private key";
	jwt_private_free(s);
	return NULL;
}

void jwt_private_free(struct jwt_private *s)
{
	if (s)
		mbedtls_pk_free(&s->pk); /* which wipes it */
	free(s);
}

/* mbedTLS 2.28 forgot some const; these do not change it. */
static mbedtls_pk_context *context(const struct jwt_private *s)
{
	return (mbedtls_pk_context *)(uintptr_t)&s->pk;
}

bool jwt_private_fits(const struct jwt_private *s, const struct jwt_public *p)
{
	uint8_t der[JWT_PUBLIC_DER];
	/* It writes at the end. */
	int n = mbedtls_pk_write_pubkey_der(context(s), der, sizeof(der));

	return n > 0 && (size_t)n == p->der_n &&
	       memcmp(der + sizeof(der) - n, p->der, p->der_n) == 0;
}

ssize_t jwt_private_sign(const struct jwt_private *s,
	const uint8_t hash[JWT_HASH], uint8_t signature[JWT_SIGNATURE_MAX])
{
	size_t n = 0;
	int r;

	r = mbed_sign(
		context(s), hash, signature, JWT_SIGNATURE_MAX, &n, s->random);
	return r == 0 ? (ssize_t)n : -1;
}
