/*
 * end.h: one side of a relay: something that speaks messages.
 *
 *   client ws_end <-> pair <-> ws_end | stream_end | echo_end backend
 *
 *   client ws_end <-> member <-> hub <-> trunk: an end like a pair's
 *
 * An end tells its owner (relay.h: relay_input, relay_drained, relay_ended,
 * relay_gone), the owner calls the end's table. All on one worker.
 */
#ifndef RELAY_END_H
#define RELAY_END_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"

struct conn;
struct end;
struct hub;
struct member;
struct loop;
struct pair;

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
	 * a WebSocket close frame; code 0: the peer can get none. relay_gone
	 * follows, never from within. Called once.
	 */
	void (*close)(struct end *e, uint16_t code, struct str text);
};

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

enum end_owner {
	END_OF_NOBODY, /* not yet, or never: see backend_discard */
	END_OF_PAIR,
	END_OF_MEMBER,
	END_OF_TRUNK,
};

struct end {
	const struct end_ops *ops;
	union { /* by owner */
		struct pair *pair;
		struct member *member;
		struct hub *hub;
	};
	struct conn *conn; /* NULL: built in */
	uint8_t owner;     /* enum end_owner */
	uint8_t side;      /* enum end_side */
	bool whole;        /* takes whole messages only */
};

#endif
