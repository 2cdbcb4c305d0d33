/* Certificates, keys and settings of TLS: what many connections share. */
#include "net/tls_private.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <mbedtls/asn1.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/error.h>
#include <mbedtls/gcm.h>
#include <mbedtls/oid.h>
#include <mbedtls/ssl_ticket.h>

#include "base/addr.h"
#include "base/random.h"

/* Tags of a subjectAltName's entries (RFC 5280 section 4.2.1.6). */
#define SAN_DNS 2
#define SAN_IP  7

struct tls_tickets {
	pthread_mutex_t lock;
	uint32_t lifetime_s;
	mbedtls_ssl_ticket_context context;
};

/* --- suites ------------------------------------------------------------------------*/

#define AES128_FIRST                                                           \
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,                       \
		MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
#define CHACHA                                                                 \
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,                 \
		MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
#define AES256                                                                 \
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,                       \
		MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384

#if MBED_HAS_TLS_1_3
#define AES128_1_3 MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
#define CHACHA_1_3 MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
#define AES256_1_3 MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#else
#define AES128_1_3
#define CHACHA_1_3
#define AES256_1_3
#endif

static const int aes_first[] = { AES128_1_3 CHACHA_1_3 AES256_1_3 AES128_FIRST,
	CHACHA, AES256, 0 };
static const int chacha_first[] = { CHACHA_1_3 AES128_1_3 AES256_1_3 CHACHA,
	AES128_FIRST, AES256, 0 };

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*
 * Written once, by tls_init: all contexts must choose the same, for mbedTLS
 * lets them choose for a resumed session, too, and a client then finds another
 * suite than that of its session (RFC 5246 section 7.4.1.3).
 */
static const int *suites = aes_first;

/*
 * Which of the two is faster depends on the processor and on how the library
 * was built, so it is tried: 64 KiB each, a third of a millisecond in all.
 */
static bool chacha_is_faster(void)
{
	static const unsigned char text[4096]; /* the result is unused */
	unsigned char out[sizeof(text)], tag[16];
	unsigned char key[32] = { 0 }, nonce[12] = { 0 };
	mbedtls_gcm_context gcm;
	mbedtls_chachapoly_context chacha;
	int64_t start, middle, end;

	mbedtls_gcm_init(&gcm);
	mbedtls_chachapoly_init(&chacha);
	(void)mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128);
	(void)mbedtls_chachapoly_setkey(&chacha, key);
	start = cpu_ns();
	for (int i = 0; i < 16; i++)
		(void)mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT,
			sizeof(text), nonce, sizeof(nonce), NULL, 0, text, out,
			sizeof(tag), tag);
	middle = cpu_ns();
	for (int i = 0; i < 16; i++)
		(void)mbedtls_chachapoly_encrypt_and_tag(
			&chacha, sizeof(text), nonce, NULL, 0, text, out, tag);
	end = cpu_ns();
	mbedtls_gcm_free(&gcm);
	mbedtls_chachapoly_free(&chacha);
	return end - middle < middle - start;
}

/* --- tickets ------------------------------------------------------------------------*/

static int make_ticket_keys(struct tls_tickets *t)
{
	mbedtls_ssl_ticket_init(&t->context);
	return mbedtls_ssl_ticket_setup(&t->context, random_bytes, NULL,
		MBEDTLS_CIPHER_AES_256_GCM, t->lifetime_s);
}

struct tls_tickets *tls_tickets_new(uint32_t lifetime_s)
{
	struct tls_tickets *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->lifetime_s = lifetime_s;
	pthread_mutex_init(&t->lock, NULL);
	if (make_ticket_keys(t) != 0) {
		tls_tickets_free(t);
		return NULL;
	}
	return t;
}

void tls_tickets_renew(struct tls_tickets *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	mbedtls_ssl_ticket_free(&t->context);
	/* Without keys no ticket is written or believed, which is safe. */
	(void)make_ticket_keys(t);
	pthread_mutex_unlock(&t->lock);
}

/* mbedTLS's, which locks only where it was built for threads. */
static int write_ticket(void *arg, const mbedtls_ssl_session *session,
	unsigned char *start, const unsigned char *end, size_t *n,
	uint32_t *lifetime)
{
	struct tls_tickets *t = arg;
	int error;

	pthread_mutex_lock(&t->lock);
	error = mbedtls_ssl_ticket_write(
		&t->context, session, start, end, n, lifetime);
	pthread_mutex_unlock(&t->lock);
	return error;
}

static int parse_ticket(
	void *arg, mbedtls_ssl_session *session, unsigned char *p, size_t n)
{
	struct tls_tickets *t = arg;
	int error;

	pthread_mutex_lock(&t->lock);
	error = mbedtls_ssl_ticket_parse(&t->context, session, p, n);
	pthread_mutex_unlock(&t->lock);
	return error;
}

