/*
 * posix_spawn shares the address space until exec, so that a start costs the
 * same however large the daemon is; what it executes is wsrelayd-exec (step.h); a pidfd in the loop tells the end, so
 * that each worker reaps its own children and no SIGCHLD is needed.
 */
#include "net/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "net/cgroup.h"
#include "net/loop.h"
#include "net/step.h"

/* How often is looked whether a group is empty: at first, and at last. */
#define LOOK_FIRST_MS 5
#define LOOK_LAST_MS  100

enum proc_state {
	PROC_RUNS,
	PROC_ENDING, /* SIGTERM is due */
	PROC_TERMED, /* SIGKILL is due */
	PROC_KILLED,
	/* It has ended and was waited for: what it left in its group was */
	PROC_LEFT_TERMED,
	PROC_LEFT_KILLED,
};

struct proc {
	LIST_ENTRY(proc) next;
	struct loop *loop;
	const struct proc_cb *cb;
	void *owner;
	pid_t pid; /* of the process, and of its group */
	int pidfd, err;
	struct event *pid_event, *err_event;
	char *group; /* its control group, or NULL */
	int64_t grace_ms;
	enum proc_state state;
	int64_t kill_at, look_ms; /* for what it left */
	struct timer timer;
	size_t line_n;
	char line[PROC_LINE_MAX];
};

static void proc_free(struct proc *p)
{
	LIST_REMOVE(p, next);
	if (p->pid_event)
		event_free(p->pid_event);
	if (p->err_event)
		event_free(p->err_event);
	if (p->pidfd >= 0)
		close(p->pidfd);
	if (p->err >= 0)
		close(p->err);
	timer_fini(p->loop, &p->timer);
	if (p->group)
		(void)cgroup_remove(p->group);
	free(p->group);
	free(p);
}

/* --- standard error --------------------------------------------------------------*/

static void line_out(struct proc *p)
{
	if (p->line_n > 0)
		p->cb->stderr_line(p->owner, p->line, p->line_n);
	p->line_n = 0;
}

static void err_take(struct proc *p, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			line_out(p);
			continue;
		}
		if (p->line_n == sizeof(p->line))
			line_out(p);
		p->line[p->line_n++] = bytes[i];
	}
}

