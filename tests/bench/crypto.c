/*
 * What the daemon's cryptography alone costs: the CPU time of sealing and of
 * opening the records of one message with the library and the ciphers that it
 * uses. Prints one line of JSON: suite -> size -> µs for both together, which
 * is what an echo costs a relay with TLS on one side.
 *
 *   crypto SIZE ...
 */
#include <mbedtls/chachapoly.h>
#include <mbedtls/gcm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORD  16384 /* RFC 5246 6.2.1 */
#define HEAD    13    /* additional data, RFC 5246 6.2.3.3 */
#define TAG     16    /* RFC 5288, RFC 7905 */
#define WANT_NS 60e6  /* of measuring each */

struct suite {
	const char *name;
	int (*seal)(const uint8_t *in, uint8_t *out, size_t n, uint8_t *tag);
	int (*open)(const uint8_t *in, uint8_t *out, size_t n, uint8_t *tag);
};

static mbedtls_gcm_context gcm;
static mbedtls_chachapoly_context chacha;
static const uint8_t key[32] = { 1 }, nonce[12] = { 2 }, head[HEAD] = { 3 };

static int gcm_seal(const uint8_t *in, uint8_t *out, size_t n, uint8_t *tag)
{
	return mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, n, nonce,
		sizeof(nonce), head, HEAD, in, out, TAG, tag);
}

static int gcm_open(const uint8_t *in, uint8_t *out, size_t n, uint8_t *tag)
{
	return mbedtls_gcm_auth_decrypt(
		&gcm, n, nonce, sizeof(nonce), head, HEAD, tag, TAG, in, out);
}

static int chacha_seal(const uint8_t *in, uint8_t *out, size_t n, uint8_t *tag)
{
	return mbedtls_chachapoly_encrypt_and_tag(
		&chacha, n, nonce, head, HEAD, in, out, tag);
}

static int chacha_open(const uint8_t *in, uint8_t *out, size_t n, uint8_t *tag)
{
	return mbedtls_chachapoly_auth_decrypt(
		&chacha, n, nonce, head, HEAD, tag, in, out);
}

static const struct suite suites[] = {
	{ "aes-128-gcm", gcm_seal, gcm_open },
	{ "chacha20-poly1305", chacha_seal, chacha_open },
};

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One message there and back, record by record. */
static int turn(const struct suite *s, size_t size)
{
	static uint8_t plain[RECORD], sealed[RECORD], back[RECORD];
	uint8_t tag[TAG];
	size_t n;

	for (; size > 0; size -= n) {
		n = size < RECORD ? size : RECORD;
		if (s->seal(plain, sealed, n, tag) != 0 ||
			s->open(sealed, back, n, tag) != 0)
			return -1;
	}
	return 0;
}

/* -1: the library refuses. */
static double measure_us(const struct suite *s, size_t size)
{
	double begin = cpu_ns();
	unsigned turns = 0;

	do {
		if (turn(s, size) < 0)
			return -1;
		turns++;
	} while (cpu_ns() - begin < WANT_NS);
	return (cpu_ns() - begin) / 1e3 / turns;
}

int main(int argc, char **argv)
{
	size_t i;
	int j;

	mbedtls_gcm_init(&gcm);
	mbedtls_chachapoly_init(&chacha);
	if (mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128) != 0 ||
		mbedtls_chachapoly_setkey(&chacha, key) != 0)
		return 1;
	printf("{");
	for (i = 0; i < 2; i++) {
		printf("%s\"%s\":{", i ? "," : "", suites[i].name);
		for (j = 1; j < argc; j++)
			printf("%s\"%s\":%.4f", j > 1 ? "," : "", argv[j],
				measure_us(&suites[i],
					strtoul(argv[j], NULL, 10)));
		printf("}");
	}
	printf("}\n");
	return 0;
}
