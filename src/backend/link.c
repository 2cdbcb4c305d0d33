#include "backend/link.h"

#include <stdlib.h>
#include <string.h>

#include "codec/proxy.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/tls.h"
#include "worker/credentials.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "backend/backend.h"
#include "backend/kind.h"

static struct loop *loop_of(const struct link *l)
{
	return l->params->worker->loop;
}

static const struct conf_route *route_of(const struct link *l)
{
	return l->params->client->route;
}

static void no_memory(struct link *l)
{
	l->cb->failed(l, REASON_INTERNAL, "no memory");
}

static void deadline_passed(struct timer *t)
{
	struct link *l = CONTAINER_OF(t, struct link, deadline);

	l->cb->late(l);
}

/* --- the TLS handshake ------------------------------------------------------*/

static enum reason tls_reason(const struct conn *c)
{
	switch (tls_cause(c)) {
	case TLS_NOTHING: /* or it ended without a word of TLS */
		return tls_is_opening(c) ? REASON_BACKEND_TLS : REASON_NONE;
	case TLS_CERTIFICATE:
		return REASON_BACKEND_CERTIFICATE;
	case TLS_PLAIN_HTTP:
	case TLS_REFUSED:
	case TLS_TRUNCATED:
	case TLS_PROTOCOL:
		return REASON_BACKEND_TLS;
	}
	return REASON_BACKEND_TLS;
}

static const char *tls_detail(
	const struct conn *c, int error, char text[TLS_TEXT])
{
	if (tls_cause(c) != TLS_NOTHING)
		return tls_failure(c, text);
	return error ? strerror(error) : "it closed in the handshake";
}

bool link_tls_failed(struct link *l, int error)
{
	enum reason reason = tls_reason(l->conn);
	char text[TLS_TEXT];

	if (reason == REASON_NONE)
		return false;
	l->cb->failed(l, reason, tls_detail(l->conn, error, text));
	return true;
}

static size_t handshake_input(struct conn *c, uint8_t *p, size_t n)
{
	(void)c; /* it is not read yet */
	(void)p;
	(void)n;
	return 0;
}

static void handshake_ready(struct conn *c)
{
	struct link *l = c->owner;

	l->cb->ready(l);
}

static void handshake_ended(struct conn *c, int error)
{
	struct link *l = c->owner;

	if (!link_tls_failed(l, error))
		l->cb->failed(l, REASON_BACKEND_TLS, NULL);
}

static void unowned_closed(struct conn *c)
{
	(void)c;
}

static const struct conn_cb handshake_cb = {
	.input = handshake_input,
	.ended = handshake_ended,
	.closed = unowned_closed,
	.ready = handshake_ready,
};

static const struct conn_cb unowned_cb = { .closed = unowned_closed };

static int start_tls(struct link *l)
{
	/*
	 * 107 bytes always fit a new socket's buffer; anything else counts as
	 * out of memory.
	 */
	if (l->conn->queued > 0)
		return -1;
	return tls_connect(l->conn,
		credentials_of_route(
			l->params->worker->credentials, route_of(l)),
		l->tls_host);
}

/* --- dialling ---------------------------------------------------------------*/

/* The first bytes a backend sees: the client's address. */
static void send_proxy(struct link *l)
{
	const struct client *client = l->params->client;
	uint8_t head[PROXY_HEAD_MAX];
	struct addr local;
	size_t n;

	if (client->route->send_proxy == PROXY_NO)
		return;
	listener_address(l->params->client_fd, &local);
	n = proxy_encode(head, (enum proxy_version)client->route->send_proxy,
		&client->peer, &local);
	conn_send_copied(l->conn, head, n);
}

/* What is sent now comes to the backend. */
static void reached(struct link *l)
{
	send_proxy(l);
	if (l->tls_host && start_tls(l) < 0)
		no_memory(l);
	else if (!l->tls_host)
		l->cb->ready(l);
}

static void tunnelled(struct tunnel *t, const char *why)
{
	struct link *l = CONTAINER_OF(t, struct link, tunnel);

	if (why) {
		l->cb->failed(l, REASON_BACKEND_REFUSED, why);
		return;
	}
	conn_set_owner(l->conn, &handshake_cb, l);
	reached(l);
}

