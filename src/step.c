/*
 * wsrelayd-exec: what a program of an exec backend is started by (net/step.h).
 * It knows nothing but its arguments, and becomes the program.
 */
#include "net/step.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_FAILED = 127 };

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0)
		return -1;
	written = write(fd, text, strlen(text));
	close(fd);
	return written < 0 ? -1 : 0;
}

/* "0" is whoever writes it. */
static int enter_group(const char *group)
{
	char path[4096];

	if (group[0] == '\0')
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/cgroup.procs", group) >=
		sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return write_text(path, "0");
}

/*
 * What cannot be changed stays: the program is none the worse for it. The file
 * has the daemon's value, which was inherited.
 */
static void raise_oom_score(void)
{
	char text[24] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	long score;

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0) {
		score = strtol(text, NULL, 10) + STEP_OOM_HIGHER;
		snprintf(
			text, sizeof(text), "%ld", score < 1000 ? score : 1000);
		(void)write_text("/proc/self/oom_score_adj", text);
	}
	close(fd);
}

static int set_limits(char **numbers)
{
	static const __rlimit_resource_t which[] = { RLIMIT_NOFILE,
		RLIMIT_CORE };

	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		struct rlimit limit = { strtoull(numbers[2 * i], NULL, 10),
			strtoull(numbers[2 * i + 1], NULL, 10) };

		if (setrlimit(which[i], &limit) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct step_report report = { .failed = STEP_FAILED_EXEC };

	/* Not for people: the daemon alone starts it. */
	if (argc <= STEP_PROGRAM || fcntl(STEP_FD, F_SETFD, FD_CLOEXEC) < 0)
		return EXIT_USAGE;
	closefrom(STEP_FD + 1);
	raise_oom_score();
	if (enter_group(argv[STEP_GROUP]) < 0)
		report.failed = STEP_FAILED_GROUP;
	else if (set_limits(argv + STEP_LIMITS) < 0)
		report.failed = STEP_FAILED_LIMITS;
	else if (chdir(argv[STEP_DIR]) == 0)
		execve(argv[STEP_PROGRAM], argv + STEP_PROGRAM, environ);
	report.error = errno;
	(void)!write(STEP_FD, &report, sizeof(report));
	return EXIT_FAILED;
}
