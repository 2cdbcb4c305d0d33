/*
 * posix_spawn shares the address space until exec, so that a start costs the
 * same however large the daemon is; a pidfd in the loop tells the end, so
 * that each worker reaps its own children and no SIGCHLD is needed.
 */
#include "net/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "net/loop.h"

struct proc {
	LIST_ENTRY(proc) next;
	struct loop *loop;
	pid_t pid;
	int pidfd, err;
	struct event *pid_event, *err_event;
	void (*stderr_line)(void *owner, const char *p, size_t n);
	void (*exited)(void *owner, int status);
	void *owner; /* NULL = released */
	int64_t kill_ms;
	bool termed;
	struct timer timer;
	struct deferred deferred;
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
	free(p);
}

/* --- standard error --------------------------------------------------------------*/

static void line_out(struct proc *p)
{
	if (p->line_n > 0 && p->owner)
		p->stderr_line(p->owner, p->line, p->line_n);
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

/* --- the end ------------------------------------------------------------------------*/

static void proc_gone(struct deferred *d)
{
	proc_free(CONTAINER_OF(d, struct proc, deferred));
}

/* It was waited for: its owner is told, or nobody wants to know. */
static void process_over(struct proc *p, int status)
{
	p->pid = -1;
	timer_clear(p->loop, &p->timer);
	if (p->owner)
		p->exited(p->owner, status);
	else
		loop_defer(p->loop, &p->deferred, proc_gone);
}

static void pid_ready(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;
	int status = 0;
	pid_t got;

	(void)fd;
	(void)what;
	/*
	 * What it started and left behind in its group goes with it. First,
	 * for until waitpid has returned the number is nobody else's.
	 */
	kill(-p->pid, SIGTERM);
	got = waitpid(p->pid, &status, WNOHANG);
	if (got == 0 || (got < 0 && errno != ECHILD))
		return;
	/* ECHILD: someone else has waited for it; it is gone all the same. */
	event_del(p->pid_event);
	/* Its last words are in the pipe; a grandchild may hold it open. */
	for (int i = 0; i < 64 && p->err_event && err_read(p) > 0; i++)
		;
	line_out(p);
	process_over(p, WIFEXITED(status) ? WEXITSTATUS(status)
					  : 128 + WTERMSIG(status));
}

static void kill_due(struct timer *t)
{
	struct proc *p = CONTAINER_OF(t, struct proc, timer);

	proc_signal(p, p->termed ? SIGKILL : SIGTERM);
	if (!p->termed) {
		p->termed = true;
		timer_set(p->loop, &p->timer, loop_now(p->loop) + p->kill_ms);
	}
}

void proc_release(struct proc *p, int64_t ms)
{
	p->owner = NULL;
	if (p->pid < 0) {
		loop_defer(p->loop, &p->deferred, proc_gone);
		return;
	}
	p->kill_ms = ms;
	timer_set(p->loop, &p->timer, loop_now(p->loop) + ms);
}

void proc_signal(struct proc *p, int signal)
{
	/* One that has left its group is found by its own number. */
	if (p->pid > 0 && kill(-p->pid, signal) < 0)
		kill(p->pid, signal);
}

void proc_kill_all(struct loop *l)
{
	struct proc *p;

	/* Nobody leaves the list before the deferred work is done. */
	LIST_FOREACH (p, &l->procs, next) {
		if (p->pid < 0)
			continue; /* gone, and its owner knows */
		kill(-p->pid, SIGKILL);
		kill(p->pid, SIGKILL); /* it may have left its group */
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
		event_del(p->pid_event);
		process_over(p, 128 + SIGKILL);
	}
}

/* --- the start ----------------------------------------------------------------------*/

struct pipes {
	int in[2], out[2], err[2];
};

static void pipes_close(struct pipes *s)
{
	int *fds[] = { s->in, s->out, s->err };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		for (int j = 0; j < 2; j++)
			if (fds[i][j] >= 0)
				close(fds[i][j]);
}

static int pipes_open(struct pipes *s)
{
	*s = (struct pipes){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (pipe2(s->in, O_CLOEXEC) < 0 || pipe2(s->out, O_CLOEXEC) < 0 ||
		pipe2(s->err, O_CLOEXEC) < 0 ||
		/* Ours only: the program expects blocking streams. */
		fcntl(s->in[1], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(s->out[0], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(s->err[0], F_SETFL, O_NONBLOCK) < 0) {
		pipes_close(s);
		return -1;
	}
	return 0;
}

/* Returns an error number, as posix_spawn does. */
static int spawn(
	pid_t *pid, const struct proc_params *params, const struct pipes *s)
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
	if ((error = posix_spawn_file_actions_adddup2(&actions, s->in[0], 0)) ||
		(error = posix_spawn_file_actions_adddup2(
			 &actions, s->out[1], 1)) ||
		(error = posix_spawn_file_actions_adddup2(
			 &actions, s->err[1], 2)) ||
		(error = posix_spawn_file_actions_addclosefrom_np(
			 &actions, 3)) ||
		(error = posix_spawn_file_actions_addchdir_np(
			 &actions, params->dir ? params->dir : "/")) ||
		(error = posix_spawnattr_setpgroup(&attributes, 0)) ||
		(error = posix_spawnattr_setsigmask(&attributes, &none)) ||
		(error = posix_spawnattr_setsigdefault(&attributes, &all)) ||
		(error = posix_spawnattr_setflags(&attributes,
			 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF)))
		goto out;
	error = posix_spawn(pid, params->argv[0], &actions, &attributes,
		params->argv, params->envp);
out:
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
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
	if (timer_init(l, &p->timer, kill_due) < 0) {
		free(p);
		return NULL;
	}
	p->loop = l;
	p->pid = -1;
	p->pidfd = p->err = -1;
	p->stderr_line = params->stderr_line;
	p->exited = params->exited;
	p->owner = params->owner;
	LIST_INSERT_HEAD(&l->procs, p, next);
	return p;
}

struct proc *proc_start(
	struct loop *l, const struct proc_params *params, int *in, int *out)
{
	struct pipes s;
	struct proc *p;
	int error;

	if (pipes_open(&s) < 0)
		return NULL;
	p = proc_new(l, params);
	error = p ? spawn(&p->pid, params, &s) : ENOMEM;
	if (error) {
		pipes_close(&s);
		if (p) {
			p->pid = -1;
			proc_free(p);
		}
		errno = error;
		return NULL;
	}
	if (params->nofile)
		(void)prlimit(p->pid, RLIMIT_NOFILE, params->nofile, NULL);
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
	*in = s.in[1];
	*out = s.out[0];
	s.in[1] = s.out[0] = -1;
	pipes_close(&s);
	return p;
}
