/*
 * addr.h: network addresses and sets of them. An IPv4-mapped IPv6 address
 * is the IPv4 address everywhere (RFC 4291 section 2.5.5.2).
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

struct sockaddr;

enum addr_family { ADDR_NONE, ADDR_IPV4, ADDR_IPV6, ADDR_UNIX };

/* 20 bytes: kept per connection. */
struct addr {
	uint8_t ip[16]; /* IPv4 in the first four */
	uint16_t port;  /* host order, 0 = unknown */
	uint8_t family; /* enum addr_family */
};

/* Longest text of addr_format, with its NUL: "[v6%]:65535". */
#define ADDR_TEXT 64

/* From the bytes on the wire; the port is 0. A mapped IPv6 address is IPv4. */
void addr_from_ipv4(struct addr *a, const uint8_t ip[4]);
void addr_from_ipv6(struct addr *a, const uint8_t ip[16]);
void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa);
/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]", each with or without :port. */
MUST_CHECK int addr_parse(struct addr *a, struct str s);
/* "192.0.2.1:80", "[::1]:80"; without a port when it is 0; "unix". */
const char *addr_format(const struct addr *a, char text[ADDR_TEXT]);
/* The same without the port and without brackets; "-" for ADDR_NONE. */
const char *addr_format_ip(const struct addr *a, char text[ADDR_TEXT]);
bool addr_same_ip(const struct addr *a, const struct addr *b);
/* 127.0.0.0/8 and ::1; a Unix socket is not. */
bool addr_is_loopback(const struct addr *a);

/* A network: 10.0.0.0/8, 2001:db8::/32, a bare address, or "unix". */
struct cidr {
	struct addr net;
	uint8_t bits;
};

/* -1: not a network, or bits set behind the prefix ("10.0.0.1/8"). */
MUST_CHECK int cidr_parse(struct cidr *c, struct str s);
/* IPv4 addresses are in no IPv6 network, not even in ::/0. */
bool cidr_contains(const struct cidr *c, const struct addr *a);
/* Whether every address of b is in a. */
bool cidr_covers(const struct cidr *a, const struct cidr *b);

struct cidr_list {
	struct cidr *v;
	size_t n;
};

bool cidr_list_contains(const struct cidr_list *l, const struct addr *a);

#endif
