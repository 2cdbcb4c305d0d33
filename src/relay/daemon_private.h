/*
 * daemon_private.h: the daemon's own structure, for its files: daemon.c (start
 * and end), daemon_limits.c (descriptors, memory), daemon_listen.c (listening
 * sockets), daemon_reload.c (SIGHUP).
 */
#ifndef RELAY_DAEMON_PRIVATE_H
#define RELAY_DAEMON_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "relay/worker.h"

struct daemon_source;
struct event;
struct listener;

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
	struct conf *conf;
	struct loop *loop; /* the main thread's */
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

/* daemon_limits.c */
/* Again after each change of user, which undoes it. */
void daemon_hide_memory(void);
/* Ours are set; original is what programs get. */
void daemon_set_limits(struct proc_limits *original);
/* Behind the start of the workers: how many connections there may be. */
void daemon_limit_connections(struct daemon *d);

/* daemon_listen.c */
/* Binds every address; complains about all that fail, not only the first. */
MUST_CHECK int daemon_bind(struct daemon *d, const struct conf *conf);
/*
 * Gives the bound sockets to a configuration with the same sections in the same
 * order: -1 when it has not.
 */
MUST_CHECK int daemon_assign_listens(struct daemon *d, const struct conf *conf);
/* Accepts from now on. */
MUST_CHECK int daemon_listen(struct daemon *d);
void daemon_close_listeners(struct daemon *d);

/* daemon_reload.c */
/* Reads again what is read from files: keys, certificates. */
void daemon_reload(struct daemon *d);
/* Once a day, and after each reading: says which certificates expire. */
void daemon_check_certificates(struct daemon *d);

#endif
