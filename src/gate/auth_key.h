/*
 * auth_key.h: which key made a token.
 */
#ifndef GATE_AUTH_KEY_H
#define GATE_AUTH_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "codec/token/jwt.h"
#include "conf/conf.h"

struct verified;

struct auth_key {
	const struct conf_key *key; /* NULL: none of them */
	const char *kid;            /* of that one, borrowed from it */
	enum jwt_result result;     /* of the last try */
	bool remembered;            /* it was verified before */
	bool verified;              /* a public key was tried: that took time */
	bool waits;                 /* another one must be, in another turn */
};

struct auth_key_search {
	const struct conf_keys *keys;
	struct verified *verified; /* NULL: none are known, none remembered */
	int64_t now_ms;            /* Unix time */
	bool may_verify;
};

/*
 * The key whose signature the token has, of those that a route allows: by its
 * kid, or by trying the first JWT_TRIES that may fit. Public keys' signatures
 * are remembered in v until the token's exp; a secret's cost less than that.
 * Of public keys one is tried in a call, behind the *tried that were not the
 * token's, which is counted on; none without may_verify.
 */
MUST_CHECK struct auth_key auth_key_find(
	const struct auth_key_search *s, const struct jwt *t, uint8_t *tried);

#endif
