/*
 * conn.h: one connection: a socket (or the two pipes of a process) with what
 * waits to go out.
 *
 *   readable -> transport recv -> loop scratch -> cb->input
 *                                what that leaves -> rest -> cb->input
 *   conn_send -> cork -> one write at the end of the read -> transport send
 *                        what the socket refuses -> queue -> writable -> send
 *
 * Life: OPEN -> conn_finish -> FINISHING (the queue leaves) -> LINGERING (our
 * side is shut, the peer's bytes are read and dropped, so that a reset does not
 * destroy the last write) -> CLOSED; or conn_close at any time. Whatever
 * happens, cb->closed is called exactly once, at the end of a turn, as the last
 * call; the owner frees itself there. Belongs to its loop's thread.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "net/loop.h"
#include "net/rest.h"

struct conn;

struct conn_cb {
	/*
	 * n > 0 bytes were read. They may be changed in place and are gone when
	 * this returns. Returns how many were used. The rest is kept by the
	 * connection and comes again in front of what is read next: when the
	 * owner has stopped because conn_goes_on was false, in a later turn
	 * and before anything more is read; otherwise with more behind it.
	 */
	MUST_CHECK size_t (*input)(struct conn *c, uint8_t *p, size_t n);
	/*
	 * The queue shrank to resume_at bytes or less. May be NULL. It has a
	 * share of the turn; see conn_drain_again.
	 */
	void (*drained)(struct conn *c);
	/*
	 * The peer ended: error 0 is the end of its stream (writing may still
	 * work), else errno: the connection broke. Called once, while OPEN;
	 * the owner must conn_finish or conn_close, now or soon.
	 */
	void (*ended)(struct conn *c, int error);
	/* The socket is closed. The last call; c is freed when it returns. */
	void (*closed)(struct conn *c);
	/* Called by the transport: its handshake is done. May be NULL. */
	void (*ready)(struct conn *c);
};

/*
 * How bytes go through a socket. What it keeps for a connection is its
 * transport_data.
 */
struct transport {
	/* > 0, 0 at the end, -1 with errno (EAGAIN: nothing there). */
	ssize_t (*recv)(struct conn *c, void *p, size_t n);
	/* Bytes taken, -1 with errno (EAGAIN: no room). */
	ssize_t (*send)(struct conn *c, const struct iovec *v, int parts);
	/* Ends our direction. -1 with errno (EAGAIN: when it has room). */
	int (*shut)(struct conn *c);
	/* Frees what it has for the connection; NULL: nothing. */
	void (*free)(struct conn *c);
	/*
	 * Which events are to be watched, when the connection itself would
	 * watch these (EV_READ, EV_WRITE). NULL: these. EV_WRITE in answer to
	 * 0: bytes that it has taken wait for the socket. CONN_MORE: recv has
	 * more to say, whatever the socket does.
	 */
	short (*wants)(const struct conn *c, short events);
	/*
	 * Its stream has an end of its own above the socket's: conn_close says
	 * it, too (shut), where nothing waits; and a write that fails is that
	 * end, though the socket may be good.
	 */
	bool has_own_end;
	/*
	 * The connection changes its loop: the old one is to know it no more,
	 * false: it must, for now; the new one is in place, -1 without memory.
	 * NULL: there is nothing to do.
	 */
	bool (*leave)(struct conn *c);
	int (*enter)(struct conn *c);
};

#define CONN_MORE 0x100 /* none of libevent's */

extern const struct transport transport_socket;
extern const struct transport transport_pipe; /* a process's two pipes */

enum conn_state { CONN_OPEN, CONN_FINISHING, CONN_LINGERING, CONN_CLOSED };

/* What comes. */
enum conn_in {
	CONN_IN_OPEN,
	CONN_IN_LAST,  /* the peer is gone: it is read, wanted or not */
	CONN_IN_ENDED, /* EOF or error seen; the owner does not know */
	CONN_IN_DUE,   /* it is told at the end of this turn */
	CONN_IN_TOLD,  /* ended has been called */
};

/* What goes. */
enum conn_out {
	CONN_OUT_OPEN,
	CONN_OUT_GATHERED, /* the queue waits for the end of the turn only */
	CONN_OUT_REFUSED,  /* the peer reads no more, which is its right */
	CONN_OUT_BROKEN,   /* see error */
	CONN_OUT_SHUT,     /* by us */
};

struct chunk;

struct conn {
	struct loop *loop;
	const struct transport *transport;
	const struct conn_cb *cb;
	void *owner;
	void *transport_data; /* the transport's own */
	/* The bytes that wait for the peer. */
	STAILQ_HEAD(, chunk) queue;
	size_t queued;
	struct rest *rest; /* read, and not used yet; NULL: nothing */
	int64_t read_ms;   /* when bytes last came */
	int64_t sent_ms;   /* when the peer last made room for queued bytes */
	uint64_t dropped;  /* bytes read and dropped after finish */
	/* Private to conn*.c. */
	int fd, wfd;
	int error;             /* of a failed write */
	int unsent;            /* bytes in the kernel, when last looked at */
	unsigned unsent_limit; /* conn_set_unsent_limit; 0 = none */
	uint8_t state;         /* enum conn_state */
	uint8_t in, out;       /* enum conn_in, conn_out */
	uint8_t watch;         /* EV_READ, EV_WRITE as asked of libevent */
	bool reading;          /* wanted by the owner */
	bool two_fds;    /* the pipes of a process: each is watched by itself */
	bool gathering;  /* see conn_set_gathering */
	bool rest_waits; /* the owner stopped: not read before it is used up */
	bool drain_again; /* see conn_drain_again */
	uint32_t linger_ms;
	uint32_t resume_at; /* drained is called with so much queued or less */
	struct timer timer; /* of FINISHING and LINGERING */
	struct deferred deferred;
};

