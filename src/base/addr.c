#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
	0xff };

static size_t ip_bits(uint8_t family)
{
	return family == ADDR_IPV4 ? 32 : family == ADDR_IPV6 ? 128 : 0;
}

/* Sets an IPv6 address; a mapped one becomes the IPv4 address it means. */
static void set_ipv6(struct addr *a, const uint8_t ip[16])
{
	memset(a->ip, 0, sizeof(a->ip));
	if (memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		a->family = ADDR_IPV4;
		memcpy(a->ip, ip + sizeof(mapped_prefix), 4);
	} else {
		a->family = ADDR_IPV6;
		memcpy(a->ip, ip, 16);
	}
}

void addr_from_ipv4(struct addr *a, const uint8_t ip[4])
{
	*a = (struct addr){ .family = ADDR_IPV4 };
	memcpy(a->ip, ip, 4);
}

void addr_from_ipv6(struct addr *a, const uint8_t ip[16])
{
	*a = (struct addr){ .port = 0 };
	set_ipv6(a, ip);
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	*a = (struct addr){ .family = ADDR_NONE };
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		addr_from_ipv4(a, (const uint8_t *)&in.sin_addr);
		a->port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		addr_from_ipv6(a, in6.sin6_addr.s6_addr);
		a->port = ntohs(in6.sin6_port);
	} else if (sa->sa_family == AF_UNIX) {
		a->family = ADDR_UNIX;
	}
}

/* A decimal number of 1 to 5 digits, at most max. -1: it is not one. */
static int parse_number(struct str s, unsigned int max, unsigned int *number)
{
	uint64_t value;

	if (s.n > 5 || str_decimal(s, max, &value) < 0)
		return -1;
	*number = (unsigned int)value;
	return 0;
}

/* An address alone. inet_pton refuses scopes and numbers like 010. */
static int parse_ip(struct addr *a, struct str s)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t ip[16];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return -1;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, ip) == 1) {
		memset(a->ip, 0, sizeof(a->ip));
		memcpy(a->ip, ip, 4);
		a->family = ADDR_IPV4;
		return 0;
	}
	if (inet_pton(AF_INET6, text, ip) != 1)
		return -1;
	set_ipv6(a, ip);
	return 0;
}

/* Splits "[v6]rest": *ip without the brackets, *rest behind them. */
static int split_brackets(struct str s, struct str *ip, struct str *rest)
{
	const char *end = memchr(s.p, ']', s.n);

	if (!end)
		return -1;
	*ip = (struct str){ s.p + 1, (size_t)(end - s.p) - 1 };
	*rest = (struct str){ end + 1, s.n - ip->n - 2 };
	/* Only IPv6 is written in brackets (RFC 3986 section 3.2.2). */
	return ip->n > 0 && memchr(ip->p, ':', ip->n) ? 0 : -1;
}

/* Splits "ip:port"; more than one colon makes it an IPv6 address alone. */
static void split_colon(struct str s, struct str *ip, struct str *rest)
{
	const char *colon = memchr(s.p, ':', s.n);
	size_t n = colon ? (size_t)(colon - s.p) : s.n;

	if (colon && memchr(colon + 1, ':', s.n - n - 1))
		n = s.n;
	*ip = (struct str){ s.p, n };
	*rest = (struct str){ s.p + n, s.n - n };
}

int addr_parse(struct addr *a, struct str s)
{
	struct addr parsed = { .port = 0 };
	struct str ip, rest;
	unsigned int port = 0;

	if (s.n == 0)
		return -1;
	if (s.p[0] != '[')
		split_colon(s, &ip, &rest);
	else if (split_brackets(s, &ip, &rest) < 0)
		return -1;
	if (parse_ip(&parsed, ip) < 0)
		return -1;
	if (rest.n > 0 &&
		(rest.p[0] != ':' ||
			parse_number((struct str){ rest.p + 1, rest.n - 1 },
				UINT16_MAX, &port) < 0))
		return -1;
	parsed.port = (uint16_t)port;
	*a = parsed;
	return 0;
}

const char *addr_format_ip(const struct addr *a, char text[ADDR_TEXT])
{
	switch ((enum addr_family)a->family) {
	case ADDR_NONE:
		return strcpy(text, "-");
	case ADDR_UNIX:
		return strcpy(text, "unix");
	case ADDR_IPV4:
		return inet_ntop(AF_INET, a->ip, text, ADDR_TEXT);
	case ADDR_IPV6:
		return inet_ntop(AF_INET6, a->ip, text, ADDR_TEXT);
	}
	return strcpy(text, "-");
}

const char *addr_format(const struct addr *a, char text[ADDR_TEXT])
{
	char ip[ADDR_TEXT];
	bool v6 = a->family == ADDR_IPV6;

	addr_format_ip(a, ip);
	if (a->port == 0 || ip_bits(a->family) == 0)
		return strcpy(text, ip);
	snprintf(text, ADDR_TEXT, "%s%.45s%s:%u", v6 ? "[" : "", ip,
		v6 ? "]" : "", (unsigned int)a->port);
	return text;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family &&
	       memcmp(a->ip, b->ip, ip_bits(a->family) / 8) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (a->family == ADDR_IPV4)
		return a->ip[0] == 127; /* RFC 1122 section 3.2.1.3 */
	return a->family == ADDR_IPV6 && memcmp(a->ip, one, 16) == 0;
}

/* Whether the first bits of a and b are the same. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, size_t bits)
{
	size_t bytes = bits / 8;
	unsigned int mask = 0xff00u >> bits % 8 & 0xff;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return bits % 8 == 0 || ((a[bytes] ^ b[bytes]) & mask) == 0;
}

/* Whether all bits behind the prefix are zero. */
static bool is_network(const struct addr *a, size_t bits)
{
	for (size_t i = bits; i < ip_bits(a->family); i++)
		if (a->ip[i / 8] & 0x80u >> i % 8)
			return false;
	return true;
}

int cidr_parse(struct cidr *c, struct str s)
{
	const char *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
	struct str ip = { s.p, slash ? (size_t)(slash - s.p) : s.n };
	struct cidr parsed = { .bits = 0 };
	unsigned int bits;
	bool mapped;

	if (str_eq(s, STR("unix"))) {
		*c = (struct cidr){ .net.family = ADDR_UNIX };
		return 0;
	}
	if (parse_ip(&parsed.net, ip) < 0)
		return -1;
	/* ::ffff:10.0.0.0/104 is 10.0.0.0/8. */
	mapped = parsed.net.family == ADDR_IPV4 && memchr(ip.p, ':', ip.n);
	bits = (unsigned int)ip_bits(parsed.net.family);
	if (slash) {
		unsigned int most = mapped ? 128 : bits;
		struct str number = { slash + 1, s.n - ip.n - 1 };

		if (parse_number(number, most, &bits) < 0)
			return -1;
		if (mapped && bits < 96)
			return -1;
		if (mapped)
			bits -= 96;
	}
	if (!is_network(&parsed.net, bits))
		return -1;
	parsed.bits = (uint8_t)bits;
	*c = parsed;
	return 0;
}

bool cidr_contains(const struct cidr *c, const struct addr *a)
{
	return c->net.family == a->family &&
	       same_prefix(c->net.ip, a->ip, c->bits);
}

bool cidr_covers(const struct cidr *a, const struct cidr *b)
{
	return a->bits <= b->bits && cidr_contains(a, &b->net);
}

bool cidr_list_contains(const struct cidr_list *l, const struct addr *a)
{
	for (size_t i = 0; i < l->n; i++)
		if (cidr_contains(&l->v[i], a))
			return true;
	return false;
}
