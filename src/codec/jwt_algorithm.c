#include "codec/jwt_algorithm.h"

#include <mbedtls/md.h>

/* These md functions are the same in mbedTLS 2.28 and 3. */
static int hs256(
	uint8_t mac[JWT_HASH], const struct jwt_key *key, struct str input)
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(
		MBEDTLS_MD_SHA256);

	/* A shorter key could be guessed (RFC 7518 section 3.2). */
	if (!md || key->secret_n < JWT_SECRET_MIN)
		return -1;
	return mbedtls_md_hmac(md, key->secret, key->secret_n,
		       (const unsigned char *)input.p, input.n, mac) == 0
		       ? 0
		       : -1;
}

static int hs256_verify(
	const struct jwt_key *key, struct str input, struct str signature)
{
	uint8_t mac[JWT_HASH];

	if (signature.n != sizeof(mac) || hs256(mac, key, input) < 0)
		return -1;
	return str_eq_constant_time(mac, signature.p, sizeof(mac)) ? 0 : -1;
}

static ssize_t hs256_sign(
	const struct jwt_key *key, struct str input, uint8_t *signature)
{
	return hs256(signature, key, input) < 0 ? -1 : JWT_HASH;
}

static const struct jwt_algorithm_row rows[] = {
	{ JWT_HS256, "HS256", hs256_verify, hs256_sign },
};

const struct jwt_algorithm_row *jwt_algorithm_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (str_eq(name, str_of(rows[i].name)))
			return &rows[i];
	return NULL;
}

const struct jwt_algorithm_row *jwt_algorithm_get(enum jwt_algorithm id)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].id == id)
			return &rows[i];
	return NULL;
}
