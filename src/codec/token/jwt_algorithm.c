/*
 * ES256: a JWS has the two numbers of an ECDSA signature as 32 bytes each
 * (RFC 7518 section 3.4), mbedTLS wants them as DER (RFC 3279 section 2.2.3).
 * RS256: both have one number as long as the modulus.
 */
#include "codec/token/jwt_algorithm.h"

#include <string.h>

#include <mbedtls/md.h>

#include "codec/token/jwt_private.h"
#include "codec/token/jwt_public.h"

/* --- HS256 --- */

/* These md functions are the same in mbedTLS 2.28 and 3. */
static int hs256(uint8_t mac[JWT_HASH], const uint8_t *secret, size_t n,
	struct str input)
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(
		MBEDTLS_MD_SHA256);

	/* A shorter key could be guessed (RFC 7518 section 3.2). */
	if (!md || n < JWT_SECRET_MIN)
		return -1;
	return mbedtls_md_hmac(md, secret, n, (const unsigned char *)input.p,
		       input.n, mac) == 0
		       ? 0
		       : -1;
}

static bool hs256_fits(
	const uint8_t *secret, size_t n, struct str input, struct str signature)
{
	uint8_t mac[JWT_HASH];

	return signature.n == sizeof(mac) &&
	       hs256(mac, secret, n, input) == 0 &&
	       str_eq_constant_time(mac, signature.p, sizeof(mac));
}

/* Always with both: the time does not tell which of them signed. */
static int hs256_verify(
	const struct jwt_key *key, struct str input, struct str signature)
{
	bool fits = hs256_fits(key->secret, key->secret_n, input, signature);

	if (key->other_secret)
		fits |= hs256_fits(key->other_secret, key->other_secret_n,
			input, signature);
	return fits ? 0 : -1;
}

static ssize_t hs256_sign(
	const struct jwt_key *key, struct str input, uint8_t *signature)
{
	return hs256(signature, key->secret, key->secret_n, input) < 0
		       ? -1
		       : JWT_HASH;
}

/* --- RS256 and ES256 --- */

#define NUMBER  32 /* bytes of r, of s */
#define DER_MAX (6 + 2 * NUMBER + 2)

static ssize_t sign_hash(
	const struct jwt_key *key, struct str input, uint8_t *signature)
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(
		MBEDTLS_MD_SHA256);
	uint8_t hash[JWT_HASH];

	if (!key->private || !md ||
		mbedtls_md(md, (const unsigned char *)input.p, input.n, hash))
		return -1;
	return jwt_private_sign(key->private, hash, signature);
}

/* One INTEGER: no zeros in front but for the sign. Returns its end. */
static uint8_t *put_number(uint8_t *out, const uint8_t *number)
{
	size_t n = NUMBER;
	size_t sign;

	while (n > 1 && *number == 0) {
		number++;
		n--;
	}
	sign = *number >> 7;
	*out++ = 0x02;
	*out++ = (uint8_t)(n + sign);
	if (sign)
		*out++ = 0;
	memcpy(out, number, n);
	return out + n;
}

/* The next INTEGER, as 32 bytes. Returns its end, NULL: there is none. */
static const uint8_t *take_number(
	uint8_t *out, const uint8_t *p, const uint8_t *end)
{
	size_t n;

	if (end - p < 2 || p[0] != 0x02 || p[1] > end - p - 2)
		return NULL;
	n = p[1];
	p += 2;
	while (n > 0 && *p == 0) {
		p++;
		n--;
	}
	if (n > NUMBER)
		return NULL;
	memset(out, 0, NUMBER - n);
	memcpy(out + NUMBER - n, p, n);
	return p + n;
}

static int es256_verify(const struct jwt_public *key,
	const uint8_t hash[JWT_HASH], struct str signature)
{
	const uint8_t *number = (const uint8_t *)signature.p;
	uint8_t der[DER_MAX], *end;

	if (signature.n != 2 * NUMBER)
		return -1;
	end = put_number(put_number(der + 2, number), number + NUMBER);
	der[0] = 0x30;
	der[1] = (uint8_t)(end - der - 2);
	return jwt_public_check(key, hash,
		(struct str){ (const char *)der, (size_t)(end - der) });
}

static ssize_t es256_sign(
	const struct jwt_key *key, struct str input, uint8_t *signature)
{
	uint8_t der[JWT_SIGNATURE_MAX];
	ssize_t n = sign_hash(key, input, der);
	const uint8_t *p = der + 2, *end = der + n;

	if (n < 2 || der[0] != 0x30 || der[1] != n - 2)
		return -1;
	p = take_number(signature, p, end);
	if (p)
		p = take_number(signature + NUMBER, p, end);
	return p == end ? 2 * NUMBER : -1;
}

/* --- the table --- */

static const struct jwt_algorithm_row rows[] = {
	{ JWT_HS256, "HS256", NULL, NULL, hs256_verify, NULL, hs256_sign },
	{ JWT_RS256, "RS256", "RSA", NULL, NULL, jwt_public_check, sign_hash },
	{ JWT_ES256, "ES256", "EC", "P-256", NULL, es256_verify, es256_sign },
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
