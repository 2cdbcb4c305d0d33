/*
 * dial.h: opens a connection to a backend: resolves a name without blocking,
 * tries all its addresses, gives up in time.
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"

struct loop;
struct dial;

enum dial_result {
	DIAL_OK,
	DIAL_RESOLVE,   /* the name has no address */
	DIAL_FORBIDDEN, /* none of its addresses is in allow */
	DIAL_REFUSED,   /* error says why the last address did not answer */
	DIAL_TIMEOUT,
	DIAL_INTERNAL, /* memory or descriptors are short */
};

struct dial_params {
	const char *host;   /* a name, or an address without brackets; copied */
	uint16_t port;      /* 0 is refused */
	const char *path;   /* instead: of a Unix socket; too long is refused */
	int64_t timeout_ms; /* for all of it */
	/* Addresses that may be connected to; empty = all. Outlives the dial. */
	const struct cidr_list *allow;
	/*
	 * Called once, never from within dial_start. fd is the caller's
	 * (connected, non-blocking), -1 when the result is not DIAL_OK. to is
	 * the last address tried, NULL when none; text, which may be NULL,
	 * says in words what was wrong.
	 */
	void (*done)(void *owner, enum dial_result result, int fd,
		const struct addr *to, const char *text);
	void *owner;
};

/* NULL: no memory. */
MUST_CHECK struct dial *dial_start(
	struct loop *l, const struct dial_params *params);
/* Only before done was called, which then never is. */
void dial_cancel(struct dial *d);

#endif
