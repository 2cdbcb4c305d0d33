/*
 * proc.h: a child process with pipes at its standard streams, and its process
 * group.
 *
 *   proc_start: posix_spawn -> wsrelayd-exec (step.h) -> the program
 *   -> runs -> exited -> what is left in its group: SIGTERM, after
 *                                   grace_ms SIGKILL -> gone
 */
#ifndef NET_PROC_H
#define NET_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/compiler.h"

struct loop;
struct proc;

/* Called in the loop's turns, never from within proc_start. */
struct proc_cb {
	/*
	 * A line (or a part of PROC_LINE_MAX bytes) of its standard error,
	 * without the LF. Borrowed.
	 */
	void (*stderr_line)(void *owner, const char *p, size_t n);
	/*
	 * SIGKILL is sent: to the process and its group, or, leftover, to what
	 * it has left in its group. Once each.
	 */
	void (*killed)(void *owner, bool leftover);
	/*
	 * It ended: by a signal, or signal is 0 and this is its exit status.
	 * Called once.
	 */
	void (*exited)(void *owner, int status, int signal);
	/* Nothing is left of its group: the last call, behind exited. */
	void (*gone)(void *owner);
};

/* Those that a program gets: ours may be others. */
struct proc_limits {
	struct rlimit nofile, core;
};

struct proc_params {
	char *const *argv; /* NULL-terminated; argv[0] is the file */
	char *const *envp; /* NULL-terminated */
	char *dir;         /* NULL = / */
	int step;          /* of step_open */
	const struct proc_limits *limits;
	/*
	 * Of cgroup_add, or NULL: it begins in there, and all that lives in
	 * there counts as its process group. It is removed and freed with it;
	 * when the start fails it is the caller's still.
	 */
	char *group;
	int64_t grace_ms; /* from a SIGTERM to the SIGKILL behind it */
	const struct proc_cb *cb;
	void *owner;
};

#define PROC_LINE_MAX 1024

/*
 * Starts it in its own process group, with default signals, all other
 * descriptors closed. in and out are the caller's ends of its standard input
 * and output: non-blocking. NULL: errno, and *failed, if it is not NULL, names
 * what the relay could not do; else the program is what could not be started. It
 * frees itself with the call of gone.
 */
MUST_CHECK struct proc *proc_start(struct loop *l,
	const struct proc_params *params, int *in, int *out,
	const char **failed);
/* Whether the memory limit of its control group has ended it; in exited. */
bool proc_ran_out(const struct proc *p);
/* Before exited. Its number, for logs. */
pid_t proc_pid(const struct proc *p);
/*
 * Before exited: it gets SIGTERM after ms, with its whole group. A second call
 * changes nothing.
 */
void proc_end_after(struct proc *p, int64_t ms);
/*
 * SIGKILL to all of this loop and to what they left; waits for them (not for
 * what they left), tells owners. No turn of the loop is needed.
 */
void proc_kill_all(struct loop *l);

#endif
