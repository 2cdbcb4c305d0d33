/*
 * end.h: one side of a relay: something that speaks messages.
 *
 *   client ws_end <-> pair <-> ws_end | stream_end | echo_end backend
 *
 *   client ws_end <-> member <-> hub <-> trunk: an end like a pair's
 *
 * The owner calls the end's table (end_ops), an end tells its owner through the
 * owner's (end_cb). All on one worker.
 */
#ifndef END_END_H
#define END_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"

struct conf_route;
struct conn;
struct end;
struct ending;

/* A message or a part of one. A borrowed view; its bytes may be changed. */
struct piece {
	uint8_t opcode; /* WS_TEXT or WS_BINARY, of the whole message */
	bool first, last;
	/*
	 * Its bytes live until end_ops.send returns, and no longer: they are
	 * copied. Otherwise they live until the read under way is over, or
	 * conn_flush, and are borrowed.
	 */
	bool brief;
	uint8_t room; /* bytes right before data that may be overwritten */
	/* For end_ops.send: bytes of the message that go in front of data. */
	uint8_t prefix_n;
	const uint8_t *prefix;
	uint8_t *data;
	size_t n;
};

struct end_ops {
	/* REASON_NONE, or why this end can't carry it. */
	enum reason (*send)(struct end *e, const struct piece *p);
	/* Whether its peer is read. */
	void (*flow)(struct end *e, bool on);
	/*
	 * Ends it in order: what is queued leaves first. code and text are for
	 * a WebSocket close frame; code 0: the peer can get none. end_cb.gone
	 * follows, never from within. Called once.
	 */
	void (*close)(struct end *e, uint16_t code, struct str text);
	/*
	 * A reload: it goes on under the route of a newer snapshot, which its
	 * owner keeps alive, and which has the same backend, framing, mode and
	 * addressing. NULL: it knows no route.
	 */
	void (*renew)(struct end *e, const struct conf_route *route);
};

/* What an end tells its owner. The owner may close the end in each of them. */
struct end_cb {
	/* A message, or a part of one, came. */
	void (*input)(struct end *e, const struct piece *p);
	/*
	 * From a client: a ping or pong with n bytes of payload, or a fragment
	 * without any. Rates count it like a message. May be NULL.
	 */
	void (*control)(struct end *e, size_t n);
	/*
	 * A message is longer than it may be, and is passed over: only with
	 * addressing = tagged, where the end goes on after that. Elsewhere such
	 * a message ends it. NULL: this owner has no such ends.
	 */
	void (*too_big)(struct end *e);
	/* Its queue is short again (conn.resume_at). */
	void (*drained)(struct end *e);
	/*
	 * Its peer has ended it, or broke a rule: the owner closes it, now or
	 * later (end_ops.close). It may say so again until then.
	 */
	void (*ended)(struct end *e, const struct ending *why);
	/* n bytes that the peer sent behind the end were dropped. */
	void (*dropped)(struct end *e, uint64_t n);
	/* The last call, once: nothing of it is left, it is freed after this. */
	void (*gone)(struct end *e);
};

/* Embedded in what owns an end, which is found with CONTAINER_OF. */
struct end_owner {
	const struct end_cb *cb;
};

/* Of an end that has no owner yet, or never gets one: hears nothing. */
extern const struct end_owner end_unowned;

/* The longest head of an end, with the longest prefix of a piece behind it. */
#define END_PREFIX_MAX 32
#define END_HEAD_MAX   (16 + END_PREFIX_MAX)
struct end_frame { /* what an end puts around a piece's data */
	const uint8_t *head, *tail;
	size_t head_n, tail_n;
};
/*
 * Sends a piece in its frame. The head, which has the piece's prefix in it, is
 * written into the piece's room when it fits there, so that both are one run
 * of bytes. Copied if the piece is brief, else borrowed (net/conn.h).
 */
void end_send_framed(
	struct conn *c, const struct end_frame *f, const struct piece *p);
/*
 * The room in front of data that c has read: what the decoder knows of, or the
 * loop's headroom when the read begins with it.
 */
uint8_t end_room(const struct conn *c, const uint8_t *data, uint8_t room);

/*
 * Collects the pieces of a message for a receiver that takes it whole; what is
 * kept counts in the budget. Returns the message: the piece itself, or *whole,
 * whose bytes live until end_forget. NULL: more is needed, or *failed says why
 * there will be none: INTERNAL without memory, MEMORY when the budget is full
 * and this message is one of those that make it so (WAITING_SMALL). The decoder
 * has checked the length.
 */
struct buf;
struct budget;
const struct piece *end_assemble(struct buf *kept, struct budget *budget,
	const struct piece *p, struct piece *whole, enum reason *failed);
/* What end_assemble kept is used, or of no use any more. */
void end_forget(struct buf *kept, struct budget *budget);

enum end_side { END_CLIENT, END_BACKEND };

struct end {
	const struct end_ops *ops;
	const struct end_owner *owner; /* never NULL */
	struct conn *conn;             /* NULL: built in */
	uint8_t side;                  /* enum end_side */
	bool whole;                    /* takes whole messages only */
};

/* end_ops.renew; e may be NULL. */
void end_renew(struct end *e, const struct conf_route *route);
/* Closes an end that was opened, and gets no owner. */
void end_discard(struct end *e);

#endif
