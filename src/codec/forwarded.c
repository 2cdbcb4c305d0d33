#include "codec/forwarded.h"

#include <stdio.h>
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

/* --- the PROXY protocol ---------------------------------------------------*/

/* Bytes of an address; 0 when the PROXY protocol cannot tell it. */
static size_t address_length(const struct addr *src, const struct addr *dst)
{
	if (src->family != dst->family)
		return 0;
	return src->family == ADDR_IPV4 ? 4 : src->family == ADDR_IPV6 ? 16 : 0;
}

/* Section 2.1, "Human-readable header format". */
static size_t encode_v1(uint8_t out[PROXY_HEAD_MAX], const struct addr *src,
	const struct addr *dst)
{
	char from[ADDR_TEXT], to[ADDR_TEXT];
	size_t length = address_length(src, dst);
	int n;

	if (length == 0)
		n = snprintf((char *)out, PROXY_HEAD_MAX, "PROXY UNKNOWN\r\n");
	else
		n = snprintf((char *)out, PROXY_HEAD_MAX,
			"PROXY TCP%c %s %s %u %u\r\n", length == 4 ? '4' : '6',
			addr_format_ip(src, from), addr_format_ip(dst, to),
			(unsigned int)src->port, (unsigned int)dst->port);
	return (size_t)n;
}

static uint8_t *put_16(uint8_t *to, uint16_t value)
{
	*to++ = (uint8_t)(value >> 8);
	*to++ = (uint8_t)value;
	return to;
}

/* Section 2.2, "Binary header format". */
static size_t encode_v2(uint8_t out[PROXY_HEAD_MAX], const struct addr *src,
	const struct addr *dst)
{
	static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00,
		0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };
	size_t length = address_length(src, dst);
	uint8_t *to = out + sizeof(signature);

	memcpy(out, signature, sizeof(signature));
	*to++ = length ? 0x21 : 0x20; /* version 2; PROXY or LOCAL */
	*to++ = length == 4 ? 0x11 : length == 16 ? 0x21 : 0x00; /* stream */
	to = put_16(to, length ? (uint16_t)(2 * length + 4) : 0);
	if (length == 0)
		return (size_t)(to - out);
	memcpy(to, src->ip, length);
	memcpy(to + length, dst->ip, length);
	to = put_16(to + 2 * length, src->port);
	to = put_16(to, dst->port);
	return (size_t)(to - out);
}

size_t proxy_encode(uint8_t out[PROXY_HEAD_MAX], enum proxy_version version,
	const struct addr *src, const struct addr *dst)
{
	switch (version) {
	case PROXY_NO:
		return 0;
	case PROXY_V1:
		return encode_v1(out, src, dst);
	case PROXY_V2:
		return encode_v2(out, src, dst);
	}
	return 0;
}
