/*
 * tagged.h: the messages of a hub's backend that knows its clients
 * (addressing = tagged): see wsrelayd-tagged(7).
 *
 *   to the backend     > ID payload   + ID {...}   - ID {...}   = ID   = -
 *   from the backend   > ID payload   > * payload  x ID CODE reason
 *
 * The second space ends the prefix. An ID is a client's id as in the logs:
 * hexadecimal, lower case, no zero in front; 0 is no client's. Pure.
 */
#ifndef CODEC_TAGGED_H
#define CODEC_TAGGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct buf;

#define TAGGED_ID_MAX     16                  /* digits */
#define TAGGED_PREFIX_MAX (TAGGED_ID_MAX + 3) /* "> ID " */

enum tagged_verb { TAGGED_SEND, TAGGED_CLOSE };

enum tagged_error {
	TAGGED_OK,
	TAGGED_BAD_VERB,    /* neither "> " nor "x " in front */
	TAGGED_NO_SPACE,    /* no second space where an id must have ended */
	TAGGED_BAD_ID,      /* neither an id nor, behind "> ", a star */
	TAGGED_BAD_CODE,    /* neither 1000 nor 3000 to 4999 */
	TAGGED_LONG_REASON, /* over 123 bytes, RFC 6455 section 5.5 */
	TAGGED_NOT_UTF8,    /* a text's payload, or a reason */
	TAGGED_TOO_BIG,     /* the payload is longer than max */
	TAGGED_ERRORS
};

struct tagged_message {
	enum tagged_verb verb;
	uint64_t id;   /* 0: all clients (TAGGED_SEND only) */
	uint8_t *data; /* in the input: the payload, or the reason */
	size_t n;
	uint16_t code; /* TAGGED_CLOSE */
};

/*
 * Takes a whole message of the backend apart; text says its kind, max how
 * long a payload may be. Nothing is copied.
 */
MUST_CHECK enum tagged_error tagged_parse(
	struct tagged_message *m, uint8_t *p, size_t n, bool text, size_t max);
/* What is wrong, in words. */
const char *tagged_strerror(enum tagged_error e);

/* Writes "> ID "; returns its length. */
size_t tagged_write_prefix(uint8_t out[TAGGED_PREFIX_MAX], uint64_t id);

struct tagged_client {
	uint64_t id;
	const char *subject; /* of its token; NULL = none */
	const char *perm, *peer, *path;
};

/*
 * Append "+ ID {...}", "- ID {...}", "= ID" (id 0: "= -", no driver). A name
 * that is not UTF-8 becomes null. -1 without memory; out may then hold a part.
 */
MUST_CHECK int tagged_add_joined(
	struct buf *out, const struct tagged_client *c);
/* reason is a word of reason.def. */
MUST_CHECK int tagged_add_left(
	struct buf *out, uint64_t id, const char *reason);
MUST_CHECK int tagged_add_driver(struct buf *out, uint64_t id);

#endif
