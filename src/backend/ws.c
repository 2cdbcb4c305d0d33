/*
 * ws://host:port/path: our own WebSocket client (RFC 6455 section 4.1).
 *
 *   link -> request, built anew -> ws_answer: 101: ws_end
 *                                          -> else: passed on
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/http/cookie.h"
#include "codec/http/forwarded.h"
#include "codec/http/handshake.h"
#include "codec/http/http.h"
#include "codec/pattern.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/worker.h"
#include "gate/auth.h"
#include "gate/client.h"
#include "gate/invitation.h"
#include "gate/request.h"
#include "end/ws.h"
#include "backend/kind.h"
#include "backend/link.h"
#include "backend/ws_answer.h"

#define TOKEN_FILE_MAX 8192
#define TOKEN_DETAIL   300

struct ws_attempt {
	struct attempt attempt;
	struct link link;
	struct buf request; /* until it is sent */
	struct buf offers;  /* the subprotocols we offer: "a, b" */
	struct ws_answer answer;
	char key[HANDSHAKE_KEY];
};

static void ws_attempt_free(struct ws_attempt *a)
{
	link_close(&a->link);
	buf_free(&a->request);
	buf_free(&a->offers);
	ws_answer_free(&a->answer);
	free(a);
}

/* Says how it went, and is over. */
static void ws_attempt_done(
	struct ws_attempt *a, const struct backend_result *r)
{
	backend_tell(&a->attempt.params, r);
	ws_attempt_free(a);
}

static void ws_attempt_failed(
	struct ws_attempt *a, enum reason reason, const char *detail)
{
	ws_attempt_done(
		a, &(struct backend_result){
			   .outcome = { .reason = reason, .detail = detail } });
}

/* --- the request -----------------------------------------------------------------*/

static int make_offers(struct buf *out, const struct request *r)
{
	struct handshake_offers o;
	struct str p;

	handshake_offers_init(&o, &r->head);
	while (handshake_offers_next(&o, &p)) {
		if (auth_is_token(p) || str_eq(p, STR(AUTH_SUBPROTOCOL_PLAIN)))
			continue;
		if ((out->n > 0 && buf_add_str(out, STR(", ")) < 0) ||
			buf_add_str(out, p) < 0)
			return -1;
	}
	return 0;
}

static int add_field(struct buf *out, const char *name, struct str value)
{
	if (value.n == 0)
		return 0;
	return buf_add_printf(out, "%s: %.*s\r\n", name, (int)value.n, value.p);
}

static int add_host(struct buf *out, const struct backend_params *p)
{
	const struct conf_route *r = p->client->route;
	struct buf host = { 0 };
	int failed = -1;

	switch ((enum conf_backend_host)r->backend_host_kind) {
	case CONF_HOST_CLIENT:
		return add_field(out, "Host", p->request->host);
	case CONF_HOST_NAME:
		return add_field(out, "Host", str_of(r->backend_host));
	case CONF_HOST_BACKEND:
		break;
	}
	/* An IPv6 address is written in brackets (RFC 3986 section 3.2.2). */
	if (strchr(r->to.host, ':')) {
		if (buf_add_printf(&host, "[%s]", r->to.host) < 0)
			goto out;
	} else if (template_expand(&host, str_of(r->to.host), p->captures) <
		   0) {
		goto out;
	}
	if (strcmp(r->to.port, r->to.tls ? "443" : "80") != 0 &&
		(buf_add_str(&host, STR(":")) < 0 ||
			template_expand(
				&host, str_of(r->to.port), p->captures) < 0))
		goto out;
	failed = add_field(out, "Host", buf_str(&host));
out:
	buf_free(&host);
	return failed;
}

