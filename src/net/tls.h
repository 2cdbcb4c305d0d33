/*
 * tls.h: TLS 1.2 (RFC 5246) and 1.3 (RFC 8446) under a connection, by mbedTLS.
 *
 *   PEM bytes -> tls_server_new / tls_client_new: a context, one per worker
 *   conn_new -> tls_accept / tls_connect -> handshake -> cb->ready
 *   socket -> recv: records into scratch, decrypted there -> cb->input
 *   conn_send -> send: gathered, 16 KiB a record, sealed -> one write
 *
 * AEAD suites with ephemeral X25519 or P-256 only, no renegotiation, ALPN
 * http/1.1, session tickets. A context and its connections belong to one
 * thread; each thread parses its own keys. Tickets are shared.
 *
 * What fails shows as cb->ended with EPROTO; tls_failure then says why. An end
 * without close_notify (RFC 5246 section 7.2.1) is a failure, too: an attacker
 * may have cut it off.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct conn;
struct loop;
struct tls_context;
struct tls_tickets;

struct tls_pem { /* n counts the NUL at the end, as mbedTLS wants it */
	const uint8_t *p;
	size_t n;
};

struct tls_identity { /* a certificate with its chain, leaf first, and key */
	struct tls_pem chain, key;
};

enum tls_ask { TLS_ASK_NONE, TLS_ASK_OPTIONAL, TLS_ASK_REQUIRED };

struct tls_server_params {
	const struct tls_identity *identities; /* SNI chooses; else the first */
	size_t identities_n;
	bool only_1_3;
	enum tls_ask ask;          /* for a client's certificate */
	struct tls_pem client_ca;  /* that must have signed it */
	struct tls_pem client_crl; /* and not have revoked it; p NULL = none */
	struct tls_tickets *tickets; /* outlive the context; NULL = none.
					Unused where certificates are asked
					for: each connection shows its own */
};

struct tls_client_params {
	bool verify;       /* chain against ca, and the host's name */
	struct tls_pem ca; /* unused without verify */
	const struct tls_identity *identity; /* our own; NULL = none */
	bool http; /* offers http/1.1 (ALPN, RFC 7301) */
};

/* What went wrong, as far as it is counted apart. */
enum tls_cause {
	TLS_NOTHING,
	TLS_PLAIN_HTTP,  /* the peer speaks HTTP without TLS */
	TLS_CERTIFICATE, /* the peer's, or that it sent none */
	TLS_REFUSED,     /* the peer sent an alert */
	TLS_TRUNCATED,   /* the stream ended without close_notify */
	TLS_PROTOCOL,    /* everything else: version, suites, bad records */
};

#define TLS_TEXT 200

/* Once, before the first thread and all below. -1: the library does not start. */
MUST_CHECK int tls_init(void);

/*
 * The keys of session tickets: all workers' of one listener, and of no other.
 * They renew themselves every lifetime_s, and the one before is good as long
 * again. Any thread. NULL: no memory.
 */
MUST_CHECK struct tls_tickets *tls_tickets_new(uint32_t lifetime_s);
/* All tickets that were given become worthless. Any thread. NULL is fine. */
void tls_tickets_renew(struct tls_tickets *t);
void tls_tickets_free(struct tls_tickets *t);

/*
 * NULL when something cannot be parsed (the PEM should have been checked
 * before: codec/certificate.h) or no memory; text says which.
 */
MUST_CHECK struct tls_context *tls_server_new(
	const struct tls_server_params *p, char text[TLS_TEXT]);
MUST_CHECK struct tls_context *tls_client_new(
	const struct tls_client_params *p, char text[TLS_TEXT]);
/*
 * Connections hold references of their own, and may be on another thread: what
 * they use of it is not changed any more. NULL is fine.
 */
struct tls_context *tls_context_ref(struct tls_context *x);
void tls_context_unref(struct tls_context *x);

/*
 * From now on the connection is TLS; it reads for the handshake whether or not
 * the owner wants to, and what is sent waits for its end. A connection that is
 * not new may have sent plain bytes before (a PROXY header), and must have
 * none in its queue. -1: no memory; nothing has changed.
 */
MUST_CHECK int tls_accept(struct conn *c, struct tls_context *x);
/* host: for SNI and the check of the certificate; a name or an address. */
MUST_CHECK int tls_connect(
	struct conn *c, struct tls_context *x, const char *host);

bool tls_is_on(const struct conn *c);
/* Its handshake is under way, or has failed. */
bool tls_is_opening(const struct conn *c);
/* Why the connection failed; TLS_NOTHING when it did not, or is not TLS. */
enum tls_cause tls_cause(const struct conn *c);
/* The same in words that live forever. */
const char *tls_cause_text(const struct conn *c);
/* In more words: what was wrong with the certificate, the alert. */
const char *tls_failure(const struct conn *c, char text[TLS_TEXT]);
/*
 * The subject (a Name in DER, RFC 5280 section 4.1.2.6) of the certificate that
 * the client has shown, verified; borrowed, for the moment. n is 0: there is
 * none.
 */
const uint8_t *tls_peer_subject(const struct conn *c, size_t *n);
/* "TLSv1.2", its suite; for logs. NULL before the end of the handshake. */
const char *tls_version(const struct conn *c);
const char *tls_suite(const struct conn *c);

/*
 * After TLS_PLAIN_HTTP: what is sent leaves as it is, so that the answer can be
 * read. Reading has ended.
 */
void tls_fall_back(struct conn *c);

#endif
