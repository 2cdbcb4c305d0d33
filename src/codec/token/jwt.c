/*
 * jwt.c: parse, verify, check.
 *
 *   header.payload.signature
 *     |       |        '-- base64url -> t->signature, for jwt_verify
 *     |       '-- jwt_json -> a table of claims -> struct jwt
 *     '-- jwt_json -> alg (a row of jwt_algorithm), kid, typ
 */
#include "codec/token/jwt.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <mbedtls/md.h>

#include "base/base64.h"
#include "codec/token/jwt_algorithm.h"
#include "codec/token/jwt_json.h"
#include "codec/token/jwt_public.h"

/* --- parsing --- */

static enum jwt_result header_read(
	struct jwt *t, const json_t *header, const char **why)
{
	const char *alg = json_string_value(json_object_get(header, "alg"));
	const json_t *typ = json_object_get(header, "typ");
	const json_t *kid = json_object_get(header, "kid");
	const struct jwt_algorithm_row *row = NULL;

	/* An extension that must be understood (RFC 7515 section 4.1.11). */
	*why = "crit is not supported";
	if (json_object_get(header, "crit"))
		return JWT_MALFORMED;
	*why = "alg is missing or none that is supported";
	if (alg)
		row = jwt_algorithm_find(str_of(alg));
	if (!row)
		return JWT_MALFORMED;
	t->algorithm = row->id;
	if (typ) {
		/* A media type: case does not count (RFC 7515 4.1.9). */
		struct str s = str_of(json_string_value(typ));

		*why = "typ is neither JWT nor wsuri+jwt";
		t->access = str_eq_nocase(s, STR("at+jwt")) ||
			    str_eq_nocase(s, STR("application/at+jwt"));
		if (!t->access && !str_eq_nocase(s, STR("JWT")) &&
			!str_eq_nocase(s, STR("wsuri+jwt")))
			return JWT_MALFORMED;
	}
	*why = "kid is not a string without control characters";
	return kid ? jwt_json_text(&t->kid, kid) : JWT_OK;
}

/* The claims that are one string or one date (RFC 7519 section 4.1). */
static const struct claim_row {
	const char *name;
	size_t offset; /* in struct jwt */
	bool is_date;
	bool required;
	const char *wrong;
} claim_rows[] = {
#define DATE(member, required)                                                 \
	{                                                                      \
#member, offsetof(struct jwt, member), true, required,         \
			#member " is not a number of seconds in 1970 to 9999"  \
	}
#define TEXT(member, required)                                                 \
	{                                                                      \
#member, offsetof(struct jwt, member), false, required,        \
			#member " is not a string without control characters"  \
	}
	DATE(exp, true),
	DATE(nbf, false),
	DATE(iat, false),
	DATE(expire_at, false),
	TEXT(path, false),
	TEXT(sub, false),
	TEXT(sub_key, false),
	TEXT(jti, false),
	TEXT(iss, false),
	TEXT(origin, false),
#undef DATE
#undef TEXT
};

static enum jwt_result claims_read(
	struct jwt *t, const json_t *payload, const char **why)
{
	for (size_t i = 0; i < ARRAY_SIZE(claim_rows); i++) {
		const struct claim_row *row = &claim_rows[i];
		const json_t *value = json_object_get(payload, row->name);
		void *member = (char *)t + row->offset;
		enum jwt_result r;

		if (!value && !row->required)
			continue;
		*why = row->wrong;
		if (row->is_date)
			r = jwt_json_date(member, value) < 0 ? JWT_MALFORMED
							     : JWT_OK;
		else
			r = jwt_json_text(member, value);
		if (r != JWT_OK)
			return r;
	}
	*why = "path does not begin with '/'";
	if (t->path && t->path[0] != '/')
		return JWT_MALFORMED;
	*why = "sub is longer than 255 bytes";
	if (t->sub && strlen(t->sub) > JWT_SUBJECT_MAX)
		return JWT_MALFORMED;
	/* In a field of HTTP they would be lost: another subject. */
	*why = "sub has blanks at its ends";
	if (t->sub && str_trim(str_of(t->sub)).n != strlen(t->sub))
		return JWT_MALFORMED;
	return JWT_OK;
}

/* One string or an array of strings (RFC 7519 section 4.1.3). */
static enum jwt_result audience_read(struct jwt *t, const json_t *aud)
{
	size_t n = json_is_array(aud) ? json_array_size(aud) : 1;

