/*
 * message.h: a message for many: framed once, immutable, counted. It is made
 * with one reference; every queue that keeps it holds one. Any thread.
 */
#ifndef BASE_MESSAGE_H
#define BASE_MESSAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct budget;

struct message {
	atomic_uint references;
	uint8_t opcode;        /* WS_TEXT or WS_BINARY; WS_CLOSE: see hub.h */
	uint8_t head_n;        /* bytes of head */
	uint16_t worker;       /* of to */
	uint64_t to;           /* the one client that gets it; 0 = all */
	uint64_t except;       /* a client that must not get it; 0 = none */
	uint64_t serial;       /* in the order of its hub, or of to, from 1 */
	int64_t sampled_ns;    /* loop_clock_ns when it came; 0 = not noted */
	struct budget *budget; /* where its bytes are counted, once */
	size_t n;              /* bytes of head and payload */
	uint8_t bytes[];       /* the frame as it goes out */
};

/*
 * Copies head and payload. NULL without memory. It is counted in the budget,
 * once, until the last reference is gone.
 */
MUST_CHECK struct message *message_new(const uint8_t *head, size_t head_n,
	const uint8_t *payload, size_t n, struct budget *budget);
struct message *message_ref(struct message *m);
void message_unref(struct message *m);

#endif
