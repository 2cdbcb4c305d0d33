/*
 * check_key.c: what a key signs or verifies with. Files are read with the
 * rights of the caller; what is in them never reaches a complaint, but for
 * names of public keys.
 *
 *   HS256         secret_file, once or twice      -> jwt.secret, other_secret
 *   RS256, ES256  public_key_file or jwks_file    -> jwt.publics
 */
#include <stdlib.h>
#include <string.h>

#include "codec/token/jwk.h"
#include "codec/token/jwt_public.h"
#include "conf/check.h"
#include "conf/file.h"

#define SECRET_MAX  4096
#define SECRETS_MAX 2 /* each costs a forged token one more HMAC */

static struct build_at at_key(size_t index, const char *key)
{
	return (struct build_at){ SECTION_KEY, index, key, 0 };
}

/* --- a secret -------------------------------------------------------------- */

/*
 * What a public key looks like: as an HMAC secret it would let everybody sign
 * who knows it.
 */
static const char *public_form(const uint8_t *secret, size_t n)
{
	static const char pem[] = "-----BEGIN", jwk[] = "\"kty\"";

	if (n >= sizeof(pem) - 1 && memcmp(secret, pem, sizeof(pem) - 1) == 0)
		return "PEM";
	return memmem(secret, n, jwk, sizeof(jwk) - 1) ? "a JWK" : NULL;
}

/* The secret's length, -1 after a complaint. */
static ssize_t judge_secret(struct builder *b, struct build_at at,
	const char *file, const uint8_t *secret, size_t n)
{
	const char *form = public_form(secret, n);

	if (form) {
		build_error(b, at,
			"%s holds %s, expected a secret for HS256 "
			"(wsrelayctl key makes one)",
			file, form);
		return -1;
	}
	if (n > 0 && secret[n - 1] == '\n')
		n--;
	if (n < JWT_SECRET_MIN) {
		build_error(b, at,
			"%s holds %zu bytes, expected at least %d "
			"(RFC 7518 section 3.2; wsrelayctl key makes a secret)",
			file, n, JWT_SECRET_MIN);
		return -1;
	}
	return (ssize_t)n;
}

/* That of the i-th file; its length is 0 after a complaint. */
static const uint8_t *load_secret(struct builder *b, const struct conf_key *k,
	size_t index, size_t i, size_t *length)
{
	struct build_at at = { SECTION_KEY, index, "secret_file", i };
	const char *name = k->secret_file.v[i];
	struct file_bytes f;
	ssize_t n;

	*length = 0;
	if (file_read(b, at, name, SECRET_MAX, &f) < 0)
		return NULL;
	if (f.everybody)
		build_warn(
			b, at, "%s can be read by everybody (chmod o-r)", name);
	n = judge_secret(b, at, name, f.p, f.n - 1);
	if (n < 0)
		return NULL;
	*length = (size_t)n;
	return f.p;
}

static void load_secrets(struct builder *b, struct conf_key *k, size_t index)
{
	if (k->secret_file.n > SECRETS_MAX) {
		build_error(b,
			(struct build_at){ SECTION_KEY, index, "secret_file",
				SECRETS_MAX },
			"is there %zu times, expected it once or twice: the "
			"first signs, both verify",
			k->secret_file.n);
		return;
	}
	k->jwt.secret = load_secret(b, k, index, 0, &k->jwt.secret_n);
	if (k->secret_file.n > 1)
		k->jwt.other_secret = load_secret(
			b, k, index, 1, &k->jwt.other_secret_n);
}

/* --- public keys ----------------------------------------------------------- */

static void load_public_key(struct builder *b, struct conf_key *k, size_t index)
{
	struct build_at at = at_key(index, "public_key_file");
	struct jwt_public *p = calloc(1, sizeof(*p));
	struct file_bytes f;
	const char *why;

	if (!p) {
		build_no_memory(b);
		return;
	}
	if (file_read(b, at, k->public_key_file, JWT_PEM_MAX, &f) < 0) {
		free(p);
		return;
	}
	if (jwt_public_from_pem(p, k->jwt.algorithm,
		    (struct str){ (const char *)f.p, f.n - 1 }, &why) < 0) {
		build_error(b, at, "%s holds %s, expected %s",
			k->public_key_file, why,
			k->jwt.algorithm == JWT_RS256
				? "an RSA public key in PEM, of 2048 to 4096 "
				  "bits, for RS256"
				: "a P-256 public key in PEM, for ES256");
		free(p);
	} else {
		k->jwt.publics = p;
		k->jwt.publics_n = 1;
	}
}

