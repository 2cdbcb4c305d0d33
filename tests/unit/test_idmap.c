#include "base/idmap.h"

#include "support.h"

#define MANY 5000

static void test_empty(void **state)
{
	struct idmap m = { 0 };

	(void)state;
	assert_null(idmap_find(&m, 0));
	assert_null(idmap_find(&m, 1));
	idmap_free(&m);
	assert_null(idmap_find(&m, 1));
}

/* Adds all, removes every third, finds the others. */
static void check_ids(uint64_t (*id_of)(size_t i))
{
	struct idmap_entry *e = calloc(MANY, sizeof(*e));
	struct idmap m = { 0 };

	assert_non_null(e);
	for (size_t i = 0; i < MANY; i++) {
		assert_null(idmap_find(&m, id_of(i)));
		idmap_add(&m, &e[i], id_of(i));
		assert_ptr_equal(idmap_find(&m, id_of(i)), &e[i]);
		assert_ptr_equal(idmap_find(&m, id_of(0)), &e[0]);
	}
	for (size_t i = 0; i < MANY; i += 3)
		idmap_remove(&m, &e[i]);
	for (size_t i = 0; i < MANY; i++)
		assert_ptr_equal(
			idmap_find(&m, id_of(i)), i % 3 == 0 ? NULL : &e[i]);
	assert_int_equal(m.n, MANY - (MANY + 2) / 3);
	idmap_free(&m);
	free(e);
}

static uint64_t counting(size_t i)
{
	return UINT64_C(0x19a2b3c4d5e0000) + i;
}

static uint64_t far_apart(size_t i)
{
	return (uint64_t)(i + 1) << 40;
}

static void test_many(void **state)
{
	(void)state;
	check_ids(counting);
	check_ids(far_apart);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
