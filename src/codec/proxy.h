/*
 * proxy.h: the PROXY protocol, versions 1 and 2, both ways: what a proxy in
 * front says about a connection before its first byte, and what a backend is
 * told (haproxy's proxy-protocol.txt; sections are of that document).
 */
#ifndef CODEC_PROXY_H
#define CODEC_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/compiler.h"

/* --- reading ---------------------------------------------------------------*/

/* A header that is longer is refused; section 2.2 allows 64 KiB. */
#define PROXY_READ_MAX 4096
/* With its CR LF, section 2.1. */
#define PROXY_V1_MAX 107

enum proxy_who {
	PROXY_CLIENT,  /* addr is the client's */
	PROXY_UNNAMED, /* a client whose address the proxy cannot tell */
	PROXY_ITSELF,  /* no client: the proxy's own connection (LOCAL) */
};

struct proxy_head {
	enum proxy_who who;
	struct addr addr; /* of a PROXY_CLIENT, with its port */
	bool secure;      /* it reached the proxy over TLS, as far as is said */
};

/*
 * The header that begins at p: its length, PROXY_PARTIAL when these n bytes
 * all belong to one that is not complete, PROXY_BAD when they are none, and
 * *why in words that live forever. With a length *head is filled in.
 */
#define PROXY_PARTIAL 0
#define PROXY_BAD     -1
MUST_CHECK ssize_t proxy_decode(
	struct proxy_head *head, const uint8_t *p, size_t n, const char **why);

/* --- writing ---------------------------------------------------------------*/

enum proxy_version { PROXY_NO, PROXY_V1, PROXY_V2 };
#define PROXY_HEAD_MAX 108

/*
 * Writes a PROXY header for a connection from src to dst. When only one of them
 * is IPv6 the other is written as a mapped address; a dst that is none is the
 * unspecified one. UNKNOWN (v1) or LOCAL (v2) when src is none. Returns its
 * length, 0 for PROXY_NO.
 */
size_t proxy_encode(uint8_t out[PROXY_HEAD_MAX], enum proxy_version version,
	const struct addr *src, const struct addr *dst);

#endif
