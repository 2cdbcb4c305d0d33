/*
 * input = driver: one member of a hub steers its backend, and when it leaves
 * the next in the order of joining; the subject that drives takes over at once.
 */
#include "four_browsers.h"

#include "gate/identity.h"

static void joins_as(
	struct browser *x, size_t worker, const char *subject, uint8_t perm)
{
	browser_comes(x, worker);
	x->client.verdict.identity = identity_new("lab", subject);
	x->client.verdict.perm = perm;
	browser_asks_for(x, "/x");
	settle();
	assert_non_null(x->hub);
}

/* Each says its letter; the backend gets what the driver says. */
static void expect_driver(const char *heard)
{
	struct browser *all[] = { &a, &b, &c, &d };

	settle();
	for (size_t i = 0; i < 4; i++)
		if (all[i]->hub && all[i]->closes == 0)
			browser_says(
				all[i], (const char[]){ (char)('a' + i), 0 });
	expect_trunk_hears(heard);
}

static void test_the_next_that_joined_drives_next(void **state)
{
	(void)state;
	world_open_with_trunk("input = driver\n");
	joins_as(&d, 0, "viewer", JWT_READ);
	trunk_accept();
	expect_driver("");
	joins_as(&a, 1, "first", JWT_READ_WRITE);
	joins_as(&b, 0, "second", JWT_READ_WRITE);
	joins_as(&c, 1, "third", JWT_READ_WRITE);
	expect_driver("a\n");
	browser_leaves(&b);
	expect_driver("a\n");
	browser_leaves(&a);
	expect_driver("c\n");
	browser_leaves(&c);
	expect_driver("");
}

static void test_a_client_with_the_drivers_subject_takes_over(void **state)
{
	(void)state;
	world_open_with_trunk("input = driver\n");
	joins_as(&a, 0, "teacher", JWT_READ_WRITE);
	trunk_accept();
	joins_as(&b, 1, "other", JWT_READ_WRITE);
	joins_as(&d, 1, "teacher", JWT_READ); /* it may not write */
	expect_driver("a\n");
	joins_as(&c, 1, "teacher", JWT_READ_WRITE);
	expect_driver("c\n");
	browser_leaves(&c);
	expect_driver("a\n");
}

static void test_the_operator_chooses(void **state)
{
	struct hub *h;

	(void)state;
	world_open_with_trunk("input = driver\n");
	joins_as(&a, 0, "one", JWT_READ_WRITE);
	trunk_accept();
	joins_as(&b, 1, "two", JWT_READ_WRITE);
	joins_as(&c, 1, "three", JWT_READ_WRITE);
	joins_as(&d, 1, "viewer", JWT_READ);
	h = hub_at("/x");
	assert_int_equal(hub_drive(h, c.client.id), HUB_DRIVE_DONE);
	expect_driver("c\n");
	assert_int_equal(hub_drive(h, d.client.id), HUB_DRIVE_NO_RIGHT);
	assert_int_equal(hub_drive(h, 1000), HUB_DRIVE_NOT_HERE);
	expect_driver("c\n");
	browser_leaves(&c);
	expect_driver("a\n");
	assert_int_equal(hub_drive(h, c.client.id), HUB_DRIVE_NOT_HERE);
	assert_int_equal(hub_drive(h, b.client.id), HUB_DRIVE_DONE);
	expect_driver("b\n");
}

static void test_the_operator_chooses_where_all_drive(void **state)
{
	(void)state;
	world_open_with_trunk("");
	joins_as(&a, 1, "one", JWT_READ_WRITE);
	trunk_accept();
	assert_int_equal(
		hub_drive(hub_at("/x"), a.client.id), HUB_DRIVE_NO_DRIVERS);
	expect_driver("a\n");
}

static void test_what_another_says_is_denied_and_counted(void **state)
{
	(void)state;
	world_open_with_trunk("input = driver\n");
	joins_as(&a, 0, "one", JWT_READ_WRITE);
	trunk_accept();
	joins_as(&b, 1, "two", JWT_READ_WRITE);
	for (int i = 0; i < 3; i++)
		browser_says(&b, "no");
	expect_trunk_hears("");
	assert_int_equal(
		hub_denied(hub_seat_find(hub_at("/x"), b.client.id)), 3);
	assert_int_equal(b.closes, 0);
}

static void test_what_another_says_may_close_it(void **state)
{
	(void)state;
	world_open_with_trunk("input = driver\ndenied_input = close\n");
	joins_as(&a, 0, "one", JWT_READ_WRITE);
	trunk_accept();
	joins_as(&b, 1, "two", JWT_READ_WRITE);
	browser_says(&b, "no");
	settle();
	assert_int_equal(b.closes, 1);
	assert_int_equal(b.code, WS_CODE_POLICY);
	assert_int_equal(a.closes, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_the_next_that_joined_drives_next),
		T(test_a_client_with_the_drivers_subject_takes_over),
		T(test_the_operator_chooses),
		T(test_the_operator_chooses_where_all_drive),
		T(test_what_another_says_is_denied_and_counted),
		T(test_what_another_says_may_close_it),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
