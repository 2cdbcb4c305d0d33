/*
 * pair.h: one client and one backend, and what goes between them.
 *
 *   pair_input(from): rights, limits, counters -> assemble if the other end
 *                     wants whole messages -> to->send
 *                     -> the other queue is long: session_pause(from)
 *   pair_drained(to): session_resume(from)
 *
 * Ending: the side that ends first says why (end_cb.ended), that is kept;
 * both ends are closed in order; when both are gone one line is logged and the
 * pair is freed.
 */
#ifndef PAIR_PAIR_H
#define PAIR_PAIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "end/end.h"
#include "end/ending.h"
#include "pair/session.h"

struct worker;

struct pair {
	TAILQ_ENTRY(pair) next; /* in its worker's list */
	struct end_owner owner; /* of both ends */
	struct session session; /* its sides' ends are NULL once gone */
};

/*
 * Takes client (its references too) and both ends, and starts reading them.
 * NULL: no memory; then nothing was taken.
 */
MUST_CHECK struct pair *pair_new(struct worker *w, const struct client *client,
	struct end *client_end, struct end *backend_end);

/*
 * From the worker: ends it now. What is queued is lost, so this is for want
 * of memory and for the end of the time to drain.
 */
void pair_abort(struct pair *p, enum reason reason);

/* All of a worker's. -1 without memory; after that fini is of use, too. */
MUST_CHECK int pairs_init(struct worker *w);
void pairs_fini(struct worker *w);
/* A reload: the worker has a newer snapshot. */
void pairs_renew(struct worker *w);
/* What is left is cut off. */
void pairs_stop(struct worker *w);
/* Bytes that wait for the pair that has most, and that pair. */
size_t pairs_largest(struct worker *w, struct pair **largest);

#endif