static int add_target(struct buf *out, const struct backend_params *p)
{
	char *query = backend_query(p);
	int failed = -1;

	if (query && buf_add_str(out, STR("GET ")) == 0 &&
		template_expand(out, str_of(p->client->route->to.path),
			p->captures) == 0 &&
		(!*query || (buf_add_str(out, STR("?")) == 0 &&
				    buf_add_str(out, str_of(query)) == 0)))
		failed = buf_add_str(out, STR(" HTTP/1.1\r\n"));
	free(query);
	return failed;
}

/* Whose request it is, in both ways that backends read. */
static int add_forwarded(
	struct buf *out, const struct client *c, const struct request *r)
{
	char peer[ADDR_TEXT];
	bool has_address = c->peer.family == ADDR_IPV4 ||
			   c->peer.family == ADDR_IPV6;

	if (has_address && add_field(out, "X-Forwarded-For",
				   str_of(addr_format_ip(&c->peer, peer))) < 0)
		return -1;
	if (add_field(out, "X-Forwarded-Proto",
		    r->secure ? STR("https") : STR("http")) < 0 ||
		add_field(out, "X-Forwarded-Host", r->host) < 0)
		return -1;
	if (c->route->mode == CONF_MODE_HUB) /* a trunk is no client's */
		return 0;
	if (buf_add_str(out, STR("Forwarded: ")) < 0 ||
		forwarded_write(out, &c->peer, r->host, r->secure) < 0)
		return -1;
	return buf_add_str(out, STR("\r\n"));
}

/* Without tokens, also those of other routes: a browser sends them to all. */
static int add_cookies(struct buf *out, const struct backend_params *p)
{
	const struct conf *conf = p->client->conf;
	struct str field = http_field(&p->request->head, STR("Cookie"));
	char *rest;
	int failed;

	if (field.n == 0)
		return 0;
	rest = malloc(field.n);
	if (!rest)
		return -1;
	memcpy(rest, field.p, field.n);
	field.p = rest;
	for (size_t i = 0; i < conf->routes_n; i++)
		if (conf->routes[i].token_cookie)
			field.n = cookie_without(rest, field,
				str_of(conf->routes[i].token_cookie));
	field.n = invitation_cookies_strip(rest, field.n);
	failed = add_field(out, "Cookie", field);
	free(rest);
	return failed;
}

/* What comes from the client is chosen by name: nothing else gets through. */
static int add_fields(struct buf *out, const struct backend_params *p)
{
	static const char *const passed[] = { "Origin", "User-Agent" };
	const struct client *c = p->client;
	const struct request *r = p->request;
	char id[CLIENT_ID_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		if (add_field(out, passed[i],
			    http_field(&r->head, str_of(passed[i]))) < 0)
			return -1;
	/* On a route without tokens the field is the backend's. */
	if (c->route->auth == CONF_AUTH_NONE && !c->route->backend_token_file &&
		add_field(out, "Authorization",
			http_field(&r->head, STR("Authorization"))) < 0)
		return -1;
	if (p->own)
		return 0;
	if (add_cookies(out, p) < 0)
		return -1;
	if (buf_add_printf(out, REQUEST_HOPS_FIELD ": %u\r\n", c->hops + 1u) <
			0 ||
		add_forwarded(out, c, r) < 0 ||
		add_field(out, "X-Wsrelay-Id", str_of(client_id(c, id))) < 0 ||
		add_field(out, "X-Wsrelay-Route",
			str_of(c->route->section.name)) < 0)
		return -1;
	if (add_field(out, "X-Wsrelay-Subject", str_of(client_subject(c))) < 0)
		return -1;
	return add_field(out, "X-Wsrelay-Client-Cert", str_of(c->certificate));
}

/* All but its last field, see finish_request. */
static int make_request(struct ws_attempt *a, const struct backend_params *p)
{
	struct buf *out = &a->request;
	uint8_t nonce[16];

	worker_random(p->worker, nonce, sizeof(nonce));
	handshake_make_key(a->key, nonce);
	if (make_offers(&a->offers, p->request) < 0 || add_target(out, p) < 0 ||
		add_host(out, p) < 0 ||
		buf_add_printf(out,
			"Upgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Version: 13\r\n"
			"Sec-WebSocket-Key: %.*s\r\n",
			HANDSHAKE_KEY, a->key) < 0 ||
		add_field(out, "Sec-WebSocket-Protocol", buf_str(&a->offers)) <
			0)
		return -1;
	return add_fields(out, p);
}

/* What RFC 6750 section 2.1 allows: nothing that could end the field. */
static bool is_token(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)p[i]) && !strchr("-._~+/=", p[i]))
			return false;
	return n > 0;
}

