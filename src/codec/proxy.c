#include "codec/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define V1_BEGIN "PROXY "

/* Section 2.2. */
static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a,
	0x51, 0x55, 0x49, 0x54, 0x0a };
enum v2_command { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum v2_family {
	V2_UNSPEC = 0x00,
	V2_INET_STREAM = 0x11,
	V2_INET_DGRAM = 0x12, /* HTTP/3 in front */
	V2_INET6_STREAM = 0x21,
	V2_INET6_DGRAM = 0x22,
	V2_UNIX_STREAM = 0x31,
	V2_UNIX_DGRAM = 0x32,
};
#define V2_HEAD 16 /* bytes in front of the addresses */

static ssize_t bad_header(const char **why, const char *text)
{
	*why = text;
	return PROXY_BAD;
}

/* --- version 1 -------------------------------------------------------------*/

/* Takes a word and the blank behind it, which the last one has not. */
static int take_word(struct str *line, struct str *word, bool last)
{
	const char *blank = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;

	if (!blank != last)
		return -1;
	word->p = line->p;
	word->n = blank ? (size_t)(blank - line->p) : line->n;
	line->p += word->n + !last;
	line->n -= word->n + !last;
	return word->n > 0 ? 0 : -1;
}

/* An address of this family alone: no brackets, no port behind it. */
static int parse_address(struct addr *a, struct str s, bool v6)
{
	size_t colons = 0;

	for (size_t i = 0; i < s.n; i++)
		colons += s.p[i] == ':';
	if (s.p[0] == '[' || (v6 ? colons < 2 : colons > 0))
		return -1;
	return addr_parse(a, s);
}

/* Decimal, without leading zeros. */
static int parse_port(uint16_t *port, struct str s)
{
	unsigned value = 0;

	if (s.n > 5 || (s.n > 1 && s.p[0] == '0'))
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		value = value * 10 + (unsigned)(s.p[i] - '0');
	}
	*port = (uint16_t)value;
	return value <= UINT16_MAX ? 0 : -1;
}

/* A line without its CR LF, behind "PROXY ". */
static int parse_v1(struct proxy_head *head, struct str line)
{
	struct str family, src, dst, src_port, dst_port;
	struct addr to;
	bool v6;

	if (str_eq(line, STR("UNKNOWN")) || str_starts(line, STR("UNKNOWN "))) {
		head->who = PROXY_UNNAMED;
		return 0;
	}
	if (take_word(&line, &family, false) < 0 ||
		take_word(&line, &src, false) < 0 ||
		take_word(&line, &dst, false) < 0 ||
		take_word(&line, &src_port, false) < 0 ||
		take_word(&line, &dst_port, true) < 0)
		return -1;
	v6 = str_eq(family, STR("TCP6"));
	if ((!v6 && !str_eq(family, STR("TCP4"))) ||
		parse_address(&head->addr, src, v6) < 0 ||
		parse_address(&to, dst, v6) < 0 ||
		parse_port(&head->addr.port, src_port) < 0 ||
		parse_port(&to.port, dst_port) < 0)
		return -1;
	head->who = PROXY_CLIENT;
	return 0;
}

static ssize_t decode_v1(
	struct proxy_head *head, const char *p, size_t n, const char **why)
{
	size_t begin = sizeof(V1_BEGIN) - 1;
	size_t end = begin;

	if (n > PROXY_V1_MAX)
		n = PROXY_V1_MAX;
	while (end < n && p[end] != '\r' && p[end] != '\n')
		end++;
	if (end < n && p[end] == '\n')
		return bad_header(why, "its line ends in a bare LF");
	if (end + 1 < n && p[end + 1] != '\n')
		return bad_header(why, "a bare CR in its line");
	if (end + 1 >= n)
		return n < PROXY_V1_MAX
			       ? PROXY_PARTIAL
			       : bad_header(why, "its line is too long");
	if (parse_v1(head, (struct str){ p + begin, end - begin }) < 0)
		return bad_header(
			why, "its line has not the form of version 1");
	return (ssize_t)end + 2;
}

/* --- version 2 -------------------------------------------------------------*/

