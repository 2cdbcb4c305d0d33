/*
 * ending.h: why an end, a pair, a member or a hub ends, and what its peers and
 * the log are told of it: close codes, words, the side.
 */
#ifndef END_ENDING_H
#define END_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reason.h"
#include "base/str.h"

/* Why it ends. Views are copied where they are kept. */
struct ending {
	enum reason reason;
	uint16_t code;      /* 0: the reason's own */
	struct str text;    /* of the close frame; STR_NONE: the reason's own */
	const char *detail; /* for the log; may be NULL */
	/* BACKEND_PROTOCOL: what a ws backend is told of it; 0: 1002. */
	uint16_t backend_code;
};

/* "word: text", as a page finds it in its CloseEvent; text has room for 123. */
struct str ending_close_text(enum reason r, char *text, struct str words);
/* The close code that a client is told; 0: it can't be told. */
uint16_t ending_client_code(enum reason r, uint16_t code);
/* The close code that a ws backend is told. */
uint16_t ending_backend_code(const struct ending *why);
/*
 * Says that a message of n bytes, or so many at least, is longer than the key
 * of that name allows.
 */
#define ENDING_LENGTH_TEXT 112
const char *ending_length_text(char text[ENDING_LENGTH_TEXT], uint64_t n,
	bool at_least, const char *key, uint64_t max);
/*
 * The side that ended it, for the log: "client", "backend" or "relay". side is
 * an enum end_side.
 */
const char *ending_side(enum reason r, int side);

#endif
