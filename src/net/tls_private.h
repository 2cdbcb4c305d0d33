/*
 * tls_private.h: what tls.c (the transport), tls_context.c (certificates, keys,
 * settings) and tls_failure.c (what went wrong) share.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/mbedtls.h"
#include "net/conn.h"
#include "net/tls.h"

struct tls_parsed { /* an identity */
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
};

struct tls_context {
	atomic_uint references;
	bool server;
	enum tls_ask ask;
	mbedtls_ssl_config config;
	mbedtls_x509_crt ca;
	mbedtls_x509_crl crl;
	size_t identities_n;
	struct tls_parsed *identities;
};

struct tls {
	mbedtls_ssl_context ssl;
	struct conn *conn;
	struct tls_loop *loop;
	struct tls_context *context;
	char *host; /* an address to compare a certificate with, or NULL */
	/* Sealed bytes that the socket refused. */
	struct buf held;
	TAILQ_ENTRY(tls) line; /* while waiting */
	TAILQ_ENTRY(tls) warm_next;
	uint32_t flags; /* of a certificate that was refused */
	int error;      /* mbedTLS's, of what failed */
	int io_error;   /* the socket's, errno */
	uint8_t cause;  /* enum tls_cause */
	uint8_t alert;  /* that came: TLS_REFUSED */
	bool opening;   /* the handshake is under way: nothing can be sent */
	bool waiting;   /* in the line, for its next step */
	bool turn;      /* it is first in the line */
	bool begun;     /* a byte of the handshake was read */
	bool more;      /* behind what was read: the end, or a failure */
	bool spoilt;    /* what comes means nothing, but the socket is good */
	bool warm;      /* in the loop's list */
	bool active;    /* since the last sweep */
	bool closed;    /* the peer's close_notify came */
	bool fallen;    /* see tls_fall_back */
	bool close_sent;
};

extern const struct transport transport_tls;

/* NULL: it is not TLS. */
static inline struct tls *tls_of(const struct conn *c)
{
	return c->transport == &transport_tls ? c->transport_data : NULL;
}

/*
 * Nothing goes on: by mbedTLS's error, or for a cause of ours. -1 with errno
 * EPROTO, for the connection. The first failure is the one that is told.
 */
int tls_fail(struct tls *t, int error);
int tls_fail_with(struct tls *t, enum tls_cause cause);

/* A client's context: whether the certificate is the host's (RFC 6125). */
bool tls_is_address(const char *host);
bool tls_is_for_host(const mbedtls_x509_crt *leaf, const char *host, size_t n);

#endif
