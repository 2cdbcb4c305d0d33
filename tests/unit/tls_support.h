/*
 * tls_support.h: a certificate and its key for tests, made on the spot.
 */
#ifndef TESTS_TLS_SUPPORT_H
#define TESTS_TLS_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/version.h>

#include <mbedtls/bignum.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "base/random.h"
#include "net/tls.h"
#include "net/tls_private.h"

struct tls_made {
	unsigned char chain[4096], key[4096];
	struct tls_identity identity;
};

static inline int tls_make_serial(mbedtls_x509write_cert *crt)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	unsigned char one[] = { 1 };

	return mbedtls_x509write_crt_set_serial_raw(crt, one, sizeof(one));
#else
	mbedtls_mpi serial;
	int error;

	mbedtls_mpi_init(&serial);
	error = mbedtls_mpi_lset(&serial, 1);
	if (!error)
		error = mbedtls_x509write_crt_set_serial(crt, &serial);
	mbedtls_mpi_free(&serial);
	return error;
#endif
}

/* Signed by itself, on P-256, for a name, as "CN=localhost,O=lab". */
static inline void tls_make_for(
	struct tls_made *m, const char *subject, bool servers_only)
{
	/* extendedKeyUsage: serverAuth (RFC 5280 section 4.2.1.12) */
	static const unsigned char usage[] = { 0x30, 10, 0x06, 8, 0x2b, 6, 1, 5,
		5, 7, 3, 1 };
	mbedtls_x509write_cert crt;
	mbedtls_pk_context key;

	mbedtls_x509write_crt_init(&crt);
	mbedtls_pk_init(&key);
	if (mbedtls_pk_setup(
		    &key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) ||
		mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1,
			mbedtls_pk_ec(key), random_bytes, NULL))
		abort();
	mbedtls_x509write_crt_set_subject_key(&crt, &key);
	mbedtls_x509write_crt_set_issuer_key(&crt, &key);
	mbedtls_x509write_crt_set_version(&crt, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(&crt, MBEDTLS_MD_SHA256);
	if (mbedtls_x509write_crt_set_subject_name(&crt, subject) ||
		mbedtls_x509write_crt_set_issuer_name(&crt, subject) ||
		tls_make_serial(&crt) ||
		mbedtls_x509write_crt_set_basic_constraints(&crt, 1, -1) ||
		(servers_only &&
			mbedtls_x509write_crt_set_extension(&crt,
				MBEDTLS_OID_EXTENDED_KEY_USAGE,
				MBEDTLS_OID_SIZE(
					MBEDTLS_OID_EXTENDED_KEY_USAGE),
				0, usage, sizeof(usage))) ||
		mbedtls_x509write_crt_set_validity(
			&crt, "20200101000000", "20991231235959") ||
		mbedtls_x509write_crt_pem(
			&crt, m->chain, sizeof(m->chain), random_bytes, NULL) ||
		mbedtls_pk_write_key_pem(&key, m->key, sizeof(m->key)))
		abort();
	m->identity = (struct tls_identity){
		.chain = { m->chain, strlen((char *)m->chain) + 1 },
		.key = { m->key, strlen((char *)m->key) + 1 }
	};
	mbedtls_pk_free(&key);
	mbedtls_x509write_crt_free(&crt);
}

static inline void tls_make(struct tls_made *m, const char *subject)
{
	tls_make_for(m, subject, false);
}

#endif