/* Its one line. -1 and *why. */
static int read_token(char *out, size_t *n, const char *name, const char **why)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = fd < 0 ? -1 : read(fd, out, TOKEN_FILE_MAX);

	*why = got < 0 ? strerror(errno) : "it holds no token in one line";
	if (fd >= 0)
		close(fd);
	if (got < 0)
		return -1;
	*n = (size_t)got;
	while (*n > 0 && isspace((unsigned char)out[*n - 1]))
		(*n)--;
	return got < TOKEN_FILE_MAX && is_token(out, *n) ? 0 : -1;
}

/* The token is as new as can be. -1 and why, in words. */
static int finish_request(
	struct ws_attempt *a, char detail[TOKEN_DETAIL], enum reason *reason)
{
	const char *name = a->attempt.params.client->route->backend_token_file;
	char token[TOKEN_FILE_MAX];
	const char *why;
	size_t n;

	*reason = REASON_BACKEND_TOKEN;
	if (name && read_token(token, &n, name, &why) < 0) {
		snprintf(detail, TOKEN_DETAIL, "%s: %s", name, why);
		return -1;
	}
	*reason = REASON_INTERNAL;
	snprintf(detail, TOKEN_DETAIL, "no memory");
	if (name &&
		(buf_add_str(&a->request, STR("Authorization: Bearer ")) < 0 ||
			buf_add(&a->request, token, n, SIZE_MAX) < 0 ||
			buf_add_str(&a->request, STR("\r\n")) < 0))
		return -1;
	return buf_add_str(&a->request, STR("\r\n"));
}

/* --- the response ------------------------------------------------------------------*/

static bool was_offered(const struct ws_attempt *a, struct str protocol)
{
	struct str list = buf_str(&a->offers), p;

	while (str_next_element(&list, &p))
		if (str_eq(p, protocol))
			return true;
	return false;
}

static void upgrade_done(struct ws_attempt *a)
{
	const struct backend_params *p = &a->attempt.params;
	const struct ws_answer *answer = &a->answer;
	struct conn *c = a->link.conn;
	struct backend_result r = { 0 };
	struct http_head h;
	struct str protocol;
	const char *why;

	ws_answer_head(answer, &h);
	if (handshake_check_response(&h, (struct str){ a->key, HANDSHAKE_KEY },
		    &protocol, &why) < 0) {
		ws_attempt_failed(a, REASON_BACKEND_HANDSHAKE, why);
		return;
	}
	if (protocol.p && !was_offered(a, protocol)) {
		ws_attempt_failed(a, REASON_BACKEND_HANDSHAKE,
			"it selected a subprotocol that was not offered");
		return;
	}
	conn_set_reading(c, false);
	if (conn_unread(c, answer->in.p + answer->head_n,
		    answer->in.n - answer->head_n) == 0)
		r.end = ws_end_new(p->worker, c, END_BACKEND, p->client->route);
	if (!r.end) {
		ws_attempt_failed(a, REASON_INTERNAL, "no memory");
		return;
	}
	(void)link_take(&a->link);
	r.outcome.protocol = protocol;
	ws_attempt_done(a, &r);
}

