/*
 * support.h: what several unit tests need: cmocka with its own includes,
 * borrowed views compared with text, and input in blocks of its exact size,
 * so that AddressSanitizer sees a read of one byte too many.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

/* Compares a str with a string literal or array, NULs and all. */
#define assert_str(s, text)                                                    \
	do {                                                                   \
		struct str got_ = (s);                                         \
		const char *want_ = (text);                                    \
		assert_int_equal(got_.n, strlen(want_));                       \
		if (got_.n > 0)                                                \
			assert_memory_equal(got_.p, want_, got_.n);            \
	} while (0)

/* Says which case of a table failed, and fails. */
#define fail_case(text, ...)                                                   \
	do {                                                                   \
		print_error("case \"%s\"\n", (text));                          \
		fail_msg(__VA_ARGS__);                                         \
	} while (0)

/* An owned copy of n bytes with nothing behind them; free() it. */
static inline char *exact_copy(const void *p, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1);

	if (!copy)
		abort();
	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

/* xorshift64*: the same numbers on every machine; *state is not 0. */
static inline uint32_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * UINT64_C(2685821657736338717)) >> 32);
}

#endif
