/*
 * caller.h: one connection to a control socket: requests in, answers out, one
 * by one. Of what a turn allows it takes one request, or makes a part of one
 * answer (command.h). On the main thread.
 */
#ifndef DAEMON_CALLER_H
#define DAEMON_CALLER_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/compiler.h"

struct answer;
struct daemon;
struct loop;

struct callers {
	struct daemon *daemon;
	struct loop *loop;
	/* What each of control_commands is done with. */
	void (*const *run)(struct answer *a);
	LIST_HEAD(, caller) list;
	unsigned n;
};

/*
 * Takes fd, and greets. readonly: it may ask for nothing that changes anything.
 * -1: no memory.
 */
MUST_CHECK int caller_new(
	struct callers *all, int fd, const struct ucred *who, bool readonly);
/* The loop does not run any more: all are closed, and gone when it is freed. */
void caller_leave_all(struct callers *all);

#endif
