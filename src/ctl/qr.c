#include "ctl/invite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define PROGRAM "qrencode"

extern char **environ;

/* Its standard input is the pipe's end; -1: errno. */
static int start(pid_t *pid, int input, const char *file)
{
	/* A terminal is told the colours: it may be dark or light. */
	char *const text[] = { PROGRAM, "-t",
		isatty(STDOUT_FILENO) ? "ANSIUTF8" : "UTF8", "-m", "2", "-l", "L",
		"-o", "-", NULL };
	char *const svg[] = { PROGRAM, "-t", "SVG", "-l", "M", "-o",
		(char *)(uintptr_t)file, NULL };
	posix_spawn_file_actions_t actions;
	int error = posix_spawn_file_actions_init(&actions);

	if (error == 0)
		error = posix_spawn_file_actions_adddup2(
			&actions, input, STDIN_FILENO);
	if (error == 0)
		error = posix_spawnp(pid, PROGRAM, &actions, NULL,
			file ? svg : text, environ);
	posix_spawn_file_actions_destroy(&actions);
	errno = error;
	return error ? -1 : 0;
}

/* Whether it took the link and ended well. */
static bool feed(pid_t pid, int fd, struct str link)
{
	/* It is less than what a pipe holds. */
	bool written = write(fd, link.p, link.n) == (ssize_t)link.n;
	int status;

	close(fd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return written && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The file that qrencode opens is there before it, with its rights. */
static int make_file(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		ctl_complain("--qr: %s: %s", file, strerror(errno));
		return -1;
	}
	close(fd);
	return 0;
}

int invite_qr(struct str link, const char *file)
{
	int ends[2];
	pid_t pid;
	bool done;

	if (file && make_file(file) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		ctl_complain("--qr: %s", strerror(errno));
		return -1;
	}
	signal(SIGPIPE, SIG_IGN);
	fflush(stdout); /* the link comes first */
	done = start(&pid, ends[0], file) == 0;
	close(ends[0]);
	if (!done) {
		ctl_complain("--qr: the program " PROGRAM ": %s (on Debian it "
			     "is in the package " PROGRAM ")",
			strerror(errno));
		close(ends[1]);
	} else if (!feed(pid, ends[1], link)) {
		ctl_complain("--qr: " PROGRAM " failed");
		done = false;
	}
	if (!done && file)
		(void)unlink(file);
	return done ? 0 : -1;
}
