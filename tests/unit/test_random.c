/*
 * Random bytes from a kernel that gives few at a time: getrandom(2) may be cut
 * short by a signal. This one gives at most five, and every third call none.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>

#include "support.h"

#include "base/random.h"
#include "base/table.h"
#include "worker/worker.h"
#include "gate/buckets.h"

static unsigned calls;
static bool broken;

/* In the place of the C library's. */
ssize_t getrandom(void *out, size_t n, unsigned flags)
{
	(void)flags;
	if (broken) {
		errno = ENOSYS;
		return -1;
	}
	if (++calls % 3 == 0) {
		errno = EINTR;
		return -1;
	}
	if (n > 5)
		n = 5;
	memset(out, 0xa5, n);
	return (ssize_t)n;
}

static bool all_are(const uint8_t *p, size_t n, uint8_t value)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != value)
			return false;
	return true;
}

static void test_filled(void **state)
{
	uint8_t bytes[1000] = { 0 };

	(void)state;
	assert_int_equal(random_bytes(NULL, bytes, 0), 0);
	assert_int_equal(random_bytes(NULL, bytes, sizeof(bytes) - 1), 0);
	assert_true(all_are(bytes, sizeof(bytes) - 1, 0xa5));
	assert_int_equal(bytes[sizeof(bytes) - 1], 0);
}

static void test_masks(void **state)
{
	struct worker *w = calloc(1, sizeof(*w));
	uint8_t mask[4];

	(void)state;
	assert_non_null(w);
	for (size_t i = 0; i < 2 * WORKER_RANDOM / sizeof(mask) + 1; i++) {
		memset(mask, 0, sizeof(mask));
		worker_random(w, mask, sizeof(mask));
		assert_true(all_are(mask, sizeof(mask), 0xa5));
	}
	free(w);
}

static void test_tables(void **state)
{
	struct buckets *b = buckets_new();
	struct table t;

	(void)state;
	assert_non_null(b);
	assert_int_equal(table_init(&t), 0);
	buckets_free(b);
	table_free(&t);
}

static void test_none(void **state)
{
	uint8_t byte;

	(void)state;
	broken = true;
	assert_int_equal(random_bytes(NULL, &byte, 1), -1);
	assert_int_equal(errno, ENOSYS);
	assert_null(buckets_new());
	broken = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filled),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
