/*
 * tap.h: messages as they pass, for one that looks on (wsrelayctl tap, record).
 *
 *   worker: a message is whole --tap_message--> fits its filter? -> a copy, or a
 *           reference to a hub's message -> the tap's queue -> main thread
 *
 * A reader holds nothing up: its queue is bounded, what comes while it is full
 * is counted and not kept, and not even looked into. Without a tap a message
 * costs one question, worker.tapped.
 *
 * A hub's message is seen once, by its home, whatever its number of members; a
 * pair's that is passed on in pieces is collected here, its beginning at least.
 * A route with tap = no, in the newest snapshot, shows nothing.
 */
#ifndef END_TAP_H
#define END_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "end/end.h"

struct conf_route;
struct mailbox;
struct message;
struct shared;
struct tap;
struct worker;

/* Of each tap: what waits for its reader, and one message. */
#define TAP_QUEUE_BYTES (8u << 20)
/* Of each worker: messages in the making, of pairs. */
#define TAP_PARTS_BYTES (8u << 20)

/* --- on a worker ----------------------------------------------------------*/

/* What a message belongs to. */
struct tap_source {
	const struct conf_route *route;
	enum end_side from;
	uint64_t id;     /* the client that it is from, or for; 0: for all */
	const char *hub; /* its path; NULL: a pair's */
	bool for_all;    /* of a hub: what all its members get */
	/* Whether this client gets it, too; NULL: no other does. */
	bool (*reaches)(const void *hub, uint64_t client);
	const void *arg; /* of reaches */
};

/* Only while worker.tapped; the bytes are only looked at. */
void tap_piece(
	struct worker *w, const struct tap_source *s, const struct piece *p);
/* A hub's message: its reference is kept, and nothing copied. */
void tap_message(
	struct worker *w, const struct tap_source *s, struct message *m);
/*
 * A client is gone: so are its messages in the making, and taps of it alone are
 * over.
 */
void tap_gone(struct worker *w, uint64_t client);

/* -1 without memory; after that fini is of use, too. */
MUST_CHECK int taps_init(struct worker *w);
void taps_fini(struct worker *w);

/* --- on the main thread ---------------------------------------------------*/

struct tap_filter {  /* what is not set fits all; owns its strings */
	char *route; /* name */
	char *hub;   /* path */
	char *match; /* bytes that are in the message */
	size_t match_n;
	uint64_t client;
	bool not_from[2]; /* by enum end_side */
	bool for_all;     /* only what all members of a hub get */
	size_t keep;      /* bytes of a message: what is longer is cut */
	bool whole;       /* or dropped */
	uint64_t limit;   /* messages; 0: none */
};
void tap_filter_free(struct tap_filter *f);

struct tap_params {
	struct tap_filter filter; /* taken, whatever becomes of it */
	struct shared *shared;
	struct mailbox *reader; /* the main thread's */
	/* There is something to take, as tap_wait has asked. */
	void (*called)(void *owner);
	void *owner;
};

/* Every worker is told. NULL without memory. */
MUST_CHECK struct tap *tap_open(const struct tap_params *p);
/* Nothing more comes; what has come may be taken. */
void tap_stop(struct tap *t);
/* It is not called any more. */
void tap_close(struct tap *t);

struct tap_item {
	int64_t at_us;    /* Unix time */
	uint64_t dropped; /* messages, between the one before and this */
	uint64_t id;      /* as in its source */
	enum end_side from;
	uint8_t opcode; /* WS_TEXT or WS_BINARY */
	const char *route;
	const char *hub;     /* or NULL */
	const uint8_t *data; /* its beginning; of text whole characters */
	size_t n;
	uint64_t size; /* of the message */
};

/* Every worker shows its messages now: nothing is there before that. */
MUST_CHECK bool tap_is_on(const struct tap *t);
/* The oldest, to be given back with tap_item_free; NULL: there is none. */
MUST_CHECK struct tap_item *tap_take(struct tap *t);
void tap_item_free(struct tap *t, struct tap_item *item);
/* How many were dropped behind the newest that was taken. */
uint64_t tap_take_dropped(struct tap *t);
/* Asks to be called. False: there is something already. */
MUST_CHECK bool tap_wait(struct tap *t);
/*
 * Nothing more comes behind what there is: it was stopped, its limit is reached,
 * or its client is gone. It calls then.
 */
MUST_CHECK bool tap_is_over(const struct tap *t);
const struct tap_filter *tap_filter(const struct tap *t);

#endif
