/*
 * session.h: what a pair and a member of a hub have in common: a client, its
 * limits in time and rate, what came from each side, why a side is not read,
 * how it ended, and the one line about that.
 *
 *   session_init -> (its ends are set) -> session_open -> session_check
 *   a message came: session_count -> the owner's work -> session_use_rates
 *   session_end (once) -> session_close_ends -> both ends are gone
 *     -> session_fini
 *
 * When a limit in time is reached the session tells its owner as its end would:
 * end_cb.ended. All on one worker.
 */
#ifndef PAIR_SESSION_H
#define PAIR_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/reason.h"
#include "base/walk.h"
#include "net/loop.h"
#include "gate/client.h"
#include "end/end.h"

struct conf;
struct ending;
struct route_counters;
struct session_rates;
struct waiting;
struct worker;

struct session_side {
	struct end *end;          /* NULL: it has none, or none any more */
	uint64_t messages, bytes; /* from it; of a hub: that the member got */
	uint64_t partial;         /* bytes of its message in the making */
	uint64_t dropped;         /* bytes from it that went nowhere */
	int64_t last_ms;          /* of its last data */
	struct buf whole; /* its message in the making: session_assemble */
};

struct session {
	TAILQ_ENTRY(session) next; /* in its worker's, from session_open on */
	struct worker *worker;
	struct client client;
	struct route_counters *counters; /* its worker's, of its route */
	struct session_side sides[2];    /* by enum end_side */
	struct session_rates *rates;     /* NULL: its route has none */
	struct timer timer;              /* of the next limit in time */
	int64_t opened_ms, ended_ms;     /* by the loop's clock */
	int64_t expires_ms;              /* likewise; INT64_MAX = never */
	uint64_t lost; /* messages that its client did not get */
	/* Of a member: what waits for it outside of its connection. */
	const struct waiting *backlog; /* NULL: nothing ever does */
	const char *hub;               /* the path of its hub; NULL: a pair */
	char *detail;                  /* of its end, for the log */
	uint16_t code;                 /* of the close frame that ended it */
	uint8_t reason;                /* enum reason, REASON_NONE = it lives */
	uint8_t ended_by;              /* enum end_side */
	uint8_t expires_as;            /* the reason when expires_ms comes */
	uint8_t paused[2];             /* by enum end_side: SESSION_* */
};

/*
 * Copies the client: from session_open on what it holds is the session's. -1:
 * no memory; then nothing was taken. session_undo is for an owner that cannot
 * be made after that: the client stays the caller's.
 */
MUST_CHECK int session_init(
	struct session *s, struct worker *w, const struct client *client);
void session_undo(struct session *s);
/* All of a worker: in the order in which they were opened. */
struct sessions_here {
	TAILQ_HEAD(, session) list;
	struct walks walks; /* over it */
};

/* -1 without memory; after that fini is of use, too. */
MUST_CHECK int sessions_init(struct worker *w);
void sessions_fini(struct worker *w);
/*
 * The next of a walk over all of them, which begins with the first call; NULL:
 * there is none.
 */
struct session *sessions_next(struct worker *w, struct walk *walk);

/* It is counted as open, its time runs, and its ends are read. */
void session_open(struct session *s);
/*
 * Tells the owner when a limit in time is reached: its route's max_session or
 * its token's expire_at, idle_timeout, and where the backend has an end
 * backend_idle_timeout. Otherwise it looks again when the next one comes.
 */
void session_check(struct session *s);
bool session_is_open(const struct session *s);
/* Bytes that wait for a side, here and in its connection. */
size_t session_queued(const struct session *s, enum end_side side);
/*
 * A reload: it goes on under a newer snapshot, whose limits hold at once. When
 * its route is gone it ends within the drain_timeout of that snapshot; where
 * the route's backend is another now a pair stays under the one it has.
 */
void session_renew(struct session *s, struct conf *conf);

/*
 * The operator drains its route, or no longer (route_state.closing): it ends
 * within drain_timeout, or has the time that it had.
 */
void session_heed_drain(struct session *s);

/*
 * So many bytes of a message came from a side, which is not idle then; complete:
 * with them the message is.
 */
void session_count(
	struct session *s, enum end_side side, bool complete, uint64_t bytes);
/* So many bytes that came from a side go nowhere. */
void session_drop_bytes(struct session *s, enum end_side side, uint64_t n);

/*
 * What came from the client, control frames too, counts against message_rate
 * and byte_rate. After it was passed on: the client is read again when it may.
 */
void session_use_rates(struct session *s, int64_t messages, size_t bytes);
/*
 * A side is not read for a reason, or no longer for that one; it is read when
 * it is open and no reason is left.
 */
enum { SESSION_PAUSED_QUEUE = 1, SESSION_PAUSED_RATE = 2 };
void session_pause(struct session *s, enum end_side side, uint8_t why);
void session_resume(struct session *s, enum end_side side, uint8_t why);
/*
 * A message of a side for a receiver that takes it whole: as end_assemble, but
 * when max_memory is in its way replays give way first. session_forget: it is
 * used.
 */
const struct piece *session_assemble(struct session *s, enum end_side side,
	const struct piece *p, struct piece *whole, enum reason *failed);
void session_forget(struct session *s, enum end_side side);

/*
 * It is over; side is the one that ended it. Only the first call counts: false
 * for any other. What was in the making is dropped. The owner closes its ends.
 */
MUST_CHECK bool session_end(
	struct session *s, enum end_side side, const struct ending *why);
/* Closes the ends that it has, each with the code that it is to be told. */
void session_close_ends(struct session *s, const struct ending *why);
/*
 * Its ends are gone: gives back what admission gave the client, writes the line
 * "close", counts it, and frees all that the session has. lost: what of the
 * backend's was dropped; extra: one more field, or F_NONE.
 */
void session_fini(
	struct session *s, struct log_field lost, struct log_field extra);

#endif
