/*
 * pair.h: one client and one backend, and what goes between them.
 *
 *   pair_input(from): rights, limits, counters -> assemble if the other end
 *                     wants whole messages -> to->send
 *                     -> the other queue is long: from->flow(off)
 *   pair_drained(to): from->flow(on)
 *
 * Ending: the side that ends first says why (pair_ended), that reason is kept;
 * both ends are closed in order; when both are gone one line is logged and the
 * pair is freed.
 */
#ifndef RELAY_PAIR_H
#define RELAY_PAIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"
#include "net/loop.h"
#include "relay/client.h"
#include "relay/end.h"
#include "relay/ending.h"

struct worker;

struct pair_flow {                         /* what came from one side */
	uint64_t messages, bytes, dropped; /* dropped: bytes */
	int64_t last_ms;                   /* of its last data */
	struct buf whole; /* a message in the making, for the other end */
};

enum { PAIR_PAUSED_QUEUE = 1, PAIR_PAUSED_RATE = 2 };

struct pair_rate; /* token buckets, only where a route has a rate */

struct pair {
	TAILQ_ENTRY(pair) next; /* in its worker's list */
	struct end_owner owner; /* of both ends */
	struct worker *worker;
	struct client client;
	struct end *end[2]; /* by enum end_side; NULL once gone */
	struct pair_flow flow[2];
	struct pair_rate *rate;
	struct timer timer;
	int64_t opened_ms, ended_ms;
	int64_t expires_ms; /* loop time, INT64_MAX = never */
	char *detail;       /* of its end, for the log */
	uint16_t code;      /* of the close frame that ended it */
	uint8_t reason;     /* enum reason, REASON_NONE = it lives */
	uint8_t side;       /* enum end_side: the one that ended it */
	uint8_t expires_as; /* the reason when expires_ms comes */
	uint8_t paused[2];  /* by side, PAIR_PAUSED_*: why it is not read */
};

/*
 * Takes client (its references too) and both ends, and starts reading them.
 * NULL: no memory; then nothing was taken.
 */
MUST_CHECK struct pair *pair_new(struct worker *w, const struct client *client,
	struct end *client_end, struct end *backend_end);

/* From an end or the worker: it is over. Only the first call counts. */
void pair_ended(struct pair *p, enum end_side side, const struct ending *e);
/*
 * From the worker: ends it now. What is queued is lost, so this is for want
 * of memory and for the end of the time to drain.
 */
void pair_abort(struct pair *p, enum reason reason);
bool pair_is_open(const struct pair *p);

/* All of a worker's. -1 without memory; after that fini is of use, too. */
MUST_CHECK int pairs_init(struct worker *w);
void pairs_fini(struct worker *w);
/* The relay stops; or, now, what is left is cut off. */
void pairs_drain(struct worker *w);
void pairs_stop(struct worker *w);
/* Bytes that wait for the pair that has most, and that pair. */
size_t pairs_largest(struct worker *w, struct pair **largest);

#endif
