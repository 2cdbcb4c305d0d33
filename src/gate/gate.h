/*
 * gate.h: which requests may come in, step by step:
 *
 *   ARRIVAL: request, address, limits, host
 *     -> what is asked for, see page/way.h
 *        a route: ROUTE: upgrade, address, certificate, pause, connections,
 *                 origin, token, subject; then the backend
 *        a page:  PAGE: address, token
 *
 * A request is let in when no step refuses it. The steps are tables, so that
 * wsrelayctl explain says of each what it says to the daemon.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "codec/pattern.h"
#include "conf/conf.h"

struct addr;
struct client;
struct detail;
struct gate_step;
struct request;
struct shared;

struct gate_check { /* one request at the gate */
	/* NULL: no daemon runs; the client only looks (client.h). */
	struct shared *shared;
	const struct request *request;
	struct client *client; /* its route is set for GATE_ROUTE */
	struct detail *detail; /* what is said of a refusal, for the log */
	const struct conf_page *page; /* of GATE_PAGE */
	/* Of GATE_ARRIVAL: what request_parse said, */
	enum reason parsed;
	const char *why;
	enum reason over; /* what admission_enter did, */
	bool (*memory_full)(
		void *owner); /* and whether max_memory is reached */
	/* Called with what each step says; may be NULL. */
	void (*said)(
		void *owner, const struct gate_step *step, enum reason reason);
	void *owner; /* of these two */
};

enum gate_stage { GATE_ARRIVAL, GATE_ROUTE, GATE_PAGE };

struct gate_step {
	const char *word; /* NULL ends a stage */
	enum reason (*check)(const struct gate_check *g);
	bool running; /* it asks what only a running daemon knows, else not */
};

/*
 * Whether a connection from this address may say anything at all: ADDRESS or
 * NONE. A trusted proxy may, for the client that it names is looked at.
 */
MUST_CHECK enum reason gate_check_socket(
	const struct conf_listen *listen, const struct addr *peer);
/*
 * What the first step that refuses says, or REASON_NONE; the detail is empty
 * where there is no more to say. Behind the arrival the client's verdict is
 * filled in. When its verdict waits, the reason means nothing (auth.h).
 */
MUST_CHECK enum reason gate_pass(
	enum gate_stage stage, const struct gate_check *g);

enum gate_fit {
	GATE_FITS,
	GATE_OTHER_LISTEN, /* it is not for this listener */
	GATE_OTHER_HOST,
	GATE_OTHER_PATH,
};

/* Whether the route is for this listener, Host and path. */
enum gate_fit gate_fit_route(const struct conf_route *route,
	const struct conf_listen *listen, const struct request *r,
	struct captures *captures);
/*
 * The first that fits, in file order: an [attach]'s entrance, or else a route;
 * NULL: none.
 */
MUST_CHECK const struct conf_route *gate_find_route(const struct conf *conf,
	const struct conf_listen *listen, const struct request *r,
	struct captures *captures);

#endif
