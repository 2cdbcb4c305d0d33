/*
 *   readable -> MSG_PEEK -> proxy_decode: partial: all of it is the header's
 *                                         whole: so much of it is
 *            -> exactly that is taken off the socket
 *
 * This is done as the connection's transport, before that of TLS, should it
 * follow. The bytes are taken at once, header or part of one, so that a socket
 * with half a header is not readable all the time.
 */
#include "front/proxy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "codec/proxy.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "front/private.h"

struct front_proxy {
	struct buf bytes; /* of the header, as far as they have come */
	struct proxy_head head;
	ssize_t length;  /* of proxy_decode */
	const char *why; /* it is none */
	/* What the connection was before. */
	const struct transport *transport;
	const struct conn_cb *cb;
};

void front_proxy_free(struct front *f)
{
	if (!f->proxy)
		return;
	buf_free(&f->proxy->bytes);
	free(f->proxy);
	f->proxy = NULL;
}

/* --- the transport -----------------------------------------------------------------*/

/* Gives out a header's bytes, and never one behind them. */
static ssize_t header_recv(struct conn *c, void *p, size_t n)
{
	struct front_proxy *x = ((struct front *)c->owner)->proxy;
	size_t had = x->bytes.n, take;
	ssize_t got;

	assert(had < PROXY_READ_MAX && n >= PROXY_READ_MAX);
	got = recv(c->fd, p, PROXY_READ_MAX - had, MSG_PEEK);
	if (got <= 0)
		return got;
	if (buf_add(&x->bytes, p, (size_t)got, PROXY_READ_MAX) < 0) {
		errno = ENOMEM;
		return -1;
	}
	x->length = proxy_decode(&x->head, x->bytes.p, x->bytes.n, &x->why);
	if (x->length == PROXY_BAD) {
		errno = EPROTO;
		return -1;
	}
	take = x->length > 0 ? (size_t)x->length - had : (size_t)got;
	return recv(c->fd, p, take, 0);
}

/*
 * No answer before the header: neither the client nor whether it uses TLS is
 * known.
 */
static ssize_t header_send(struct conn *c, const struct iovec *v, int parts)
{
	ssize_t n = 0;

	(void)c;
	for (int i = 0; i < parts; i++)
		n += (ssize_t)v[i].iov_len;
	return n;
}

static int header_shut(struct conn *c)
{
	return transport_socket.shut(c);
}

static const struct transport transport_header = {
	.recv = header_recv,
	.send = header_send,
	.shut = header_shut,
};

/* --- the connection, meanwhile -------------------------------------------------------*/

static void take_header(struct front *f, const struct proxy_head *head)
{
	struct worker *w = f->worker;

	f->unnamed = head->who == PROXY_UNNAMED;
	f->secure = head->secure;
	if (head->who == PROXY_CLIENT) {
		f->socket_peer = head->addr;
		front_set_over(f, admission_proxied(w->shared, &f->client,
					  &head->addr, loop_now(w->loop)));
	}
	front_begin(f, "in the PROXY header");
}

static size_t header_input(struct conn *c, uint8_t *p, size_t n)
{
	struct front *f = c->owner;
	struct front_proxy *x = f->proxy;
	struct proxy_head head = x->head;

	(void)p; /* it lies in x->bytes, too */
	if (x->length == PROXY_PARTIAL)
		return n;
	c->transport = x->transport;
	conn_set_owner(c, x->cb, f);
	front_proxy_free(f);
	take_header(f, &head);
	return n;
}

/* An end before the first byte is a health check: no line in the log. */
static void header_ended(struct conn *c, int error)
{
	struct front *f = c->owner;
	const struct front_proxy *x = f->proxy;

	if (x->length == PROXY_BAD)
		front_log_refusal(f, REASON_PROXY_HEADER, x->why);
	else if (x->bytes.n > 0)
		front_log_refusal(f, REASON_PROXY_HEADER,
			error ? strerror(error) : "it ended too early");
	conn_close(c);
}

static void header_closed(struct conn *c)
{
	struct front *f = c->owner;

	f->proxy->cb->closed(c);
}

static const struct conn_cb header_cb = {
	.input = header_input,
	.ended = header_ended,
	.closed = header_closed,
};

void front_proxy_timeout(struct front *f)
{
	if (f->proxy->bytes.n > 0)
		front_log_refusal(f, REASON_PROXY_HEADER,
			"not complete in handshake_timeout");
	else
		worker_count_reason(f->worker, REASON_HEAD_TIMEOUT);
	conn_close(f->conn);
}

void front_proxy_begin(struct front *f)
{
	struct conn *c = f->conn;
	struct front_proxy *x;

	/* Only a trusted proxy may name a client. */
	if (!cidr_list_contains(
		    &f->client.listen->trusted_proxies, &f->socket_peer)) {
		front_turn_away(f, REASON_PROXY_PEER, NULL);
		return;
	}
	x = calloc(1, sizeof(*x));
	if (!x) {
		front_turn_away(f, REASON_INTERNAL, "no memory");
		return;
	}
	x->transport = c->transport;
	x->cb = c->cb;
	f->proxy = x;
	c->transport = &transport_header;
	conn_set_owner(c, &header_cb, f);
	conn_set_reading(c, true);
}
