/* Places in a list that changes: what is removed, what is added. */
#include "support.h"

#include "base/walk.h"

struct item {
	TAILQ_ENTRY(item) next;
	char name;
};

static struct item items[26];
static TAILQ_HEAD(, item) list;
static struct walks walks;

static void add(char name)
{
	struct item *i = &items[name - 'a'];

	i->name = name;
	TAILQ_INSERT_TAIL(&list, i, next);
}

static void drop(char name)
{
	struct item *i = &items[name - 'a'];

	walks_pass(&walks, i, TAILQ_NEXT(i, next));
	TAILQ_REMOVE(&list, i, next);
}

static int setup(void **state)
{
	(void)state;
	TAILQ_INIT(&list);
	LIST_INIT(&walks);
	for (char c = 'a'; c <= 'e'; c++)
		add(c);
	return 0;
}

/* '.' at the end. */
static char step(struct walk *w)
{
	struct item *i = w->at;

	if (!i)
		return '.';
	w->at = TAILQ_NEXT(i, next);
	return i->name;
}

static void test_meets_all(void **state)
{
	struct walk w = { 0 };

	(void)state;
	walk_begin(&walks, &w, TAILQ_FIRST(&list));
	for (const char *c = "abcde.."; *c; c++)
		assert_int_equal(step(&w), *c);
	walk_end(&w);
}

static void test_of_what_is_removed(void **state)
{
	struct walk one = { 0 }, other = { 0 };

	(void)state;
	walk_begin(&walks, &one, TAILQ_FIRST(&list));
	walk_begin(&walks, &other, TAILQ_FIRST(&list));
	assert_int_equal(step(&one), 'a');
	drop('a'); /* one is behind it, other at it */
	drop('b'); /* both are at it */
	drop('d'); /* both are before it */
	assert_int_equal(step(&other), 'c');
	drop('e'); /* the last, and other is at it */
	assert_int_equal(step(&other), '.');
	assert_int_equal(step(&one), 'c');
	assert_int_equal(step(&one), '.');
	walk_end(&one);
	walk_end(&other);
}

static void test_of_what_is_added(void **state)
{
	struct walk w = { 0 };

	(void)state;
	walk_begin(&walks, &w, TAILQ_FIRST(&list));
	drop('a');
	add('a');
	for (const char *c = "bcdea."; *c; c++)
		assert_int_equal(step(&w), *c);
	walk_end(&w);
}

static void test_ends_once(void **state)
{
	struct walk w = { 0 };

	(void)state;
	walk_end(&w); /* never begun */
	walk_begin(&walks, &w, TAILQ_FIRST(&list));
	walk_end(&w);
	assert_true(LIST_EMPTY(&walks));
	walk_end(&w);
	drop('a'); /* which it is not told */
	assert_null(w.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_meets_all, setup),
		cmocka_unit_test_setup(test_of_what_is_removed, setup),
		cmocka_unit_test_setup(test_of_what_is_added, setup),
		cmocka_unit_test_setup(test_ends_once, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
