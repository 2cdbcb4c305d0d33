/*
 * auth.h: the token of a request, from wherever it is, checked against the keys
 * that may have made it.
 */
#ifndef GATE_AUTH_H
#define GATE_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"
#include "conf/conf.h"

struct bearer;
struct client;
struct detail;
struct request;
struct shared;

/* In front of a token that is offered as a subprotocol. */
#define AUTH_SUBPROTOCOL "wsuri.bearer."
/* Offered beside it; selected when nothing else is. */
#define AUTH_SUBPROTOCOL_PLAIN "wsuri"

struct auth_params {
	const struct conf_keys *keys;
	const char *token_param;
	const char *token_cookie; /* NULL: cookies are not looked at */
	/*
	 * The cookie of a page's invitation (gate/invitation.h), which is
	 * looked at where there is no other token; NULL: a route. For a page
	 * the path "/desk/" is open to a token for "/desk/" and an asterisk.
	 */
	const char *invitation;
	bool single_use;
	bool serve; /* for an [attach]: perm must be serve, elsewhere not */
	struct shared *shared;
	int64_t now_ms; /* Unix time */
};

/*
 * Finds and checks the token; fills the client's identity, perm, token_exp and
 * expire_at, and with single_use reserves it. The client's verify says whether it may take
 * time, and what came of that: CLIENT_WAITS leaves everything else as it was,
 * and the reason means nothing. REASON_NONE, one of REASON_TOKEN_*,
 * SUBPROTOCOL, ORIGIN (the token is bound to another), REVOKED, BANNED, INTERNAL; the detail says
 * more (never the token).
 */
MUST_CHECK enum reason auth_check(const struct auth_params *a,
	const struct request *r, struct client *c, struct detail *detail);

/*
 * Whether what a token was verified for still holds: REASON_NONE, REVOKED,
 * BANNED. For one whose backend took its time to open, and for those that live.
 * s NULL: no daemon runs; nothing is revoked.
 */
MUST_CHECK enum reason auth_check_again(
	struct shared *s, const struct client *c, int64_t now_ms);

/* A token that is shown outside of a request: who it is, whatever its times. */
struct auth_token {
	char *identity; /* NULL: it has no subject */
	struct bearer *bearer;
};
/* -1 and *why, static: it is malformed, or no key of conf has signed it. */
MUST_CHECK int auth_read_token(struct auth_token *out, const struct conf *conf,
	struct str token, const char **why);
void auth_token_free(struct auth_token *t);

/* Whether an offered subprotocol is a token, and must go no further. */
bool auth_is_token(struct str protocol);

#endif
