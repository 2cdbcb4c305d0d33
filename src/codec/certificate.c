/*
 *   PEM -> pem_next: one block -> parse_certificate -> list
 *                              -> parse_key         -> strength, pair
 */
#include "codec/certificate.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>

#include "base/mbedtls.h"
#include "base/random.h"
#include "base/str.h"
#include "codec/pem.h"

static int fail_memory(char why[CERTIFICATE_WHY])
{
	return pem_fail(why, "cannot be looked at: out of memory");
}

static bool ends_with(struct str s, struct str end)
{
	return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

static bool is_key(const struct pem_block *b)
{
	return ends_with(b->label, STR("PRIVATE KEY"));
}

/* --- keys ------------------------------------------------------------------ */

/* -1 and why: "has a key ..." */
static int judge_strength(
	const mbedtls_pk_context *pk, char why[CERTIFICATE_WHY])
{
	mbedtls_pk_type_t type = mbedtls_pk_get_type(pk);
	mbedtls_ecp_group_id curve = MBEDTLS_ECP_DP_NONE;

	if (type == MBEDTLS_PK_RSA) {
		size_t bits = mbedtls_pk_get_bitlen(pk);

		if (bits >= CERTIFICATE_RSA_MIN)
			return 0;
		return pem_fail(why,
			"has an RSA key of %zu bits, expected %d or "
			"more",
			bits, CERTIFICATE_RSA_MIN);
	}
	if (type == MBEDTLS_PK_ECKEY || type == MBEDTLS_PK_ECDSA)
		curve = mbed_curve(pk);
	if (curve == MBEDTLS_ECP_DP_SECP256R1 ||
		curve == MBEDTLS_ECP_DP_SECP384R1)
		return 0;
	return pem_fail(why,
		"has a key of another kind, expected RSA or ECDSA on "
		"P-256 or P-384");
}

/* The one private key among the blocks; EC parameters may be beside it. */
static int find_key(
	struct pem_block *key, struct str s, char why[CERTIFICATE_WHY])
{
	struct pem_block b;
	size_t keys = 0;
	int r;

	while ((r = pem_next(&s, &b, why)) > 0) {
		if (is_key(&b)) {
			*key = b;
			keys++;
		} else if (!str_eq(b.label, STR("EC PARAMETERS"))) {
			return pem_fail(why,
				"holds a %.*s, expected one PRIVATE "
				"KEY and nothing else",
				(int)b.label.n, b.label.p);
		}
	}
	if (r < 0)
		return -1;
	if (keys != 1)
		return pem_fail(
			why, "holds %zu private keys, expected one", keys);
	/* PKCS #8 says it in the label, the older way in a header. */
	if (str_eq(key->label, STR("ENCRYPTED PRIVATE KEY")) ||
		memmem(key->text.p, key->text.n, "ENCRYPTED", 9))
		return pem_fail(why,
			"is encrypted, expected a key without a "
			"passphrase (openssl pkey -in OLD -out NEW)");
	return 0;
}

/* pk is to be freed in any case. */
static int parse_key(mbedtls_pk_context *pk, const uint8_t *pem, size_t n,
	char why[CERTIFICATE_WHY])
{
	struct pem_block key;
	char text[128];
	struct str s;
	int error;

	if (pem_open(&s, pem, n, why) < 0 || find_key(&key, s, why) < 0)
		return -1;
	error = mbed_parse_key(pk, pem, n, random_bytes);
	if (error == 0)
		return judge_strength(pk, why);
	mbedtls_strerror(error, text, sizeof(text));
	return pem_fail(why,
		"holds a key that cannot be read (%s), expected RSA "
		"or ECDSA on P-256 or P-384",
		text);
}

int certificate_check_key(
	const uint8_t *pem, size_t n, char why[CERTIFICATE_WHY])
{
	mbedtls_pk_context pk;
	int result;

	mbedtls_pk_init(&pk);
	result = parse_key(&pk, pem, n, why);
	mbedtls_pk_free(&pk);
	return result;
}

/* --- certificates ---------------------------------------------------------- */

/* Behind the others in the list; an error of mbedTLS, or 0. */
static int parse_certificate(mbedtls_x509_crt *list, const struct pem_block *b)
{
	char *copy = str_dup(b->text); /* ends in a NUL, as mbedTLS wants it */
	int error = MBEDTLS_ERR_X509_ALLOC_FAILED;

	if (copy)
		error = mbedtls_x509_crt_parse(
			list, (const unsigned char *)copy, b->text.n + 1);
	free(copy);
	return error;
}

struct tally {
	size_t good, bad;
	size_t first_bad; /* counted from 1 */
	int error;        /* of that */
};

/* Every block, so that all that are bad are counted. list is to be freed. */
static int parse_all(mbedtls_x509_crt *list, struct tally *t, struct str s,
	char why[CERTIFICATE_WHY])
{
	struct pem_block b;
	int r;

	*t = (struct tally){ 0 };
	while ((r = pem_next(&s, &b, why)) > 0) {
		int error;

		if (!str_eq(b.label, STR("CERTIFICATE")))
			return pem_fail(why,
				"holds a %.*s, expected CERTIFICATE blocks "
				"and nothing else%s",
				(int)b.label.n, b.label.p,
				is_key(&b) ? ": others may read this file"
					   : "");
		error = parse_certificate(list, &b);
		if (error == MBEDTLS_ERR_X509_ALLOC_FAILED)
			return fail_memory(why);
		if (error == 0) {
			t->good++;
			continue;
		}
		if (t->bad++ == 0) {
			t->first_bad = t->good + 1;
			t->error = error;
		}
	}
	return r;
}

static int fail_bad(const struct tally *t, char why[CERTIFICATE_WHY])
{
	char text[128];

	mbedtls_strerror(t->error, text, sizeof(text));
	return pem_fail(why,
		"holds %zu of %zu certificates that cannot be read: number "
		"%zu: %s, expected none",
		t->bad, t->good + t->bad, t->first_bad, text);
}

static int parse_chain(mbedtls_x509_crt *list, const uint8_t *pem, size_t n,
	char why[CERTIFICATE_WHY])
{
	struct tally t;
	struct str s;

	if (pem_open(&s, pem, n, why) < 0 || parse_all(list, &t, s, why) < 0)
		return -1;
	if (t.bad > 0)
		return fail_bad(&t, why);
	return judge_strength(&list->pk, why);
}

static bool same_bytes(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

/* Order and length of the chain. */
static int judge_chain(struct certificate_info *info,
	const mbedtls_x509_crt *leaf, char why[CERTIFICATE_WHY])
{
	size_t bytes = 0;

	for (const mbedtls_x509_crt *c = leaf; c; c = c->next) {
		info->count++;
		bytes += c->raw.len;
		if (c->next && info->misplaced == 0 &&
			!same_bytes(&c->issuer_raw, &c->next->subject_raw))
			info->misplaced = info->count + 1;
	}
	if (bytes > CERTIFICATE_CHAIN_MAX)
		return pem_fail(why,
			"holds a chain of %zu bytes in DER, expected at most "
			"%d: no handshake could send it",
			bytes, CERTIFICATE_CHAIN_MAX);
	return 0;
}

static bool allows_usage(
	const mbedtls_x509_crt *leaf, const char *oid, size_t n)
{
	return mbedtls_x509_crt_check_extended_key_usage(leaf, oid, n) == 0;
}

/*
 * What RFC 5280 calls usages. Without them all is allowed; else the library
 * would pass over the certificate, or a peer refuse it, in every handshake.
 */
static int judge_usage(struct certificate_info *info,
	const mbedtls_x509_crt *leaf, char why[CERTIFICATE_WHY])
{
	info->not_for_servers = !allows_usage(leaf, MBEDTLS_OID_SERVER_AUTH,
		MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH));
	info->not_for_clients = !allows_usage(leaf, MBEDTLS_OID_CLIENT_AUTH,
		MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH));
	if (mbedtls_x509_crt_check_key_usage(
		    leaf, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) == 0)
		return 0;
	return pem_fail(why, "has a key that may not sign, expected keyUsage = "
			     "digitalSignature in the certificate");
}

