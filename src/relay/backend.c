#include "relay/backend.h"

#include <stdlib.h>
#include <string.h>

#include "codec/pattern.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/tls.h"
#include "relay/client.h"
#include "relay/credentials.h"
#include "relay/end.h"
#include "relay/request.h"
#include "relay/worker.h"

static const struct backend_kind *const kinds[] = {
	[BACKEND_TCP] = &backend_socket,
	[BACKEND_UNIX] = &backend_socket,
	[BACKEND_WS] = &backend_ws,
	[BACKEND_EXEC] = &backend_exec,
	[BACKEND_ECHO] = &backend_echo,
};

struct attempt *backend_open(const struct backend_params *p)
{
	const struct backend_kind *kind = kinds[p->client->route->to.kind];
	struct attempt *a = kind->open(p);

	if (a)
		a->kind = kind;
	return a;
}

void backend_cancel(struct attempt *a)
{
	a->kind->cancel(a);
}

void backend_discard(struct end *e)
{
	e->ops->close(e, WS_CODE_GOING_AWAY, STR_NONE);
}

/* A terminated expansion; NULL without memory. */
static char *expand(const char *template, const struct captures *c)
{
	struct buf b = { 0 };

	if (template_expand(&b, str_of(template), c) < 0 ||
		buf_add(&b, "", 1, SIZE_MAX) < 0) {
		buf_free(&b);
		return NULL;
	}
	return (char *)b.p;
}

char *backend_query(const struct backend_params *p)
{
	struct str query = p->request->query;
	char *out = malloc(query.n + 1);

	size_t n = query.n;

	if (!out)
		return NULL;
	/*
	 * On a route without tokens the parameter is the backend's: many have
	 * one.
	 */
	if (p->client->route->auth == CONF_AUTH_TOKEN)
		n = uri_query_without(
			out, query, str_of(p->client->route->token_param));
	else if (n > 0)
		memcpy(out, query.p, n);
	out[n] = '\0';
	return out;
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

struct dial *backend_dial(const struct backend_params *p,
	void (*done)(void *owner, enum dial_result result, int fd,
		const struct addr *to, const char *text),
	void *owner)
{
	const struct conf_route *r = p->client->route;
	struct dial_params d = { .timeout_ms = r->connect_timeout,
		.allow = &r->backend_allow,
		.done = done,
		.owner = owner };
	char *host = NULL, *port = NULL, *path = NULL;
	struct dial *dial = NULL;

	if (r->to.kind == BACKEND_UNIX) {
		path = expand(r->to.path, p->captures);
		d.path = path;
		if (path)
			dial = dial_start(p->worker->loop, &d);
	} else {
		host = expand(r->to.host, p->captures);
		port = expand(r->to.port, p->captures);
		d.host = host;
		d.port = port ? parse_port(port) : 0;
		if (host && port)
			dial = dial_start(p->worker->loop, &d);
	}
	free(host);
	free(port);
	free(path);
	return dial;
}

enum reason backend_dial_reason(enum dial_result result)
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

int backend_tls_host(const struct backend_params *p, char **host)
{
	const struct conf_backend *to = &p->client->route->to;

	*host = to->tls ? expand(to->host, p->captures) : NULL;
	return to->tls && !*host ? -1 : 0;
}

int backend_start_tls(
	const struct backend_params *p, struct conn *c, const char *host)
{
	if (!host)
		return 0;
	return tls_connect(c,
		credentials_of_route(p->worker->credentials, p->client->route),
		host);
}

enum reason backend_tls_reason(const struct conn *c)
{
	switch (tls_cause(c)) {
	case TLS_NOTHING: /* or it ended without a word of TLS */
		return c->tls && c->opening ? REASON_BACKEND_TLS : REASON_NONE;
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

const char *backend_tls_detail(
	const struct conn *c, int error, char text[TLS_TEXT])
{
	if (tls_cause(c) != TLS_NOTHING)
		return tls_failure(c, text);
	return error ? strerror(error) : "it closed in the handshake";
}