/* A refusal, with its body as far as it came. */
static void refused(struct ws_attempt *a)
{
	struct http_head h;
	struct buf fields = { 0 };
	char detail[] = "HTTP 000";
	struct backend_result r = {
		.outcome = { .reason = REASON_BACKEND_STATUS,
			.detail = detail },
		.body = buf_str(&a->answer.body)
	};

	ws_answer_head(&a->answer, &h);
	detail[5] = (char)('0' + h.status / 100);
	detail[6] = (char)('0' + h.status / 10 % 10);
	detail[7] = (char)('0' + h.status % 10);
	r.status = h.status;
	if (ws_answer_fields(&a->answer, &fields) < 0) {
		ws_attempt_failed(a, REASON_INTERNAL, "no memory");
	} else {
		r.fields = buf_str(&fields);
		ws_attempt_done(a, &r);
	}
	buf_free(&fields);
}

static void take_response(struct ws_attempt *a, const uint8_t *p, size_t n)
{
	const char *why;

	switch (ws_answer_add(&a->answer, p, n, &why)) {
	case WS_ANSWER_MORE:
		break;
	case WS_ANSWER_SWITCHED:
		upgrade_done(a);
		break;
	case WS_ANSWER_REFUSED:
		refused(a);
		break;
	case WS_ANSWER_BAD:
		ws_attempt_failed(a, REASON_BACKEND_HANDSHAKE, why);
		break;
	case WS_ANSWER_NO_MEMORY:
		ws_attempt_failed(a, REASON_INTERNAL, "no memory");
		break;
	}
}

static size_t ws_input(struct conn *c, uint8_t *p, size_t n)
{
	take_response(c->owner, p, n);
	return n;
}

static void ws_ended(struct conn *c, int error)
{
	struct ws_attempt *a = c->owner;

	if (a->answer.head_n > 0)
		refused(a);
	else if (!link_tls_failed(&a->link, error))
		ws_attempt_failed(a, REASON_BACKEND_HANDSHAKE,
			error ? strerror(error)
			      : "it closed instead of answering");
}

static const struct conn_cb ws_cb = {
	.input = ws_input,
	.ended = ws_ended,
};

/* --- opening -------------------------------------------------------------------------*/

static struct ws_attempt *attempt_of(struct link *l)
{
	return CONTAINER_OF(l, struct ws_attempt, link);
}

static void ws_ready(struct link *l)
{
	struct ws_attempt *a = attempt_of(l);
	char detail[TOKEN_DETAIL];
	enum reason reason;

	if (finish_request(a, detail, &reason) < 0) {
		ws_attempt_failed(a, reason, detail);
		return;
	}
	conn_set_owner(l->conn, &ws_cb, a);
	conn_send_copied(l->conn, a->request.p, a->request.n);
	buf_free(&a->request);
	conn_set_reading(l->conn, true);
}

static void ws_failed(struct link *l, enum reason reason, const char *detail)
{
	ws_attempt_failed(attempt_of(l), reason, detail);
}

static void ws_late(struct link *l)
{
	struct ws_attempt *a = attempt_of(l);

	if (a->answer.head_n > 0)
		refused(a); /* its status is known, its body is slow */
	else
		ws_attempt_failed(
			a, REASON_BACKEND_TIMEOUT, "no answer to the upgrade");
}

static const struct link_cb ws_link = {
	.ready = ws_ready,
	.failed = ws_failed,
	.late = ws_late,
};

static struct attempt *ws_open(const struct backend_params *p)
{
	struct ws_attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->attempt.params = *p;
	if (make_request(a, p) < 0 ||
		link_open(&a->link, &a->attempt.params, &ws_link) < 0) {
		ws_attempt_free(a);
		return NULL;
	}
	return &a->attempt;
}

static void ws_cancel(struct attempt *attempt)
{
	ws_attempt_free(CONTAINER_OF(attempt, struct ws_attempt, attempt));
}

const struct backend_kind backend_ws = {
	.open = ws_open,
	.cancel = ws_cancel,
};
