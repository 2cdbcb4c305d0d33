/* What of a section outlives a configuration: known by kind and name. */
#include "conf_support.h"

#include "worker/section.h"
#include "daemon/sections.h"

static struct sections *sections;

static int setup(void **state)
{
	(void)state;
	sections = sections_new();
	return sections ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sections_free(sections); /* asserts that none is left */
	return 0;
}

static struct conf *adopted(const char *text)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("test.ini", str_of(text), &errors);

	assert_non_null(c);
	buf_free(&errors);
	assert_int_equal(sections_adopt(sections, c), 0);
	return c;
}

#define LISTEN "[listen http]\naddress = 127.0.0.1:0\n"
#define ROUTE(name)                                                            \
	"[route " name "]\npath = /" name "\nbackend = echo:\nauth = none\n"

static void test_a_route_inserted_above_another_leaves_it_what_it_is(
	void **state)
{
	struct conf *before = adopted(LISTEN ROUTE("b"));
	struct conf *after = adopted(LISTEN ROUTE("a") ROUTE("b"));

	(void)state;
	assert_ptr_equal(after->routes[1].state, before->routes[0].state);
	assert_ptr_not_equal(after->routes[0].state, before->routes[0].state);
	assert_ptr_equal(after->listens[0].state, before->listens[0].state);
	conf_unref(before);
	conf_unref(after);
}

static void test_what_was_counted_is_there_after_the_old_snapshot_is_gone(
	void **state)
{
	struct conf *before = adopted(LISTEN ROUTE("b"));
	struct conf *after;

	(void)state;
	atomic_store(&before->routes[0].state->connections, 7);
	after = adopted(LISTEN ROUTE("b"));
	conf_unref(before);
	assert_int_equal(atomic_load(&after->routes[0].state->connections), 7);
	conf_unref(after);
}

static void test_a_route_and_a_listener_of_one_name_are_two(void **state)
{
	struct conf *c = adopted(LISTEN ROUTE("http"));

	(void)state;
	assert_int_not_equal(c->routes[0].state->section.number,
		c->listens[0].state->section.number);
	conf_unref(c);
}

static void test_a_route_that_comes_back_while_it_drains_is_the_same(
	void **state)
{
	struct conf *with = adopted(LISTEN ROUTE("a") ROUTE("b"));
	struct conf *without = adopted(LISTEN ROUTE("a"));
	struct conf *again = adopted(LISTEN ROUTE("a") ROUTE("b"));

	(void)state;
	assert_ptr_equal(again->routes[1].state, with->routes[1].state);
	conf_unref(with);
	conf_unref(without);
	conf_unref(again);
}

static void test_a_name_whose_last_snapshot_is_gone_begins_anew(void **state)
{
	struct conf *c = adopted(LISTEN ROUTE("b"));
	uint32_t number = c->routes[0].state->section.number;

	(void)state;
	conf_unref(c);
	c = adopted(LISTEN ROUTE("b"));
	assert_int_not_equal(c->routes[0].state->section.number, number);
	conf_unref(c);
}

static void test_tickets_come_with_the_first_certificate(void **state)
{
	struct conf *plain = adopted(LISTEN ROUTE("b"));
	struct conf *tls = adopted(
		"[certificate c]\nchain_file = chain\nkey_file = key\n" LISTEN
		"certificates = c\n" ROUTE("b"));

	(void)state;
	assert_ptr_equal(tls->listens[0].state, plain->listens[0].state);
	assert_non_null(plain->listens[0].state->tickets);
	conf_unref(plain);
	conf_unref(tls);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_route_inserted_above_another_leaves_it_what_it_is),
		TEST(test_what_was_counted_is_there_after_the_old_snapshot_is_gone),
		TEST(test_a_route_and_a_listener_of_one_name_are_two),
		TEST(test_a_route_that_comes_back_while_it_drains_is_the_same),
		TEST(test_a_name_whose_last_snapshot_is_gone_begins_anew),
		TEST(test_tickets_come_with_the_first_certificate),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
