/*
 * program.h: the program that --attach starts, and our signals, which are handed
 * on to it.
 *
 * It is started as a shell would: in our process group, with our environment,
 * standard error and signals as we found them. net/proc.h is for programs of
 * clients, which are ended with them and held in groups; this one is the run, is
 * never ended by us, and may be on a kernel that has no pidfd_open(2).
 */
#ifndef ATTACH_PROGRAM_H
#define ATTACH_PROGRAM_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"

struct event;
struct loop;

/* Called in the loop's turns. */
struct program_cb {
	/* Its exit status, or 128 + the signal that ended it. Once. */
	void (*exited)(void *owner, int status);
	/* SIGTERM, SIGINT, SIGHUP or SIGQUIT came, and there is no program. */
	void (*stop)(void *owner);
};

struct program {
	/* Private to program.c. */
	const struct program_cb *cb;
	void *owner;
	struct event *event;
	int signals;       /* signalfd(2) */
	pid_t pid;         /* 0: there is none, or it has ended */
	sigset_t mask;     /* as it was */
	bool ignored_pipe; /* SIGPIPE was ignored when we came */
};

/*
 * From now on signals are ours to hand on. -1 with errno; program_fini is called
 * all the same.
 */
MUST_CHECK int program_init(
	struct program *p, const struct program_cb *cb, void *owner);
/*
 * *out and *in are the caller's ends of its standard output and input,
 * non-blocking. 0, or 126 or 127 as a shell has it, with errno: it was not
 * started.
 */
MUST_CHECK int program_start(
	struct program *p, char *const *argv, int *out, int *in);
/* Its end and signals are seen from now on. -1 without memory. */
MUST_CHECK int program_watch(struct program *p, struct loop *l);
void program_fini(struct program *p);

#endif
