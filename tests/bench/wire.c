#include "wire.h"

#include <string.h>

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

size_t wire_head_write(uint8_t *out, const struct wire_head *head)
{
	unsigned mask_bit = head->masked ? 0x80 : 0;
	size_t n = 0;
	int shift;

	out[n++] = (uint8_t)((head->fin ? 0x80u : 0u) | head->opcode);
	if (head->length < 126) {
		out[n++] = (uint8_t)(mask_bit | head->length);
	} else if (head->length <= UINT16_MAX) {
		out[n++] = (uint8_t)(mask_bit | 126);
		out[n++] = (uint8_t)(head->length >> 8);
		out[n++] = (uint8_t)head->length;
	} else {
		out[n++] = (uint8_t)(mask_bit | 127);
		for (shift = 56; shift >= 0; shift -= 8)
			out[n++] = (uint8_t)(head->length >> shift);
	}
	if (head->masked) {
		memcpy(out + n, head->key, 4);
		n += 4;
	}
	return n;
}

static bool head_is_bad(const struct wire_head *head, unsigned first)
{
	if (first & 0x70)
		return true;
	switch (head->opcode) {
	case WIRE_CONTINUATION:
	case WIRE_TEXT:
	case WIRE_BINARY:
		return false;
	case WIRE_CLOSE:
	case WIRE_PING:
	case WIRE_PONG:
		return !head->fin || head->length > WIRE_CONTROL_MAX;
	}
	return true;
}

int wire_head_read(struct wire_head *head, const uint8_t *p, size_t n)
{
	size_t size = 2, extra = 0, i;

	if (n < 2)
		return 0;
	head->fin = (p[0] & 0x80) != 0;
	head->opcode = p[0] & 0x0f;
	head->masked = (p[1] & 0x80) != 0;
	head->length = p[1] & 0x7f;
	if (head->length >= 126)
		extra = head->length == 126 ? 2 : 8;
	if (n < size + extra + (head->masked ? 4 : 0))
		return 0;
	if (extra > 0) {
		head->length = 0;
		for (i = 0; i < extra; i++)
			head->length = head->length << 8 | p[size + i];
		size += extra;
		/* "the minimal number of bytes MUST be used" */
		if (head->length < (extra == 2 ? 126u : 65536u) ||
			head->length >> 63)
			return -1;
	}
	if (head->masked) {
		memcpy(head->key, p + size, 4);
		size += 4;
	}
	return head_is_bad(head, p[0]) ? -1 : (int)size;
}

void wire_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
	size_t phase)
{
	uint8_t turned[8];
	uint64_t wide, word;
	size_t i;

	for (i = 0; i < 8; i++)
		turned[i] = key[(phase + i) & 3];
	memcpy(&wide, turned, 8);
	for (i = 0; n - i >= 8; i += 8) {
		memcpy(&word, src + i, 8);
		word ^= wide;
		memcpy(dst + i, &word, 8);
	}
	for (; i < n; i++)
		dst[i] = (uint8_t)(src[i] ^ turned[i & 7]);
}

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

/* One block of FIPS 180-4, 6.1.2. */
static void sha1_block(uint32_t h[5], const uint8_t *p)
{
	static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc,
		0xca62c1d6 };
	uint32_t w[80], v[5], f, t;
	unsigned i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(v, h, sizeof(v));
	for (i = 0; i < 80; i++) {
		if (i < 20)
			f = (v[1] & v[2]) | (~v[1] & v[3]);
		else if (i >= 40 && i < 60)
			f = (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
		else
			f = v[1] ^ v[2] ^ v[3];
		t = rotate(v[0], 5) + f + v[4] + k[i / 20] + w[i];
		v[4] = v[3];
		v[3] = v[2];
		v[2] = rotate(v[1], 30);
		v[1] = v[0];
		v[0] = t;
	}
	for (i = 0; i < 5; i++)
		h[i] += v[i];
}

/* Of at most 119 bytes, which is all that a handshake needs. */
static void sha1_short(uint8_t out[20], const char *data, size_t n)
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
		0xc3d2e1f0 };
	uint8_t block[128] = { 0 };
	size_t total = n < 56 ? 64 : 128, i;

	memcpy(block, data, n);
	block[n] = 0x80;
	block[total - 2] = (uint8_t)(n * 8 >> 8);
	block[total - 1] = (uint8_t)(n * 8);
	for (i = 0; i < total; i += 64)
		sha1_block(h, block + i);
	for (i = 0; i < 20; i++)
		out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void wire_accept(char out[WIRE_ACCEPT_SIZE], const char *key, size_t key_len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	char text[119];
	uint8_t sum[21] = { 0 };
	uint32_t group;
	size_t i, guid_len = sizeof(ACCEPT_GUID) - 1;

	/* A longer key is no key (24 characters): any answer is wrong. */
	if (key_len > sizeof(text) - guid_len)
		key_len = sizeof(text) - guid_len;
	memcpy(text, key, key_len);
	memcpy(text + key_len, ACCEPT_GUID, guid_len);
	sha1_short(sum, text, key_len + guid_len);
	for (i = 0; i < 7; i++) {
		group = (uint32_t)sum[3 * i] << 16 |
			(uint32_t)sum[3 * i + 1] << 8 | sum[3 * i + 2];
		out[4 * i] = digits[group >> 18];
		out[4 * i + 1] = digits[group >> 12 & 63];
		out[4 * i + 2] = digits[group >> 6 & 63];
		out[4 * i + 3] = digits[group & 63];
	}
	out[27] = '='; /* 20 bytes leave one place of padding */
	out[28] = '\0';
}
