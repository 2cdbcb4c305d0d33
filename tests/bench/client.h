/*
 * One WebSocket client of the load generator: it connects, upgrades, sends
 * messages with contents that it can foretell, and compares every byte that
 * comes back, in order.
 *
 * Message `seq` of client `id` is a slice of one pool of random bytes, and
 * where the slice starts follows from id and seq. So neither sending nor
 * comparing needs a copy of what is under way, and an echo that belongs to
 * another message or another client does not match.
 *
 * Functions return -1 when the client failed; client_error() says how.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "wire.h"

#include <netinet/in.h>
#include <stdint.h>

#define CLIENT_SCRATCH (2u * 1024 * 1024)

enum client_state {
	CLIENT_IDLE,       /* no socket */
	CLIENT_CONNECTING, /* connect() or the upgrade is under way */
	CLIENT_OPEN,
	CLIENT_CLOSING, /* our close frame is sent or about to be */
	CLIENT_FAILED,
};

/* What all clients share. */
struct client_params {
	struct sockaddr_in address;
	const char *path;
	const char *host;
	size_t size;        /* of a message, at least 1 */
	unsigned in_flight; /* messages without their echo, at most */
	bool stream;        /* the echo keeps bytes, not messages */
	uint8_t *pool;      /* client_pool_new */
	uint8_t *scratch;   /* CLIENT_SCRATCH bytes for each direction */
	void *user;
	/* An echo is complete and right; latency from its first send. */
	void (*echoed)(void *user, uint64_t latency_ns);
};

struct client {
	const struct client_params *params;
	unsigned id;
	int fd;
	enum client_state state;
	uint64_t opened_ns; /* when connect() was called */
	uint64_t quota;     /* messages it may send in all */
	/* sending */
	uint64_t sent;     /* messages sent in full */
	size_t sent_off;   /* bytes of the next one's frame that are sent */
	bool want_write;   /* the socket was full, or connect() runs */
	uint64_t *sent_ns; /* by seq % in_flight */
	uint8_t control[WIRE_HEAD_MAX + WIRE_CONTROL_MAX];
	size_t control_len; /* a control frame that waits for its turn */
	size_t control_off;
	/* receiving */
	uint64_t echoes;    /* messages that came back in full */
	size_t echo_off;    /* bytes of the next one that came back */
	uint8_t rest[2048]; /* an answer or a header that is not complete */
	size_t rest_len;
	struct wire_head head;
	uint64_t left; /* payload of the current frame still to come */
	bool in_frame;
	bool in_message;
	uint8_t ping[WIRE_CONTROL_MAX];
	size_t ping_len;
	bool close_seen;
	char accept[WIRE_ACCEPT_SIZE];
	char error[160];
};

/* Random bytes for messages of this size; NULL without memory. */
uint8_t *client_pool_new(size_t size);

/* -1 without memory. A client is used again with client_connect. */
int client_init(struct client *c, const struct client_params *p, unsigned id);
void client_fini(struct client *c);

/* From 127.0.0.1 to 127.0.0.250, by id, so that ports suffice. */
int client_connect(struct client *c);

/* Reads once and handles it; sends what became possible. */
int client_readable(struct client *c);

/* Sends as much as in_flight, quota and the socket allow. */
int client_send(struct client *c);

/* Starts the closing handshake; no message may be under way. */
int client_close(struct client *c);

/* Closes the socket without ceremony. */
void client_abort(struct client *c);

uint64_t client_clock_ns(void);

#endif
