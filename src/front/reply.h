/*
 * reply.h: writes HTTP response heads.
 */
#ifndef FRONT_REPLY_H
#define FRONT_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"

struct reply {
	int status;
	const char *id;    /* X-Wsrelay-Id; NULL = none */
	struct str fields; /* "Name: value\r\n" ... */
	bool close;        /* Connection: close */
	bool has_length;
	uint64_t length; /* Content-Length */
};

struct reply_refusal {
	enum reason reason;
	struct str words;  /* the body, one line without its end */
	uint32_t retry_ms; /* of a 429 or 503: its Retry-After, as whole
			      seconds, or a few seconds when it is 0 */
	const char *id;    /* X-Wsrelay-Id */
	bool head;         /* no body: the answer to a HEAD */
};

/* Appends the head to out. -1 without memory. */
MUST_CHECK int reply_head(struct buf *out, const struct reply *r);
/* Appends a whole refusal: the reason's status, its fields and the words. */
MUST_CHECK int reply_refusal(
	struct buf *out, const struct reply_refusal *refusal);
/* Appends the 101 (RFC 6455 section 4.2.2); protocol may be STR_NONE. */
MUST_CHECK int reply_switch(struct buf *out, struct str accept,
	struct str protocol, const char *id);

#endif
