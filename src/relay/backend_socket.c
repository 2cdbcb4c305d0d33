/* tcp://host:port and unix:///path: bytes with a framing; and echo:. */
#include "relay/backend.h"

#include <stdlib.h>

#include "codec/forwarded.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/listener.h"
#include "relay/backend_limits.h"
#include "relay/client.h"
#include "relay/stream_end.h"
#include "relay/worker.h"

struct socket_attempt {
	struct attempt attempt;
	struct backend_params params;
	struct dial *dial;
};

/* Until the end takes it, nobody reads the connection. */
static void unowned_input(struct conn *c, uint8_t *p, size_t n)
{
	(void)c;
	(void)p;
	(void)n;
}

static void unowned_ended(struct conn *c, int error)
{
	(void)error;
	conn_close(c);
}

static void unowned_closed(struct conn *c)
{
	(void)c;
}

static const struct conn_cb unowned = {
	.input = unowned_input,
	.ended = unowned_ended,
	.closed = unowned_closed,
};

/* The first bytes a backend sees: who the client is. */
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
		conn_write(c, head, n);
}

static void dialled(void *owner, enum dial_result result, int fd,
	const struct addr *to, const char *text)
{
	struct socket_attempt *a = owner;
	struct backend_params p = a->params;
	struct backend_result r = { .reason = backend_dial_reason(result),
		.detail = text };
	struct conn *c;

	(void)to;
	free(a);
	if (fd >= 0) {
		conn_tune(fd, BACKEND_KEEPALIVE_S, BACKEND_USER_TIMEOUT_MS);
		c = conn_new(p.worker->loop, fd, fd, &unowned, NULL);
		r.end = c ? stream_end_new(p.worker, c, p.client->route) : NULL;
		if (r.end)
			send_proxy(p.client, p.client_fd, c);
		else if (c)
			conn_close(c);
		if (!r.end)
			r.reason = REASON_INTERNAL;
	}
	p.done(p.owner, &r);
}

static struct attempt *socket_open(const struct backend_params *p)
{
	struct socket_attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->params = *p;
	a->dial = backend_dial(p, dialled, a);
	if (!a->dial) {
		free(a);
		return NULL;
	}
	return &a->attempt;
}

static void socket_cancel(struct attempt *attempt)
{
	struct socket_attempt *a = CONTAINER_OF(
		attempt, struct socket_attempt, attempt);

	dial_cancel(a->dial);
	free(a);
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
		r.reason = REASON_INTERNAL;
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
