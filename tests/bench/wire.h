/*
 * The few parts of RFC 6455 that the load generator and the echo backend
 * need. They share nothing with the daemon's codecs on purpose: an error
 * there must not be mirrored here and so go unseen.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_HEAD_MAX    14  /* RFC 6455 5.2: 2 + 8 + 4 */
#define WIRE_CONTROL_MAX 125 /* RFC 6455 5.5 */
#define WIRE_ACCEPT_SIZE 29  /* base64 of a SHA-1, and NUL */

enum wire_opcode {
	WIRE_CONTINUATION = 0x0,
	WIRE_TEXT = 0x1,
	WIRE_BINARY = 0x2,
	WIRE_CLOSE = 0x8,
	WIRE_PING = 0x9,
	WIRE_PONG = 0xa,
};

struct wire_head {
	bool fin;
	bool masked;
	unsigned opcode; /* as received: any of 0..15 */
	uint8_t key[4];
	uint64_t length;
};

/* Writes a header of at most WIRE_HEAD_MAX bytes; returns its size. */
size_t wire_head_write(uint8_t *out, const struct wire_head *head);

/*
 * Reads a header from the n bytes at p. Returns its size, 0 when it is not
 * complete, -1 when it breaks RFC 6455 5.2 or 5.5: reserved bits, unknown
 * opcodes, lengths not in their shortest form, control frames that are
 * long or fragmented.
 */
int wire_head_read(struct wire_head *head, const uint8_t *p, size_t n);

/*
 * dst = src XOR key, where src[0] stands at place `phase` of its frame
 * (RFC 6455 5.3). dst may be src.
 */
void wire_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
	size_t phase);

/* The Sec-WebSocket-Accept to a Sec-WebSocket-Key (RFC 6455 4.2.2). */
void wire_accept(char out[WIRE_ACCEPT_SIZE], const char *key, size_t key_len);

#endif