#define SAN_DNS 2 /* [2] dNSName (RFC 5280 section 4.2.1.6) */

static int add_names(
	struct certificate_info *info, const mbedtls_x509_sequence *names)
{
	size_t n = 0;

	for (const mbedtls_x509_sequence *s = names; s; s = s->next)
		n++;
	info->names = calloc(n + 1, sizeof(*info->names));
	if (!info->names)
		return -1;
	for (const mbedtls_x509_sequence *s = names; s; s = s->next) {
		struct str name = { (const char *)s->buf.p, s->buf.len };

		if ((s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) != SAN_DNS ||
			name.n == 0 || memchr(name.p, '\0', name.n))
			continue;
		info->names[info->names_n] = str_dup(name);
		if (!info->names[info->names_n])
			return -1;
		info->names_n++;
	}
	return 0;
}

int certificate_read_chain(struct certificate_info *info, const uint8_t *pem,
	size_t n, char why[CERTIFICATE_WHY])
{
	mbedtls_x509_crt leaf;
	int result = -1;

	*info = (struct certificate_info){ 0 };
	mbedtls_x509_crt_init(&leaf);
	if (parse_chain(&leaf, pem, n, why) < 0 ||
		judge_chain(info, &leaf, why) < 0 ||
		judge_usage(info, &leaf, why) < 0)
		goto done;
	info->not_before = mbed_unix_ms(&leaf.valid_from);
	info->not_after = mbed_unix_ms(&leaf.valid_to);
	if (certificate_subject(info->subject, leaf.subject_raw.p,
		    leaf.subject_raw.len) < 0)
		result = pem_fail(why, "has a subject that is not well-formed, "
				       "expected another certificate");
	else if (add_names(info, &leaf.subject_alt_names) < 0)
		result = fail_memory(why);
	else
		result = 0;
done:
	mbedtls_x509_crt_free(&leaf);
	return result;
}