/* 1: more may come; 0: the end. */
static int err_read(struct proc *p)
{
	char bytes[4096];
	ssize_t n = read(p->err, bytes, sizeof(bytes));

	if (n > 0) {
		err_take(p, bytes, (size_t)n);
		return 1;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -1 : 0;
}

static void err_ready(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;

	(void)fd;
	(void)what;
	if (err_read(p) == 0) {
		line_out(p);
		event_free(p->err_event);
		p->err_event = NULL;
	}
}

/* --- its group -----------------------------------------------------------------------*/

/*
 * Whether there is something in the group besides the process itself, which was
 * waited for. The number cannot have become another group's since the last
 * look: the kernel gives out numbers in a circle, and none that still names a
 * group.
 */
static bool group_lives(const struct proc *p)
{
	/* Without an init above us (in a container) orphans are ours. */
	while (waitpid(-p->pid, NULL, WNOHANG) > 0)
		;
	if (p->group && cgroup_lives(p->group))
		return true;
	return kill(-p->pid, 0) == 0 || errno != ESRCH;
}

static void group_kill(struct proc *p)
{
	if (p->state != PROC_LEFT_KILLED)
		p->cb->killed(p->owner, true);
	p->state = PROC_LEFT_KILLED;
	kill(-p->pid, SIGKILL);
	if (p->group)
		cgroup_kill(p->group);
}

static void proc_gone(struct proc *p)
{
	p->cb->gone(p->owner);
	proc_free(p);
}

/* No event tells when a group is empty. */
static void group_look(struct proc *p)
{
	int64_t now = loop_now(p->loop);

	if (!group_lives(p)) {
		proc_gone(p);
		return;
	}
	if (now >= p->kill_at)
		group_kill(p);
	timer_set(p->loop, &p->timer, now + p->look_ms);
	p->look_ms *= 2;
	if (p->look_ms > LOOK_LAST_MS)
		p->look_ms = LOOK_LAST_MS;
}

/* --- the end ------------------------------------------------------------------------*/

/* It was waited for. */
static void process_over(struct proc *p, int status)
{
	p->state = PROC_LEFT_TERMED;
	event_del(p->pid_event);
	timer_clear(p->loop, &p->timer);
	if (WIFSIGNALED(status))
		p->cb->exited(p->owner, 0, WTERMSIG(status));
	else
		p->cb->exited(p->owner, WEXITSTATUS(status), 0);
}

static void pid_ready(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;
	int status = 0;
	pid_t got;

	(void)fd;
	(void)what;
	/*
	 * To what it started and left behind in its group. First, for until
	 * waitpid has returned the number is no other group's.
	 */
	kill(-p->pid, SIGTERM);
	got = waitpid(p->pid, &status, WNOHANG);
	if (got == 0 || (got < 0 && errno != ECHILD))
		return;
	/* ECHILD: it was waited for elsewhere; it is gone all the same. */
	/* Its last words are in the pipe; a grandchild may hold it open. */
	for (int i = 0; i < 64 && p->err_event && err_read(p) > 0; i++)
		;
	line_out(p);
	p->kill_at = loop_now(p->loop) + p->grace_ms;
	p->look_ms = LOOK_FIRST_MS;
	process_over(p, status);
	group_look(p);
}

static void signal_all(const struct proc *p, int signal)
{
	/* One that has left its group is found by its own number. */
	if (kill(-p->pid, signal) < 0)
		kill(p->pid, signal);
}

static void process_kill(struct proc *p)
{
	if (p->state != PROC_KILLED)
		p->cb->killed(p->owner, false);
	p->state = PROC_KILLED;
	signal_all(p, SIGKILL);
	if (p->group)
		cgroup_kill(p->group);
}

static void proc_timer(struct timer *t)
{
	struct proc *p = CONTAINER_OF(t, struct proc, timer);

	switch (p->state) {
	case PROC_RUNS:
	case PROC_KILLED:
		break;
	case PROC_ENDING:
		p->state = PROC_TERMED;
		signal_all(p, SIGTERM);
		timer_set(p->loop, t, loop_now(p->loop) + p->grace_ms);
		break;
	case PROC_TERMED:
		process_kill(p);
		break;
	case PROC_LEFT_TERMED:
	case PROC_LEFT_KILLED:
		group_look(p);
		break;
	}
}

void proc_end_after(struct proc *p, int64_t ms)
{
	if (p->state != PROC_RUNS)
		return;
	p->state = PROC_ENDING;
	timer_set(p->loop, &p->timer, loop_now(p->loop) + ms);
}

bool proc_ran_out(const struct proc *p)
{
	return p->group && cgroup_ran_out(p->group);
}

pid_t proc_pid(const struct proc *p)
{
	return p->pid;
}

void proc_kill_all(struct loop *l)
{
	struct proc *p, *next;

	for (p = LIST_FIRST(&l->procs); p; p = next) {
		int status = 0;

		next = LIST_NEXT(p, next);
		if (p->state < PROC_LEFT_TERMED) {
			process_kill(p);
			kill(p->pid, SIGKILL); /* it may have left its group */
			while (waitpid(p->pid, &status, 0) < 0 &&
				errno == EINTR)
				;
			process_over(p, status);
		} else if (group_lives(p)) {
			group_kill(p);
		}
		proc_gone(p);
	}
}

/* --- the start ----------------------------------------------------------------------*/

struct pipes {
	int in[2], out[2], err[2];
	int report[2]; /* of the step; at its end the program runs */
};

static void pipes_close(struct pipes *s)
{
	int *fds[] = { s->in, s->out, s->err, s->report };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		for (int j = 0; j < 2; j++)
			if (fds[i][j] >= 0)
				close(fds[i][j]);
}

static int pipes_open(struct pipes *s)
{
	*s = (struct pipes){ { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (pipe2(s->in, O_CLOEXEC) < 0 || pipe2(s->out, O_CLOEXEC) < 0 ||
		pipe2(s->err, O_CLOEXEC) < 0 ||
		pipe2(s->report, O_CLOEXEC) < 0 ||
		/* Ours only: the program expects blocking streams. */
		fcntl(s->in[1], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(s->out[0], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(s->err[0], F_SETFL, O_NONBLOCK) < 0) {
		pipes_close(s);
		return -1;
	}
	return 0;
}

/* What is executed, and its arguments up to the program's. */
struct step {
	char file[32];
	char limits[4][24];
	char *argv[]; /* those of the program are borrowed */
};

static void step_limits(struct step *s, const struct proc_limits *l)
{
	const rlim_t numbers[] = { l->nofile.rlim_cur, l->nofile.rlim_max,
		l->core.rlim_cur, l->core.rlim_max };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		snprintf(s->limits[i], sizeof(s->limits[i]), "%ju",
			(uintmax_t)numbers[i]);
		s->argv[STEP_LIMITS + i] = s->limits[i];
	}
}

static struct step *step_new(const struct proc_params *params)
{
	static char name[] = "wsrelayd-exec", none[] = "", root[] = "/";
	struct step *s;
	size_t n = 0;

	while (params->argv[n])
		n++;
	s = calloc(1, sizeof(*s) + (STEP_PROGRAM + n + 1) * sizeof(char *));
	if (!s)
		return NULL;
	snprintf(s->file, sizeof(s->file), "/proc/self/fd/%d", params->step);
	s->argv[STEP_NAME] = name;
	s->argv[STEP_GROUP] = params->group ? params->group : none;
	s->argv[STEP_DIR] = params->dir ? params->dir : root;
	step_limits(s, params->limits);
	memcpy(s->argv + STEP_PROGRAM, params->argv, n * sizeof(char *));
	return s;
}

/* Returns an error number, as posix_spawn does. */
static int spawn_step(pid_t *pid, const struct proc_params *params,
	const struct pipes *s, const struct step *step)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int error;

	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error) {
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	sigemptyset(&none);
	sigfillset(&all);
	/* The step closes what is open besides. */
	if ((error = posix_spawn_file_actions_adddup2(&actions, s->in[0], 0)) ||
		(error = posix_spawn_file_actions_adddup2(
			 &actions, s->out[1], 1)) ||
		(error = posix_spawn_file_actions_adddup2(
			 &actions, s->err[1], 2)) ||
		(error = posix_spawn_file_actions_adddup2(
			 &actions, s->report[1], STEP_FD)) ||
		(error = posix_spawnattr_setpgroup(&attributes, 0)) ||
		(error = posix_spawnattr_setsigmask(&attributes, &none)) ||
		(error = posix_spawnattr_setsigdefault(&attributes, &all)) ||
		(error = posix_spawnattr_setflags(&attributes,
			 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF)))
		goto out;
	error = posix_spawn(pid, step->file, &actions, &attributes, step->argv,
		params->envp);
out:
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/*
 * Waits until the step is done, which is about as long as posix_spawn itself
 * takes. Returns an error number: there is no process then.
 */
static int await_step(pid_t pid, struct pipes *s, const char **failed)
{
	static const char *const names[] = {
		[STEP_FAILED_GROUP] = "its control group",
		[STEP_FAILED_LIMITS] = "its limits",
		[STEP_FAILED_EXEC] = NULL,
	};
	struct step_report report;
	ssize_t n;

	close(s->report[1]);
	s->report[1] = -1;
	do
		n = read(s->report[0], &report, sizeof(report));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(report))
		return 0;
	(void)waitpid(pid, NULL, 0);
	*failed = names[report.failed];
	return report.error;
}

static int spawn(pid_t *pid, const struct proc_params *params, struct pipes *s,
	const char **failed)
{
	struct step *step;
	int error;

	*failed = "wsrelayd-exec";
	if (params->step < 0)
		return ENOENT;
	step = step_new(params);
	error = step ? spawn_step(pid, params, s, step) : ENOMEM;
	free(step);
	if (error)
		return error;
	*failed = NULL;
	return await_step(*pid, s, failed);
}

static int watch(struct proc *p)
{
	struct event_base *base = p->loop->base;

	p->pid_event = event_new(
		base, p->pidfd, EV_READ | EV_PERSIST, pid_ready, p);
	p->err_event = event_new(
		base, p->err, EV_READ | EV_PERSIST, err_ready, p);
	return p->pid_event && p->err_event &&
			       event_add(p->pid_event, NULL) == 0 &&
			       event_add(p->err_event, NULL) == 0
		       ? 0
		       : -1;
}

static struct proc *proc_new(struct loop *l, const struct proc_params *params)
{
	struct proc *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (timer_init(l, &p->timer, proc_timer) < 0) {
		free(p);
		return NULL;
	}
	p->loop = l;
	p->pidfd = p->err = -1;
	p->cb = params->cb;
	p->owner = params->owner;
	p->grace_ms = params->grace_ms;
	LIST_INSERT_HEAD(&l->procs, p, next);
	return p;
}

struct proc *proc_start(struct loop *l, const struct proc_params *params,
	int *in, int *out, const char **failed)
{
	struct pipes s;
	struct proc *p;
	int error;

	*failed = NULL;
	if (pipes_open(&s) < 0)
		return NULL;
	p = proc_new(l, params);
	error = p ? spawn(&p->pid, params, &s, failed) : ENOMEM;
	if (error) {
		pipes_close(&s);
		if (p)
			proc_free(p);
		errno = error;
		return NULL;
	}
	p->err = s.err[0];
	s.err[0] = -1;
	p->pidfd = pidfd_open(p->pid, 0);
	if (p->pidfd < 0 || watch(p) < 0) {
		error = errno;
		kill(-p->pid, SIGKILL);
		(void)waitpid(p->pid, NULL, 0);
		pipes_close(&s);
		proc_free(p);
		errno = error;
		return NULL;
	}
	p->group = params->group;
	*in = s.in[1];
	*out = s.out[0];
	s.in[1] = s.out[0] = -1;
	pipes_close(&s);
	return p;
}