void tls_tickets_free(struct tls_tickets *t)
{
	if (!t)
		return;
	mbedtls_ssl_ticket_free(&t->context);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- the names of a certificate -------------------------------------------------------*/

/* RFC 6125 section 6.4.3: an asterisk is the whole leftmost label. */
static bool name_matches(
	const char *pattern, size_t pattern_n, const char *name, size_t n)
{
	const char *dot;

	if (pattern_n > 2 && pattern[0] == '*' && pattern[1] == '.') {
		dot = memchr(name, '.', n);
		if (!dot || dot == name)
			return false;
		n -= (size_t)(dot - name);
		name = dot;
		pattern++;
		pattern_n--;
	}
	return pattern_n == n && strncasecmp(pattern, name, n) == 0;
}

/* 4 or 16 bytes of an address in text; 0: it is none. */
static size_t address_bytes(const char *host, size_t n, uint8_t out[16])
{
	struct addr a;

	if (addr_parse(&a, (struct str){ host, n }) < 0)
		return 0;
	memcpy(out, a.ip, sizeof(a.ip));
	return a.family == ADDR_IPV4 ? 4 : 16;
}

bool tls_is_address(const char *host)
{
	uint8_t ip[16];

	return address_bytes(host, strlen(host), ip) > 0;
}

static bool common_name_matches(
	const mbedtls_x509_crt *leaf, const char *host, size_t n)
{
	for (const mbedtls_x509_name *name = &leaf->subject; name;
		name = name->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0 &&
			name_matches((const char *)name->val.p, name->val.len,
				host, n))
			return true;
	return false;
}

bool tls_is_for_host(const mbedtls_x509_crt *leaf, const char *host, size_t n)
{
	uint8_t ip[16];
	size_t ip_n = address_bytes(host, n, ip);
	bool named = false;

	for (const mbedtls_x509_sequence *s = &leaf->subject_alt_names; s;
		s = s->next) {
		int kind = s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;

		if (kind == SAN_DNS && s->buf.p) {
			named = true;
			if (ip_n == 0 && name_matches((const char *)s->buf.p,
						 s->buf.len, host, n))
				return true;
		} else if (kind == SAN_IP && ip_n > 0 && s->buf.len == ip_n &&
			   memcmp(s->buf.p, ip, ip_n) == 0) {
			return true;
		}
	}
	/* The subject's common name only where there is nothing better. */
	return !named && ip_n == 0 && common_name_matches(leaf, host, n);
}

/*
 * SNI (RFC 6066 section 3): of several certificates for the name the suite
 * decides; the first one answers a name that none has.
 */
static int choose_identity(void *arg, mbedtls_ssl_context *ssl,
	const unsigned char *name, size_t n)
{
	struct tls_context *x = arg;
	int error = 0;

	for (size_t i = 0; !error && i < x->identities_n; i++) {
		struct tls_parsed *p = &x->identities[i];

		if (tls_is_for_host(&p->chain, (const char *)name, n))
			error = mbedtls_ssl_set_hs_own_cert(
				ssl, &p->chain, &p->key);
	}
	return error;
}

/* --- contexts --------------------------------------------------------------------------*/

static int explain(char text[TLS_TEXT], const char *what, int error)
{
	char why[100];

	mbedtls_strerror(error, why, sizeof(why));
	snprintf(text, TLS_TEXT, "%s: %s", what, why);
	return -1;
}

static int add_identities(struct tls_context *x, const struct tls_identity *v,
	size_t n, char text[TLS_TEXT])
{
	int error;

	x->identities = calloc(n ? n : 1, sizeof(*x->identities));
	if (!x->identities)
		return explain(text, "no memory", 0);
	for (size_t i = 0; i < n; i++) {
		struct tls_parsed *p = &x->identities[x->identities_n++];

		mbedtls_x509_crt_init(&p->chain);
		mbedtls_pk_init(&p->key);
		error = mbedtls_x509_crt_parse(
			&p->chain, v[i].chain.p, v[i].chain.n);
		if (error)
			return explain(text, "certificate", error);
		error = mbed_parse_key(
			&p->key, v[i].key.p, v[i].key.n, random_bytes);
		if (error)
			return explain(text, "key", error);
		/* The others are shown to clients that ask for their names. */
		if (i == 0)
			error = mbedtls_ssl_conf_own_cert(
				&x->config, &p->chain, &p->key);
		if (error)
			return explain(text, "certificate", error);
	}
	return 0;
}

static int add_ca(
	struct tls_context *x, const struct tls_pem *ca, char text[TLS_TEXT])
{
	int error = mbedtls_x509_crt_parse(&x->ca, ca->p, ca->n);

	/* > 0: so many could not be read; some old root often can't. */
	if (error < 0 || x->ca.version == 0)
		return explain(text, "certificate authorities", error);
	mbedtls_ssl_conf_ca_chain(&x->config, &x->ca, NULL);
	return 0;
}

/* Behind add_ca. */
static int add_crl(
	struct tls_context *x, const struct tls_pem *crl, char text[TLS_TEXT])
{
	int error;

	if (!crl->p)
		return 0;
	error = mbedtls_x509_crl_parse(&x->crl, crl->p, crl->n);
	if (error)
		return explain(text, "revocation lists", error);
	mbedtls_ssl_conf_ca_chain(&x->config, &x->ca, &x->crl);
	return 0;
}

static struct tls_context *context_new(bool server, char text[TLS_TEXT])
{
	struct tls_context *x = calloc(1, sizeof(*x));
	int error;

	if (!x) {
		snprintf(text, TLS_TEXT, "no memory");
		return NULL;
	}
	atomic_init(&x->references, 1);
	x->server = server;
	mbedtls_ssl_config_init(&x->config);
	mbedtls_x509_crt_init(&x->ca);
	mbedtls_x509_crl_init(&x->crl);
	error = mbedtls_ssl_config_defaults(&x->config,
		server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
		MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	if (error) {
		(void)explain(text, "settings", error);
		tls_context_unref(x);
		return NULL;
	}
	mbedtls_ssl_conf_rng(&x->config, random_bytes, NULL);
	mbedtls_ssl_conf_ciphersuites(&x->config, suites);
	mbed_groups(&x->config, server);
	mbed_exchange(&x->config);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
	mbedtls_ssl_conf_renegotiation(
		&x->config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
	return x;
}

static const char *http_only[] = { "http/1.1", NULL };

struct tls_context *tls_server_new(
	const struct tls_server_params *p, char text[TLS_TEXT])
{
	static const int modes[] = { [TLS_ASK_NONE] = MBEDTLS_SSL_VERIFY_NONE,
		[TLS_ASK_OPTIONAL] = MBEDTLS_SSL_VERIFY_OPTIONAL,
		[TLS_ASK_REQUIRED] = MBEDTLS_SSL_VERIFY_REQUIRED };
	struct tls_context *x = context_new(true, text);

	if (!x)
		return NULL;
	x->ask = p->ask;
	mbed_min_version(&x->config, p->only_1_3);
	mbedtls_ssl_conf_authmode(&x->config, modes[p->ask]);
	mbedtls_ssl_conf_sni(&x->config, choose_identity, x);
	/*
	 * A ticket would replace the client's certificate: in 1.2 also when
	 * that is trusted no more, and in 1.3 mbedTLS forgets its subject.
	 */
	if (p->tickets && p->ask == TLS_ASK_NONE)
		mbedtls_ssl_conf_session_tickets_cb(
			&x->config, write_ticket, parse_ticket, p->tickets);
	if (add_identities(x, p->identities, p->identities_n, text) < 0 ||
		(p->ask != TLS_ASK_NONE &&
			(add_ca(x, &p->client_ca, text) < 0 ||
				add_crl(x, &p->client_crl, text) < 0)))
		goto fail;
	if (mbedtls_ssl_conf_alpn_protocols(&x->config, http_only) != 0)
		goto fail;
	return x;
fail:
	tls_context_unref(x);
	return NULL;
}

struct tls_context *tls_client_new(
	const struct tls_client_params *p, char text[TLS_TEXT])
{
	struct tls_context *x = context_new(false, text);

	if (!x)
		return NULL;
	mbed_min_version(&x->config, false);
	mbedtls_ssl_conf_authmode(
		&x->config, p->verify ? MBEDTLS_SSL_VERIFY_REQUIRED
				      : MBEDTLS_SSL_VERIFY_NONE);
	if ((p->verify && add_ca(x, &p->ca, text) < 0) ||
		add_identities(x, p->identity, p->identity ? 1 : 0, text) < 0)
		goto fail;
	if (p->http &&
		mbedtls_ssl_conf_alpn_protocols(&x->config, http_only) != 0)
		goto fail;
	return x;
fail:
	tls_context_unref(x);
	return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *x)
{
	atomic_fetch_add_explicit(&x->references, 1, memory_order_relaxed);
	return x;
}

void tls_context_unref(struct tls_context *x)
{
	if (!x || atomic_fetch_sub_explicit(
			  &x->references, 1, memory_order_acq_rel) > 1)
		return;
	/* Before what it points to. */
	mbedtls_ssl_config_free(&x->config);
	for (size_t i = 0; i < x->identities_n; i++) {
		mbedtls_x509_crt_free(&x->identities[i].chain);
		mbedtls_pk_free(&x->identities[i].key);
	}
	free(x->identities);
	mbedtls_x509_crt_free(&x->ca);
	mbedtls_x509_crl_free(&x->crl);
	free(x);
}

int tls_init(void)
{
	if (mbed_init() < 0)
		return -1;
	if (chacha_is_faster())
		suites = chacha_first;
	return 0;
}
