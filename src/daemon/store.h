/*
 * store.h: what the daemon knows beyond its end, in state_directory: two files
 * of codec/state.h.
 *
 *   revocations   what is revoked or banned: written at each change
 *   used-tokens   tokens of single use: written at a clean stop, and removed at
 *                 the next start before any is used: so it is not there when
 *                 the daemon ended otherwise, and is never older than the last
 *                 use
 *
 * A file is written beside the old one, synced, and renamed; then the directory
 * is synced. That may take its time, so a thread does it: what changes meanwhile
 * is written behind it, all of that at once. The rest is on the main thread.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"

struct conf;
struct daemon;

struct store_wait {
	TAILQ_ENTRY(store_wait) next;
	/* What held then is on disk; or error, borrowed, says why it is not. */
	void (*done)(struct store_wait *w, const char *error);
	uint64_t serial; /* private */
	bool waits;      /* likewise */
};

/*
 * The directory is there, ours to write in, and of no other daemon that runs: as
 * the user that it stays. d->store has it; NULL: there is none. -1: it
 * complained.
 */
MUST_CHECK int store_open(struct daemon *d);
/* For wsrelayd -t: as store_open, but it is not taken. -1: it complained. */
MUST_CHECK int store_check(const struct conf *conf);
/* The directory, borrowed; NULL: there is none. */
const char *store_path(const struct daemon *d);
/*
 * Reads both files, once the tables are there and before any client is. What is
 * damaged is set aside, with a line in the log. -1 with errno: used-tokens
 * cannot be removed.
 */
MUST_CHECK int store_load(struct daemon *d);

/*
 * What holds now is to be on disk. w: who is told, never from within, once;
 * NULL: only the log is told of a failure. Not without a store.
 */
void store_save(struct daemon *d, struct store_wait *w);
/* It is not told, if it would still be. */
void store_forget(struct daemon *d, struct store_wait *w);

/* A clean stop: all workers have ended, and what they had. */
void store_stop(struct daemon *d);
void store_free(struct daemon *d);

#endif
