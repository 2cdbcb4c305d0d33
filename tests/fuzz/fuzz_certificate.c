/*
 * fuzz_certificate.c: the first byte says how the rest is read.
 *
 *   0  a chain, and behind a NUL a key: as files hold them
 *   1  DER that is wrapped in PEM here, so that changes reach the parser
 *      below: a certificate
 *   2  the same: a key
 *   3  a Name in DER: what is written is a line of text
 *   4  DER likewise: a revocation list
 *
 * What is refused says why; what passes, mbedTLS reads the same way.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/base64.h>
#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

#include "../unit/certificates.h"
#include "base/buf.h"
#include "codec/certificate.h"
#include "codec/crl.h"
#include "codec/utf8.h"

struct pem {
	uint8_t *p;
	size_t n;
};

/* The bytes of a file with the NUL behind them. */
static struct pem as_file(const uint8_t *p, size_t n)
{
	struct pem f = { calloc(1, n + 1), n + 1 };

	if (!f.p)
		abort();
	if (n > 0)
		memcpy(f.p, p, n);
	return f;
}

static struct pem wrap(const char *label, const uint8_t *der, size_t n)
{
	size_t room = 2 * n + 128;
	struct pem f = { calloc(1, room), 0 };
	size_t used;

	if (!f.p)
		abort();
	f.n = (size_t)snprintf(
		(char *)f.p, room, "-----BEGIN %s-----\n", label);
	if (mbedtls_base64_encode(f.p + f.n, room - f.n, &used, der, n) != 0)
		abort();
	f.n += used;
	f.n += (size_t)snprintf(
		(char *)f.p + f.n, room - f.n, "\n-----END %s-----\n", label);
	f.n++;
	return f;
}

static void check_words(int result, const char *why)
{
	assert(result == 0 || result == -1);
	if (result < 0)
		assert(why[0] != '\0' &&
			strnlen(why, CERTIFICATE_WHY) < CERTIFICATE_WHY);
}

static bool read_chain(struct pem f)
{
	char why[CERTIFICATE_WHY] = "";
	struct certificate_info info;
	int r = certificate_read_chain(&info, f.p, f.n, why);

	check_words(r, why);
	if (r == 0) {
		mbedtls_x509_crt crt;
		size_t n = 0;

		assert(info.count >= 1 && info.misplaced <= info.count);
		assert(memchr(info.subject, '\0', sizeof(info.subject)));
		mbedtls_x509_crt_init(&crt);
		assert(mbedtls_x509_crt_parse(&crt, f.p, f.n) == 0);
		for (const mbedtls_x509_crt *c = &crt; c; c = c->next)
			n++;
		assert(n == info.count);
		mbedtls_x509_crt_free(&crt);
	}
	certificate_info_free(&info);
	return r == 0;
}

static bool read_key(struct pem f)
{
	char why[CERTIFICATE_WHY] = "";
	int r = certificate_check_key(f.p, f.n, why);

	check_words(r, why);
	return r == 0;
}

static void read_authorities(struct pem f, bool is_chain)
{
	char why[CERTIFICATE_WHY] = "";
	size_t bad = 0;
	int r = certificate_check_authorities(f.p, f.n, &bad, why);

	check_words(r, why);
	assert(!is_chain || (r == 0 && bad == 0));
}

static void read_pair(struct pem chain, struct pem key)
{
	bool good = read_chain(chain);
	char why[CERTIFICATE_WHY] = "";

	read_authorities(chain, good);
	if (read_key(key) && good)
		check_words(
			certificate_check_pair(
				&(struct certificate_pem){ chain.p, chain.n },
				&(struct certificate_pem){ key.p, key.n }, why),
			why);
}

static void read_crl(struct pem f)
{
	static const char ca[] = PEM_CA;
	char why[PEM_WHY] = "";
	struct crl_info info;
	struct buf out = { 0 };
	mbedtls_x509_crl list;
	int r = crl_read(&info, &out, f.p, f.n,
		&(struct certificate_pem){ (const uint8_t *)ca, sizeof(ca) },
		why);

	check_words(r, why);
	if (r == 0) {
		mbedtls_x509_crl_init(&list);
		assert(mbedtls_x509_crl_parse(&list, out.p, out.n) == 0);
		assert(info.count == 1 && info.foreign <= 1);
		mbedtls_x509_crl_free(&list);
	}
	buf_free(&out);
}

static void read_name(struct pem f)
{
	char line[CERTIFICATE_SUBJECT_MAX];
	int r = certificate_subject(line, f.p, f.n - 1);
	size_t n = strnlen(line, sizeof(line));

	assert(n < sizeof(line) && utf8_valid(line, n));
	assert(r == 0 || n == 0);
	for (size_t i = 0; i < n; i++)
		assert((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end;
	struct pem a = { NULL, 0 }, b = { NULL, 0 };

	if (n == 0)
		return 0;
	switch (data[0] % 5) {
	case 0:
		end = memchr(data + 1, '\0', n - 1);
		if (!end)
			end = data + n;
		a = as_file(data + 1, (size_t)(end - data) - 1);
		if (end < data + n)
			end++;
		b = as_file(end, n - (size_t)(end - data));
		read_pair(a, b);
		break;
	case 1:
		a = wrap("CERTIFICATE", data + 1, n - 1);
		read_authorities(a, read_chain(a));
		break;
	case 2:
		a = wrap("PRIVATE KEY", data + 1, n - 1);
		(void)read_key(a);
		free(a.p);
		a = wrap("EC PRIVATE KEY", data + 1, n - 1);
		(void)read_key(a);
		break;
	case 3:
		a = as_file(data + 1, n - 1);
		read_name(a);
		break;
	case 4:
		a = wrap("X509 CRL", data + 1, n - 1);
		read_crl(a);
		break;
	}
	free(a.p);
	free(b.p);
	return 0;
}
