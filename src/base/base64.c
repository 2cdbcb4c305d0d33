#include "base/base64.h"

#include <stdbool.h>

static const char alphabet_plain[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Up to three bytes as the 24 bits of one group. */
static uint32_t group_of(const uint8_t *in, size_t n)
{
	uint32_t bits = (uint32_t)in[0] << 16;

	if (n > 1)
		bits |= (uint32_t)in[1] << 8;
	if (n > 2)
		bits |= in[2];
	return bits;
}

/* Writes n bytes as characters of an alphabet, without padding. */
static size_t encode(
	char *out, const uint8_t *in, size_t n, const char *alphabet)
{
	char *to = out;

	while (n > 0) {
		size_t bytes = n < 3 ? n : 3;
		uint32_t bits = group_of(in, bytes);

		for (size_t i = 0; i <= bytes; i++)
			*to++ = alphabet[bits >> (18 - 6 * i) & 63];
		in += bytes;
		n -= bytes;
	}
	return (size_t)(to - out);
}

size_t base64_encode(char *out, const uint8_t *in, size_t n)
{
	size_t length = encode(out, in, n, alphabet_plain);

	while (length % 4 != 0)
		out[length++] = '=';
	return length;
}

size_t base64url_encode(char *out, const uint8_t *in, size_t n)
{
	return encode(out, in, n, alphabet_url);
}

/* The six bits that a character encodes; -1: not of the alphabet. */
static int value_of(char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	if (c == (url ? '_' : '/'))
		return 63;
	return -1;
}

/*
 * One group of 2 to 4 characters becomes 1 to 3 bytes. Bits behind the last
 * byte must be zero (RFC 4648 section 3.5): otherwise one signature would have
 * several spellings.
 */
static int decode_group(uint8_t *out, const char *in, size_t n, bool url)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < n; i++) {
		int value = value_of(in[i], url);

		if (value < 0)
			return -1;
		bits |= (uint32_t)value << (18 - 6 * i);
	}
	if (n < 4 && (bits & (n == 2 ? 0xffffu : 0xffu)) != 0)
		return -1;
	for (size_t i = 0; i + 1 < n; i++)
		out[i] = (uint8_t)(bits >> (16 - 8 * i));
	return 0;
}

static ssize_t decode(uint8_t *out, const char *in, size_t n, bool url)
{
	uint8_t *to = out;

	if (n % 4 == 1)
		return -1;
	while (n > 0) {
		size_t characters = n < 4 ? n : 4;

		if (decode_group(to, in, characters, url) < 0)
			return -1;
		to += characters - 1;
		in += characters;
		n -= characters;
	}
	return to - out;
}

ssize_t base64_decode(uint8_t *out, const char *in, size_t n)
{
	if (n % 4 != 0)
		return -1;
	/* At most two '='; any other is outside of the alphabet. */
	if (n > 0 && in[n - 1] == '=') {
		n--;
		if (in[n - 1] == '=')
			n--;
	}
	return decode(out, in, n, false);
}

ssize_t base64url_decode(uint8_t *out, const char *in, size_t n)
{
	return decode(out, in, n, true);
}
