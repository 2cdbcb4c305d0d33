/*
 * pem.h: the blocks of a PEM file (RFC 7468), one after the other, with text
 * between them.
 *
 * A fault is -1 and why: words that go behind the name of the file.
 */
#ifndef CODEC_PEM_H
#define CODEC_PEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

#define PEM_MAX (1u << 20) /* bytes of a file */
#define PEM_WHY 320

struct pem_block {
	struct str label; /* "CERTIFICATE" */
	struct str text;  /* from BEGIN to the end of END */
};

/*
 * The text of a file, when it can be PEM at all. pem is the bytes of the file
 * and one NUL, which n counts.
 */
MUST_CHECK int pem_open(
	struct str *s, const uint8_t *pem, size_t n, char why[PEM_WHY]);
/* Takes the next block off *s: 1; 0: there is none; -1 and why. */
MUST_CHECK int pem_next(struct str *s, struct pem_block *b, char why[PEM_WHY]);

void pem_explain(char why[PEM_WHY], const char *format, ...) PRINTF_LIKE(2, 3);
/* An expression, so that static analysers see that it is -1. */
#define pem_fail(...) (pem_explain(__VA_ARGS__), -1)

#endif
