#include "daemon/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define NAME_MAX_N 64

/* -1 with errno. */
static int write_all(int fd, struct str bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			bytes.p += n;
			bytes.n -= (size_t)n;
		}
	}
	return fsync(fd);
}

/* Takes fd. -1 with errno, that of writing if that has failed. */
static int write_and_close(int fd, struct str bytes)
{
	int result = write_all(fd, bytes);
	int error = errno;

	if (close(fd) < 0 && result == 0)
		return -1;
	errno = error;
	return result;
}

int store_file_write(int dir, const char *name, struct str bytes)
{
	char beside[NAME_MAX_N];
	int fd, error;

	snprintf(beside, sizeof(beside), "%s.new", name);
	/* One that a crash has left. */
	(void)unlinkat(dir, beside, 0);
	fd = openat(dir, beside,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (write_and_close(fd, bytes) == 0 &&
		renameat(dir, beside, dir, name) == 0)
		return fsync(dir);
	error = errno;
	(void)unlinkat(dir, beside, 0);
	errno = error;
	return -1;
}

/* -1 with errno. A pipe could make us wait. */
static int open_regular(int dir, const char *name)
{
	int fd = openat(dir, name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int error = EINVAL;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		error = errno;
	else if (S_ISREG(st.st_mode))
		return fd;
	close(fd);
	errno = error;
	return -1;
}

int store_file_read(int dir, const char *name, struct buf *out)
{
	int fd = open_regular(dir, name);
	char bytes[65536];
	ssize_t n;
	int error;

	if (fd < 0)
		return -1;
	do {
		n = read(fd, bytes, sizeof(bytes));
		error = errno;
		if (n > 0 &&
			buf_add(out, bytes, (size_t)n, STORE_FILE_MAX) < 0) {
			error = out->n + (size_t)n > STORE_FILE_MAX ? EFBIG
								    : ENOMEM;
			n = -1;
			break;
		}
	} while (n > 0 || (n < 0 && error == EINTR));
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

int store_file_set_aside(int dir, const char *name)
{
	char aside[NAME_MAX_N];

	snprintf(aside, sizeof(aside), "%s.damaged", name);
	return renameat(dir, name, dir, aside);
}

int store_file_remove(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return -1;
	return fsync(dir);
}
