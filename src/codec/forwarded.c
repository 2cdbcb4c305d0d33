#include "codec/forwarded.h"

#include <string.h>

#include "codec/http.h"
#include "codec/uri.h"

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

/* Goes left from the peer as long as who told us so is trusted. */
static void walk(struct addr *peer, const struct http_head *head,
	const struct cidr_list *trusted)
{
	for (size_t i = head->n; i > 0; i--) {
		struct str list = head->fields[i - 1].value, element;

		if (!str_eq_nocase(
			    head->fields[i - 1].name, STR("X-Forwarded-For")))
			continue;
		while (take_last(&list, &element)) {
			struct addr next;

			if (!cidr_list_contains(trusted, peer) ||
				addr_parse(&next, element) < 0)
				return;
			*peer = next;
		}
	}
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

void forwarded_read(struct forwarded *f, const struct http_head *head,
	const struct addr *socket_peer, const struct cidr_list *trusted)
{
	struct str proto = last_element(head, STR("X-Forwarded-Proto"));
	struct str host = last_element(head, STR("X-Forwarded-Host"));
	struct uri_authority authority;
	bool plain = str_eq_nocase(proto, STR("http")) ||
		     str_eq_nocase(proto, STR("ws"));

	*f = (struct forwarded){ .peer = *socket_peer };
	walk(&f->peer, head, trusted);
	f->peer.port = 0;
	f->secure = str_eq_nocase(proto, STR("https")) ||
		    str_eq_nocase(proto, STR("wss"));
	f->has_proto = f->secure || plain;
	if (uri_parse_authority(&authority, host) == 0)
		f->host = host;
}
