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
/*
 * How long its peer took to answer the last ping, in ms; -1: it has answered
 * none yet, or e is no such end.
 */
int64_t ws_end_round_trip(const struct end *e);

#endif
