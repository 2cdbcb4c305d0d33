/* tcp://host:port, tls:// and unix:/path: bytes with a framing. */
#include <stdlib.h>

#include "gate/client.h"
#include "end/stream.h"
#include "backend/kind.h"
#include "backend/link.h"

struct socket_attempt {
	struct attempt attempt;
	struct link link;
};

static void socket_attempt_free(struct socket_attempt *a)
{
	link_close(&a->link);
	free(a);
}

static void socket_failed(
	struct link *l, enum reason reason, const char *detail)
{
	struct socket_attempt *a = CONTAINER_OF(l, struct socket_attempt, link);
	const struct backend_params *p = &a->attempt.params;

	backend_tell(p, &(struct backend_result){ .outcome = { .reason = reason,
							  .detail = detail } });
	socket_attempt_free(a);
}

static void socket_late(struct link *l)
{
	socket_failed(l, REASON_BACKEND_TIMEOUT, "the TLS handshake");
}

/* The connection is good: it becomes the end. */
static void socket_ready(struct link *l)
{
	struct socket_attempt *a = CONTAINER_OF(l, struct socket_attempt, link);
	struct backend_params p = a->attempt.params;
	struct backend_result r = { .end = stream_end_new(p.worker, l->conn,
					    p.client->route) };

	if (!r.end) {
		socket_failed(l, REASON_INTERNAL, "no memory");
		return;
	}
	(void)link_take(l);
	socket_attempt_free(a);
	backend_tell(&p, &r);
}

static const struct link_cb socket_link = {
	.ready = socket_ready,
	.failed = socket_failed,
	.late = socket_late,
};

static struct attempt *socket_open(const struct backend_params *p)
{
	struct socket_attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->attempt.params = *p;
	if (link_open(&a->link, &a->attempt.params, &socket_link) < 0) {
		socket_attempt_free(a);
		return NULL;
	}
	return &a->attempt;
}

static void socket_cancel(struct attempt *attempt)
{
	socket_attempt_free(
		CONTAINER_OF(attempt, struct socket_attempt, attempt));
}

const struct backend_kind backend_socket = {
	.open = socket_open,
	.cancel = socket_cancel,
};
