#include <string.h>

#include "codec/control.h"
#include "conf/conf.h"
#include "gate/client.h"
#include "explain/private.h"

/* Any 16 bytes in base64 (RFC 6455 section 4.1). */
#define KEY "d3NyZWxheWN0bC1leHBsYQ=="

static bool take_scheme(struct str *s, const char *scheme)
{
	struct str name = str_of(scheme);

	if (s->n < name.n || !str_eq_nocase((struct str){ s->p, name.n }, name))
		return false;
	s->p += name.n;
	s->n -= name.n;
	return true;
}

/* A whole address says its host, and whether it is TLS. */
static void split_address(struct question *q)
{
	static const struct {
		const char *scheme;
		bool secure;
	} schemes[] = { { "ws://", false }, { "wss://", true },
		{ "http://", false }, { "https://", true } };
	struct str rest = q->target;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		const char *slash;

		if (!take_scheme(&rest, schemes[i].scheme))
			continue;
		slash = memchr(rest.p, '/', rest.n);
		q->secure = schemes[i].secure;
		q->host = rest;
		if (slash)
			q->host.n = (size_t)(slash - rest.p);
		q->target = slash ? (struct str){ slash, rest.n - q->host.n }
				  : STR("/");
		return;
	}
}

/* A line break would begin a field of its own. */
static bool is_one_line(const char *text)
{
	return !text || !strpbrk(text, "\r\n");
}

static int take_peer(struct question *q, const char **why)
{
	const char *from = q->asked->from;

	if (!from && q->asked->address->kind == LISTEN_UNIX)
		from = "unix";
	if (!from)
		from = "127.0.0.1";
	q->peer = (struct addr){ .family = ADDR_UNIX };
	*why = "--from: expected an IP address, or unix";
	return strcmp(from, "unix") == 0 ||
			       addr_parse(&q->peer, str_of(from)) == 0
		       ? 0
		       : -1;
}

static void take_host(struct question *q)
{
	const struct conf_listen *l = q->asked->listen;

	if (q->asked->host)
		q->host = str_of(q->asked->host);
	q->host_assumed = !q->host.p;
	if (q->host_assumed)
		q->host = l->hosts.n > 0 && strcmp(l->hosts.v[0], "*") != 0
				  ? str_of(l->hosts.v[0])
				  : STR("localhost");
}

void explain_read(struct explain_question *q, const struct control_request *r)
{
	q->path = control_text(r, "path");
	q->host = control_text(r, "host");
	q->origin = control_text(r, "origin");
	q->from = control_text(r, "from");
	q->protocol = control_text(r, "protocol");
	q->token = control_text(r, "token");
	q->certificate = control_text(r, "certificate");
}

int question_init(struct question *q, const struct explain_question *asked,
	const char **why)
{
	const struct conf_listen *l = asked->listen;
	bool tls = l->certificates.n > 0;

	*q = (struct question){
		.asked = asked, .target = str_of(asked->path), .secure = tls
	};
	*why = "no line breaks are expected";
	if (!is_one_line(asked->path) || !is_one_line(asked->host) ||
		!is_one_line(asked->origin) || !is_one_line(asked->protocol) ||
		!is_one_line(asked->token))
		return -1;
	split_address(q);
	/* Else TLS ends somewhere that is not believed. */
	q->secure = tls || (q->secure && l->trusted_proxies.n > 0);
	*why = "PATH: expected a path such as /sim/42, or a whole address";
	if (q->target.n == 0 || q->target.p[0] != '/')
		return -1;
	take_host(q);
	return take_peer(q, why);
}

static int add_field(struct buf *out, const char *name, const char *value)
{
	return value ? buf_add_printf(out, "%s%s\r\n", name, value) : 0;
}

int question_write(struct buf *out, const struct question *q, bool upgrade)
{
	const struct explain_question *a = q->asked;

	if (buf_add_printf(out, "GET %.*s HTTP/1.1\r\nHost: %.*s\r\n",
		    (int)q->target.n, q->target.p, (int)q->host.n,
		    q->host.p) < 0 ||
		add_field(out, "Origin: ", a->origin) < 0 ||
		add_field(out, "Authorization: Bearer ", a->token) < 0)
		return -1;
	if (upgrade &&
		(buf_add_printf(out, "Upgrade: websocket\r\n"
				     "Connection: Upgrade\r\n"
				     "Sec-WebSocket-Version: 13\r\n"
				     "Sec-WebSocket-Key: " KEY "\r\n") < 0 ||
			add_field(out,
				"Sec-WebSocket-Protocol: ", a->protocol) < 0))
		return -1;
	return buf_add_str(out, STR("\r\n"));
}
