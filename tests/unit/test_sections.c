/* What of a section outlives a configuration: known by kind and name. */
#include "conf_support.h"

#include "worker/section.h"
#include "daemon/sections.h"
#include "worker/route_counters.h"

static struct sections *sections;

static int setup(void **state)
{
	(void)state;
	sections = sections_new(1);
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

static struct route_counters *counters_of(const struct conf *c, size_t route)
{
	return c->routes[route].state->counters;
}

static void test_what_was_counted_for_a_route_outlives_it(void **state)
{
	struct conf *c = adopted(LISTEN ROUTE("a") ROUTE("b"));
	struct route_counters *b = counters_of(c, 1);
	const struct route_record *r = sections_records(sections)->first;

	(void)state;
	counter_add(&b->opened, 3);
	conf_unref(c);
	assert_string_equal(r->name, "");
	r = route_record_next(r);
	assert_string_equal(r->name, "a");
	r = route_record_next(r);
	assert_string_equal(r->name, "b");
	assert_int_equal(counter_read(&r->of->opened), 3);
	assert_null(route_record_next(r));
	c = adopted(LISTEN ROUTE("b"));
	assert_ptr_equal(counters_of(c, 0), b);
	conf_unref(c);
}

static void test_names_that_come_and_go_are_bounded(void **state)
{
	const struct route_records *records = sections_records(sections);
	char text[200];
	struct conf *c;

	(void)state;
	for (int i = 0; i < ROUTE_RECORDS_GONE + 1; i++) {
		snprintf(text, sizeof(text),
			LISTEN "[route r%d]\npath = /r\nbackend = echo:\nauth "
			       "= none\n",
			i);
		conf_unref(adopted(text));
	}
	assert_int_equal(records->n, ROUTE_RECORDS_GONE + 1);
	c = adopted(LISTEN ROUTE("another"));
	assert_ptr_equal(counters_of(c, 0), records->first->of);
	conf_unref(c);
	assert_int_equal(records->n, ROUTE_RECORDS_GONE + 1);
}

static void test_workers_share_no_cache_line(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct route_counters) % CACHE_LINE, 0);
	assert_int_equal(
		(uintptr_t)sections_records(sections)->first->of % CACHE_LINE,
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_route_inserted_above_another_leaves_it_what_it_is),
		TEST(test_what_was_counted_is_there_after_the_old_snapshot_is_gone),
		TEST(test_a_route_and_a_listener_of_one_name_are_two),
		TEST(test_a_route_that_comes_back_while_it_drains_is_the_same),
		TEST(test_a_name_whose_last_snapshot_is_gone_begins_anew),
		TEST(test_tickets_come_with_the_first_certificate),
		TEST(test_what_was_counted_for_a_route_outlives_it),
		TEST(test_names_that_come_and_go_are_bounded),
		TEST(test_workers_share_no_cache_line),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
