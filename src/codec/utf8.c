#include "codec/utf8.h"

#include <string.h>

static uint64_t load64(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

#define HIGH_BITS 0x8080808080808080u

/* The first byte from p on that is not ASCII, or end. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 32) {
		uint64_t bits = load64(p) | load64(p + 8) | load64(p + 16) |
				load64(p + 24);

		if (bits & HIGH_BITS)
			break;
		p += 32;
	}
	while (end - p >= 8 && (load64(p) & HIGH_BITS) == 0)
		p += 8;
	while (p < end && *p < 0x80)
		p++;
	return p;
}

/*
 * Opens the sequence that a byte leads (RFC 3629 section 4). The range of
 * the second byte is what excludes overlong forms, surrogates and what lies
 * behind U+10FFFF.
 */
static bool begin(struct utf8 *u, uint8_t lead)
{
	if (lead < 0xc2 || lead > 0xf4)
		return false;
	u->left = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
	u->low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	u->high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
	return true;
}

/* Takes the next continuation byte of the open sequence. */
static bool proceed(struct utf8 *u, uint8_t c)
{
	if (c < u->low || c > u->high)
		return false;
	u->left--;
	u->low = 0x80;
	u->high = 0xbf;
	return true;
}

bool utf8_add(struct utf8 *u, const uint8_t *p, size_t n)
{
	/* Kept in registers in the loop; an empty piece may have no address. */
	struct utf8 now = *u;
	const uint8_t *end;

	if (n == 0)
		return true;
	end = p + n;
	while (p < end) {
		if (now.left > 0) {
			if (!proceed(&now, *p++))
				return false;
		} else if (*p >= 0x80) {
			if (!begin(&now, *p++))
				return false;
		} else {
			p = skip_ascii(p, end);
		}
	}
	*u = now;
	return true;
}

bool utf8_complete(const struct utf8 *u)
{
	return u->left == 0;
}

bool utf8_valid(const void *p, size_t n)
{
	struct utf8 u = { 0 };

	return utf8_add(&u, p, n) && utf8_complete(&u);
}

size_t utf8_prefix(const void *p, size_t n, size_t max)
{
	const uint8_t *bytes = p;
	size_t cut = max;

	if (n <= max)
		return n;
	/* A character has three continuation bytes at most. */
	while (cut > 0 && max - cut < 3 && (bytes[cut] & 0xc0) == 0x80)
		cut--;
	/* Continuation bytes without a lead are no character. */
	return (bytes[cut] & 0xc0) == 0x80 ? max : cut;
}
