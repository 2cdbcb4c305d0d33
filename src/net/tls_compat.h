/*
 * tls_compat.h: every difference between mbedTLS 2.28 (Debian 12) and 3.6
 * (Debian 13) that TLS meets.
 */
#ifndef NET_TLS_COMPAT_H
#define NET_TLS_COMPAT_H

#include <stdbool.h>
#include <stddef.h>

#include <mbedtls/version.h>

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>

#include "base/compiler.h"

typedef int tls_random_fn(void *unused, unsigned char *out, size_t n);

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#define TLS_PRIVATE(field)      MBEDTLS_PRIVATE(field)
#define TLS_ERR_BAD_CERTIFICATE MBEDTLS_ERR_SSL_BAD_CERTIFICATE
#else
#define TLS_PRIVATE(field)                          field
#define MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET 1 /* never */
#define TLS_ERR_BAD_CERTIFICATE                     MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE
#endif

#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define TLS_HAS_1_3 1
#else
#define TLS_HAS_1_3 0
#endif

/* What must be done once in a process. */
MUST_CHECK static inline int tls_compat_init(void)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
#else
	return 0;
#endif
}

static inline int tls_compat_parse_key(mbedtls_pk_context *pk,
	const unsigned char *pem, size_t n, tls_random_fn *random)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_pk_parse_key(pk, pem, n, NULL, 0, random, NULL);
#else
	(void)random;
	return mbedtls_pk_parse_key(pk, pem, n, NULL, 0);
#endif
}

static inline void tls_compat_min_version(mbedtls_ssl_config *c, bool only_1_3)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	mbedtls_ssl_conf_min_tls_version(
		c, only_1_3 ? MBEDTLS_SSL_VERSION_TLS1_3
			    : MBEDTLS_SSL_VERSION_TLS1_2);
#else
	(void)only_1_3; /* refused by the configuration */
	mbedtls_ssl_conf_min_version(
		c, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
}

/* X25519 and P-256, and for a backend's certificate P-384. */
static inline void tls_compat_groups(mbedtls_ssl_config *c, bool server)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	static const uint16_t of_server[] = { MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
		MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
		MBEDTLS_SSL_IANA_TLS_GROUP_NONE };
	static const uint16_t of_client[] = { MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
		MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
		MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
		MBEDTLS_SSL_IANA_TLS_GROUP_NONE };

	mbedtls_ssl_conf_groups(c, server ? of_server : of_client);
#else
	static const mbedtls_ecp_group_id of_server[] = {
		MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
		MBEDTLS_ECP_DP_NONE
	};
	static const mbedtls_ecp_group_id of_client[] = {
		MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
		MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_NONE
	};
	/* Its default still has SHA-1. 3.x has not. */
	static const int hashes[] = { MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384,
		MBEDTLS_MD_SHA512, MBEDTLS_MD_NONE };

	mbedtls_ssl_conf_curves(c, server ? of_server : of_client);
	mbedtls_ssl_conf_sig_hashes(c, hashes);
#endif
}

static inline bool tls_compat_handshake_over(const mbedtls_ssl_context *s)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_ssl_is_handshake_over((mbedtls_ssl_context *)(void *)s);
#else
	return s->state == MBEDTLS_SSL_HANDSHAKE_OVER;
#endif
}

/* The alert that came last: RFC 8446 section 6, its level and what it says. */
static inline unsigned char tls_compat_alert(const mbedtls_ssl_context *s)
{
	return s->TLS_PRIVATE(in_msg)[1];
}

/*
 * A ticket without a new exchange of keys (psk_ke, RFC 8446 section 2.2) would
 * be readable by whoever learns the tickets' keys later.
 */
static inline void tls_compat_exchange(mbedtls_ssl_config *c)
{
#if TLS_HAS_1_3
	mbedtls_ssl_conf_tls13_key_exchange_modes(
		c, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
#else
	(void)c;
#endif
}

/* No record is in its buffers, not even a part of one. */
static inline bool tls_compat_idle(const mbedtls_ssl_context *s)
{
	return s->TLS_PRIVATE(in_left) == 0 &&
	       s->TLS_PRIVATE(in_offt) == NULL && s->TLS_PRIVATE(out_left) == 0;
}

/* The two buffers of a record each, MBEDTLS_SSL_*_CONTENT_LEN and more. */
static inline unsigned char *tls_compat_in(const mbedtls_ssl_context *s)
{
	return s->TLS_PRIVATE(in_buf);
}

static inline unsigned char *tls_compat_out(const mbedtls_ssl_context *s)
{
	return s->TLS_PRIVATE(out_buf);
}

#endif