/* RFC 3720 appendix B.4; bit by bit: a header is short, and comes once. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* Section 2.2.3: over the whole header, with zeros in the sum's place. */
static bool checksum_is_right(const uint8_t *p, size_t n, size_t at)
{
	static const uint8_t zeros[4];
	uint32_t crc = crc32c(0, p, at);
	uint32_t said = (uint32_t)p[at] << 24 | (uint32_t)p[at + 1] << 16 |
			(uint32_t)p[at + 2] << 8 | p[at + 3];

	crc = crc32c(crc, zeros, sizeof(zeros));
	return crc32c(crc, p + at + 4, n - at - 4) == said;
}

enum { TLV_CRC32C = 0x03, TLV_SSL = 0x20 }; /* section 2.2 */
#define SSL_LEAST  5                        /* bytes: a bit field, a number */
#define SSL_CLIENT 0x01                     /* in the bit field */

/* What is behind the addresses, from at to the header's end. */
static int read_tlvs(struct proxy_head *head, const uint8_t *p, size_t n,
	size_t at, const char **why)
{
	while (at < n) {
		size_t length;
		uint8_t type = p[at];

		if (n - at < 3)
			return (int)bad_header(why, "a torn TLV");
		length = (size_t)p[at + 1] << 8 | p[at + 2];
		at += 3;
		if (length > n - at)
			return (int)bad_header(why, "a torn TLV");
		if (type == TLV_CRC32C &&
			(length != 4 || !checksum_is_right(p, n, at)))
			return (int)bad_header(why, "its checksum is wrong");
		if (type == TLV_SSL && length < SSL_LEAST)
			return (int)bad_header(why, "a TLV that is too short");
		if (type == TLV_SSL)
			head->secure = p[at] & SSL_CLIENT;
		at += length;
	}
	return 0;
}

/* Bytes of both addresses, with the ports; -1: no such family. */
static int addresses_length(uint8_t family)
{
	switch (family) {
	case V2_UNSPEC:
		return 0;
	case V2_INET_STREAM:
	case V2_INET_DGRAM:
		return 2 * (4 + 2);
	case V2_INET6_STREAM:
	case V2_INET6_DGRAM:
		return 2 * (16 + 2);
	case V2_UNIX_STREAM:
	case V2_UNIX_DGRAM:
		return 2 * 108;
	default:
		return -1;
	}
}

/* Of IPv4 or IPv6; the source comes first. */
static void read_address(struct proxy_head *head, const uint8_t *p, size_t n)
{
	size_t length = (n - 4) / 2;
	const uint8_t *port = p + 2 * length;

	if (length == 4)
		addr_from_ipv4(&head->addr, p);
	else
		addr_from_ipv6(&head->addr, p);
	head->addr.port = (uint16_t)(port[0] << 8 | port[1]);
	head->who = PROXY_CLIENT;
}

/* A whole header of n bytes. */
static ssize_t parse_v2(
	struct proxy_head *head, const uint8_t *p, size_t n, const char **why)
{
	int addresses = addresses_length(p[13]);

	if (p[12] == V2_LOCAL) { /* the rest is to be ignored */
		head->who = PROXY_ITSELF;
		return (ssize_t)n;
	}
	if (addresses < 0)
		return bad_header(why, "an unknown family of addresses");
	if ((size_t)addresses > n - V2_HEAD)
		return bad_header(why, "it is too short for its addresses");
	head->who = PROXY_UNNAMED;
	if (p[13] == V2_UNSPEC) /* whatever follows */
		return (ssize_t)n;
	if (p[13] != V2_UNIX_STREAM && p[13] != V2_UNIX_DGRAM)
		read_address(head, p + V2_HEAD, (size_t)addresses);
	if (read_tlvs(head, p, n, V2_HEAD + (size_t)addresses, why) < 0)
		return PROXY_BAD;
	return (ssize_t)n;
}

static ssize_t decode_v2(
	struct proxy_head *head, const uint8_t *p, size_t n, const char **why)
{
	size_t length;

	if (n > 12 && p[12] != V2_LOCAL && p[12] != V2_PROXY)
		return bad_header(why, "an unknown version or command");
	if (n < V2_HEAD)
		return PROXY_PARTIAL;
	length = V2_HEAD + ((size_t)p[14] << 8 | p[15]);
	if (length > PROXY_READ_MAX)
		return bad_header(why, "it is too long");
	return n < length ? PROXY_PARTIAL : parse_v2(head, p, length, why);
}

/* --- both ------------------------------------------------------------------*/

