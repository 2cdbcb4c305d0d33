/*
 * random.h: unpredictable bytes from the kernel; no state, any thread.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>

#include "base/compiler.h"

/*
 * Fills n bytes: 0, or -1 with errno, which should not happen. With the
 * parameters that mbedTLS wants; the first is not used.
 */
MUST_CHECK int random_bytes(void *unused, unsigned char *out, size_t n);

#endif
