/*
 * recording.h: what a hub has said, in a file (wsrelayctl record, play):
 *
 *   wsrelayd-recording 1            the version
 *   began 2026-11-26T18:03:07Z      of these lines only framing means
 *   route sim                       something to play; names that are not
 *   path /sim/42                    known are passed over
 *   framing line
 *                                   an empty line ends them
 *   0.000000 text 9                 seconds, what, and how many bytes
 *   {"x":1.5}                       these, and an LF that is none of them
 *   0.016667 binary 4
 *   ....
 *   0.040000 dropped 12             messages that are missing here
 *   12.500000 end                   how long it was; may be missing
 *
 * Times never go back. Pure; wsrelayctl(8) describes it.
 */
#ifndef CODEC_RECORDING_H
#define CODEC_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "codec/framing.h"

/* Of a message; of all lines up to the empty one; of one that is behind it. */
#define RECORDING_MESSAGE_MAX (16u << 20)
#define RECORDING_HEAD_MAX    (64u * 1024)
#define RECORDING_LINE_MAX    64
/* No item is longer. */
#define RECORDING_ITEM_MAX (RECORDING_MESSAGE_MAX + RECORDING_LINE_MAX + 1)
/* 30 years. */
#define RECORDING_TIME_MAX INT64_C(1000000000000000)

enum recording_kind {
	RECORDING_HEAD, /* the first, once */
	RECORDING_TEXT,
	RECORDING_BINARY,
	RECORDING_DROPPED,
	RECORDING_END, /* the last */
};

struct recording_item {
	enum recording_kind kind;
	enum framing_id framing; /* HEAD; NONE: it does not say */
	int64_t at_us;           /* all others: since the beginning */
	uint64_t n;              /* DROPPED: messages; of data otherwise */
	uint8_t *data;           /* TEXT (UTF-8), BINARY: in the input */
};

struct recording { /* on the way through it; zeros: at its beginning */
	bool headed, ended;
	int64_t at_us;
};

/*
 * Takes the next item off the n bytes at p. Returns the bytes used; 0: it is not
 * complete; -1 and *why: it is damaged here. RECORDING_ITEM_MAX bytes are always
 * enough for one.
 */
MUST_CHECK ssize_t recording_read(struct recording *r, uint8_t *p, size_t n,
	struct recording_item *item, const char **why);

/*
 * The line of an item, LF included; of n data bytes or dropped messages, which
 * END has not. Returns its length. Not of HEAD.
 */
size_t recording_line(char out[RECORDING_LINE_MAX], enum recording_kind kind,
	int64_t at_us, uint64_t n);
/* The first line, LF included. */
extern const char recording_version[];

#endif