/*
 * Takes the descriptors: non-blocking; wfd is fd for a socket. Reading is off.
 * NULL: no memory; they are closed then.
 */
MUST_CHECK struct conn *conn_new(
	struct loop *l, int fd, int wfd, const struct conn_cb *cb, void *owner);
/* Hands the connection over: to the next phase of its life. */
void conn_set_owner(struct conn *c, const struct conn_cb *cb, void *owner);

void conn_set_reading(struct conn *c, bool on);
/*
 * In an input callback, before each further message: whether to go on with it.
 * Not when the owner has paused reading meanwhile, and not when this
 * connection's share of the turn is used up.
 */
MUST_CHECK bool conn_goes_on(struct conn *c);
/*
 * Gives back the n bytes, perhaps none, that came behind those that were used:
 * when reading is on they are input again, in a later turn, and an end of the
 * stream that was told already is told again behind them. For an owner that
 * hands the connection over. -1 without memory.
 */
MUST_CHECK int conn_unread(struct conn *c, const void *p, size_t n);
/*
 * Sends bytes. What the socket does not take is queued; when there is no memory
 * for that, the connection breaks with ENOMEM. Ignored after finish, close or a
 * broken write. How long the bytes must live is in the name:
 *
 * borrowed: the payload until the input callback under way has returned, or
 * until conn_flush; outside of an input callback until this function returns.
 * copied: until this function returns: then they have left or been copied.
 *
 * Head and tail are copied in both, at most CONN_HEAD_MAX bytes each.
 */
#define CONN_HEAD_MAX 48
struct conn_frame {
	const void *head, *payload, *tail;
	size_t head_n, payload_n, tail_n;
};
void conn_send_frame_borrowed(struct conn *c, const struct conn_frame *f);
void conn_send_frame_copied(struct conn *c, const struct conn_frame *f);
void conn_send_copied(struct conn *c, const void *p, size_t n);
/*
 * Sends shared messages, as one write, when nothing waits before them. Returns
 * how many were taken; of the last of them the rest may wait in the queue, by
 * reference. The others are still the caller's to keep, drop or send later.
 */
struct message;
size_t conn_send_messages(struct conn *c, struct message *const *v, size_t n);
/* What it costs in the budget, as far as it is its own. */
size_t conn_cost(const struct conn *c);
/*
 * drained is called again in the next turn, unless the socket is full by then:
 * for an owner with more to send than its share of this turn allowed.
 */
void conn_drain_again(struct conn *c);
/* Nothing waits for the peer, so that conn_send_messages takes one at least. */
bool conn_is_clear(const struct conn *c);
/*
 * A pong: at most CONN_URGENT_MAX bytes, copied. It overtakes what waits, but
 * for the frame that is on its way and what one read has queued with that. One
 * that has not begun to leave is replaced (RFC 6455 section 5.5.3).
 */
#define CONN_URGENT_MAX 144
void conn_send_urgent(struct conn *c, const void *p, size_t n);
/* Queues a shared message behind what waits, by reference. */
void conn_queue_message(struct conn *c, struct message *m);
/* The kernel takes no more unsent bytes than that: what waits, waits here. */
void conn_set_unsent_limit(struct conn *c, unsigned bytes);
/* Whether writing is over: what is sent from now on is ignored. */
bool conn_is_shut(const struct conn *c);
/* Whether ended has been called. */
static inline bool conn_has_ended(const struct conn *c)
{
	return c->in == CONN_IN_TOLD;
}
/* Sends what the running read has corked for c. */
void conn_flush(struct conn *c);
/*
 * For a connection that many others write to: what is sent copied leaves
 * in one write at the end of the turn, or when there is much of it, or with
 * conn_send_gathered. Gathered bytes count as queued.
 */
void conn_set_gathering(struct conn *c);
void conn_send_gathered(struct conn *c);
/*
 * No more will be sent: the queue leaves, our side is shut, the peer's bytes
 * are dropped until its end. Without progress for linger_ms it is closed.
 */
void conn_finish(struct conn *c, uint32_t linger_ms);
/*
 * It changes its thread. leave: its loop knows it no more, and its owner hears
 * nothing until enter, on the other thread; what was read and not used goes
 * with it. False: it stays, because bytes are under way or its peer has ended.
 * enter: reading is off. -1 without memory: it is forsaken next, or tried again.
 * forsake: it has left, and never enters: closed and freed, its owner is not
 * told. What it kept is counted in this budget.
 */
struct budget;
MUST_CHECK bool conn_leave(struct conn *c);
MUST_CHECK int conn_enter(struct conn *c, struct loop *l);
void conn_forsake(struct conn *c, struct budget *budget);
/* For transports: reads, though the socket may not have become readable. */
void conn_read(struct conn *c);
/* Closes now, queue or not. */
void conn_close(struct conn *c);
/*
 * Whether the peer seems to be gone although no end came: the kernel has had no
 * answer for that long, though it asked. For connections that are not being
 * read.
 */
bool conn_vanished(const struct conn *c, int64_t ms);
/*
 * How long ago the peer's kernel took the last of what was sent; -1: some of it
 * is under way still (a slow line: the kernel holds megabytes that our queue
 * knows nothing of), INT64_MAX: not known.
 */
int64_t conn_arrived_ago(const struct conn *c);
/* Bytes that leave the kernel are progress in sending, too: see sent_ms. */
void conn_note_progress(struct conn *c);
/* TCP_NODELAY; keepalive; user_timeout_ms 0 = none. Not for pipes. */
void conn_tune(int fd, int keepalive_s, unsigned user_timeout_ms);

#endif
