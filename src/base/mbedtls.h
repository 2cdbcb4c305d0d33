/*
 * mbedtls.h: every difference between mbedTLS 2.28 (Debian 12) and 3.6
 * (Debian 13) that the sources meet, and what they convert of its types.
 */
#ifndef BASE_MBEDTLS_H
#define BASE_MBEDTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <mbedtls/version.h>

#include <mbedtls/pk.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509.h>

#include "base/compiler.h"

typedef int mbed_random_fn(void *unused, unsigned char *out, size_t n);

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#define MBED_PRIVATE(field)     MBEDTLS_PRIVATE(field)
#define TLS_ERR_BAD_CERTIFICATE MBEDTLS_ERR_SSL_BAD_CERTIFICATE
#else
#define MBED_PRIVATE(field)                         field
#define MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET 1 /* never */
#define TLS_ERR_BAD_CERTIFICATE                     MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE
#endif

#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define MBED_HAS_TLS_1_3 1
#else
#define MBED_HAS_TLS_1_3 0
#endif

/* What must be done once in a process. */
MUST_CHECK static inline int mbed_init(void)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
#else
	return 0;
#endif
}

static inline int mbed_parse_key(mbedtls_pk_context *pk,
	const unsigned char *pem, size_t n, mbed_random_fn *random)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_pk_parse_key(pk, pem, n, NULL, 0, random, NULL);
#else
	(void)random;
	return mbedtls_pk_parse_key(pk, pem, n, NULL, 0);
#endif
}

/* The library gives fields, and promises no more than their ranges. */
static inline int64_t mbed_unix_ms(const mbedtls_x509_time *t)
{
	struct tm tm = {
		.tm_year = t->year - 1900,
		.tm_mon = t->mon - 1,
		.tm_mday = t->day,
		.tm_hour = t->hour,
		.tm_min = t->min,
		.tm_sec = t->sec,
	};

	return (int64_t)timegm(&tm) * 1000;
}

/* 0 when both are halves of one pair. */
static inline int mbed_check_pair(const mbedtls_pk_context *a,
	const mbedtls_pk_context *b, mbed_random_fn *random)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_pk_check_pair(a, b, random, NULL);
#else
	(void)random;
	return mbedtls_pk_check_pair(a, b);
#endif
}

static inline mbedtls_ecp_group_id mbed_curve(const mbedtls_pk_context *pk)
{
	return mbedtls_pk_ec(*pk)->MBED_PRIVATE(grp).id;
}

/* Signs a SHA-256 hash into at most size bytes; *n is how many they are. */
static inline int mbed_sign(mbedtls_pk_context *pk,
	const unsigned char hash[32], unsigned char *out, size_t size,
	size_t *n, mbed_random_fn *random)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_pk_sign(
		pk, MBEDTLS_MD_SHA256, hash, 32, out, size, n, random, NULL);
#else
	if (mbedtls_pk_get_len(pk) > size)
		return -1;
	return mbedtls_pk_sign(
		pk, MBEDTLS_MD_SHA256, hash, 32, out, n, random, NULL);
#endif
}

/* 0; only a hardware implementation could fail. */
static inline int mbed_sha1(
	const unsigned char *p, size_t n, unsigned char out[20])
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_sha1(p, n, out);
#else
	return mbedtls_sha1_ret(p, n, out);
#endif
}

static inline int mbed_sha256(
	const unsigned char *p, size_t n, unsigned char out[32])
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_sha256(p, n, out, 0);
#else
	return mbedtls_sha256_ret(p, n, out, 0);
#endif
}

static inline void mbed_min_version(mbedtls_ssl_config *c, bool only_1_3)
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
static inline void mbed_groups(mbedtls_ssl_config *c, bool server)
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

static inline bool mbed_handshake_over(const mbedtls_ssl_context *s)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_ssl_is_handshake_over((mbedtls_ssl_context *)(void *)s);
#else
	return s->state == MBEDTLS_SSL_HANDSHAKE_OVER;
#endif
}

/* The alert that came last: RFC 8446 section 6, its level and what it says. */
static inline unsigned char mbed_alert(const mbedtls_ssl_context *s)
{
	return s->MBED_PRIVATE(in_msg)[1];
}

/*
 * A ticket without a new exchange of keys (psk_ke, RFC 8446 section 2.2) would
 * be readable by an attacker who learns the tickets' keys later.
 */
static inline void mbed_exchange(mbedtls_ssl_config *c)
{
#if MBED_HAS_TLS_1_3
	mbedtls_ssl_conf_tls13_key_exchange_modes(
		c, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
#else
	(void)c;
#endif
}

/* No record is in its buffers, not even a part of one. */
static inline bool mbed_idle(const mbedtls_ssl_context *s)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03060300
	/* The beginning of a message that comes in several records. */
	if (s->MBED_PRIVATE(badmac_seen_or_in_hsfraglen) != 0)
		return false;
#endif
	return s->MBED_PRIVATE(in_left) == 0 &&
	       s->MBED_PRIVATE(in_offt) == NULL &&
	       s->MBED_PRIVATE(out_left) == 0;
}

/* The two buffers of a record each, and what there is of them at least. */
static inline unsigned char *mbed_in(const mbedtls_ssl_context *s)
{
	return s->MBED_PRIVATE(in_buf);
}

static inline unsigned char *mbed_out(const mbedtls_ssl_context *s)
{
	return s->MBED_PRIVATE(out_buf);
}

static inline size_t mbed_in_room(const mbedtls_ssl_context *s)
{
#if defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH)
	return s->MBED_PRIVATE(in_buf_len);
#else
	(void)s;
	return MBEDTLS_SSL_IN_CONTENT_LEN;
#endif
}

static inline size_t mbed_out_room(const mbedtls_ssl_context *s)
{
#if defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH)
	return s->MBED_PRIVATE(out_buf_len);
#else
	(void)s;
	return MBEDTLS_SSL_OUT_CONTENT_LEN;
#endif
}

#endif
