/*
 *   PEM, or the numbers of a JWK -> mbedTLS: is it a key? -> our rules
 *     -> DER, written anew: one key has one spelling
 */
#include "codec/token/jwt_public.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>

#include "base/buf.h"
#include "codec/token/jwt_algorithm.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX (8 * JWT_SIGNATURE_MAX)
/* NIST SP 800-56B allows 256 bits; an exponent costs time with each one. */
#define RSA_EXPONENT_MAX 32

/*
 * A SubjectPublicKeyInfo of P-256 up to its point (RFC 5480 section 2): two
 * sequences, id-ecPublicKey, prime256v1, a bit string, "uncompressed".
 */
static const uint8_t p256_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a,
	0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
#define P256_NUMBER 32
#define P256_DER    (sizeof(p256_head) + 2 * P256_NUMBER)

/* --- our rules --- */

static int check_rsa(mbedtls_pk_context *pk, const char **why)
{
	size_t bits = mbedtls_pk_get_bitlen(pk);

	*why = "RSA of less than 2048 bits";
	if (bits < RSA_BITS_MIN)
		return -1;
	*why = "RSA of more than 4096 bits";
	return bits > RSA_BITS_MAX ? -1 : 0;
}

static int check_p256(const struct jwt_public *p, const char **why)
{
	*why = "a curve other than P-256";
	return p->der_n == P256_DER &&
			       memcmp(p->der, p256_head, sizeof(p256_head)) == 0
		       ? 0
		       : -1;
}

static int write_der(
	struct jwt_public *p, mbedtls_pk_context *pk, const char **why)
{
	/* It writes at the end. */
	int n = mbedtls_pk_write_pubkey_der(pk, p->der, sizeof(p->der));

	*why = "RSA with an exponent that is too long";
	if (n <= 0)
		return -1;
	p->der_n = (size_t)n;
	memmove(p->der, p->der + sizeof(p->der) - p->der_n, p->der_n);
	return 0;
}

/* The algorithm is part of what a key is: it must not serve two. */
static int make_id(
	struct jwt_public *p, enum jwt_algorithm algorithm, const char **why)
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(
		MBEDTLS_MD_SHA256);
	uint8_t both[1 + JWT_PUBLIC_DER];

	*why = "no memory";
	both[0] = (uint8_t)algorithm;
	memcpy(both + 1, p->der, p->der_n);
	return md && mbedtls_md(md, both, 1 + p->der_n, p->id) == 0 ? 0 : -1;
}

/* What mbedTLS has understood, if the algorithm has a use for it. */
static int take_key(struct jwt_public *p, mbedtls_pk_context *pk,
	enum jwt_algorithm algorithm, const char **why)
{
	bool rsa = algorithm == JWT_RS256;

	/* RSASSA-PSS is a type of its own, and none of ours. */
	*why = rsa ? "a key that is not RSA" : "a key of no elliptic curve";
	if (mbedtls_pk_get_type(pk) !=
		(rsa ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECKEY))
		return -1;
	if (rsa && check_rsa(pk, why) < 0)
		return -1;
	if (write_der(p, pk, why) < 0)
		return -1;
	if (!rsa && check_p256(p, why) < 0)
		return -1;
	return make_id(p, algorithm, why);
}

/* --- from elsewhere --- */

static bool contains(struct str text, struct str word)
{
	return text.n > 0 && memmem(text.p, text.n, word.p, word.n);
}

/* Files that people give by mistake, and what to do about them. */
static const struct {
	const char *mark, *why;
} mistakes[] = {
	{ "PRIVATE KEY-----",
		"a private key (openssl pkey -pubout makes the public one)" },
	{ "-----BEGIN CERTIFICATE-----",
		"a certificate (openssl x509 -noout -pubkey takes its key)" },
};

static int check_pem(struct str pem, const char **why)
{
	const struct str begin = STR("-----BEGIN");
	const char *first;

	*why = "more than 16384 bytes";
	if (pem.n > JWT_PEM_MAX)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		*why = mistakes[i].why;
		if (contains(pem, str_of(mistakes[i].mark)))
			return -1;
	}
	*why = "no PEM";
	first = pem.n > 0 ? memmem(pem.p, pem.n, begin.p, begin.n) : NULL;
	if (!first || memchr(pem.p, '\0', pem.n))
		return -1;
	/* mbedTLS would read the first and silently ignore the rest. */
	*why = "more than one key";
	first += begin.n;
	return contains((struct str){ first, (size_t)(pem.p + pem.n - first) },
		       begin)
		       ? -1
		       : 0;
}

