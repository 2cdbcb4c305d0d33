/*
 * front.h: the HTTP side of a client connection: from accept to the answer,
 * or to the upgrade, which hands it over to a pair.
 *
 *   HEAD: collect a request -> understand -> a page: ANSWER -> HEAD again
 *                                         -> a route: gate, OPENING -> pair
 *                                         -> refused: LEAVING
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include "base/addr.h"
#include "base/compiler.h"

struct conf;
struct conf_address;
struct conf_listen;
struct worker;

/* A connection that a listener has accepted. */
struct accepted {
	int fd;
	struct addr peer; /* of the socket */
	/* What it was accepted under: a worker may know a newer one by now. */
	struct conf *conf;
	const struct conf_listen *listen;
	const struct conf_address *address;
};

/* Takes the socket. -1 without memory: it is closed and counted. */
MUST_CHECK int front_new(struct worker *w, const struct accepted *a);

/* All of a worker's. -1 without memory; after that fini is of use, too. */
MUST_CHECK int fronts_init(struct worker *w);
void fronts_fini(struct worker *w);
/* Once a second: tells of the lines that were kept out of the log. */
void fronts_tick(struct worker *w);
/* A reload: the worker has a newer snapshot. */
void fronts_renew(struct worker *w);
/* The relay stops: no further request, what is being opened is refused. */
void fronts_drain(struct worker *w);
/* What is left is cut off. */
void fronts_stop(struct worker *w);

#endif
