/*
 * service.h: the service manager: notifications, the watchdog, sockets that
 * it opened for us (sd_notify(3), sd_listen_fds(3)).
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* "READY=1", "STOPPING=1", "STATUS=..."; nothing without a manager. */
void service_notify(const char *state);
/* "RELOADING=1" with the time that the manager wants beside it. */
void service_notify_reloading(void);
/* How often to say "WATCHDOG=1", in ms: half of what is asked; 0 = never. */
int64_t service_watchdog_ms(void);
/* Whether standard error goes to the journal. */
bool service_stderr_is_journal(void);

struct service_fd {
	int fd;
	char *name; /* FileDescriptorName= */
};

struct service_fds {
	struct service_fd *v;
	int n;
};

/* The sockets that were handed over; -1: they are not usable. */
MUST_CHECK int service_listen_fds(struct service_fds *s);
void service_fds_free(struct service_fds *s);
/* Takes the next unused one of that name; -1: none. */
int service_take_fd(struct service_fds *s, const char *name);

#endif
