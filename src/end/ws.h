/*
 * ws.h: an end that speaks WebSocket (RFC 6455): the server towards
 * browsers, the client towards ws backends.
 */
#ifndef END_WS_H
#define END_WS_H

#include <stdint.h>

#include "base/compiler.h"
#include "end/end.h"

struct conf_route;
struct conn;
struct worker;

/*
 * Takes the connection (whose owner it becomes) after the handshake. The side
 * decides the role: END_CLIENT is read masked, END_BACKEND written masked.
 * NULL: no memory; the connection is still the caller's.
 */
MUST_CHECK struct end *ws_end_new(struct worker *w, struct conn *c,
	enum end_side side, const struct conf_route *route);
/* A backend that has connected to us: END_BACKEND, in the server's role. */
MUST_CHECK struct end *ws_end_new_attached(
	struct worker *w, struct conn *c, const struct conf_route *route);
/* A ping now, unless one is under way: whether it lives is in doubt. */
void ws_end_doubt(struct end *e);
/*
 * How long its peer took to answer the last ping, in ms; -1: it has answered
 * none yet, or e is no such end.
 */
int64_t ws_end_round_trip(const struct end *e);

#endif
