#include "attach/program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "net/loop.h"

/* --- signals --------------------------------------------------------------*/

/*
 * All that can be handed on. What a fault of our own brings must end us; SIGTTIN
 * and SIGTTOU stop us as they stop the program.
 */
static void fill_signals(sigset_t *set)
{
	static const int ours[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
		SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPIPE, SIGTTIN, SIGTTOU };

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		sigdelset(set, ours[i]);
}

/*
 * What a terminal sends goes to all of its foreground group: the program has
 * got it already.
 */
static bool is_for_both(const struct signalfd_siginfo *s)
{
	return s->ssi_code == SI_KERNEL;
}

static void reap(struct program *p)
{
	int status = 0;

	if (p->pid == 0 || waitpid(p->pid, &status, WNOHANG) != p->pid)
		return;
	p->pid = 0;
	p->cb->exited(p->owner, WIFSIGNALED(status) ? 128 + WTERMSIG(status)
						    : WEXITSTATUS(status));
}

static void take_signal(struct program *p, const struct signalfd_siginfo *s)
{
	int number = (int)s->ssi_signo;

	if (number == SIGCHLD) {
		reap(p);
		return;
	}
	/* What it sends to its group, and so to us, is not meant for itself. */
	if (p->pid != 0 && !is_for_both(s) && (pid_t)s->ssi_pid != p->pid)
		(void)kill(p->pid, number);
	if (number == SIGTSTP)
		(void)raise(SIGSTOP);
	if (p->pid == 0 && (number == SIGTERM || number == SIGINT ||
				   number == SIGHUP || number == SIGQUIT))
		p->cb->stop(p->owner);
}

static void ready(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;
	struct signalfd_siginfo s;

	(void)what;
	/* A few kinds, each of them once: the kernel keeps no more. */
	if (read((int)fd, &s, sizeof(s)) == (ssize_t)sizeof(s))
		take_signal(p, &s);
}

int program_init(struct program *p, const struct program_cb *cb, void *owner)
{
	struct sigaction pipe;
	sigset_t set;

	*p = (struct program){ .cb = cb, .owner = owner, .signals = -1 };
	fill_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, &p->mask) < 0)
		return -1;
	(void)sigaction(SIGPIPE, NULL, &pipe);
	p->ignored_pipe = pipe.sa_handler == SIG_IGN;
	signal(SIGPIPE, SIG_IGN);
	/* Ignored is inherited, and then no child could be waited for. */
	signal(SIGCHLD, SIG_DFL);
	p->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return p->signals < 0 ? -1 : 0;
}

int program_watch(struct program *p, struct loop *l)
{
	p->event = event_new(
		l->base, p->signals, EV_READ | EV_PERSIST, ready, p);
	return p->event ? event_add(p->event, NULL) : -1;
}

void program_fini(struct program *p)
{
	if (p->event)
		event_free(p->event);
	if (p->signals >= 0)
		close(p->signals);
}

/* --- the start ------------------------------------------------------------*/

/* Returns an error number, as posix_spawn does. */
static int spawn(struct program *p, char *const *argv, int in, int out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t pipe;
	int error;

	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error) {
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	sigemptyset(&pipe);
	if (!p->ignored_pipe)
		sigaddset(&pipe, SIGPIPE);
	if ((error = posix_spawn_file_actions_adddup2(&actions, in, 0)) == 0 &&
		(error = posix_spawn_file_actions_adddup2(&actions, out, 1)) ==
			0 &&
		(error = posix_spawnattr_setsigmask(&attributes, &p->mask)) ==
			0 &&
		(error = posix_spawnattr_setsigdefault(&attributes, &pipe)) ==
			0 &&
		(error = posix_spawnattr_setflags(&attributes,
			 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0)
		error = posix_spawnp(
			&p->pid, argv[0], &actions, &attributes, argv, environ);
	if (error)
		p->pid = 0;
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static void close_both(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

int program_start(struct program *p, char *const *argv, int *out, int *in)
{
	int input[2], output[2], error;

	if (pipe2(input, O_CLOEXEC) < 0)
		return 126;
	if (pipe2(output, O_CLOEXEC) < 0) {
		close_both(input);
		return 126;
	}
	/* Ours only: the program expects blocking streams. */
	error = fcntl(input[1], F_SETFL, O_NONBLOCK) < 0 ||
				fcntl(output[0], F_SETFL, O_NONBLOCK) < 0
			? errno
			: spawn(p, argv, input[0], output[1]);
	close(input[0]);
	close(output[1]);
	if (error) {
		close(input[1]);
		close(output[0]);
		errno = error;
		return error == ENOENT ? 127 : 126;
	}
	*in = input[1];
	*out = output[0];
	return 0;
}
