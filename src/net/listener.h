/*
 * listener.h: a listening socket and what it accepts.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/compiler.h"

struct loop;
struct listener;

struct listener_cb {
	/* Takes fd: connected, non-blocking, close-on-exec. */
	void (*accepted)(void *owner, int fd, const struct addr *peer);
	/*
	 * Accepting pauses, because descriptors or memory are out (errno); it
	 * goes on by itself. Called once per pause.
	 */
	void (*paused)(void *owner, int error);
};

/*
 * Binds and listens. -1 with errno. A Unix socket without a listener is
 * replaced. Its file has this mode from the beginning; not for several threads
 * at once, because umask(2) is the process's.
 */
MUST_CHECK int listener_bind_tcp(const struct addr *a);
MUST_CHECK int listener_bind_unix(const char *path, mode_t mode);

/* Takes the listening fd, whatever happens. NULL: no memory. */
MUST_CHECK struct listener *listener_new(
	struct loop *l, int fd, const struct listener_cb *cb, void *owner);
/* Closes it: what waits in its queue is accepted first. */
void listener_free(struct listener *s);
/* The address it is bound to (with the port, where 0 was asked for). */
void listener_address(int fd, struct addr *a);

#endif
