/*
 * One WebSocket connection of a load generator, seen from its client: it
 * connects, shakes hands (TLS), upgrades, reads frames and answers pings. What its
 * data messages say is its owner's business.
 *
 *   IDLE -> link_connect -> CONNECTING -> OPEN
 *        -> link_close -> CLOSING -> the peer ends -> IDLE
 *
 * Functions return -1 when the link failed; `error` says how.
 */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include "wire.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#define LINK_SCRATCH (2u * 1024 * 1024)

struct link;
struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;

enum link_state {
	LINK_IDLE,       /* no socket */
	LINK_CONNECTING, /* connect() or a handshake is under way */
	LINK_OPEN,
	LINK_CLOSING, /* our close frame is sent or about to be */
	LINK_FAILED,
};

struct link_cb {
	/* Bytes of a data message, in order. -1 after link_fail. */
	int (*payload)(struct link *l, const uint8_t *p, size_t n);
	/* That was the message. -1 after link_fail. */
	int (*message)(struct link *l);
};

/* What all links of a program share. */
struct link_params {
	struct sockaddr_in address;
	const char *host;
	uint8_t *scratch; /* LINK_SCRATCH bytes, to read into */
	const struct link_cb *cb;
	struct ssl_ctx_st *tls; /* NULL: no TLS; see tls.h */
	bool resume;            /* its session, from the second time on */
};

struct link {
	const struct link_params *params;
	const char *path;
	unsigned id;
	int fd;
	enum link_state state;
	uint64_t opened_ns; /* when connect() was called */
	uint64_t messages;  /* received in full; for error texts */
	bool want_write;    /* the socket was full, or connect() runs */
	int receive_buffer; /* of the socket; 0: the system's */
	bool connected;     /* TCP is */
	bool requested;     /* the upgrade is */
	bool close_seen;
	struct ssl_st *tls; /* NULL: no TLS, or no connection */
	struct ssl_session_st *session;
	bool resumed;
	uint8_t *stash; /* a record that TLS began and the socket refused */
	size_t stash_len;
	/* sending */
	uint8_t control[WIRE_HEAD_MAX + WIRE_CONTROL_MAX];
	size_t control_len; /* a control frame that waits for its turn */
	size_t control_off;
	/* receiving */
	uint8_t rest[2048]; /* an answer or a header that is not complete */
	size_t rest_len;
	struct wire_head head;
	uint64_t left; /* payload of the current frame still to come */
	bool in_frame;
	bool in_message;
	uint8_t ping[WIRE_CONTROL_MAX];
	size_t ping_len;
	char accept[WIRE_ACCEPT_SIZE];
	char error[160];
};

/* ADDRESS:PORT; -1 when it is none. */
int link_address(struct sockaddr_in *out, const char *text);

void link_init(struct link *l, const struct link_params *p, unsigned id,
	const char *path);
void link_fini(struct link *l);

/* From 127.0.0.1 to 127.0.0.250, by id, so that ports suffice. */
int link_connect(struct link *l);

/* Goes on with connect, handshake and upgrade, whatever is next. */
int link_advance(struct link *l);

/* Reads what is there and handles it. An answered ping waits for its turn. */
int link_readable(struct link *l);

/* What TLS has begun to send. 1: all is gone, 0: it waits, -1. */
int link_flush(struct link *l);

/* Bytes that were taken; less than n: the socket is full (want_write); -1. */
ssize_t link_send(struct link *l, const void *p, size_t n);

/* The control frame that waits. 1: it is gone, 0: it still waits, -1. */
int link_send_control(struct link *l);

/* Begins the closing handshake with a control frame that waits. */
void link_close(struct link *l);

/* Closes the socket without ceremony. */
void link_abort(struct link *l);

__attribute__((format(printf, 2, 3))) int link_fail(
	struct link *l, const char *format, ...);

uint64_t clock_ns(void);

/* SplitMix64's finisher: neighbours in, strangers out. */
uint64_t mix(uint64_t a, uint64_t b);

/*
 * Random bytes, from which messages of up to this size are slices: at any
 * place before POOL_SIZE. NULL without memory.
 */
#define POOL_SIZE ((size_t)1 << 20)
uint8_t *pool_new(size_t size);

#endif
