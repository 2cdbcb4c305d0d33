/*
 * link.h: the way to a backend that has an address: a socket, with what is said
 * on it before the backend's own first byte.
 *
 *   link_open -> dial -> CONNECT -> PROXY header -> TLS handshake -> cb->ready
 *                  '--------'------------'--------------'----> cb->failed, late
 *
 * Part of its owner, the attempt of a kind of backend; belongs to its worker's
 * thread.
 */
#ifndef BACKEND_LINK_H
#define BACKEND_LINK_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "net/loop.h"
#include "backend/tunnel.h"

struct backend_params;
struct conn;
struct dial;
struct link;

/*
 * None is called from within link_open, and each may close the link. A detail
 * is borrowed.
 */
struct link_cb {
	/* l->conn is open; not yet read. */
	void (*ready)(struct link *l);
	void (*failed)(struct link *l, enum reason reason, const char *detail);
	/* connect_timeout is over, but for the dialling: that has failed. */
	void (*late)(struct link *l);
};

struct link {
	struct conn *conn; /* NULL: none yet, or it was taken */
	/* Private to link.c. */
	const struct backend_params *params;
	const struct link_cb *cb;
	struct dial *dial;     /* until it is done */
	char *tls_host;        /* NULL: without TLS */
	struct tunnel tunnel;  /* where the params have a proxy */
	char *host, *port;     /* that the proxy is asked for, until then */
	int64_t due;           /* connect_timeout is for all of it */
	struct timer deadline; /* from when the dialling is done */
};

/*
 * Host, port and path of the route's backend are expanded, and dialled. The
 * params outlive the link; of them the captures are needed only here. l is all
 * zeros. -1: no memory; link_close is called all the same.
 */
MUST_CHECK int link_open(struct link *l, const struct backend_params *p,
	const struct link_cb *cb);
/* Once it is ready: the connection is the caller's; the deadline is off. */
struct conn *link_take(struct link *l);
/*
 * For an owner that waits for more on l->conn before it takes it: whether TLS
 * is why that has ended, with error; then failed was called.
 */
MUST_CHECK bool link_tls_failed(struct link *l, int error);
/*
 * Before its owner is freed, at any time, opened or not: no callback will come.
 * What is under way is cancelled, and a connection that was not taken is closed;
 * that has no owner then, who would be told of it.
 */
void link_close(struct link *l);

#endif
