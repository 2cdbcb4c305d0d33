/*
 * admission.h: limits over all workers: connections and their rate per address,
 * connections per route and subject, processes, used tokens. Touched only when a connection opens or closes. Any
 * thread may call: a short lock each.
 *
 * A client that only looks (client.h) is told what another would be, and is
 * counted nowhere; for such a one shared may be NULL where a token is checked.
 */
#ifndef GATE_ADMISSION_H
#define GATE_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"

struct addr;
struct admission;
struct client;
struct conf_route;
struct shared;
struct used_tokens;

MUST_CHECK struct admission *admission_new(void);
void admission_free(struct admission *a);

/*
 * Counts a client in all, and under its address (IPv4, or IPv6 per /64; not
 * Unix sockets, not trusted proxies), and takes one from its address's
 * handshake_rate at now_ms, a time of the loop. REASON_NONE,
 * LIMIT_CONNECTIONS, LIMIT_ADDRESS, or LIMIT_RATE with the client's retry_ms
 * or flood; admission_leave is owed in any case.
 */
MUST_CHECK enum reason admission_enter(
	struct shared *s, struct client *c, int64_t now_ms);
/*
 * The same for the address that a PROXY header gives: in place of the proxy's.
 */
MUST_CHECK enum reason admission_proxied(struct shared *s, struct client *c,
	const struct addr *peer, int64_t now_ms);
/*
 * Behind a trusted proxy: the request names another client than before; it is
 * counted as that one from now on. REASON_NONE, LIMIT_ADDRESS, LIMIT_RATE.
 */
MUST_CHECK enum reason admission_set_peer(struct shared *s, struct client *c,
	const struct addr *peer, int64_t now_ms);
/* Counts it in its route: REASON_NONE, LIMIT_CONNECTIONS. */
MUST_CHECK enum reason admission_enter_route(struct client *c);
/*
 * Counts it among its subject's connections in its route, when it has a subject
 * and the route a limit: REASON_NONE, LIMIT_SUBJECT, INTERNAL. Its route and
 * subject must not change until it is given back.
 */
MUST_CHECK enum reason admission_enter_subject(struct client *c);
/*
 * Takes all of the client's tickets back: its counts, and an unused reserved
 * token.
 */
void admission_leave(struct shared *s, struct client *c);
/*
 * Refused: its place in the route and among its subject's, and its token, are
 * free again, although the connection lingers. The rest is for admission_leave.
 */
void admission_give_back(struct shared *s, struct client *c);

/*
 * Its token was refused for this reason: counts it under the client's address
 * at now_ms, a time of the loop, if that may be guessing: TOKEN_MALFORMED,
 * TOKEN_SIGNATURE. The reason itself, or LIMIT_FAILURES with the client's
 * retry_ms. Exempt as in admission_enter.
 */
MUST_CHECK enum reason admission_failed(
	struct shared *s, struct client *c, enum reason reason, int64_t now_ms);

/* Whether the client's address is over auth_failures by now. */
bool admission_is_failing(
	struct shared *s, const struct client *c, int64_t now_ms);

/*
 * A connection of the listener waits for a complete request (by +1), or no
 * longer (by -1). Returns how many do now.
 */
int64_t admission_pending(const struct client *c, int by);

/* A process of a route: REASON_NONE or LIMIT_PROCESSES; gives it back. */
MUST_CHECK enum reason admission_enter_process(const struct conf_route *r);
/* Whether there is room for one more, which is not counted. */
enum reason admission_look_process(const struct conf_route *r);
void admission_leave_process(const struct conf_route *r);

/*
 * Single use: reserves the token. REASON_NONE, INTERNAL, TOKEN_USED,
 * TOKEN_STORE. Once admission_use_token was called it stays used; else
 * admission_leave gives it back.
 */
struct admission_token {
	const uint8_t *id;      /* USED_TOKENS_ID bytes */
	const char *key;        /* the name of the key that has signed it */
	int64_t exp_ms, now_ms; /* Unix time; it is remembered until then */
};
MUST_CHECK enum reason admission_reserve_token(
	struct shared *s, struct client *c, const struct admission_token *t);
void admission_use_token(struct client *c);
/* All of them, for what is kept over a restart. */
struct used_tokens *admission_used_tokens(struct admission *a);

#endif
