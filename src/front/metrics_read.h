/*
 * metrics_read.h: metrics that are not counted by each worker: read where they
 * are, by metrics.c, which writes them.
 */
#ifndef FRONT_METRICS_READ_H
#define FRONT_METRICS_READ_H

#include <dirent.h>
#include <stddef.h>

#include "base/compiler.h"

struct buf;
struct conf;
struct worker;

/* One value each; below 0: this system does not tell. */
double metrics_read_ready(const struct worker *w);
double metrics_read_connections(const struct worker *w);
double metrics_read_connections_limit(const struct worker *w);
double metrics_read_queued(const struct worker *w);
double metrics_read_queued_limit(const struct worker *w);
double metrics_read_log_dropped(const struct worker *w);
double metrics_read_reload_good(const struct worker *w);
double metrics_read_reload_time(const struct worker *w);
double metrics_read_cpu(const struct worker *w);
double metrics_read_resident(const struct worker *w);
double metrics_read_virtual(const struct worker *w);
double metrics_read_max_fds(const struct worker *w);
double metrics_read_start_time(const struct worker *w);

/* What writes the lines of a metric, in several steps if it must. */
struct metrics_list {
	const char *name; /* of the metric */
	const struct worker *worker;
	const struct conf *conf;
	DIR *fds; /* while descriptors are counted */
	size_t fds_n;
};
void metrics_list_fini(struct metrics_list *l);

/* 1: there is more to do, 0: that was all, -1: no memory. */
MUST_CHECK int metrics_list_build(struct metrics_list *l, struct buf *out);
MUST_CHECK int metrics_list_reloads(struct metrics_list *l, struct buf *out);
MUST_CHECK int metrics_list_certificates(
	struct metrics_list *l, struct buf *out);
MUST_CHECK int metrics_list_crls(struct metrics_list *l, struct buf *out);
MUST_CHECK int metrics_list_paused_routes(
	struct metrics_list *l, struct buf *out);
MUST_CHECK int metrics_list_worker_connections(
	struct metrics_list *l, struct buf *out);
MUST_CHECK int metrics_list_open_fds(struct metrics_list *l, struct buf *out);

#endif
