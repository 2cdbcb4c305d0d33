/*
 * client.h: what logs, limits and backends are told of a client connection.
 * Handed from the HTTP front to the pair.
 */
#ifndef RELAY_CLIENT_H
#define RELAY_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct conf;
struct conf_listen;
struct conf_route;

#define CLIENT_ID_TEXT 20
#define CLIENT_TOKEN   16 /* bytes of a token's identity */

/*
 * A verification of a token's signature may take a millisecond, so a turn of the
 * loop has time for few. The front says whether there is time for one, and is
 * told what came of that: the token may have to be tried with further keys.
 */
struct client {
	uint64_t id;       /* unique over restarts, see daemon.c */
	struct conf *conf; /* a reference: keeps listen and route alive */
	const struct conf_listen *listen;
	const struct conf_route *route; /* NULL before one is chosen */
	char *identity;      /* of the token, see identity.h; NULL = no sub */
	const char *subject; /* in identity: the sub; NULL = none */
	char *certificate;   /* its subject, verified; NULL = none */
	int64_t token_exp;   /* of its token, Unix ms; JWT_NEVER */
	int64_t expire_at;   /* Unix ms, JWT_NEVER = does not */
	struct addr peer;    /* the client; differs behind a proxy */
	uint8_t perm;        /* enum jwt_perm */
	bool may_verify;     /* a public key may be tried in this turn */
	bool verified;       /* one was: that took time */
	bool waits;          /* one must be, in another turn */
	uint8_t tried;       /* public keys that did not make its token */
	bool entered;        /* counted in all, see admission.h */
	bool counted;        /* counted under peer */
	bool in_route;       /* counted in its route's connections */
	bool in_subject;     /* counted in its subject's connections */
	bool flood;          /* over a rate, and goes on although it was told */
	bool reserved;       /* its token is reserved for single use */
	uint32_t retry_ms;   /* when a limit has room again; 0 = not known */
	uint8_t *token;      /* the token's identity, while it matters */
};

const char *client_id(const struct client *c, char text[CLIENT_ID_TEXT]);

#endif
