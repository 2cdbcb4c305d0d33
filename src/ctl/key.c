/*
 * key.c: wsrelayctl key: random bytes -> a secret file.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "codec/token/jwt.h"

static enum ctl_status key_write(const char *file, const char *line)
{
	/* Never over a key that is in use; never through a symbolic link. */
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t n = strlen(line);

	if (fd < 0) {
		ctl_complain("%s: %s", file, strerror(errno));
		return CTL_REFUSED;
	}
	/* 0640 whatever the umask says: the daemon's group reads it. */
	if (write(fd, line, n) == (ssize_t)n && fchmod(fd, 0640) == 0 &&
		fsync(fd) == 0 && close(fd) == 0)
		return CTL_OK;
	ctl_complain("%s: %s", file, strerror(errno));
	unlink(file);
	return CTL_REFUSED;
}

enum ctl_status ctl_key_run(const char *file, int argc, char **argv)
{
	char line[BASE64URL_LENGTH(JWT_SECRET_MIN) + 2];
	enum ctl_status status = CTL_OK;

	(void)file;
	if (argc > 2 || (argc == 2 && argv[1][0] == '-' && argv[1][1])) {
		ctl_complain("usage: wsrelayctl key [FILE | -]");
		return CTL_USAGE;
	}
	if (ctl_random_text(line, JWT_SECRET_MIN) < 0) {
		ctl_complain("random bytes: %s", strerror(errno));
		return CTL_REFUSED;
	}
	strcat(line, "\n");
	if (argc == 2 && strcmp(argv[1], "-") != 0)
		status = key_write(argv[1], line);
	else
		fputs(line, stdout);
	explicit_bzero(line, sizeof(line));
	return status;
}
