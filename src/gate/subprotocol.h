/*
 * subprotocol.h: which of the subprotocols that a client offers is selected
 * (RFC 6455 section 4.2.2), where the relay does it: a ws backend does it itself.
 */
#ifndef GATE_SUBPROTOCOL_H
#define GATE_SUBPROTOCOL_H

#include <stdbool.h>

#include "base/str.h"

struct conf_route;
struct request;

bool subprotocol_is_offered(const struct request *r, struct str name);
/* The client's first offer that the route allows; STR_NONE: there is none. */
struct str subprotocol_select(
	const struct conf_route *route, const struct request *r);

#endif
