/*
 * fuzz_proxy.c: the header of the PROXY protocol.
 *
 * What must hold: a header is one of the length that is said, whatever stands
 * behind it, and each part of it is a part; what is bad stays bad; nothing is
 * partial once it is as long as a header may be; and an address that was read,
 * written down again, is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/proxy.h"

/* The first n bytes, in a block that ends there. */
static ssize_t decode(
	struct proxy_head *h, const uint8_t *p, size_t n, const char **why)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	ssize_t result;

	if (!copy)
		abort();
	memcpy(copy, p, n);
	result = proxy_decode(h, copy, n, why);
	free(copy);
	if (result < PROXY_BAD || result > (ssize_t)n ||
		(result == PROXY_BAD) != (*why != NULL))
		abort();
	return result;
}

static void check_address(const struct proxy_head *h)
{
	uint8_t out[PROXY_HEAD_MAX];
	struct proxy_head again;
	const char *why;

	if (h->addr.family != ADDR_IPV4 && h->addr.family != ADDR_IPV6)
		abort();
	for (int v = PROXY_V1; v <= PROXY_V2; v++) {
		size_t n = proxy_encode(
			out, (enum proxy_version)v, &h->addr, &h->addr);

		if (decode(&again, out, n, &why) != (ssize_t)n ||
			again.who != PROXY_CLIENT ||
			!addr_same_ip(&again.addr, &h->addr) ||
			again.addr.port != h->addr.port)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_head h, part;
	const char *why;
	ssize_t whole = decode(&h, data, n, &why);

	if (whole == PROXY_PARTIAL && n >= PROXY_READ_MAX)
		abort();
	if (whole > PROXY_READ_MAX)
		abort();
	for (size_t k = 0; k < n && k < PROXY_READ_MAX; k++) {
		ssize_t r = decode(&part, data, k, &why);

		if (whole == PROXY_PARTIAL && r != PROXY_PARTIAL)
			abort();
		if (whole > 0 &&
			r != (k < (size_t)whole ? PROXY_PARTIAL : whole))
			abort();
		if (whole == PROXY_BAD && r > 0)
			abort();
	}
	if (whole > 0 && h.who == PROXY_CLIENT)
		check_address(&h);
	return 0;
}
