/*
 * utf8.h: validates UTF-8 (RFC 3629) as it arrives, in pieces cut anywhere.
 */
#ifndef CODEC_UTF8_H
#define CODEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* A struct of zeros is ready at the start of a text. */
struct utf8 {
	uint8_t left; /* continuation bytes that the open sequence still wants */
	uint8_t low;  /* range of the next one */
	uint8_t high;
};

/*
 * Checks the next n bytes. False as soon as they can't be the beginning of
 * valid UTF-8 (no surrogates, no overlong forms, nothing over U+10FFFF).
 * Runs of ASCII are skipped eight bytes at a time.
 */
MUST_CHECK bool utf8_add(struct utf8 *u, const uint8_t *p, size_t n);
/* Whether the text may end here. */
bool utf8_complete(const struct utf8 *u);
/* The whole text at once. */
bool utf8_valid(const void *p, size_t n);
/* The longest prefix of at most max bytes that does not cut a character. */
size_t utf8_prefix(const void *p, size_t n, size_t max);

#endif
