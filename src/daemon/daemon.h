/*
 * daemon.h: the whole relay in one process: start, run, drain, stop.
 *
 *   bind (as the starting user) -> drop privileges -> configuration as the
 *   service user -> workers -> ready -> signals -> drain -> stop
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdio.h>

#include "base/compiler.h"

struct conf;
struct buf;

/*
 * Gives a configuration; called once as the user who started the daemon, to
 * learn what to bind and whom to become, and once as the service user, so that
 * what a reload could not read fails at the start. NULL: *errors says why.
 */
struct daemon_source {
	struct conf *(*load)(void *data, struct buf *errors);
	void *data;
	/* Called when all listeners accept; may be NULL. */
	void (*ready)(void *data);
};

/*
 * Runs until it is told to stop. Returns an exit status: EX_CONFIG of
 * sysexits.h when the configuration has a fault, 1 when something else has.
 */
int daemon_run(const struct daemon_source *source);
/*
 * What -t and -T do: loads like a start would, without binding. Complaints
 * and warnings go to stderr; with dump the configuration goes to it. Returns
 * an exit status, as daemon_run.
 */
int daemon_check(const struct daemon_source *source, FILE *dump);

#endif
