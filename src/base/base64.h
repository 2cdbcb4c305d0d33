/*
 * base64.h: base64 (RFC 4648 section 4) and base64url without padding
 * (section 5, as RFC 7515 uses it).
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/* Bytes that n bytes become, without a NUL. */
#define BASE64_LENGTH(n)    (((n) + 2) / 3 * 4)
#define BASE64URL_LENGTH(n) ((n) / 3 * 4 + ((n) % 3 ? (n) % 3 + 1 : 0))

/* Both write no NUL and return the number of characters written. */
size_t base64_encode(char *out, const uint8_t *in, size_t n);
size_t base64url_encode(char *out, const uint8_t *in, size_t n);
/*
 * Decodes; out has room for n / 4 * 3 + 2 bytes. Returns the bytes written,
 * -1 for a character outside of the alphabet, a length that cannot be, or a
 * spelling that is not canonical (bits set behind the last byte): one value
 * has one spelling. base64_decode wants its padding, base64url_decode
 * refuses any.
 */
MUST_CHECK ssize_t base64_decode(uint8_t *out, const char *in, size_t n);
MUST_CHECK ssize_t base64url_decode(uint8_t *out, const char *in, size_t n);

#endif
