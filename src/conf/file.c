#include "conf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/hidden.h"

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
static uint8_t *load_file(int fd, size_t max, size_t *n)
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

/* Bytes for the snapshot that is being built: -1 without memory. Takes p. */
static int keep_file(struct builder *b, const struct conf_file *what)
{
	struct conf_file *f = malloc(sizeof(*f));

	if (f)
		*f = *what;
	if (f)
		f->name = str_dup(str_of(what->name));
	if (!f || !f->name) {
		explicit_bzero(what->p, what->n);
		free(what->p);
		free(f);
		build_no_memory(b);
		return -1;
	}
	f->next = b->conf->files;
	b->conf->files = f;
	return 0;
}

/* What the snapshot before has for this section; NULL: nothing. */
static const struct conf_file *find_before(
	const struct builder *b, size_t owner, const char *name)
{
	const struct conf_file *f;

	if (!b->before || !b->faulty[owner])
		return NULL;
	for (f = b->before->files; f; f = f->next)
		if (f->owner == owner && strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* -1 after a complaint. */
static int read_again(struct builder *b, struct build_at at, size_t max,
	struct conf_file *out)
{
	struct stat st = { 0 };
	int fd = open_regular(out->name, &st);
	int error;

	if (fd >= 0)
		out->p = load_file(fd, max, &out->n);
	error = errno;
	if (fd >= 0)
		close(fd);
	out->everybody = st.st_mode & S_IROTH;
	if (out->p)
		return 0;
	if (error == ENOMEM)
		build_no_memory(b);
	else if (error == EFBIG)
		build_error(b, at, "%s is too long, expected at most %zu bytes",
			out->name, max);
	else
		build_error(b, at, "%s: %s%s, expected a readable file",
			out->name,
			error == EINVAL ? "not a regular file"
					: strerror(error),
			hidden_note(out->name, error));
	return -1;
}

/* A copy: -1 without memory. */
static int copy_before(struct builder *b, const struct conf_file *before,
	struct conf_file *out)
{
	out->p = malloc(before->n);
	if (!out->p) {
		build_no_memory(b);
		return -1;
	}
	memcpy(out->p, before->p, before->n);
	out->n = before->n;
	out->everybody = before->everybody;
	return 0;
}

int file_read(struct builder *b, struct build_at at, const char *name,
	size_t max, struct file_bytes *out)
{
	struct conf_file f = {
		.owner = build_number(b->conf, at.section, at.index),
		.name = (char *)(uintptr_t)name,
	};
	const struct conf_file *before = find_before(b, f.owner, name);
	int result = before ? copy_before(b, before, &f)
			    : read_again(b, at, max, &f);

	*out = (struct file_bytes){ 0 };
	if (result < 0 || keep_file(b, &f) < 0)
		return -1;
	*out = (struct file_bytes){ f.p, f.n, f.everybody };
	return 0;
}

void file_free_all(struct conf *c)
{
	struct conf_file *f;

	while ((f = c->files)) {
		c->files = f->next;
		explicit_bzero(f->p, f->n);
		free(f->p);
		free(f->name);
		free(f);
	}
}
