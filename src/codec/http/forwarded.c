#include "codec/http/forwarded.h"

#include <string.h>

#include "codec/http/http.h"
#include "codec/http/uri.h"

/* --- X-Forwarded-* --------------------------------------------------------*/

/*
 * Takes the last element off a comma-separated list: trimmed, empty ones
 * skipped (RFC 9110 section 5.6.1). False when there is none left.
 */
static bool take_last(struct str *list, struct str *element)
{
	while (list->n > 0) {
		const char *comma = memrchr(list->p, ',', list->n);
		size_t kept = comma ? (size_t)(comma - list->p) : 0;
		size_t begin = comma ? kept + 1 : 0;

		*element = str_trim(
			(struct str){ list->p + begin, list->n - begin });
		list->n = kept;
		if (element->n > 0)
			return true;
	}
	return false;
}

/*
 * Walks left from the peer over trusted addresses; the first that is not
 * trusted is the client. False when no element has been seen.
 */
static bool walk(struct addr *peer, const struct http_head *head,
	const struct cidr_list *trusted)
{
	bool any = false;

	for (size_t i = head->n; i > 0; i--) {
		struct str list = head->fields[i - 1].value, element;

		if (!str_eq_nocase(
			    head->fields[i - 1].name, STR("X-Forwarded-For")))
			continue;
		while (take_last(&list, &element)) {
			struct addr next;

			any = true;
			if (!cidr_list_contains(trusted, peer) ||
				addr_parse(&next, element) < 0)
				return any;
			*peer = next;
		}
	}
	return any;
}

/* The last element of the last line of a field; STR_NONE: there is none. */
static struct str last_element(const struct http_head *head, struct str name)
{
	for (size_t i = head->n; i > 0; i--) {
		struct str list = head->fields[i - 1].value, element;

		if (!str_eq_nocase(head->fields[i - 1].name, name))
			continue;
		return take_last(&list, &element) ? element : STR_NONE;
	}
	return STR_NONE;
}

static void read_x_forwarded(struct forwarded *f, const struct http_head *head,
	const struct addr *socket_peer, const struct cidr_list *trusted)
{
	struct str proto = last_element(head, STR("X-Forwarded-Proto"));
	struct str host = last_element(head, STR("X-Forwarded-Host"));
	struct uri_authority authority;
	bool plain = str_eq_nocase(proto, STR("http")) ||
		     str_eq_nocase(proto, STR("ws"));

	*f = (struct forwarded){ .peer = *socket_peer };
	f->has_peer = walk(&f->peer, head, trusted);
	f->secure = str_eq_nocase(proto, STR("https")) ||
		    str_eq_nocase(proto, STR("wss"));
	f->has_proto = f->secure || plain;
	if (uri_parse_authority(&authority, host) == 0)
		f->host = host;
}

/* --- both ----------------------------------------------------------------*/

/* Where only one of them speaks, it is right. */
static const char *disagreement(
	const struct forwarded *a, const struct forwarded *b)
{
	if (a->has_peer && b->has_peer && !addr_same_ip(&a->peer, &b->peer))
		return "Forwarded and X-Forwarded-For disagree";
	if (a->has_proto && b->has_proto && a->secure != b->secure)
		return "Forwarded and X-Forwarded-Proto disagree";
	if (a->host.p && b->host.p && !str_eq_nocase(a->host, b->host))
		return "Forwarded and X-Forwarded-Host disagree";
	return NULL;
}

int forwarded_read(struct forwarded *f, const struct http_head *head,
	const struct addr *socket_peer, const struct cidr_list *trusted,
	const char **why)
{
	struct forwarded x;

	*f = (struct forwarded){ .peer = *socket_peer };
	read_x_forwarded(&x, head, socket_peer, trusted);
	if (cidr_list_contains(trusted, socket_peer) &&
		forwarded_read_list(f, head, socket_peer, trusted, why) < 0)
		return -1;
	*why = disagreement(f, &x);
	if (*why)
		return -1;
	if (!f->has_peer)
		f->peer = x.peer;
	if (!f->has_proto)
		f->secure = x.secure;
	if (!f->host.p)
		f->host = x.host;
	f->has_peer = f->has_peer || x.has_peer;
	f->has_proto = f->has_proto || x.has_proto;
	f->peer.port = 0;
	return 0;
}

int forwarded_write(
	struct buf *out, const struct addr *peer, struct str host, bool secure)
{
	char ip[ADDR_TEXT];
	const char *quote = http_is_token(host) ? "" : "\"";
	int failed;

	addr_format_ip(peer, ip);
	if (peer->family == ADDR_IPV6)
		failed = buf_add_printf(out, "for=\"[%s]\"", ip);
	else
		failed = buf_add_printf(out, "for=%s",
			peer->family == ADDR_IPV4 ? ip : "unknown");
	if (failed < 0)
		return -1;
	if (host.n > 0 && buf_add_printf(out, ";host=%s%.*s%s", quote,
				  (int)host.n, host.p, quote) < 0)
		return -1;
	return buf_add_printf(out, ";proto=%s", secure ? "https" : "http");
}
