/*
 * proc.h: a child process with pipes at its standard streams.
 */
#ifndef NET_PROC_H
#define NET_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

struct loop;
struct proc;
struct rlimit;

struct proc_params {
	char *const *argv; /* NULL-terminated; argv[0] is the file */
	char *const *envp; /* NULL-terminated */
	const char *dir;   /* NULL = / */
	const struct rlimit
		*nofile; /* NULL = ours; set right after the start */
	/*
	 * A line (or a part of PROC_LINE_MAX bytes) of its standard error,
	 * without the LF. Borrowed.
	 */
	void (*stderr_line)(void *owner, const char *p, size_t n);
	/* It ended: exit status, or 128 + the signal. Called once. */
	void (*exited)(void *owner, int status);
	void *owner;
};

#define PROC_LINE_MAX 1024

/*
 * Starts it in its own process group, with default signals, all other
 * descriptors closed. in and out are the
 * caller's ends of its standard input and output: non-blocking. NULL: errno.
 */
MUST_CHECK struct proc *proc_start(
	struct loop *l, const struct proc_params *params, int *in, int *out);
/* To its whole process group. */
void proc_signal(struct proc *p, int signal);
/*
 * The owner is not interested any more: no call follows. It gets SIGTERM
 * after ms, SIGKILL after as long again, and is waited for.
 */
void proc_release(struct proc *p, int64_t ms);
/* SIGKILL to all of this loop that still run, waits for them, tells owners. */
void proc_kill_all(struct loop *l);

#endif
