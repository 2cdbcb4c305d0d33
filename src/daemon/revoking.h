/*
 * revoking.h: which tokens revoke, ban and unrevoke are about: one of their
 * arguments sub (with key or without), kid, jti (likewise), hash and token, as a
 * record of codec/state.h.
 */
#ifndef DAEMON_REVOKING_H
#define DAEMON_REVOKING_H

#include <stdbool.h>

#include "base/compiler.h"
#include "codec/state.h"
#include "gate/auth.h"

struct bearer;
struct conf;
struct control_request;

struct revoking {
	/* Its kind is given; of, key and value are read, and borrowed. */
	struct state_record what;
	bool any_key; /* given: it may be one that the configuration had */
	struct auth_token token; /* that of the argument token */
	char hash[2 * STATE_ID + 1];
	bool named; /* false: by none of these arguments */
};

/* -1 and why, for the caller; revoking_free is owed in any case. */
MUST_CHECK int revoking_read(struct revoking *x, const struct conf *conf,
	const struct control_request *r, const char **why);
void revoking_free(struct revoking *x);

/*
 * What a token is known by: to be revoked its jti, else its subject; to be
 * banned its subject, else its jti: a banned user's next token has another jti.
 * Without either it is the token itself. A longer jti than a record can have is
 * none. hash has room for that; *what borrows from all.
 */
void revoking_choose(struct state_record *what, const char *identity,
	const struct bearer *b, char hash[2 * STATE_ID + 1]);

/* The line "revocation": the command's own does not tell what a token was. */
void revoking_log(const struct state_record *r, const char *action);

#endif