int jwt_public_from_pem(struct jwt_public *p, enum jwt_algorithm algorithm,
	struct str pem, const char **why)
{
	mbedtls_pk_context pk;
	char *text;
	int r;

	*p = (struct jwt_public){ 0 };
	if (check_pem(pem, why) < 0)
		return -1;
	*why = "no memory";
	text = str_dup(pem); /* mbedTLS wants its NUL */
	if (!text)
		return -1;
	mbedtls_pk_init(&pk);
	*why = "nothing that mbedTLS takes for a public key";
	r = mbedtls_pk_parse_public_key(
		&pk, (const unsigned char *)text, pem.n + 1);
	if (r == 0)
		r = take_key(p, &pk, algorithm, why);
	mbedtls_pk_free(&pk);
	free(text);
	return r == 0 ? 0 : -1;
}

int jwt_public_from_rsa(
	struct jwt_public *p, struct str n, struct str e, const char **why)
{
	mbedtls_pk_context pk;
	mbedtls_rsa_context *rsa;
	int r = -1;

	*p = (struct jwt_public){ 0 };
	*why = "RSA with an exponent that is too long";
	if (e.n > RSA_EXPONENT_MAX)
		return -1;
	*why = "RSA of more than 4096 bits";
	if (n.n > JWT_SIGNATURE_MAX)
		return -1;
	mbedtls_pk_init(&pk);
	*why = "no memory";
	if (mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA)))
		goto done;
	rsa = mbedtls_pk_rsa(pk);
	*why = "numbers that are no RSA key";
	if (mbedtls_rsa_import_raw(rsa, (const unsigned char *)n.p, n.n, NULL,
		    0, NULL, 0, NULL, 0, (const unsigned char *)e.p, e.n) ||
		mbedtls_rsa_complete(rsa) || mbedtls_rsa_check_pubkey(rsa))
		goto done;
	r = take_key(p, &pk, JWT_RS256, why);
done:
	mbedtls_pk_free(&pk);
	return r;
}

int jwt_public_from_p256(
	struct jwt_public *p, struct str x, struct str y, const char **why)
{
	uint8_t der[P256_DER];
	mbedtls_pk_context pk;
	int r;

	*p = (struct jwt_public){ 0 };
	*why = "x and y are not of 32 bytes each";
	if (x.n != P256_NUMBER || y.n != P256_NUMBER)
		return -1;
	memcpy(der, p256_head, sizeof(p256_head));
	memcpy(der + sizeof(p256_head), x.p, P256_NUMBER);
	memcpy(der + sizeof(p256_head) + P256_NUMBER, y.p, P256_NUMBER);
	mbedtls_pk_init(&pk);
	*why = "x and y are no point of P-256";
	r = mbedtls_pk_parse_public_key(&pk, der, sizeof(der));
	if (r == 0)
		r = take_key(p, &pk, JWT_ES256, why);
	mbedtls_pk_free(&pk);
	return r == 0 ? 0 : -1;
}

void jwt_public_free(struct jwt_public *p)
{
	free(p->kid);
	*p = (struct jwt_public){ 0 };
}

/* --- use --- */

int jwt_public_check(const struct jwt_public *p, const uint8_t hash[JWT_HASH],
	struct str signature)
{
	mbedtls_pk_context pk;
	int r;

	mbedtls_pk_init(&pk);
	r = mbedtls_pk_parse_public_key(&pk, p->der, p->der_n);
	if (r == 0)
		r = mbedtls_pk_verify(&pk, MBEDTLS_MD_SHA256, hash, JWT_HASH,
			(const unsigned char *)signature.p, signature.n);
	mbedtls_pk_free(&pk);
	return r == 0 ? 0 : -1;
}

const struct jwt_public *jwt_public_next(
	const struct jwt *t, const struct jwt_key *key, size_t *at)
{
	if (t->algorithm != key->algorithm)
		return NULL;
	while (*at < key->publics_n) {
		const struct jwt_public *p = &key->publics[(*at)++];
		const char *kid = p->kid ? p->kid : key->name;

		if (!t->kid || str_eq(str_of(t->kid), str_of(kid)))
			return p;
	}
	return NULL;
}