void certificate_info_free(struct certificate_info *info)
{
	for (size_t i = 0; i < info->names_n; i++)
		free(info->names[i]);
	free(info->names);
	info->names = NULL;
	info->names_n = 0;
}

/* --- together -------------------------------------------------------------- */

static int judge_pair(const mbedtls_x509_crt *leaf,
	const mbedtls_pk_context *key, char why[CERTIFICATE_WHY])
{
	size_t i = 1;

	for (const mbedtls_x509_crt *c = leaf; c; c = c->next, i++) {
		if (mbed_check_pair(&c->pk, key, random_bytes) != 0)
			continue;
		if (i == 1)
			return 0;
		return pem_fail(why,
			"belongs to certificate %zu of the chain, expected "
			"that one to be the first",
			i);
	}
	return pem_fail(why, "does not belong to the certificate, expected the "
			     "key of the first one of the chain");
}

int certificate_check_pair(const struct certificate_pem *chain,
	const struct certificate_pem *key, char why[CERTIFICATE_WHY])
{
	mbedtls_x509_crt leaf;
	mbedtls_pk_context pk;
	int result = -1;

	mbedtls_x509_crt_init(&leaf);
	mbedtls_pk_init(&pk);
	if (parse_chain(&leaf, chain->p, chain->n, why) == 0 &&
		parse_key(&pk, key->p, key->n, why) == 0)
		result = judge_pair(&leaf, &pk, why);
	mbedtls_pk_free(&pk);
	mbedtls_x509_crt_free(&leaf);
	return result;
}

int certificate_check_authorities(
	const uint8_t *pem, size_t n, size_t *bad, char why[CERTIFICATE_WHY])
{
	mbedtls_x509_crt list;
	struct tally t;
	struct str s;
	int result = -1;

	mbedtls_x509_crt_init(&list);
	if (pem_open(&s, pem, n, why) < 0 || parse_all(&list, &t, s, why) < 0)
		goto done;
	if (t.good == 0) {
		fail_bad(&t, why);
		goto done;
	}
	if (bad)
		*bad = t.bad;
	result = 0;
done:
	mbedtls_x509_crt_free(&list);
	return result;
}
