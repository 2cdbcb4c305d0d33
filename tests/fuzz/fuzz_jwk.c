/*
 * fuzz_jwk.c: the first byte says what the rest is: a JWK Set or PEM, for
 * RS256 or ES256. What is taken is a key: it is read again from its own DER,
 * and no signature of zeros is good.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "codec/token/jwk.h"
#include "codec/token/jwt_public.h"

static void check_key(const struct jwt_public *p, enum jwt_algorithm algorithm)
{
	static const uint8_t zeros[JWT_SIGNATURE_MAX];
	size_t n = algorithm == JWT_RS256 ? 256 : 64;

	assert(p->der_n > 0 && p->der_n <= JWT_PUBLIC_DER);
	assert(algorithm == JWT_RS256 ? p->der_n >= 290 : p->der_n == 91);
	assert(jwt_public_check(
		       p, zeros, (struct str){ (const char *)zeros, n }) < 0);
}

static void read_set(struct str json, enum jwt_algorithm algorithm)
{
	char why[JWK_WHY] = "";
	struct jwk_set set;

	if (jwk_set_parse(&set, json, algorithm, why) < 0) {
		assert(why[0] && memchr(why, '\0', sizeof(why)));
		assert(set.n == 0 && !set.keys);
		return;
	}
	assert(set.n > 0 && set.n <= JWK_KEYS);
	assert(!set.unused == !set.warning[0]);
	for (size_t i = 0; i < set.n; i++) {
		const char *kid = set.keys[i].kid;

		assert(!kid || strlen(kid) <= 255);
		for (size_t k = 0; k < i && kid; k++)
			assert(!set.keys[k].kid ||
				strcmp(set.keys[k].kid, kid) != 0);
	}
	check_key(&set.keys[0], algorithm);
	jwk_set_free(&set);
}

static void read_pem(struct str pem, enum jwt_algorithm algorithm)
{
	const char *why = NULL;
	struct jwt_public p;

	if (jwt_public_from_pem(&p, algorithm, pem, &why) == 0)
		check_key(&p, algorithm);
	else
		assert(why);
	jwt_public_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest;
	enum jwt_algorithm algorithm;

	if (n == 0)
		return 0;
	rest = (struct str){ (const char *)data + 1, n - 1 };
	algorithm = data[0] & 1 ? JWT_ES256 : JWT_RS256;
	if (data[0] & 2)
		read_pem(rest, algorithm);
	else
		read_set(rest, algorithm);
	return 0;
}
