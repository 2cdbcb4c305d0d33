/*
 * attach.h: a simulation that has connected to the relay becomes the trunk of
 * its hub.
 *
 *   its worker                              the hub's home
 *   hub_attach_open --- may I? ----------->  is the place free?
 *   done            <-- the place is yours   it is kept
 *   hub_attach_take --- the connection ---->  101, attached: the trunk
 *   hub_attach_cancel - not any more ------>  the place is free
 *
 * The hub is that of the path which the route of the [attach] has with the
 * same captures; it is made when there is none. The connection moves to the
 * hub's home before anything is written to it (net/conn.h, conn_leave), so a
 * simulation's messages cross no thread on their way to the hub.
 */
#ifndef HUB_ATTACH_H
#define HUB_ATTACH_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "backend/backend.h"

struct captures;
struct client;
struct conn;
struct hub_attach;
struct request;
struct worker;

struct hub_attach_params {
	struct worker *worker;
	/* Until done or cancel; its route is the entrance of an [attach]. */
	const struct client *client;
	const struct request *request;   /* until hub_attach_open returns */
	const struct captures *captures; /* likewise */
	/*
	 * Called once, never from within hub_attach_open. REASON_NONE: the
	 * place is kept until hub_attach_take or hub_attach_cancel; with any
	 * other it is over.
	 */
	void (*done)(void *owner, const struct outcome *o);
	void *owner;
};

/* NULL: no memory. */
MUST_CHECK struct hub_attach *hub_attach_open(
	const struct hub_attach_params *p);
/* Before hub_attach_take: done will not be called, the place is given back. */
void hub_attach_cancel(struct hub_attach *a);
/*
 * The connection, which has left its loop (conn_leave), goes to its place with
 * the client and the bytes of the answer to its upgrade: all are taken.
 * labelled: that answer selects CONF_ATTACH_PROTOCOL.
 */
void hub_attach_take(struct hub_attach *a, struct conn *c,
	const struct client *client, struct buf *reply, bool labelled);

#endif
