#include "attach/tee.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "net/loop.h"
#include "attach/say.h"

/* One more attempt to write: a file's disk may be full for a while only. */
static ssize_t write_some(const struct tee *t, const uint8_t *p, size_t n)
{
	struct pollfd ready = { .fd = t->fd, .events = POLLOUT };

	switch (t->kind) {
	case TEE_FILE:
	case TEE_STREAM:
		break;
	case TEE_SOCKET:
		return send(t->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case TEE_PIPE:
		/* It takes so much without a wait once it is writable. */
		if (poll(&ready, 1, 0) == 0) {
			errno = EAGAIN;
			return -1;
		}
		if (n > PIPE_BUF)
			n = PIPE_BUF;
		break;
	}
	return write(t->fd, p, n);
}

static void complain(struct tee *t, int error)
{
	if (!t->told)
		say("standard output takes no more: %s", strerror(error));
	t->told = true;
}

/*
 * How many bytes need not be written again, or -1: the reader is gone. What
 * cannot be written for another cause is lost: the run goes on, and its
 * messages.
 */
static ssize_t write_all(struct tee *t, const uint8_t *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = write_some(t, p + done, n - done);

		if (got >= 0) {
			done += (size_t)got;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			break;
		complain(t, errno);
		return errno == EPIPE ? -1 : (ssize_t)n;
	}
	return (ssize_t)done;
}

static int keep(struct tee *t, const uint8_t *p, size_t n)
{
	if (buf_add(&t->kept, p, n, SIZE_MAX) < 0)
		return -1;
	t->waits = true;
	return event_add(t->event, NULL);
}

int tee_write(struct tee *t, const uint8_t *p, size_t n)
{
	ssize_t done = t->waits ? 0 : write_all(t, p, n);

	if (done < 0)
		return -1;
	return (size_t)done == n ? 0 : keep(t, p + done, n - (size_t)done);
}

static void ready(evutil_socket_t fd, short what, void *arg)
{
	struct tee *t = arg;
	ssize_t done = write_all(t, t->kept.p, t->kept.n);

	(void)fd;
	(void)what;
	/* A reader that is gone shows at the next write. */
	buf_drop(&t->kept, done < 0 ? t->kept.n : (size_t)done);
	if (t->kept.n > 0) {
		(void)event_add(t->event, NULL);
		return;
	}
	buf_free(&t->kept);
	t->waits = false;
	t->drained(t);
}

/* A description of our own, which may be non-blocking. */
static void open_anew(struct tee *t)
{
	int fd = open("/proc/self/fd/1",
		O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return;
	t->fd = fd;
	t->kind = TEE_STREAM;
}

int tee_open(struct tee *t, struct loop *l, void (*drained)(struct tee *t))
{
	struct stat st;

	*t = (struct tee){
		.fd = STDOUT_FILENO, .kind = TEE_FILE, .drained = drained
	};
	if (fstat(STDOUT_FILENO, &st) < 0)
		return 0;
	if (S_ISSOCK(st.st_mode))
		t->kind = TEE_SOCKET;
	if (S_ISFIFO(st.st_mode) || isatty(STDOUT_FILENO)) {
		t->kind = TEE_PIPE;
		open_anew(t);
	}
	if (t->kind == TEE_FILE)
		return 0;
	t->event = event_new(l->base, t->fd, EV_WRITE, ready, t);
	return t->event ? 0 : -1;
}

void tee_close(struct tee *t)
{
	if (t->event)
		event_free(t->event);
	if (t->fd > STDERR_FILENO)
		close(t->fd);
	buf_free(&t->kept);
	*t = (struct tee){ 0 };
}
