/* The transport without TLS: sockets, and the two pipes of a process. */
#include "net/conn.h"

#include <sys/socket.h>
#include <unistd.h>

static ssize_t plain_recv(struct conn *c, void *p, size_t n)
{
	return read(c->fd, p, n);
}

/* SIGPIPE is ignored by the daemon: writev serves sockets and pipes. */
static ssize_t plain_send(struct conn *c, const struct iovec *v, int parts)
{
	if (parts == 1)
		return write(c->wfd, v[0].iov_base, v[0].iov_len);
	return writev(c->wfd, v, parts);
}

static int plain_shut(struct conn *c)
{
	if (c->wfd == c->fd)
		return shutdown(c->fd, SHUT_WR);
	close(c->wfd);
	c->wfd = -1;
	return 0;
}

const struct transport transport_plain = {
	.recv = plain_recv,
	.send = plain_send,
	.shut = plain_shut,
};