static void load_jwks(struct builder *b, struct conf_key *k, size_t index)
{
	struct build_at at = at_key(index, "jwks_file");
	char why[JWK_WHY];
	struct file_bytes f;
	struct jwk_set set;

	if (file_read(b, at, k->jwks_file, JWK_SET_MAX, &f) < 0)
		return;
	if (jwk_set_parse(&set, (struct str){ (const char *)f.p, f.n - 1 },
		    k->jwt.algorithm, why) < 0) {
		build_error(b, at, "%s: %s, expected a JWK Set of public keys",
			k->jwks_file, why);
	} else {
		if (set.unused > 0)
			build_warn(b, at, "%s: %s", k->jwks_file, set.warning);
		k->jwt.publics = set.keys; /* it is the key's now */
		k->jwt.publics_n = set.n;
	}
}

/* --- all ------------------------------------------------------------------- */

/* Which files an algorithm has: a secret, or one with public keys. */
static void check_files(
	struct builder *b, const struct conf_key *k, size_t index)
{
	bool secret = k->jwt.algorithm == JWT_HS256;
	const char *first = k->public_key_file ? "public_key_file"
					       : "jwks_file";

	if (secret && (k->public_key_file || k->jwks_file))
		build_error(b, at_key(index, "algorithm"),
			"is HS256, expected RS256 or ES256 for %s", first);
	else if (secret && k->secret_file.n == 0 &&
		 !build_is_bad(b, at_key(index, "secret_file")))
		build_error(b, at_key(index, "secret_file"),
			"is missing, expected a file with the secret "
			"(wsrelayctl key makes one)");
	if (secret)
		return;
	if (k->secret_file.n > 0)
		build_error(b, at_key(index, "secret_file"),
			"means nothing to RS256 and ES256, expected it only "
			"for HS256");
	if (k->public_key_file && k->jwks_file)
		build_error(b, at_key(index, "jwks_file"),
			"is set beside public_key_file, expected one of them");
	else if (!k->public_key_file && !k->jwks_file &&
		 !build_is_bad(b, at_key(index, "public_key_file")) &&
		 !build_is_bad(b, at_key(index, "jwks_file")))
		build_error(b, at_key(index, "public_key_file"),
			"is missing, expected a public key in PEM (or a "
			"jwks_file)");
}

/*
 * Such tokens were not made for this relay: without these, whoever has one
 * for another service of the same provider comes in.
 */
static void warn_pathless(
	struct builder *b, const struct conf_key *k, size_t index)
{
	if (k->require_path)
		return;
	if (!k->audience)
		build_warn(b, at_key(index, "require_path"),
			"is no without an audience: tokens for other services "
			"open the routes of this key");
	if (!k->issuer)
		build_warn(b, at_key(index, "require_path"),
			"is no without an issuer");
}

void check_key(struct builder *b, struct conf_key *k, size_t index)
{
	k->jwt.name = k->section.name;
	k->jwt.algorithm = (enum jwt_algorithm)k->algorithm;
	k->jwt.issuer = k->issuer;
	k->jwt.audience = k->audience;
	k->jwt.max_ttl_ms = k->max_ttl;
	k->jwt.leeway_ms = k->leeway;
	k->jwt.pathless = !k->require_path;
	warn_pathless(b, k, index);
	if (build_is_bad(b, at_key(index, "algorithm")))
		return;
	check_files(b, k, index);
	if (k->jwt.algorithm == JWT_HS256) {
		if (k->secret_file.n > 0)
			load_secrets(b, k, index);
	} else if (k->public_key_file) {
		load_public_key(b, k, index);
	} else if (k->jwks_file) {
		load_jwks(b, k, index);
	}
}

void check_key_free(struct conf_key *k)
{
	struct jwt_public *p = (struct jwt_public *)(uintptr_t)k->jwt.publics;

	for (size_t i = 0; i < k->jwt.publics_n; i++)
		jwt_public_free(&p[i]);
	free(p);
}
