#include "backend/tunnel.h"

#include <stdio.h>
#include <string.h>

#include "codec/http/http.h"
#include "net/conn.h"

static void unowned_closed(struct conn *c)
{
	(void)c;
}

static const struct conn_cb unowned_cb = { .closed = unowned_closed };

static void forget(struct tunnel *t)
{
	loop_undefer(t->conn->loop, &t->deferred);
	buf_free(&t->in);
	t->conn = NULL;
}

/* Not in the read that brought the answer: TLS may begin on the connection. */
static void tell(struct deferred *d)
{
	struct tunnel *t = CONTAINER_OF(d, struct tunnel, deferred);
	char why[sizeof(t->why)];

	memcpy(why, t->why, sizeof(why));
	conn_set_owner(t->conn, &unowned_cb, NULL);
	forget(t);
	t->done(t, why[0] ? why : NULL);
}

static void answered(struct tunnel *t, const char *why)
{
	snprintf(t->why, sizeof(t->why), "%s", why ? why : "");
	conn_set_reading(t->conn, false);
	loop_defer(t->conn->loop, &t->deferred, tell);
}

static void take_head(struct tunnel *t, size_t head_n)
{
	struct http_head h;
	const char *why;
	char text[sizeof(t->why)];

	if (http_parse_response(&h, (const char *)t->in.p, head_n, &why) < 0) {
		answered(t, "the proxy's answer is no HTTP");
	} else if (h.status < 200 || h.status > 299) {
		snprintf(text, sizeof(text), "the proxy answered %d %s",
			h.status, http_status_text(h.status));
		answered(t, text);
	} else if (t->in.n > head_n) {
		/* A server of HTTP or TLS waits for its client. */
		answered(t, "more than an answer came from the proxy");
	} else {
		answered(t, NULL);
	}
}

static size_t tunnel_input(struct conn *c, uint8_t *p, size_t n)
{
	struct tunnel *t = c->owner;
	ssize_t head_n;

	if (t->deferred.cb)
		return n;
	if (buf_add(&t->in, p, n, TUNNEL_HEAD_MAX) < 0) {
		answered(t, "the proxy's answer is too long");
		return n;
	}
	head_n = http_find_end((const char *)t->in.p, t->in.n, &t->scanned);
	if (head_n < 0)
		answered(t, "the proxy's answer is no HTTP");
	else if (head_n > 0)
		take_head(t, (size_t)head_n);
	return n;
}

static void tunnel_ended(struct conn *c, int error)
{
	struct tunnel *t = c->owner;

	if (!t->deferred.cb)
		answered(t, error ? strerror(error)
				  : "the proxy closed instead of answering");
	else if (!t->why[0])
		answered(t, "the proxy closed behind its answer");
}

static const struct conn_cb tunnel_cb = {
	.input = tunnel_input,
	.ended = tunnel_ended,
	.closed = unowned_closed,
};

int tunnel_open(struct tunnel *t, struct conn *c,
	const struct tunnel_proxy *proxy, const char *host, const char *port,
	void (*done)(struct tunnel *t, const char *why))
{
	const char *open = strchr(host, ':') ? "[" : "";
	const char *close = *open ? "]" : "";
	struct buf request = { 0 };
	int failed;

	t->conn = c;
	t->done = done;
	failed = buf_add_printf(&request,
			 "CONNECT %s%s%s:%s HTTP/1.1\r\n"
			 "Host: %s%s%s:%s\r\n",
			 open, host, close, port, open, host, close,
			 port) < 0 ||
		 (proxy->authorization &&
			 buf_add_printf(&request, "Proxy-Authorization: %s\r\n",
				 proxy->authorization) < 0) ||
		 buf_add_str(&request, STR("\r\n")) < 0;
	if (!failed) {
		conn_set_owner(c, &tunnel_cb, t);
		conn_send_copied(c, request.p, request.n);
		conn_set_reading(c, true);
	}
	buf_free(&request);
	return failed ? -1 : 0;
}

void tunnel_close(struct tunnel *t)
{
	if (t->conn)
		forget(t);
}
