/* The transports without TLS: sockets, and the two pipes of a process. */
#include "net/conn.h"

#include <sys/socket.h>
#include <unistd.h>

/*
 * recv and send, not read and writev: on the way through the file system's
 * layer those cost a tenth of a small message's time.
 */
static ssize_t socket_recv(struct conn *c, void *p, size_t n)
{
	return recv(c->fd, p, n, 0);
}

static ssize_t socket_send(struct conn *c, const struct iovec *v, int parts)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)v,
		.msg_iovlen = (size_t)parts };

	if (parts == 1)
		return send(c->fd, v[0].iov_base, v[0].iov_len, MSG_NOSIGNAL);
	return sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

static int socket_shut(struct conn *c)
{
	return shutdown(c->fd, SHUT_WR);
}

const struct transport transport_socket = {
	.recv = socket_recv,
	.send = socket_send,
	.shut = socket_shut,
};

static ssize_t pipe_recv(struct conn *c, void *p, size_t n)
{
	return read(c->fd, p, n);
}

static ssize_t pipe_send(struct conn *c, const struct iovec *v, int parts)
{
	return writev(c->wfd, v, parts);
}

static int pipe_shut(struct conn *c)
{
	int fd = c->wfd;

	c->wfd = -1;
	return close(fd);
}

const struct transport transport_pipe = {
	.recv = pipe_recv,
	.send = pipe_send,
	.shut = pipe_shut,
};
