/*
 * jwt.h: the time-limited token of a wsuri: a compact JWS (RFC 7515) with
 * JWT claims (RFC 7519).
 *
 *   token -> jwt_parse: shape, JSON, claim types
 *         -> jwt_verify: the key's algorithm, the signature
 *         -> jwt_check: times, path, issuer, audience
 *
 * Pure: the clock is an argument. The algorithm is the key's, never the
 * token's. Nothing here writes a token into a message.
 */
#ifndef CODEC_TOKEN_JWT_H
#define CODEC_TOKEN_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#define JWT_TOKEN_MAX     8192 /* bytes of a token that are looked at */
#define JWT_SUBJECT_MAX   255
#define JWT_SECRET_MIN    32  /* bytes of an HMAC key (RFC 7518 section 3.2) */
#define JWT_HASH          32  /* bytes: SHA-256 */
#define JWT_SIGNATURE_MAX 512 /* bytes: RSA of 4096 bits */
#define JWT_TRIES         4   /* keys that one token is tried with */

enum jwt_algorithm { JWT_NONE, JWT_HS256, JWT_RS256, JWT_ES256 };

struct jwt_private;
struct jwt_public;

struct jwt_key {
	const char *name; /* what a token's kid is compared with */
	enum jwt_algorithm algorithm;
	const uint8_t *secret; /* HS256: signs and verifies */
	size_t secret_n;
	const uint8_t *other_secret; /* verifies, too; NULL = there is none */
	size_t other_secret_n;
	const struct jwt_public *publics; /* the others, see jwt_public.h */
	size_t publics_n;
	const struct jwt_private *private; /* NULL = they only verify */
	const char *issuer;                /* required iss, NULL = any */
	const char *audience; /* one of aud must be it, NULL = any */
	int64_t max_ttl_ms;   /* exp may not lie further ahead, of now and of
				 iat (by more than the leeway) */
	int64_t leeway_ms;    /* of nbf, iat and exp */
	bool pathless;        /* tokens need no path, and may be at+jwt */
};

enum jwt_perm {
	JWT_READ = 1,
	JWT_WRITE = 2,
	JWT_READ_WRITE = 3,
	JWT_SERVE = 4, /* to be the simulation of a hub, and nothing else */
};
/* As in the claim perm; NULL: it is none of these. */
const char *jwt_perm_word(enum jwt_perm perm);

/* Times are NumericDates in milliseconds; JWT_NEVER where absent. */
#define JWT_NEVER INT64_MIN

struct jwt {
	/* header */
	enum jwt_algorithm algorithm;
	bool access; /* typ is at+jwt (RFC 9068): an access token */
	char *kid;   /* NULL = absent; so are all strings below */
	/* claims */
	int64_t exp, nbf, iat;
	int64_t expire_at; /* end of the connection; 0 = never, by its issuer */
	char *path;
	char *sub;
	char *sub_key; /* the key that sub belongs to; see wsrelayd.ini(5) */
	char *jti;
	char *iss;
	char *origin;
	char **aud;
	size_t aud_n;
	enum jwt_perm perm; /* JWT_READ_WRITE where absent */
	/* SHA-256 of header and payload: a token's identity. */
	uint8_t hash[JWT_HASH];
	/* the whole token, what its signature covers, and that; borrowed */
	struct str text;
	struct str signing_input;
	uint8_t signature[JWT_SIGNATURE_MAX];
	size_t signature_n;
};

enum jwt_result {
	JWT_OK,
	JWT_MALFORMED,
	JWT_UNKNOWN_KEY,
	JWT_SIGNATURE,
	JWT_EXPIRED,
	JWT_TOO_EARLY,
	JWT_TTL,
	JWT_PATH,
	JWT_AUDIENCE,
	JWT_ISSUER, /* the key is not that issuer's */
	JWT_NO_MEMORY,
};

/*
 * Parses a token; the result borrows its bytes and owns its strings, which
 * jwt_free frees (also after a failure). JWT_OK, JWT_NO_MEMORY, or
 * JWT_MALFORMED and *why: longer than JWT_TOKEN_MAX, not three canonical
 * base64url parts, not JSON objects (RFC 8259) or nested too deep, duplicate
 * names, alg none or unknown, crit present, typ other than JWT, wsuri+jwt or
 * at+jwt, a claim of the wrong type, exp missing, a date before 1970 or after
 * 9999, a path without '/' in front, a sub that is too long or has blanks at
 * its ends, control characters, a perm other than r, w, rw, serve.
 */
MUST_CHECK enum jwt_result jwt_parse(
	struct jwt *t, struct str token, const char **why);
void jwt_free(struct jwt *t);

/*
 * JWT_OK; JWT_UNKNOWN_KEY when the algorithms differ or a kid names another
 * key; JWT_SIGNATURE. Compares in constant time; of several public keys the
 * first JWT_TRIES that may fit are tried. Any thread.
 */
MUST_CHECK enum jwt_result jwt_verify(
	const struct jwt *t, const struct jwt_key *key);
/* JWT_OK or JWT_SIGNATURE: one key that jwt_public_next gave. Any thread. */
MUST_CHECK enum jwt_result jwt_verify_public(
	const struct jwt *t, const struct jwt_public *p);
/*
 * Everything but the signature, at the time now_ms (Unix time) for the
 * normalised path. A path claim is exact, or a prefix when it ends in a
 * slash and an asterisk, which does not match the bare prefix. JWT_MALFORMED
 * and *why: only a pathless key has tokens without a path, or of type at+jwt.
 */
MUST_CHECK enum jwt_result jwt_check(const struct jwt *t,
	const struct jwt_key *key, int64_t now_ms, struct str path,
	const char **why);

/* Whether its path is this one, a folder's, and an asterisk. */
bool jwt_is_for_folder(const struct jwt *t, struct str path);

struct jwt_claims {
	const char *path; /* required */
	int64_t iat_ms;   /* required */
	int64_t exp_ms;   /* required */
	const char *sub;  /* NULL = left out; so below */
	const char *sub_key;
	const char *jti;
	const char *origin;
	const char *issuer;
	const char *audience;
	enum jwt_perm perm;   /* 0 = left out */
	int64_t expire_at_ms; /* JWT_NEVER = left out */
};

/* Whether it can sign, too. */
bool jwt_can_sign(const struct jwt_key *key);
/*
 * Appends a signed token to out. -1 without memory, for a string that is not
 * UTF-8, a date that jwt_parse refuses, a key that cannot sign.
 */
MUST_CHECK int jwt_mint(struct buf *out, const struct jwt_key *key,
	const struct jwt_claims *claims);
/*
 * Appends readable JSON of header and payload to out without checking a
 * signature (wsrelayctl token --show). -1 when it is no token at all.
 */
MUST_CHECK int jwt_show(struct buf *out, struct str token, const char **why);

#endif
