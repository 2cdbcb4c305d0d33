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

struct bound { /* one listening socket */
	struct daemon *daemon;
	const struct conf_listen *listen;
	const struct conf_address *address;
	/* What a socket that was handed over is bound to. */
	struct conf_address passed;
	int fd; /* until the listener takes it */
	struct listener *listener;
};

struct daemon {
	struct shared shared;
	struct sections *sections;
	struct conf *conf;
	struct loop *loop;       /* the main thread's */
	struct mailbox mailbox;  /* its letters; opened with no worker */
	struct control *control; /* NULL: there is none (yet) */
	struct worker **workers;
	size_t workers_n;
	struct bound *bound;
	size_t bound_n;
	const struct daemon_source *source;
	struct event *signals[3];
	struct timer certificates; /* once a day */
	bool had_terminal;
	struct timer drain, watchdog, status;
	int64_t drain_until;
	int64_t watchdog_ms;
	size_t status_n; /* connections, as last told */
	bool stopping;
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
/* Ends every connection; those that wait for their request at once. */
void daemon_worker_drain(struct worker *w);
/* Cuts off whatever still lives. The loop must not be running. */
void daemon_worker_stop(struct worker *w);

/* limits.c */
/* Again after each change of user, which undoes it. */
void daemon_hide_memory(void);
/* Ours are set; original is what programs get. */
void daemon_set_limits(struct proc_limits *original);
/* Behind the start of the workers: how many connections there may be. */
void daemon_limit_connections(struct daemon *d);

/* listen.c */
/* Binds every address; complains about all that fail, not only the first. */
MUST_CHECK int daemon_bind(struct daemon *d, const struct conf *conf);
/*
 * Gives the bound sockets to a configuration with the same sections in the same
 * order: -1 when it has not.
 */
MUST_CHECK int daemon_assign_listens(struct daemon *d, const struct conf *conf);
/*
 * Binds a Unix socket; its file is the user's, when root binds for it (NULL: it
 * is ours). -1 with errno.
 */
MUST_CHECK int daemon_bind_unix(
	const char *path, mode_t mode, const char *user);
/* Accepts from now on. */
MUST_CHECK int daemon_listen(struct daemon *d);
void daemon_close_listeners(struct daemon *d);

/* reload.c */
/* Reads again what is read from files: keys, certificates. */
void daemon_reload(struct daemon *d);
/* Once a day, and after each reading: says which certificates expire. */
void daemon_check_certificates(struct daemon *d);

#endif