static enum reason dial_reason(enum dial_result result)
{
	switch (result) {
	case DIAL_OK:
		return REASON_NONE;
	case DIAL_RESOLVE:
		return REASON_BACKEND_RESOLVE;
	case DIAL_FORBIDDEN:
		return REASON_BACKEND_FORBIDDEN;
	case DIAL_REFUSED:
		return REASON_BACKEND_REFUSED;
	case DIAL_TIMEOUT:
		return REASON_BACKEND_TIMEOUT;
	case DIAL_INTERNAL:
		return REASON_INTERNAL;
	}
	return REASON_INTERNAL;
}

static void dialled(void *owner, enum dial_result result, int fd,
	const struct addr *to, const char *text)
{
	struct link *l = owner;

	(void)to;
	l->dial = NULL;
	if (fd < 0) {
		l->cb->failed(l, dial_reason(result), text);
		return;
	}
	conn_tune(fd, BACKEND_KEEPALIVE_S, BACKEND_USER_TIMEOUT_MS);
	l->conn = conn_new(loop_of(l), fd, fd, &handshake_cb, l);
	if (!l->conn) {
		no_memory(l);
		return;
	}
	timer_set(loop_of(l), &l->deadline, l->due);
	if (!l->params->proxy)
		reached(l);
	else if (tunnel_open(&l->tunnel, l->conn, l->params->proxy, l->host,
			 l->port, tunnelled) < 0)
		no_memory(l);
}

/* A port may come from a capture, so it is looked at only now. 0: none. */
static uint16_t parse_port(const char *s)
{
	unsigned long n;
	char *end;

	if (*s < '0' || *s > '9')
		return 0;
	n = strtoul(s, &end, 10);
	return *end || n > 65535 ? 0 : (uint16_t)n;
}

static struct dial *dial_path(
	struct link *l, struct dial_params *d, const struct conf_backend *to)
{
	char *path = backend_expand(to->path, l->params->captures);
	struct dial *dial;

	if (!path)
		return NULL;
	d->path = path;
	dial = dial_start(loop_of(l), d);
	free(path);
	return dial;
}

static struct dial *dial_host(
	struct link *l, struct dial_params *d, const struct conf_backend *to)
{
	const struct tunnel_proxy *proxy = l->params->proxy;

	l->host = backend_expand(to->host, l->params->captures);
	l->port = backend_expand(to->port, l->params->captures);
	/* For SNI and the check of the certificate. */
	if (to->tls && l->host)
		l->tls_host = str_dup(str_of(l->host));
	if (!l->host || !l->port || (to->tls && !l->tls_host))
		return NULL;
	d->host = proxy ? proxy->host : l->host;
	d->port = proxy ? proxy->port : parse_port(l->port);
	return dial_start(loop_of(l), d);
}

int link_open(struct link *l, const struct backend_params *p,
	const struct link_cb *cb)
{
	const struct conf_route *r = p->client->route;
	struct dial_params d = { .timeout_ms = r->connect_timeout,
		.allow = &r->backend_allow,
		.done = dialled,
		.owner = l };

	l->params = p;
	l->cb = cb;
	l->due = loop_now(loop_of(l)) + r->connect_timeout;
	if (timer_init(loop_of(l), &l->deadline, deadline_passed) < 0)
		return -1;
	l->dial = r->to.kind == BACKEND_UNIX ? dial_path(l, &d, &r->to)
					     : dial_host(l, &d, &r->to);
	return l->dial ? 0 : -1;
}

struct conn *link_take(struct link *l)
{
	struct conn *c = l->conn;

	l->conn = NULL;
	timer_clear(loop_of(l), &l->deadline);
	return c;
}

void link_close(struct link *l)
{
	if (!l->params)
		return;
	timer_fini(loop_of(l), &l->deadline);
	dial_cancel(l->dial);
	tunnel_close(&l->tunnel);
	if (l->conn) {
		/* It is freed when the turn ends; its owner may go now. */
		conn_set_owner(l->conn, &unowned_cb, NULL);
		conn_close(l->conn);
	}
	free(l->tls_host);
	free(l->host);
	free(l->port);
	*l = (struct link){ 0 };
}
