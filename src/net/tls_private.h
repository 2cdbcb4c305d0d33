/*
 * tls_private.h: what tls.c (the transport) and tls_context.c (certificates,
 * keys, settings) share.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include "base/mbedtls.h"
#include "net/tls.h"

struct tls_parsed { /* an identity */
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
};

struct tls_context {
	unsigned references; /* one thread's */
	bool server;
	enum tls_ask ask;
	mbedtls_ssl_config config;
	mbedtls_x509_crt ca;
	size_t identities_n;
	struct tls_parsed *identities;
};

/* A client's context: whether the certificate is the host's (RFC 6125). */
bool tls_is_address(const char *host);
bool tls_is_for_host(const mbedtls_x509_crt *leaf, const char *host, size_t n);

#endif
