/*
 * certificate.h: what an operator hands in as PEM: certificate chains, their
 * keys, lists of authorities. Every fault is found here, in words, rather than
 * in a handshake.
 *
 *   text -> blocks, all of them of the kind that the file is for
 *        -> each parsed by itself -> strength, order, pair
 *
 * Pure: nothing is read but the arguments, and the clock is the caller's. What
 * passes here, mbedtls_x509_crt_parse and mbedtls_pk_parse_key read the same
 * way, with mbedTLS 2.28 and 3.
 *
 * PEM comes as the bytes of a file and one NUL, which n counts. A fault is -1
 * and why: words that go behind the name of the file, with what was expected;
 * they hold nothing of a key.
 */
#ifndef CODEC_CERTIFICATE_H
#define CODEC_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "codec/pem.h"

#define CERTIFICATE_PEM_MAX     PEM_MAX
#define CERTIFICATE_CHAIN_MAX   16000 /* bytes in DER: one handshake message */
#define CERTIFICATE_RSA_MIN     2048  /* bits */
#define CERTIFICATE_SUBJECT_MAX 512   /* bytes, with the NUL; longer is cut */
#define CERTIFICATE_WHY         PEM_WHY

/* Of the leaf, but for count and misplaced. */
struct certificate_info {
	int64_t not_before, not_after; /* Unix time in milliseconds */
	char subject[CERTIFICATE_SUBJECT_MAX];
	char **names; /* DNS names of subjectAltName; those with NULs left out */
	size_t names_n;
	size_t count; /* certificates in the chain */
	/* Its usages name others, so that peers refuse it in this part. */
	bool not_for_servers, not_for_clients;
	size_t misplaced; /* the first that did not issue the one before it,
			     counted from 1; 0 = none */
};

/*
 * A chain, leaf first: every block a certificate that can be read, the leaf
 * with an RSA key of CERTIFICATE_RSA_MIN bits or more or one on P-256 or
 * P-384, which may sign. certificate_info_free frees what *info holds, also after a failure.
 */
MUST_CHECK int certificate_read_chain(struct certificate_info *info,
	const uint8_t *pem, size_t n, char why[CERTIFICATE_WHY]);
void certificate_info_free(struct certificate_info *info);

/* One private key of these kinds that is not encrypted. */
MUST_CHECK int certificate_check_key(
	const uint8_t *pem, size_t n, char why[CERTIFICATE_WHY]);

struct certificate_pem {
	const uint8_t *p;
	size_t n;
};

/*
 * Whether the key belongs to the leaf of the chain; both have passed the
 * checks above. why goes behind the name of the key's file.
 */
MUST_CHECK int certificate_check_pair(const struct certificate_pem *chain,
	const struct certificate_pem *key, char why[CERTIFICATE_WHY]);

/*
 * Authorities: at least one certificate that can be read. Those that cannot,
 * as lists of the world's authorities may hold, are counted in *bad, which
 * may be NULL.
 */
MUST_CHECK int certificate_check_authorities(
	const uint8_t *pem, size_t n, size_t *bad, char why[CERTIFICATE_WHY]);

/*
 * A Name (RFC 5280 section 4.1.2.4) in DER as one line of UTF-8 without
 * control characters, its parts in their order: "O=Lab, CN=Zoë". Escapes
 * are those of RFC 4514 section 2.4, a type without a name of its own is
 * written in numbers, a value that is no text as "#" and hexadecimal. So two
 * subjects never look alike, but for the ends of those that are cut, which
 * keep more than 380 bytes. -1 and an empty line when it is not well-formed.
 */
MUST_CHECK int certificate_subject(
	char out[CERTIFICATE_SUBJECT_MAX], const uint8_t *der, size_t n);

#endif
