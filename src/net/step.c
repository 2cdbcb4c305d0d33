#include "net/step.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "wsrelayd-exec"

/* Above those that become a program's streams. */
static int open_above(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	int above, error;

	if (fd < 0)
		return -1;
	above = fcntl(fd, F_DUPFD_CLOEXEC, STEP_FD + 1);
	error = errno;
	close(fd);
	errno = error;
	return above;
}

int step_open(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int fd = -1;

	if (n > 0) {
		path[n] = '\0';
		*(strrchr(path, '/') + 1) = '\0';
		if (strlen(path) + sizeof(FILE_NAME) <= sizeof(path))
			fd = open_above(strcat(path, FILE_NAME));
	}
	return fd >= 0 ? fd : open_above(LIBEXECDIR "/" FILE_NAME);
}
