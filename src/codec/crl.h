/*
 * crl.h: revocation lists (RFC 5280 section 5) that an operator hands in as
 * PEM: what mbedTLS would pass over, or answer with the refusal of every
 * certificate, is found here, in words.
 *
 * Pure: nothing is read but the arguments, and the clock is the caller's.
 */
#ifndef CODEC_CRL_H
#define CODEC_CRL_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "codec/pem.h"

struct buf;
struct certificate_pem;

struct crl_info {
	size_t count;
	/* All of them are good from .. to: thisUpdate, nextUpdate; Unix ms. */
	int64_t since, until;
	size_t foreign; /* the first that is of none of the authorities, counted
			   from 1, which revokes nothing; 0 = none */
};

/*
 * pem is the bytes of a file and one NUL, which n counts; it holds lists only.
 * The authorities have passed certificate_check_authorities. Appended to out:
 * the same lists, in PEM with nothing between them and the NUL at the end, as
 * mbedtls_x509_crl_parse wants them. -1 and why, which goes behind the name of
 * the file: a list that cannot be read, without nextUpdate, or of an authority
 * whose keyUsage lacks cRLSign.
 */
MUST_CHECK int crl_read(struct crl_info *info, struct buf *out,
	const uint8_t *pem, size_t n, const struct certificate_pem *authorities,
	char why[PEM_WHY]);

#endif
