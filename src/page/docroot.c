#include "page/docroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* O_NONBLOCK: opening a FIFO to read waits for a writer. */
#define READ_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define PATH_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC)
#define RETRIES    8 /* while directories on the way are renamed */

static void close_keeping_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

/* Takes fd: it is closed unless it is a file or a directory. */
static int accept_kind(int fd, struct stat *st)
{
	if (fd < 0)
		return -1;
	if (fstat(fd, st) < 0) {
		close_keeping_errno(fd);
		return -1;
	}
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	return fd;
}

static int open_beneath(int root, const char *name)
{
	struct open_how how = {
		.flags = READ_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = -1;

	/* EAGAIN: ".." of a link could not be proven to stay beneath. */
	for (int i = 0; i < RETRIES; i++) {
		fd = syscall(SYS_openat2, root, name, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return (int)fd;
}

int docroot_open(const char *root, const char *name, struct stat *st)
{
	int dir = open(root, PATH_FLAGS);
	int fd;

	if (dir < 0)
		return -1;
	fd = open_beneath(dir, name);
	close_keeping_errno(dir);
	/* Seccomp filters that do not know the call say EPERM. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		return docroot_open_walking(root, name, st);
	return accept_kind(fd, st);
}

/*
 * The next segment into segment; false when it is none that may be walked.
 * name then begins with what is behind it.
 */
static bool next_segment(const char **name, char segment[NAME_MAX + 1])
{
	size_t n = strcspn(*name, "/");

	if (n == 0 || n > NAME_MAX)
		return false;
	memcpy(segment, *name, n);
	segment[n] = '\0';
	*name += n;
	return strcmp(segment, "..") != 0;
}

int docroot_open_walking(const char *root, const char *name, struct stat *st)
{
	char segment[NAME_MAX + 1];
	int dir = open(root, PATH_FLAGS);
	int fd = -1;

	while (dir >= 0) {
		bool last;

		if (!next_segment(&name, segment)) {
			errno = EXDEV;
			break;
		}
		last = *name == '\0';
		fd = openat(dir, segment,
			O_NOFOLLOW | (last ? READ_FLAGS : PATH_FLAGS));
		if (last || fd < 0)
			break;
		name++;
		close(dir);
		dir = fd;
		fd = -1;
	}
	if (dir >= 0)
		close_keeping_errno(dir);
	return accept_kind(fd, st);
}
