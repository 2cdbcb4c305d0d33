/* What a new configuration changes. */
#include "conf_support.h"

#include "conf/diff.h"

static struct buf told;

static void tell(void *arg, const struct diff_change *c)
{
	(void)arg;
	assert_int_equal(buf_add_printf(&told, "%s %s %s%s%s%s\n",
				 diff_kind_word(c->kind),
				 keys_section_get(c->section)->name, c->name,
				 c->keys ? ": " : "", c->keys ? c->keys : "",
				 c->at_start ? " (at the next start)" : ""),
		0);
}

static struct conf *load(const char *text)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("test.ini", str_of(text), &errors);

	if (!c)
		print_error("%.*s", (int)errors.n, (const char *)errors.p);
	assert_non_null(c);
	buf_free(&errors);
	return c;
}

static void expect(const char *before, const char *after, const char *wanted)
{
	struct conf *a = load(before), *b = load(after);

	assert_int_equal(diff_each(a, b, tell, NULL), 0);
	assert_str(buf_str(&told), wanted);
	buf_free(&told);
	conf_unref(a);
	conf_unref(b);
}

#define LISTEN "[listen http]\naddress = 127.0.0.1:0\n"
#define ROUTE(name)                                                            \
	"[route " name "]\npath = /" name "\nbackend = echo:\nauth = none\n"

static void test_nothing(void **state)
{
	(void)state;
	expect(LISTEN ROUTE("a"), LISTEN ROUTE("a"), "");
	/* The same in other words, in another place of the file. */
	expect(LISTEN ROUTE("a") "linger = 60s\n",
		ROUTE("a") "linger = 1m\n" LISTEN, "");
}

static void test_sections_come_and_go(void **state)
{
	(void)state;
	expect(LISTEN ROUTE("a") ROUTE("b"), LISTEN ROUTE("c") ROUTE("b"),
		"removed route a\nadded route c\n");
}

static void test_keys_that_differ_are_named(void **state)
{
	(void)state;
	expect(LISTEN ROUTE("a"),
		LISTEN ROUTE("a") "max_message = 2M\nidle_timeout = 1m\n",
		"changed route a: max_message idle_timeout\n");
	expect(LISTEN ROUTE("a"), "[server]\nworkers = 3\n" LISTEN ROUTE("a"),
		"changed server : workers (at the next start)\n");
}

static void test_the_order_of_routes_is_told(void **state)
{
	(void)state;
	expect(LISTEN ROUTE("a") ROUTE("b"), LISTEN ROUTE("b") ROUTE("a"),
		"order route \n");
	/* One that is inserted moves the others, but not past each other. */
	expect(LISTEN ROUTE("a") ROUTE("b"),
		LISTEN ROUTE("x") ROUTE("a") ROUTE("b"), "added route x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_sections_come_and_go),
		cmocka_unit_test(test_keys_that_differ_are_named),
		cmocka_unit_test(test_the_order_of_routes_is_told),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
