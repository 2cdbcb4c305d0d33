/*
 * front.h: the HTTP side of a client connection: from accept to the answer,
 * or to the upgrade, which hands it over to a pair.
 *
 *   HEAD: collect a request -> understand -> a page: ANSWER -> HEAD again
 *                                         -> a route: gate, OPENING -> pair
 *                                         -> refused: LEAVING
 */
#ifndef RELAY_FRONT_H
#define RELAY_FRONT_H

#include "base/addr.h"
#include "base/compiler.h"

struct accepted;
struct front;
struct worker;

/* Takes the socket. -1 without memory: it is closed and counted. */
MUST_CHECK int front_new(struct worker *w, const struct accepted *a);
/* The relay stops: no further request, what is being opened is refused. */
void front_drain(struct front *f);

#endif