	if (!aud || n == 0)
		return JWT_OK;
	t->aud = calloc(n, sizeof(t->aud[0]));
	if (!t->aud)
		return JWT_NO_MEMORY;
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_is_array(aud) ? json_array_get(aud, i)
						       : aud;
		enum jwt_result r = jwt_json_text(&t->aud[i], one);

		if (r != JWT_OK)
			return r;
		t->aud_n++;
	}
	return JWT_OK;
}

static const struct {
	const char *word;
	enum jwt_perm perm;
} perms[] = {
	{ "r", JWT_READ },
	{ "w", JWT_WRITE },
	{ "rw", JWT_READ_WRITE },
	{ "serve", JWT_SERVE },
};

static enum jwt_result perm_read(struct jwt *t, const json_t *perm)
{
	struct str word = str_of(json_string_value(perm));

	t->perm = JWT_READ_WRITE;
	if (!perm)
		return JWT_OK;
	for (size_t i = 0; i < ARRAY_SIZE(perms); i++)
		if (str_eq(word, str_of(perms[i].word))) {
			t->perm = perms[i].perm;
			return JWT_OK;
		}
	return JWT_MALFORMED;
}

static enum jwt_result payload_read(
	struct jwt *t, const json_t *payload, const char **why)
{
	enum jwt_result r = claims_read(t, payload, why);

	if (r != JWT_OK)
		return r;
	*why = "aud is neither a string nor an array of them";
	r = audience_read(t, json_object_get(payload, "aud"));
	if (r != JWT_OK)
		return r;
	*why = "perm is not r, w, rw or serve";
	return perm_read(t, json_object_get(payload, "perm"));
}

/* What is compared later: the signature's bytes and the token's identity. */
static enum jwt_result bytes_read(
	struct jwt *t, const struct jwt_json_parts *parts, const char **why)
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(
		MBEDTLS_MD_SHA256);
	struct str s = parts->signature;
	ssize_t n = -1;

	*why = "a signature that is too long, or not canonical base64url";
	if (s.n <= BASE64URL_LENGTH(JWT_SIGNATURE_MAX))
		n = base64url_decode(t->signature, s.p, s.n);
	if (n < 0)
		return JWT_MALFORMED;
	t->signature_n = (size_t)n;
	t->signing_input = parts->signing_input;
	*why = "no memory";
	if (!md || mbedtls_md(md, (const unsigned char *)t->signing_input.p,
			   t->signing_input.n, t->hash) != 0)
		return JWT_NO_MEMORY;
	return JWT_OK;
}

enum jwt_result jwt_parse(struct jwt *t, struct str token, const char **why)
{
	struct jwt_json_parts parts;
	json_t *header = NULL, *payload = NULL;
	enum jwt_result r;

	*t = (struct jwt){ .text = token,
		.exp = JWT_NEVER,
		.nbf = JWT_NEVER,
		.iat = JWT_NEVER,
		.expire_at = JWT_NEVER };
	if (jwt_json_split(&parts, token, why) < 0)
		return JWT_MALFORMED;
	r = bytes_read(t, &parts, why);
	if (r == JWT_OK)
		r = jwt_json_load(&header, parts.header, why);
	if (r == JWT_OK)
		r = header_read(t, header, why);
	if (r == JWT_OK)
		r = jwt_json_load(&payload, parts.payload, why);
	if (r == JWT_OK)
		r = payload_read(t, payload, why);
	json_decref(payload);
	json_decref(header);
	if (r == JWT_NO_MEMORY)
		*why = "no memory";
	return r;
}

void jwt_free(struct jwt *t)
{
	for (size_t i = 0; i < t->aud_n; i++)
		free(t->aud[i]);
	free(t->aud);
	free(t->kid);
	free(t->path);
	free(t->sub);
	free(t->sub_key);
	free(t->jti);
	free(t->iss);
	free(t->origin);
	*t = (struct jwt){ .exp = JWT_NEVER };
}

/* --- verifying --- */

enum jwt_result jwt_verify_public(
	const struct jwt *t, const struct jwt_public *p)
{
	const struct jwt_algorithm_row *row = jwt_algorithm_get(t->algorithm);
	struct str signature = { (const char *)t->signature, t->signature_n };

	if (!row || !row->verify_public)
		return JWT_UNKNOWN_KEY;
	return row->verify_public(p, t->hash, signature) < 0 ? JWT_SIGNATURE
							     : JWT_OK;
}