static bool begins(const uint8_t *p, size_t n, const void *with, size_t with_n)
{
	return memcmp(p, with, n < with_n ? n : with_n) == 0;
}

ssize_t proxy_decode(
	struct proxy_head *head, const uint8_t *p, size_t n, const char **why)
{
	*head = (struct proxy_head){ .who = PROXY_UNNAMED };
	*why = NULL;
	if (n == 0)
		return PROXY_PARTIAL;
	if (begins(p, n, V1_BEGIN, sizeof(V1_BEGIN) - 1))
		return n < sizeof(V1_BEGIN) - 1
			       ? PROXY_PARTIAL
			       : decode_v1(head, (const char *)p, n, why);
	if (begins(p, n, signature, sizeof(signature)))
		return decode_v2(head, p, n, why);
	return bad_header(why, p[0] == 0x16 ? "TLS came without one"
					    : "the first bytes are none");
}

/* --- writing ---------------------------------------------------------------*/

/* Both addresses, in one family. */
struct both {
	size_t length; /* bytes of each; 0: the PROXY protocol cannot tell src */
	uint8_t src[16], dst[16];
	uint16_t src_port, dst_port;
};

static void put_address(uint8_t out[16], const struct addr *a, size_t length)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(out, 0, 16);
	if (a->family == ADDR_IPV4 && length == 16) {
		memcpy(out, mapped, sizeof(mapped));
		memcpy(out + sizeof(mapped), a->ip, 4);
	} else if (a->family == ADDR_IPV4 || a->family == ADDR_IPV6) {
		memcpy(out, a->ip, length);
	}
}

static void make_both(
	struct both *b, const struct addr *src, const struct addr *dst)
{
	*b = (struct both){ .src_port = src->port, .dst_port = dst->port };
	if (src->family != ADDR_IPV4 && src->family != ADDR_IPV6)
		return;
	b->length = src->family == ADDR_IPV6 || dst->family == ADDR_IPV6 ? 16
									 : 4;
	put_address(b->src, src, b->length);
	put_address(b->dst, dst, b->length);
}

/* Section 2.1, "Human-readable header format". */
static size_t encode_v1(uint8_t out[PROXY_HEAD_MAX], const struct both *b)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	int family = b->length == 4 ? AF_INET : AF_INET6;
	int n;

	if (b->length == 0) {
		n = snprintf(
			(char *)out, PROXY_HEAD_MAX, V1_BEGIN "UNKNOWN\r\n");
		return (size_t)n;
	}
	inet_ntop(family, b->src, src, sizeof(src));
	inet_ntop(family, b->dst, dst, sizeof(dst));
	n = snprintf((char *)out, PROXY_HEAD_MAX,
		V1_BEGIN "TCP%c %s %s %u %u\r\n", b->length == 4 ? '4' : '6',
		src, dst, (unsigned)b->src_port, (unsigned)b->dst_port);
	return (size_t)n;
}

static uint8_t *put_16(uint8_t *to, uint16_t value)
{
	*to++ = (uint8_t)(value >> 8);
	*to++ = (uint8_t)value;
	return to;
}

/* Section 2.2, "Binary header format". */
static size_t encode_v2(uint8_t out[PROXY_HEAD_MAX], const struct both *b)
{
	uint8_t *to = out + sizeof(signature);

	memcpy(out, signature, sizeof(signature));
	*to++ = b->length ? V2_PROXY : V2_LOCAL;
	*to++ = b->length == 4    ? V2_INET_STREAM
		: b->length == 16 ? V2_INET6_STREAM
				  : V2_UNSPEC;
	to = put_16(to, b->length ? (uint16_t)(2 * b->length + 4) : 0);
	if (b->length == 0)
		return (size_t)(to - out);
	memcpy(to, b->src, b->length);
	memcpy(to + b->length, b->dst, b->length);
	to = put_16(to + 2 * b->length, b->src_port);
	to = put_16(to, b->dst_port);
	return (size_t)(to - out);
}

size_t proxy_encode(uint8_t out[PROXY_HEAD_MAX], enum proxy_version version,
	const struct addr *src, const struct addr *dst)
{
	struct both both;

	make_both(&both, src, dst);
	switch (version) {
	case PROXY_NO:
		return 0;
	case PROXY_V1:
		return encode_v1(out, &both);
	case PROXY_V2:
		return encode_v2(out, &both);
	}
	return 0;
}
