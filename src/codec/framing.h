/*
 * framing.h: where messages begin and end in a byte stream.
 *
 *   raw     no boundaries: what was read is a binary message
 *   line    a text message per line, ended by LF (a CR before it is dropped);
 *           what is written holds no CR either, for many languages end lines
 *           there, too
 *   len32   4 bytes length of what follows, big-endian; 1 byte opcode
 *           (1 text, 2 binary); the payload
 *
 * Pure. Whether a text is UTF-8 is the caller's to check.
 */
#ifndef CODEC_FRAMING_H
#define CODEC_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

enum framing_id { FRAMING_NONE, FRAMING_RAW, FRAMING_LINE, FRAMING_LEN32 };

#define FRAMING_HEAD_MAX 5
#define FRAMING_TAIL_MAX 1

struct framing_message {
	uint8_t opcode; /* WS_TEXT or WS_BINARY, see ws.h */
	uint8_t *data;  /* in the input */
	size_t n;
	size_t prefix_n; /* encode: bytes of it that go in front of data */
};

enum framing_error {             /* returned as a negative number */
	FRAMING_TOO_BIG = -1,    /* longer than max */
	FRAMING_BAD_OPCODE = -2, /* len32: neither 1 nor 2 */
	FRAMING_BAD_LENGTH = -3, /* len32: 0, no room for the opcode */
	FRAMING_BINARY = -4,     /* encode: this framing has text only */
	FRAMING_LINE_BREAK = -5, /* encode: an LF or a CR inside a line */
};

struct framing {
	const char *name;
	bool whole; /* encode wants whole messages only */
	/*
	 * Takes one message off the n > 0 bytes at p. Returns the bytes used,
	 * 0 when the message is not complete yet, or a framing_error. *scanned
	 * is what earlier calls with the same beginning have already looked
	 * at: 0 at the beginning of a message, set by the callee when it
	 * returns 0, so that a long line costs no more than its length.
	 */
	ssize_t (*decode)(uint8_t *p, size_t n, size_t max, size_t *scanned,
		struct framing_message *message);
	/*
	 * Writes what goes before and after the payload. Returns 0 or a
	 * framing_error. The payload itself is never copied.
	 */
	int (*encode)(const struct framing_message *message,
		uint8_t head[FRAMING_HEAD_MAX], size_t *head_n,
		uint8_t tail[FRAMING_TAIL_MAX], size_t *tail_n);
};

/* On the way over a message that is too long; left 0: not, or over it. */
struct framing_skip {
	uint64_t left; /* bytes; line: not 0 until its LF has come */
};
/* decode has just said FRAMING_TOO_BIG (line, len32) of the bytes at p. */
void framing_skip_begin(
	const struct framing *f, const uint8_t *p, struct framing_skip *s);
/* How long that message is; 0: its end has not come yet (line). */
uint64_t framing_length(const struct framing *f, const uint8_t *p);
/* Returns how many of the n bytes at p belong to that message. */
MUST_CHECK size_t framing_skip(const struct framing *f, const uint8_t *p,
	size_t n, struct framing_skip *s);

const struct framing *framing_get(enum framing_id id);
/* What a framing_error means, in words. */
const char *framing_strerror(int error);

#endif