static enum jwt_result verify_publics(
	const struct jwt *t, const struct jwt_key *key)
{
	enum jwt_result r = JWT_UNKNOWN_KEY;
	const struct jwt_public *p;
	size_t at = 0;

	for (int tries = 0; tries < JWT_TRIES; tries++) {
		p = jwt_public_next(t, key, &at);
		if (!p)
			break;
		r = jwt_verify_public(t, p);
		if (r == JWT_OK)
			break;
	}
	return r;
}

enum jwt_result jwt_verify(const struct jwt *t, const struct jwt_key *key)
{
	/* The key decides; what the token says of itself proves nothing. */
	const struct jwt_algorithm_row *row = jwt_algorithm_get(key->algorithm);
	struct str signature = { (const char *)t->signature, t->signature_n };

	if (!row || t->algorithm != key->algorithm)
		return JWT_UNKNOWN_KEY;
	if (row->verify_public)
		return verify_publics(t, key);
	if (t->kid && !str_eq(str_of(t->kid), str_of(key->name)))
		return JWT_UNKNOWN_KEY;
	if (row->verify(key, t->signing_input, signature) < 0)
		return JWT_SIGNATURE;
	return JWT_OK;
}

/* --- checking --- */

/* a - b; a clock far off must not wrap around into "valid". */
static int64_t difference(int64_t a, int64_t b)
{
	int64_t d;

	if (__builtin_sub_overflow(a, b, &d))
		return a < b ? INT64_MIN : INT64_MAX;
	return d;
}

static enum jwt_result times_check(
	const struct jwt *t, const struct jwt_key *key, int64_t now_ms)
{
	if (difference(now_ms, t->exp) >= key->leeway_ms)
		return JWT_EXPIRED;
	if (t->nbf != JWT_NEVER && difference(t->nbf, now_ms) > key->leeway_ms)
		return JWT_TOO_EARLY;
	if (t->iat != JWT_NEVER && difference(t->iat, now_ms) > key->leeway_ms)
		return JWT_TOO_EARLY;
	if (difference(t->exp, now_ms) > key->max_ttl_ms)
		return JWT_TTL;
	if (t->iat != JWT_NEVER && difference(difference(t->exp, t->iat),
					   key->max_ttl_ms) > key->leeway_ms)
		return JWT_TTL;
	return JWT_OK;
}

static bool path_matches(struct str claim, struct str path)
{
	if (claim.n >= 2 && memcmp(claim.p + claim.n - 2, "/*", 2) == 0) {
		struct str prefix = { claim.p, claim.n - 1 };

		return path.n > prefix.n && str_starts(path, prefix);
	}
	return str_eq(claim, path);
}

bool jwt_is_for_folder(const struct jwt *t, struct str path)
{
	struct str claim;

	if (!t->path)
		return false;
	claim = str_of(t->path);
	return path.n > 0 && path.p[path.n - 1] == '/' &&
	       claim.n == path.n + 1 && claim.p[path.n] == '*' &&
	       str_starts(claim, path);
}

static bool audience_matches(const struct jwt *t, const char *audience)
{
	for (size_t i = 0; i < t->aud_n; i++)
		if (strcmp(t->aud[i], audience) == 0)
			return true;
	return false;
}

/* What a token must be, if its key does not say otherwise. */
static enum jwt_result kind_check(
	const struct jwt *t, const struct jwt_key *key, const char **why)
{
	if (key->pathless)
		return JWT_OK;
	*why = "path is missing";
	if (!t->path)
		return JWT_MALFORMED;
	*why = "typ is at+jwt, for keys with require_path = no";
	return t->access ? JWT_MALFORMED : JWT_OK;
}

enum jwt_result jwt_check(const struct jwt *t, const struct jwt_key *key,
	int64_t now_ms, struct str path, const char **why)
{
	enum jwt_result r = kind_check(t, key, why);

	if (r != JWT_OK)
		return r;
	r = times_check(t, key, now_ms);
	if (r != JWT_OK)
		return r;
	if (t->path && !path_matches(str_of(t->path), path))
		return JWT_PATH;
	if (key->issuer && (!t->iss || strcmp(t->iss, key->issuer) != 0))
		return JWT_ISSUER;
	if (key->audience && !audience_matches(t, key->audience))
		return JWT_AUDIENCE;
	return JWT_OK;
}
