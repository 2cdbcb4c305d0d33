/*
 * forwarded.h: who spoke to the proxy in front: X-Forwarded-For, -Proto,
 * -Host, read from the right.
 */
#ifndef CODEC_FORWARDED_H
#define CODEC_FORWARDED_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/str.h"

struct http_head;

struct forwarded {
	struct addr peer; /* the client's address; its port is 0 */
	bool has_proto;
	bool secure;     /* X-Forwarded-Proto: https or wss */
	struct str host; /* X-Forwarded-Host, STR_NONE when absent or bad */
};

/*
 * Called for a connection from a trusted proxy at *socket_peer. Walks
 * X-Forwarded-For from the right over trusted addresses; the first that is
 * not trusted (or the last one of all) is the client. An element that is no
 * address ends the walk: the last good one counts. -Proto and -Host: the last
 * element of the last line.
 */
void forwarded_read(struct forwarded *f, const struct http_head *head,
	const struct addr *socket_peer, const struct cidr_list *trusted);

#endif
