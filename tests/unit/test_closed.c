/* The newest closes and refusals: their bounds, and texts that are cut. */
#include "gate/closed.h"

#include <stdlib.h>

#include "gate/client.h"
#include "no_memory.h"
#include "support.h"
#include "worker/worker.h"

static struct worker *worker;

static int setup(void **state)
{
	(void)state;
	worker = calloc(1, sizeof(*worker)); /* nothing else of it is used */
	return worker ? closed_init(worker, 100) : -1;
}

static int teardown(void **state)
{
	(void)state;
	closed_fini(worker);
	free(worker);
	return 0;
}

static struct closed_list *list_of(enum closed_kind kind)
{
	return &worker->closed->lists[kind];
}

static void add(enum closed_kind kind, uint64_t id, const char *detail)
{
	closed_add(worker, kind,
		&(struct closed_note){ .client = &(struct client){ .id = id },
			.reason = REASON_IDLE,
			.detail = detail });
}

static void expect_ids(enum closed_kind kind, uint64_t first, uint64_t last)
{
	struct closed *c;
	size_t bytes = 0;

	TAILQ_FOREACH (c, &list_of(kind)->list, next) {
		assert_int_equal(c->id, first++);
		bytes += c->size;
	}
	assert_int_equal(first, last + 1);
	assert_int_equal(list_of(kind)->bytes, bytes);
}

static void test_the_newest_of_each_kind(void **state)
{
	(void)state;
	add(CLOSED_SESSIONS, 7, NULL);
	for (uint64_t id = 1; id <= 250; id++)
		add(CLOSED_REFUSALS, id, "a flood");
	expect_ids(CLOSED_SESSIONS, 7, 7);
	expect_ids(CLOSED_REFUSALS, 151, 250);
	assert_int_equal(list_of(CLOSED_REFUSALS)->n, CLOSED_MAX / 100);
}

static void test_bounded_in_bytes(void **state)
{
	char text[CLOSED_TEXT + 100];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	worker->closed->bytes_max = 10 * (sizeof(struct closed) + CLOSED_TEXT);
	for (uint64_t id = 1; id <= 50; id++)
		add(CLOSED_SESSIONS, id, text);
	expect_ids(CLOSED_SESSIONS, 42, 50); /* each has a NUL, too */
	assert_int_equal(
		strlen(TAILQ_FIRST(&list_of(CLOSED_SESSIONS)->list)->detail),
		CLOSED_TEXT);
}

static void test_a_walk_meanwhile(void **state)
{
	struct closed_list *l = list_of(CLOSED_SESSIONS);
	struct walk walk = { 0 };

	(void)state;
	for (uint64_t id = 1; id <= 100; id++)
		add(CLOSED_SESSIONS, id, NULL);
	walk_begin(&l->walks, &walk, TAILQ_FIRST(&l->list));
	add(CLOSED_SESSIONS, 101, NULL); /* the first gives way */
	assert_int_equal(((struct closed *)walk.at)->id, 2);
	walk_end(&walk);
}

static void test_without_memory_it_is_not_kept(void **state)
{
	(void)state;
	no_memory_at(1);
	add(CLOSED_SESSIONS, 1, NULL);
	no_memory_at(0);
	expect_ids(CLOSED_SESSIONS, 1, 0);
	closed_fini(worker);
	add(CLOSED_SESSIONS, 1, NULL); /* no lists: nothing is kept */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_the_newest_of_each_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_bounded_in_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_walk_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_without_memory_it_is_not_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
