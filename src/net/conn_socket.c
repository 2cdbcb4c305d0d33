/* What a connection asks the kernel of its socket. */
#include "net/conn.h"

#include <netinet/in.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/conn_private.h"

bool conn_vanished(const struct conn *c, int64_t ms)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);
	struct pollfd p = { .fd = c->fd };

	if (c->fd < 0)
		return false;
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)))
		return true;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
		return false; /* a pipe or a Unix socket cannot vanish */
	/*
	 * Silence alone is no sign: with nothing under way there is nothing to
	 * acknowledge. Repeated retransmits or probes without an answer are.
	 */
	return (info.tcpi_retransmits > 1 || info.tcpi_probes > 1) &&
	       info.tcpi_last_ack_recv > ms;
}

int64_t conn_arrived_ago(const struct conn *c)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);
	int unsent;

	if (ioctl(c->fd, SIOCOUTQ, &unsent) < 0)
		return INT64_MAX;
	if (unsent > 0 || conn_holds(c))
		return -1;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
		return INT64_MAX;
	return info.tcpi_last_ack_recv;
}

void conn_note_progress(struct conn *c)
{
	int unsent;

	/* A pipe has no such count. */
	if (ioctl(c->fd, SIOCOUTQ, &unsent) < 0 || unsent == c->unsent)
		return;
	c->unsent = unsent;
	c->sent_ms = loop_now(c->loop);
}

void conn_tune(int fd, int keepalive_s, unsigned user_timeout_ms)
{
	int on = 1;
	int interval = keepalive_s / 3 > 0 ? keepalive_s / 3 : 1;
	int count = 3;

	/* These fail on a Unix socket, which needs none of them. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s,
		sizeof(keepalive_s));
	(void)setsockopt(
		fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	if (user_timeout_ms)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
			&user_timeout_ms, sizeof(user_timeout_ms));
}

void conn_set_unsent_limit(struct conn *c, unsigned bytes)
{
	c->unsent_limit = bytes;
	/* Not on a Unix socket, which has no such thing. */
	(void)setsockopt(
		c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}
