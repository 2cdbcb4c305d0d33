/*
 * private.h: the daemon's own structure, for its files: daemon.c (start
 * and end), limits.c (descriptors, memory), listen.c (listening
 * sockets), reload.c (SIGHUP).
 */
#ifndef DAEMON_PRIVATE_H
#define DAEMON_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "worker/mailbox.h"
#include "worker/worker.h"

struct daemon_source;
struct event;
struct listener;
struct sections;

struct control;
struct store;
struct tapping;

struct bound { /* one listening socket */
	TAILQ_ENTRY(bound) next;
	struct daemon *daemon;
	char *text; /* the address as it is written: it is known by that */
	char *path; /* its file; NULL: it has none, or none of ours */
	const struct conf_listen *listen;
	const struct conf_address *address;
	/* What a socket that was handed over is bound to. */
	struct conf_address passed;
	int fd; /* until the listener takes it */
	struct listener *listener;
	/* In the configuration that is coming; NULL: it has it no more. */
	const struct conf_listen *next_listen;
	const struct conf_address *next_address;
};

struct daemon {
	struct shared shared;
	struct sections *sections;
	struct conf *conf;
	struct loop *loop;             /* the main thread's */
	struct mailbox mailbox;        /* its letters; opened with no worker */
	struct control *control;       /* NULL: there is none (yet) */
	struct store *store;           /* NULL: there is no state_directory */
	LIST_HEAD(, tapping) tappings; /* see tapping.h */
	unsigned tappings_n;
	struct worker **workers;
	size_t workers_n;
	/* gone: sockets that were handed over, and are closed. */
	TAILQ_HEAD(, bound) bound, gone;
	const struct daemon_source *source;
	struct event *signals[3];
	struct timer certificates; /* once a day */
	bool had_terminal;
	struct timer stopper, watchdog, status;
	enum { STOP_NOT, STOP_DELAYED, STOP_DRAINS } stop;
	int64_t drain_at, drain_until; /* of the stop */
	int64_t extend_at; /* when the service manager is asked for time again */
	int64_t watchdog_ms;
	size_t status_n; /* connections, as last told */
	/* For daemon_limit_connections: open at the start; wanted, as last told. */
	int64_t own_fds, needed_fds;
};

/* daemon.c */
/* A line of its own, LF included, for what fails before the log runs. */
void daemon_complain(const char *format, ...) PRINTF_LIKE(1, 2);

/* worker.c; the loop as for worker_new. NULL without memory. */
MUST_CHECK struct worker *daemon_worker_new(
	struct shared *s, struct conf *conf, struct loop *main_loop);
/* Its thread has ended. */
void daemon_worker_free(struct worker *w);
/*
 * Its work begins, in a thread of its own or, with the main thread's loop, when
 * that runs. -1 with errno.
 */
MUST_CHECK int daemon_worker_start(struct worker *w);
/* The worker takes the socket; it is closed when there is no memory. */
struct accepted;
void daemon_worker_accepted(struct worker *w, const struct accepted *a);
/*
 * From now on new connections get this configuration, which has the same
 * settings as the one before: only what was read from files may be new.
 */
void daemon_worker_set_conf(struct worker *w, struct conf *conf);
/*
 * Ends every connection: those that wait for their request at once, those of
 * WebSockets step by step (farewell.h).
 */
void daemon_worker_drain(struct worker *w, size_t step);
/* Cuts off whatever still lives. The loop must not be running. */
void daemon_worker_stop(struct worker *w);

/* stop.c */
MUST_CHECK int daemon_stop_init(struct daemon *d);
/* For the second time: at once. sig 0: the operator's command. */
void daemon_stop(struct daemon *d, int sig);

/* limits.c */
/* Again after each change of user, which undoes it. */
void daemon_hide_memory(void);
/* Ours are set; original is what programs get. */
void daemon_set_limits(struct proc_limits *original);
/* Behind the start of the workers: how many connections there may be. */
void daemon_limit_connections(struct daemon *d);

/* listen.c */
/*
 * Binds every address that is not bound yet. -1: complaints about all that fail
 * are in errors, not only the first, and none of them is bound. Nothing of it
 * accepts yet.
 */
MUST_CHECK int daemon_bind(
	struct daemon *d, const struct conf *conf, struct buf *errors);
/* What daemon_bind has bound last is not wanted: nothing of it accepts. */
void daemon_unbind(struct daemon *d);
/*
 * Gives what is bound to a configuration that was bound, which is d->conf from
 * now on; closes what it has no more. What waits in their queues is accepted
 * first.
 */
void daemon_assign_listens(struct daemon *d, struct conf *conf);
/*
 * Binds a Unix socket; its file is the user's, when root binds for it (NULL: it
 * is ours). -1 with errno.
 */
MUST_CHECK int daemon_bind_unix(
	const char *path, mode_t mode, const char *user);
/* All that do not yet accept do so from now on. */
MUST_CHECK int daemon_listen(struct daemon *d);
void daemon_close_listeners(struct daemon *d);
/* What they have accepted is gone, too. */
void daemon_forget_listeners(struct daemon *d);

/* reload.c */
struct diff_change;
struct reload_told {
	/* Each section that differs, borrowed; connections: that live in it. */
	void (*change)(
		void *arg, const struct diff_change *c, int64_t connections);
	/* Each complaint, without its LF. */
	void (*complaint)(void *arg, struct str line);
	void *arg;
};
/*
 * Reads the configuration and all its files anew, and goes on with that: 0. -1:
 * it is bad; settings stay as they were, keys and certificates are read again
 * all the same. With dry_run nothing is changed. told may be NULL.
 */
int daemon_reload(
	struct daemon *d, bool dry_run, const struct reload_told *told);

/* certificates.c */
/* Once a day, and after each reading: says which certificates expire. */
void daemon_check_certificates(struct daemon *d);

#endif
