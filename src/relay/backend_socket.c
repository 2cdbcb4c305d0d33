/* tcp://host:port, tls:// and unix:/path: bytes with a framing; and echo:. */
#include "relay/backend.h"

#include <stdlib.h>
#include <string.h>

#include "codec/proxy.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/tls.h"
#include "relay/backend_limits.h"
#include "relay/client.h"
#include "relay/stream_end.h"
#include "relay/worker.h"

struct socket_attempt {
	struct attempt attempt;
	struct backend_params params;
	struct dial *dial; /* until it is done */
	struct conn *conn; /* after it, while its TLS handshake lasts */
	struct timer deadline;
	char *tls_host;     /* NULL: without TLS */
	int64_t started_ms; /* connect_timeout is for dial and handshake */
	bool over;          /* done was called, or it was cancelled */
};

static void socket_attempt_free(struct socket_attempt *a)
{
	timer_fini(a->params.worker->loop, &a->deadline);
	free(a->tls_host);
	free(a);
}

static void socket_attempt_failed(
	struct socket_attempt *a, enum reason reason, const char *detail)
{
	a->over = true;
	timer_clear(a->params.worker->loop, &a->deadline);
	a->params.done(a->params.owner,
		&(struct backend_result){ .outcome = { reason, detail } });
	if (a->conn)
		conn_close(a->conn); /* socket_attempt_free follows */
	else
		socket_attempt_free(a);
}

/* The first bytes a backend sees: the client's address. */
static void send_proxy(
	const struct client *client, int client_fd, struct conn *c)
{
	uint8_t head[PROXY_HEAD_MAX];
	struct addr local;
	size_t n;

	listener_address(client_fd, &local);
	n = proxy_encode(head, (enum proxy_version)client->route->send_proxy,
		&client->peer, &local);
	if (n > 0)
		conn_send_copied(c, head, n);
}

/* The connection is good: it becomes the end. */
static void opened(struct socket_attempt *a)
{
	struct backend_params p = a->params;
	struct backend_result r = { .end = stream_end_new(p.worker, a->conn,
					    p.client->route) };

	if (!r.end) {
		socket_attempt_failed(a, REASON_INTERNAL, "no memory");
		return;
	}
	socket_attempt_free(a);
	p.done(p.owner, &r);
}

/* --- while its TLS handshake lasts -----------------------------------------------*/

static size_t opening_input(struct conn *c, uint8_t *p, size_t n)
{
	(void)c; /* it is not read yet */
	(void)p;
	(void)n;
	return 0;
}

static void opening_ready(struct conn *c)
{
	struct socket_attempt *a = c->owner;

	if (!a->over)
		opened(a);
}

static void opening_ended(struct conn *c, int error)
{
	struct socket_attempt *a = c->owner;
	char text[TLS_TEXT];

	if (a->over)
		conn_close(c);
	else
		socket_attempt_failed(a, backend_tls_reason(c),
			backend_tls_detail(c, error, text));
}

static void opening_closed(struct conn *c)
{
	socket_attempt_free(c->owner);
}

static const struct conn_cb opening_cb = {
	.input = opening_input,
	.ended = opening_ended,
	.closed = opening_closed,
	.ready = opening_ready,
};

static void opening_deadline(struct timer *t)
{
	struct socket_attempt *a = CONTAINER_OF(
		t, struct socket_attempt, deadline);

	socket_attempt_failed(a, REASON_BACKEND_TIMEOUT, "the TLS handshake");
}

static void start_tls(struct socket_attempt *a)
{
	const struct backend_params *p = &a->params;

	/*
	 * 107 bytes always fit a new socket's buffer; anything else counts as
	 * out of memory.
	 */
	if (a->conn->queued > 0 ||
		backend_start_tls(p, a->conn, a->tls_host) < 0) {
		socket_attempt_failed(a, REASON_INTERNAL, "no memory");
		return;
	}
	timer_set(p->worker->loop, &a->deadline,
		a->started_ms + p->client->route->connect_timeout);
}

/* --- opening ------------------------------------------------------------------------*/

static void socket_dialled(void *owner, enum dial_result result, int fd,
	const struct addr *to, const char *text)
{
	struct socket_attempt *a = owner;
	struct backend_params *p = &a->params;

	(void)to;
	a->dial = NULL;
	if (fd < 0) {
		socket_attempt_failed(a, backend_dial_reason(result), text);
		return;
	}
	conn_tune(fd, BACKEND_KEEPALIVE_S, BACKEND_USER_TIMEOUT_MS);
	a->conn = conn_new(p->worker->loop, fd, fd, &opening_cb, a);
	if (!a->conn) {
		socket_attempt_failed(a, REASON_INTERNAL, "no memory");
		return;
	}
	send_proxy(p->client, p->client_fd, a->conn);
	if (a->tls_host)
		start_tls(a);
	else
		opened(a);
}

static struct attempt *socket_open(const struct backend_params *p)
{
	struct socket_attempt *a = calloc(1, sizeof(*a));
	struct loop *l = p->worker->loop;

	if (!a)
		return NULL;
	a->params = *p;
	a->started_ms = loop_now(l);
	if (timer_init(l, &a->deadline, opening_deadline) < 0) {
		free(a);
		return NULL;
	}
	if (backend_tls_host(p, &a->tls_host) < 0)
		goto fail;
	a->dial = backend_dial(p, socket_dialled, a);
	if (!a->dial)
		goto fail;
	return &a->attempt;
fail:
	socket_attempt_free(a);
	return NULL;
}

static void socket_cancel(struct attempt *attempt)
{
	struct socket_attempt *a = CONTAINER_OF(
		attempt, struct socket_attempt, attempt);

	a->over = true;
	timer_clear(a->params.worker->loop, &a->deadline);
	if (a->conn) {
		conn_close(a->conn); /* opening_closed follows */
		return;
	}
	dial_cancel(a->dial);
	socket_attempt_free(a);
}

const struct backend_kind backend_socket = {
	.open = socket_open,
	.cancel = socket_cancel,
};

/* --- echo ---------------------------------------------------------------------------*/

struct echo_attempt {
	struct attempt attempt;
	struct backend_params params;
	struct deferred deferred;
	bool cancelled;
};

static void echo_ready(struct deferred *d)
{
	struct echo_attempt *a = CONTAINER_OF(d, struct echo_attempt, deferred);
	struct backend_params p = a->params;
	struct backend_result r = { 0 };
	bool cancelled = a->cancelled;

	free(a);
	if (cancelled)
		return;
	r.end = echo_end_new(p.worker);
	if (!r.end)
		r.outcome.reason = REASON_INTERNAL;
	p.done(p.owner, &r);
}

static struct attempt *echo_open(const struct backend_params *p)
{
	struct echo_attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->params = *p;
	loop_defer(p->worker->loop, &a->deferred, echo_ready);
	return &a->attempt;
}

static void echo_cancel(struct attempt *attempt)
{
	CONTAINER_OF(attempt, struct echo_attempt, attempt)->cancelled = true;
}

const struct backend_kind backend_echo = {
	.open = echo_open,
	.cancel = echo_cancel,
};
