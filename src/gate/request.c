#include "gate/request.h"

#include <stdlib.h>

#include "codec/http/forwarded.h"
#include "codec/http/handshake.h"
#include "conf/conf.h"

static enum reason reason_of_status(int status)
{
	switch (status) {
	case 405:
		return REASON_METHOD;
	case 426:
		return REASON_UPGRADE;
	case 431:
		return REASON_HEAD_SIZE;
	case 501:
		return REASON_NOT_IMPLEMENTED;
	case 505:
		return REASON_HTTP_VERSION;
	default:
		return REASON_BAD_REQUEST;
	}
}

/* Whether it would have come over TLS, if its fields were believed. */
static bool claims_tls(const struct request *r, const struct addr *peer)
{
	struct cidr alone = { .net = *peer,
		.bits = peer->family == ADDR_IPV4   ? 32
			: peer->family == ADDR_IPV6 ? 128
						    : 0 };
	const struct cidr_list trusted = { &alone, 1 };
	const char *why;
	struct forwarded f;

	return !r->secure &&
	       forwarded_read(&f, &r->head, peer, &trusted, &why) == 0 &&
	       f.has_proto && f.secure;
}

/* The client's own address, where a trusted proxy names it. */
static int read_forwarded(
	struct request *r, const struct request_source *from, const char **why)
{
	const struct cidr_list *trusted = &from->listen->trusted_proxies;
	struct forwarded f;

	if (from->unnamed || !cidr_list_contains(trusted, from->peer)) {
		r->claims_tls = claims_tls(r, from->peer);
		return 0;
	}
	if (forwarded_read(&f, &r->head, from->peer, trusted, why) < 0)
		return -1;
	r->peer = f.peer;
	if (f.has_proto)
		r->secure = f.secure;
	if (f.host.p)
		r->host = f.host;
	return 0;
}

/* What the log may show of a target that is none. */
static struct str path_alone(struct str target)
{
	size_t n = 0;

	if (target.n == 0 || target.p[0] != '/')
		return STR_NONE;
	while (n < target.n && target.p[n] != '?' && target.p[n] != '#')
		n++;
	return (struct str){ target.p, n };
}

static enum reason parse_target(struct request *r, const char **why)
{
	struct uri_target target;
	ssize_t n;

	if (uri_split_target(&target, r->head.target) < 0) {
		*why = "the target is not a path";
		r->path = path_alone(r->head.target);
		return REASON_BAD_REQUEST;
	}
	r->memory = malloc(target.path.n + 1);
	if (!r->memory)
		return REASON_INTERNAL;
	n = uri_normalise_path(r->memory, target.path);
	if (n < 0) {
		*why = uri_path_fault(target.path);
		r->path = target.path; /* for the log */
		return REASON_BAD_REQUEST;
	}
	r->path = (struct str){ r->memory, (size_t)n };
	r->query = target.query;
	/* RFC 9112 section 3.2.2: the absolute form's authority is the Host. */
	if (target.authority.p)
		r->host = target.authority;
	return REASON_NONE;
}

/*
 * A client that sends one of these fields wants a WebSocket. A proxy on the way
 * may have dropped the others: that must not look like a request for a page.
 */
static bool means_websocket(const struct http_head *head)
{
	return http_has_element(head, STR("Upgrade"), STR("websocket")) ||
	       http_field_count(head, STR("Sec-WebSocket-Key")) > 0;
}

static enum reason check_host(struct request *r,
	const struct conf_listen *listen, const struct conf_address *address,
	const char **why)
{
	if (r->host.n == 0 && r->head.minor == 0)
		return REASON_NONE; /* HTTP/1.0 need not say it */
	if (uri_parse_authority(&r->authority, r->host) < 0) {
		*why = "Host is not a host and a port";
		return REASON_BAD_REQUEST;
	}
	return conf_listen_answers(listen, address, r->authority.host)
		       ? REASON_NONE
		       : REASON_HOST;
}

/* What is no number counts as none: it is between relays. */
static uint8_t read_hops(const struct http_head *head)
{
	struct str s = http_field(head, STR(REQUEST_HOPS_FIELD));
	unsigned n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		n = n * 10 + (unsigned)(s.p[i] - '0');
		if (n > UINT8_MAX)
			return UINT8_MAX;
	}
	return (uint8_t)n;
}

enum reason request_parse(struct request *r, const char *p, size_t n,
	const struct request_source *from, const char **why)
{
	enum reason reason;
	int status;

	*r = (struct request){ .peer = *from->peer, .secure = from->secure };
	*why = NULL;
	status = http_parse_request(&r->head, p, n, why);
	if (status)
		return reason_of_status(status);
	r->host = http_field(&r->head, STR("Host"));
	r->origin = http_field(&r->head, STR("Origin"));
	r->hops = read_hops(&r->head);
	reason = parse_target(r, why);
	if (reason != REASON_NONE)
		return reason;
	if (read_forwarded(r, from, why) < 0)
		return REASON_BAD_REQUEST;
	if (!str_eq(r->head.method, STR("GET")) &&
		!str_eq(r->head.method, STR("HEAD")))
		return REASON_METHOD;
	r->upgrade = means_websocket(&r->head);
	if (r->upgrade) {
		status = handshake_check_request(&r->head, &r->key, why);
		if (status) {
			r->key = STR_NONE;
			return reason_of_status(status);
		}
	}
	if (http_field_count(&r->head, STR("Origin")) > 1) {
		*why = "more than one Origin";
		return REASON_BAD_REQUEST;
	}
	return check_host(r, from->listen, from->address, why);
}

bool request_can_upgrade(const struct request *r)
{
	return r->key.p != NULL;
}

void request_free(struct request *r)
{
	free(r->memory);
	r->memory = NULL;
}
