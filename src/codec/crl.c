/*
 *   PEM -> pem_next: one block -> mbedtls_x509_crl_parse -> list -> judged
 *                              -> out
 */
#include "codec/crl.h"

#include <stdbool.h>
#include <string.h>

#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

#include "base/buf.h"
#include "base/mbedtls.h"
#include "base/str.h"
#include "codec/certificate.h"

/* One list more, in front of out's NUL-to-be. */
static int add_list(mbedtls_x509_crl *list, struct buf *out,
	const struct pem_block *b, char why[PEM_WHY])
{
	size_t start = out->n;
	int error;

	if (buf_add_str(out, b->text) < 0 ||
		buf_add(out, "\n", 2, SIZE_MAX) < 0)
		return pem_fail(why, "cannot be looked at: out of memory");
	error = mbedtls_x509_crl_parse(list, out->p + start, out->n - start);
	out->n--; /* the NUL */
	if (error == 0)
		return 0;
	return pem_fail(why,
		"holds a revocation list that cannot be read (-0x%04x)",
		(unsigned)-error);
}

static int parse_all(mbedtls_x509_crl *list, struct buf *out, struct str s,
	char why[PEM_WHY])
{
	struct pem_block b;
	int r;

	while ((r = pem_next(&s, &b, why)) > 0) {
		if (!str_eq(b.label, STR("X509 CRL")))
			return pem_fail(why,
				"holds a %.*s, expected revocation lists (X509 "
				"CRL) and nothing else",
				(int)b.label.n, b.label.p);
		if (add_list(list, out, &b, why) < 0)
			return -1;
	}
	return r;
}

static bool same_name(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

/* Its authority; NULL: it is of none of them. */
static const mbedtls_x509_crt *find_issuer(
	const mbedtls_x509_crl *list, const mbedtls_x509_crt *authorities)
{
	const mbedtls_x509_crt *c = authorities;

	while (c && !same_name(&list->issuer_raw, &c->subject_raw))
		c = c->next;
	return c;
}

static int judge(struct crl_info *info, const mbedtls_x509_crl *list,
	const mbedtls_x509_crt *authorities, char why[PEM_WHY])
{
	const mbedtls_x509_crt *issuer = find_issuer(list, authorities);
	int64_t since = mbed_unix_ms(&list->this_update);
	int64_t until = mbed_unix_ms(&list->next_update);

	info->count++;
	if (list->next_update.year == 0)
		return pem_fail(why,
			"holds a revocation list without nextUpdate, which "
			"would count as expired, expected one with it");
	if (issuer && mbedtls_x509_crt_check_key_usage(
			      issuer, MBEDTLS_X509_KU_CRL_SIGN) != 0)
		return pem_fail(why,
			"holds a revocation list of an authority that may not "
			"sign one, expected keyUsage = cRLSign in its "
			"certificate");
	if (!issuer && info->foreign == 0)
		info->foreign = info->count;
	if (info->count == 1 || since > info->since)
		info->since = since;
	if (info->count == 1 || until < info->until)
		info->until = until;
	return 0;
}

int crl_read(struct crl_info *info, struct buf *out, const uint8_t *pem,
	size_t n, const struct certificate_pem *authorities, char why[PEM_WHY])
{
	mbedtls_x509_crl list;
	mbedtls_x509_crt signers;
	struct str s;
	int result = -1;

	*info = (struct crl_info){ 0 };
	mbedtls_x509_crl_init(&list);
	mbedtls_x509_crt_init(&signers);
	if (pem_open(&s, pem, n, why) < 0 || parse_all(&list, out, s, why) < 0)
		goto done;
	/* > 0: some could not be read, which is said where they are checked. */
	if (mbedtls_x509_crt_parse(&signers, authorities->p, authorities->n) <
		0) {
		pem_explain(why, "cannot be looked at: out of memory");
		goto done;
	}
	for (const mbedtls_x509_crl *l = &list; l; l = l->next)
		if (judge(info, l, &signers, why) < 0)
			goto done;
	if (buf_add(out, "", 1, SIZE_MAX) < 0)
		pem_explain(why, "cannot be looked at: out of memory");
	else
		result = 0;
done:
	mbedtls_x509_crt_free(&signers);
	mbedtls_x509_crl_free(&list);
	return result;
}
