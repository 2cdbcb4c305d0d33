/*
 * client.h: a client connection, for logs, limits and backends. Handed from
 * the HTTP front to the pair, or to the member of a hub.
 */
#ifndef GATE_CLIENT_H
#define GATE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"

struct bearer;
struct conf;
struct conf_listen;
struct conf_route;

#define CLIENT_ID_TEXT 20

/*
 * What it was given and has to give back, and why it was not given more:
 * admission.c alone changes it.
 */
struct client_tickets {
	uint8_t *token;    /* reserved for single use; NULL = none is */
	uint32_t retry_ms; /* when a limit has room again; 0 = not known */
	bool entered;      /* counted in all */
	bool address;      /* counted under its peer */
	bool route;        /* counted in its route's connections */
	bool subject;      /* counted in its subject's connections */
	bool flood;        /* over a rate, and goes on although it was told */
	/*
	 * It is no client: what one would be told is asked. It is given nothing,
	 * and leaves nothing behind: no count, no used token, no remembered
	 * signature, no line in the log.
	 */
	bool look;
};

/*
 * What the verifier said of its token (gate.c, auth.c), or what a client without
 * one may do. A verification of a signature may take a millisecond, so a turn of
 * the loop has time for few: the front says whether there is time for one, and
 * is told what came of that, for the token may have to be tried with further
 * keys.
 */
struct client_verdict {
	char *identity;        /* see identity.h; NULL = no sub */
	struct bearer *bearer; /* see bearer.h; NULL = no token */
	const char *key;       /* that signed its token, in conf; NULL = none */
	int64_t token_exp;     /* Unix ms; JWT_NEVER */
	int64_t expire_at;     /* Unix ms, JWT_NEVER = does not */
	uint8_t perm;          /* enum jwt_perm */
	bool may_verify;       /* a public key may be tried in this turn */
	bool verified;         /* one was: that took time */
	bool waits;            /* one must be, in another turn */
	uint8_t tried;         /* public keys that did not make its token */
};

/* The connection and its user, with the tickets and the verdict above. */
struct client {
	uint64_t id;       /* unique over restarts, see daemon.c */
	struct conf *conf; /* a reference: keeps listen and route alive */
	const struct conf_listen *listen; /* NULL: a reload took it away */
	const struct conf_route *route;   /* NULL before one is chosen */
	char *certificate; /* its subject, verified; NULL = none */
	struct addr peer;  /* the client; differs behind a proxy */
	uint8_t hops;      /* relays that it came through */
	struct client_tickets tickets;
	struct client_verdict verdict;
};

const char *client_id(const struct client *c, char text[CLIENT_ID_TEXT]);
/* An id as client_id writes it. -1: it is none. */
MUST_CHECK int client_parse_id(const char *text, uint64_t *id);
/* Of its token, borrowed; NULL = none. */
const char *client_subject(const struct client *c);
/*
 * Frees what it holds, but its tickets: admission_leave takes those back
 * before. It is empty then, but for its id.
 */
void client_free(struct client *c);

#endif
