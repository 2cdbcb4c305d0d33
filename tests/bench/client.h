/*
 * One WebSocket client of the load generator: it sends messages with contents
 * that it can foretell, and compares every byte that comes back, in order.
 *
 * Message `seq` of client `id` is a slice of one pool of random bytes, and
 * where the slice starts follows from id and seq. So neither sending nor
 * comparing needs a copy of what is under way, and an echo that belongs to
 * another message or another client does not match.
 *
 * Functions return -1 when the client failed; link.error says how.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "link.h"

/* What all clients share. */
struct client_params {
	struct link_params link; /* with client_link_cb */
	const char *path;
	size_t size;        /* of a message, at least 1 */
	unsigned in_flight; /* messages without their echo, at most */
	bool stream;        /* the echo keeps bytes, not messages */
	uint8_t *pool;      /* pool_new */
	uint8_t *scratch;   /* LINK_SCRATCH bytes, to send from */
	void *user;
	/* An echo is complete and right; latency from its first send. */
	void (*echoed)(void *user, uint64_t latency_ns);
};

struct client {
	struct link link; /* the first member */
	const struct client_params *params;
	uint64_t quota; /* messages it may send in all */
	/* sending */
	uint64_t sent;     /* messages sent in full */
	size_t sent_off;   /* bytes of the next one's frame that are sent */
	uint64_t *sent_ns; /* by seq % in_flight */
	/* receiving */
	uint64_t echoes; /* messages that came back in full */
	size_t echo_off; /* bytes of the next one that came back */
};

extern const struct link_cb client_link_cb;

/* -1 without memory. A client is used again with client_connect. */
int client_init(struct client *c, const struct client_params *p, unsigned id);
void client_fini(struct client *c);

int client_connect(struct client *c);

/* Reads once and handles it; sends what became possible. */
int client_readable(struct client *c);

/* Sends as much as in_flight, quota and the socket allow. */
int client_send(struct client *c);

/* Starts the closing handshake; no message may be under way. */
int client_close(struct client *c);

#endif
