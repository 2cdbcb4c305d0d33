/*
 * tunnel.h: the way to a backend through an HTTP proxy: CONNECT (RFC 9110
 * section 9.3.6). Part of a link, on its connection to the proxy, before the
 * PROXY header, TLS and all else.
 *
 *   tunnel_open -> CONNECT host:port -> 2xx: what follows is the backend's
 *                                    -> else: why, in words
 */
#ifndef BACKEND_TUNNEL_H
#define BACKEND_TUNNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "net/loop.h"

struct conn;

struct tunnel_proxy {
	const char *host; /* a name, or an address without brackets */
	uint16_t port;
	const char *authorization; /* "Basic ..."; NULL: none */
};

/* The longest answer of a proxy: it has no body when it is a good one. */
#define TUNNEL_HEAD_MAX 16384

struct tunnel {
	struct conn *conn; /* NULL: not open */
	/*
	 * Once, never from within tunnel_open: the connection is the caller's
	 * again, not read, and has no owner. why is NULL, or why there is no
	 * way; borrowed until it returns.
	 */
	void (*done)(struct tunnel *t, const char *why);
	/* Private to tunnel.c. */
	struct buf in;
	size_t scanned;
	struct deferred deferred;
	char why[96];
};

/*
 * Asks the proxy at the other end of c for host:port; host is a name, or an
 * address without brackets. t is all zeros. -1: no memory; tunnel_close is
 * called all the same.
 */
MUST_CHECK int tunnel_open(struct tunnel *t, struct conn *c,
	const struct tunnel_proxy *proxy, const char *host, const char *port,
	void (*done)(struct tunnel *t, const char *why));
/* At any time: done will not be called any more. The connection stays. */
void tunnel_close(struct tunnel *t);

#endif
