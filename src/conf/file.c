#include "conf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe could make us wait. -1 and errno. */
static int open_regular(const char *name, struct stat *st)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int error = 0;

	if (fd < 0)
		return -1;
	if (fstat(fd, st) < 0)
		error = errno;
	else if (!S_ISREG(st->st_mode))
		error = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
	if (error == 0)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

/* Bytes read, at most size; -1 and errno. */
static ssize_t read_all(int fd, uint8_t *p, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, p + n, size - n)) > 0)
		n += (size_t)got;
	return got < 0 ? -1 : (ssize_t)n;
}

/*
 * Room for the longest file first: a buffer that grows would leave parts of a
 * key in memory that is given back.
 */
static uint8_t *load(int fd, size_t max, size_t *n)
{
	uint8_t *room = malloc(max + 1);
	uint8_t *p = NULL;
	ssize_t got = room ? read_all(fd, room, max + 1) : -1;
	int error = room ? errno : ENOMEM;

	if (got > (ssize_t)max) {
		error = EFBIG;
	} else if (got >= 0) {
		p = malloc((size_t)got + 1);
		error = ENOMEM;
	}
	if (p) {
		memcpy(p, room, (size_t)got);
		p[got] = '\0';
		*n = (size_t)got + 1;
	}
	if (room)
		explicit_bzero(room, max + 1);
	free(room);
	errno = error;
	return p;
}

int file_read(struct builder *b, struct build_at at, const char *name,
	size_t max, struct file_bytes *out)
{
	struct stat st = { 0 };
	int fd = open_regular(name, &st);
	int error;

	*out = (struct file_bytes){ 0 };
	if (fd >= 0)
		out->p = load(fd, max, &out->n);
	error = errno;
	if (fd >= 0)
		close(fd);
	if (out->p) {
		out->everybody = st.st_mode & S_IROTH;
		return 0;
	}
	if (error == ENOMEM)
		build_no_memory(b);
	else if (error == EFBIG)
		build_error(b, at, "%s is too long, expected at most %zu bytes",
			name, max);
	else
		build_error(b, at, "%s: %s, expected a readable file", name,
			error == EINVAL ? "not a regular file"
					: strerror(error));
	return -1;
}

void file_free(uint8_t *p, size_t n)
{
	if (p)
		explicit_bzero(p, n);
	free(p);
}
