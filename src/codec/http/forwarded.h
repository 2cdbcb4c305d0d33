/*
 * forwarded.h: what a proxy in front says of its client: Forwarded (RFC 7239)
 * and X-Forwarded-For, -Proto, -Host, both read from the right; and Forwarded
 * for a backend.
 */
#ifndef CODEC_HTTP_FORWARDED_H
#define CODEC_HTTP_FORWARDED_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

struct http_head;

struct forwarded {
	bool has_peer;    /* something was said about it, if only "unknown" */
	struct addr peer; /* the client's address; its port is 0 */
	bool has_proto;
	bool secure;     /* https or wss */
	struct str host; /* STR_NONE when absent */
};

/*
 * Called for a connection from a trusted proxy at *socket_peer. Addresses are
 * walked from the right over trusted ones; the first that is not trusted (or
 * the last one of all) is the client. An element that is no address ends the
 * walk: the last good one counts.
 *
 * X-Forwarded-Proto and -Host: the last element of the last line, a bad Host
 * is none. Forwarded: of the elements that the walk went over each the
 * leftmost that says it, for that one is about the client.
 *
 * -1 and *why, which lives forever: a Forwarded that is not well-formed (then
 * its elements cannot be told apart), or whose elements that count say what is
 * no node or host; or both kinds of fields are there and disagree: one of them
 * may be the client's own, that its proxy passed on.
 */
MUST_CHECK int forwarded_read(struct forwarded *f, const struct http_head *head,
	const struct addr *socket_peer, const struct cidr_list *trusted,
	const char **why);

/*
 * Appends the value of a Forwarded field: for (unknown, when the address is
 * none), host (unless it is STR_NONE; else one that uri_parse_authority takes)
 * and proto. -1 without memory.
 */
MUST_CHECK int forwarded_write(
	struct buf *out, const struct addr *peer, struct str host, bool secure);

/*
 * For forwarded.c: the Forwarded fields alone; *f is as if nothing had been
 * said before.
 */
MUST_CHECK int forwarded_read_list(struct forwarded *f,
	const struct http_head *head, const struct addr *socket_peer,
	const struct cidr_list *trusted, const char **why);

#endif
