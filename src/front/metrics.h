/*
 * metrics.h: what the relay has counted, in the text format of Prometheus,
 * version 0.0.4. metrics.def is the table of all metrics.
 *
 *   metrics_begin -> metrics_write: a part -> ... -> metrics_free
 *
 * A scrape is written by one worker, which reads what the others count while
 * they go on. It holds no lock, and little memory: what was written is sent
 * before more is. Samples of one metric are of one moment, or nearly.
 */
#ifndef FRONT_METRICS_H
#define FRONT_METRICS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"

struct metrics;
struct shared;
struct worker;

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* On the worker's thread, as metrics_write. NULL: no memory. */
MUST_CHECK struct metrics *metrics_begin(struct worker *w);
/*
 * Appends some more: as much as the share of the turn under way allows, and not
 * much more than 16 KiB. 1: there is more, 0: that was all, -1: no memory.
 */
MUST_CHECK int metrics_write(struct metrics *m, struct buf *out);
/* Any thread, when no other writes it. NULL is fine. */
void metrics_free(struct metrics *m);

/* The main thread: a reload has ended; good: all that was read was. */
void metrics_note_reload(struct shared *s, bool good);

#endif
