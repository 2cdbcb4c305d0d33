/* The relay stops: who is told when. */
#include "pair/farewell.h"

#include "relay_support.h"

#include "pair/pair.h"

#define MANY 60

static struct player *clients[MANY], *backends[MANY];

static void begin(int n)
{
	relay_open(ECHO);
	for (int i = 0; i < n; i++) {
		struct client c = client_of_route(JWT_READ_WRITE);

		clients[i] = player(END_CLIENT, NULL);
		backends[i] = player(END_BACKEND, NULL);
		assert_non_null(pair_new(
			worker, &c, &clients[i]->end, &backends[i]->end));
	}
}

/* How many, when the step is done: on a busy machine it takes some turns. */
static int told(int n)
{
	int found = 0;

	for (int i = 0; i < MANY; i++)
		loop_run_deferred(loop);

	for (int i = 0; i < n; i++)
		found += strstr(clients[i]->did, "close(1001 shutdown)") !=
			 NULL;
	return found;
}

static void finish(int n)
{
	for (int i = 0; i < n; i++) {
		if (!clients[i])
			continue;
		player_ends(clients[i], REASON_CLIENT_CLOSE);
		leaves(clients[i]);
		leaves(backends[i]);
	}
	relay_close();
}

static void test_in_steps(void **state)
{
	(void)state;
	begin(25);
	farewell_begin(worker, 10);
	assert_int_equal(told(25), 10);
	pass(FAREWELL_STEP_MS - 1);
	assert_int_equal(told(25), 10);
	pass(1);
	assert_int_equal(told(25), 20);
	pass(FAREWELL_STEP_MS);
	assert_int_equal(told(25), 25);
	pass(10 * FAREWELL_STEP_MS);
	assert_int_equal(told(25), 25);
	finish(25);
}

static void test_few_are_told_at_once(void **state)
{
	(void)state;
	begin(50);
	farewell_begin(worker, farewell_step(50, 50, 5000));
	assert_int_equal(told(50), 50);
	finish(50);
}

/* Who leaves before its turn came is passed over. */
static void test_some_leave_meanwhile(void **state)
{
	(void)state;
	begin(30);
	farewell_begin(worker, 10);
	for (int i = 8; i < 15; i++) {
		if (i >= 10)
			player_ends(clients[i], REASON_CLIENT_CLOSE);
		leaves(clients[i]);
		leaves(backends[i]);
		clients[i] = player(END_CLIENT, NULL);
	}
	pass(FAREWELL_STEP_MS);
	/* 15 to 24 */
	assert_int_equal(told(30), 18);
	pass(FAREWELL_STEP_MS);
	assert_int_equal(told(30), 23);
	for (int i = 8; i < 15; i++) {
		free(clients[i]);
		clients[i] = NULL;
	}
	finish(30);
}

static void test_the_worker_may_end_before(void **state)
{
	(void)state;
	begin(30);
	farewell_begin(worker, 10);
	farewell_fini(worker);
	finish(30);
}

/* In so many ms, when every worker takes the steps that it is given. */
static int64_t takes(size_t mine, size_t all, int64_t within)
{
	size_t step = farewell_step(mine, all, within);

	return (int64_t)((mine + step - 1) / step - 1) * FAREWELL_STEP_MS;
}

static void test_how_many_in_a_step(void **state)
{
	(void)state;
	assert_int_equal(farewell_step(10, 10, 0), SIZE_MAX);
	assert_int_equal(farewell_step(0, 0, 5000), 1);
	/* 500 a second, all workers together. */
	assert_int_equal(farewell_step(1000, 1000, 5000), 51);
	assert_int_equal(farewell_step(500, 1000, 5000), 26);
	assert_true(takes(1000, 1000, 5000) <= 2000);
	/* More in the time that there is. */
	assert_true(takes(10000, 10000, 5000) <= 5000);
	assert_true(takes(3, 10000, 5000) <= 5000);
	assert_true(takes(500000, 1000000, 150) <= 150);
	assert_true(takes(100000, 100000, 1) <= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_steps),
		cmocka_unit_test(test_few_are_told_at_once),
		cmocka_unit_test(test_some_leave_meanwhile),
		cmocka_unit_test(test_the_worker_may_end_before),
		cmocka_unit_test(test_how_many_in_a_step),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
