/*
 * relay.h: what an end tells its owner: a pair, or a hub, whose clients are
 * members and whose backend is the trunk.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reason.h"
#include "base/str.h"

struct end;
struct piece;

/* Why it ends. Views are copied where they are kept. */
struct ending {
	enum reason reason;
	uint16_t code;      /* 0: the reason's own */
	struct str text;    /* of the close frame; STR_NONE: the reason's own */
	const char *detail; /* for the log; may be NULL */
	/* BACKEND_PROTOCOL: what a ws backend is told of it; 0: 1002. */
	uint16_t backend_code;
};

/* A piece of a message came. */
void relay_input(struct end *from, const struct piece *piece);
/*
 * A ping or pong with n bytes of payload, or a fragment without any, came:
 * rates count it like a message.
 */
void relay_control(struct end *from, size_t n);
/*
 * A message is longer than it may be. For ends whose hub goes on after that
 * (addressing = tagged); others end with BACKEND_PROTOCOL.
 */
void relay_too_big(struct end *from);
/* Its queue is short again. */
void relay_drained(struct end *e);
/* It is over; an end closes only when it is told to (end_ops.close). */
void relay_ended(struct end *e, const struct ending *why);
/* n bytes of its peer were dropped after the end. */
void relay_dropped(struct end *e, uint64_t n);
/* Nothing of it is left; it is freed after this. */
void relay_gone(struct end *e);

/* "word: text", as a page finds it in its CloseEvent; text has room for 123. */
struct str relay_close_text(enum reason r, char *text, struct str words);
/* The close code that a ws backend is told. */
uint16_t relay_backend_code(const struct ending *why);
/*
 * Says that a message of n bytes, or so many at least, is longer than the key
 * of that name allows.
 */
#define RELAY_LENGTH_TEXT 112
const char *relay_length_text(char text[RELAY_LENGTH_TEXT], uint64_t n,
	bool at_least, const char *key, uint64_t max);
/* The side that ended it, for the log: "client", "backend" or "relay". */
const char *relay_side(enum reason r, int side);
/* The close code that a client is told; 0: it can't be told. */
uint16_t relay_client_code(enum reason r, uint16_t code);

#endif
