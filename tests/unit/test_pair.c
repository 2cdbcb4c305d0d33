/* A pair between two ends that write down what it tells them. */
#include "pair/pair.h"

#include "relay_support.h"

#include "pair/farewell.h"

static struct player *client, *backend;
static struct pair *pair;

static void begin_as(const char *route, enum jwt_perm perm)
{
	struct client c;

	relay_open(route);
	c = client_of_route(perm);
	client = player(END_CLIENT, NULL);
	backend = player(END_BACKEND, NULL);
	pair = pair_new(worker, &c, &client->end, &backend->end);
	assert_non_null(pair);
	assert_did(client, "on");
	assert_did(backend, "on");
}

static void begin(const char *route)
{
	begin_as(route, JWT_READ_WRITE);
}

/* Its line, from "reason" on. */
static const char *line_of_end(void)
{
	const char *line;

	keep_log();
	leaves(client);
	leaves(backend);
	line = strstr(logged(), "reason=");
	assert_non_null(line);
	return line;
}

static void finish(void)
{
	player_ends(client, REASON_CLIENT_CLOSE);
	leaves(backend);
	leaves(client);
	relay_close();
}

/* --- messages ---------------------------------------------------------------*/

static void test_messages_go_both_ways(void **state)
{
	(void)state;
	begin(ECHO);
	says(client, "hello");
	says_part(backend, "a", true, false);
	says_part(backend, "b", false, true);
	assert_did(backend, "<hello>");
	assert_did(client, "<a b>");
	finish();
}

static void test_counts_what_came(void **state)
{
	(void)state;
	begin(ECHO);
	says(client, "hello");
	says_part(backend, "part", true, false);
	player_ends(client, REASON_CLIENT_CLOSE);
	says(backend, "too late");
	backend->end.owner->cb->dropped(&backend->end, 10);
	assert_string_equal(line_of_end(),
		"reason=client-close side=client age_ms=0 "
		"client_messages=1 client_bytes=5 backend_messages=0 "
		"backend_bytes=4 client_dropped=0 backend_dropped=18\n");
	relay_close();
}

static void test_a_reader_may_not_write(void **state)
{
	(void)state;
	begin_as(ECHO, JWT_READ);
	says(backend, "news");
	says(client, "no");
	assert_did(client, "<news> close(1008 read-only)");
	assert_did(backend, "close(1001 read-only)");
	finish();
}

static void test_a_writer_may_not_read(void **state)
{
	(void)state;
	begin_as(ECHO, JWT_WRITE);
	says(client, "up");
	says(backend, "secret");
	assert_did(backend, "<up>");
	assert_did(client, "");
	player_ends(client, REASON_CLIENT_CLOSE);
	assert_non_null(strstr(line_of_end(),
		"backend_messages=1 backend_bytes=6 client_dropped=0 "
		"backend_dropped=6\n"));
	relay_close();
}

static void test_a_whole_message_for_an_end_that_wants_one(void **state)
{
	(void)state;
	begin(ECHO);
	backend->end.whole = true;
	says_part(client, "o", true, false);
	says_part(client, "n", false, false);
	assert_did(backend, "");
	says_part(client, "e", false, true);
	assert_did(backend, "<one>");
	says(client, "two");
	assert_did(backend, "<two>");
	assert_int_equal(budget_used(&gate.shared.budget), 0);
	finish();
}

static void test_half_a_message_is_dropped_with_the_end(void **state)
{
	(void)state;
	begin(ECHO);
	backend->end.whole = true;
	says_part(client, "half", true, false);
	player_ends(backend, REASON_BACKEND_CLOSE);
	assert_non_null(strstr(line_of_end(), " client_dropped=4 "));
	relay_close();
}

/* --- ends that fail -----------------------------------------------------------*/

static void test_an_end_that_refuses_a_message_ends_both(void **state)
{
	(void)state;
	begin(ECHO);
	backend->refuses = REASON_UNSUPPORTED;
	says(client, "binary");
	assert_string_equal(client->did, "close(1003 unsupported)");
	assert_non_null(strstr(backend->did, "close(1001 "));
	assert_non_null(
		strstr(line_of_end(), "reason=unsupported side=client"));
	relay_close();
}

static void test_a_send_that_breaks_the_backend(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 1\n");
	backend->ends = backend;
	says(client, "one");
	says(client, "two");
	assert_non_null(strstr(client->did, "close("));
	/* Nothing is held up that is over. */
	assert_null(strstr(client->did, "off"));
	assert_non_null(
		strstr(line_of_end(), "reason=backend-reset side=backend"));
	relay_close();
}

static void test_a_send_that_breaks_the_backend_after_whole(void **state)
{
	(void)state;
	begin(ECHO);
	backend->end.whole = true;
	backend->ends = backend;
	says_part(client, "o", true, false);
	says_part(client, "k", false, true);
	assert_int_equal(budget_used(&gate.shared.budget), 0);
	finish();
}

static void test_only_the_first_end_counts(void **state)
{
	(void)state;
	begin(ECHO);
	player_ends(backend, REASON_BACKEND_CLOSE);
	client->did[0] = backend->did[0] = '\0';
	player_ends(client, REASON_CLIENT_CLOSE);
	player_ends(backend, REASON_BACKEND_RESET);
	assert_did(client, "");
	assert_did(backend, "");
	assert_non_null(
		strstr(line_of_end(), "reason=backend-close side=backend"));
	relay_close();
}

static void test_is_counted_until_both_are_gone(void **state)
{
	(void)state;
	begin(ECHO);
	player_ends(client, REASON_CLIENT_GONE);
	leaves(client);
	assert_int_equal(atomic_load(&worker->connections), 1);
	says(backend, "too late");
	leaves(backend);
	assert_int_equal(atomic_load(&worker->connections), 0);
	relay_close();
}

/* --- limits -------------------------------------------------------------------*/

static void test_each_side_has_its_idle_time(void **state)
{
	(void)state;
	begin(ECHO "idle_timeout = 5s\nbackend_idle_timeout = 8s\n");
	pass(4000);
	says(client, "x");
	pass(4000);
	assert_non_null(
		strstr(line_of_end(), "reason=backend-idle side=backend"));
	relay_close();
}

static void test_control_frames_use_the_rate(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 2\n");
	says(client, "x");
	client->end.owner->cb->control(&client->end, 0);
	assert_did(client, "");
	client->end.owner->cb->control(&client->end, 0);
	assert_did(client, "off");
	pass(500);
	assert_did(client, "on");
	finish();
}

static void test_the_backend_has_no_rate(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 1\nbyte_rate = 1\n");
	for (int i = 0; i < 5; i++)
		says(backend, "x");
	assert_did(backend, "");
	assert_did(client, "<x> <x> <x> <x> <x>");
	finish();
}

/* --- queues ---------------------------------------------------------------------*/

/* Both have connections; the backend's socket takes nothing. */
static void begin_with_conns(const char *route)
{
	begin(route);
	start(&one);
	start(&two);
	script = script_start(two.c);
	client->end.conn = one.c;
	backend->end.conn = two.c;
}

static void queue(size_t n)
{
	char *bytes = calloc(1, n);
	size_t before = two.c->queued;

	assert_non_null(bytes);
	conn_send_copied(two.c, bytes, n);
	assert_int_equal(two.c->queued, before + n);
	free(bytes);
}

static void finish_with_conns(void)
{
	side_free(&one);
	side_free(&two);
	loop_run_deferred(loop);
	scripts_free();
	finish();
}

static void test_a_long_queue_holds_up_the_other_side(void **state)
{
	(void)state;
	begin_with_conns(ECHO "queue_limit = 64K\n");
	queue(65536);
	says(client, "one");
	assert_did(client, "");
	queue(1);
	says(client, "two");
	assert_did(client, "off");
	says(client, "three");
	says(backend, "goes on");
	assert_did(client, "<goes on>");
	backend->end.owner->cb->drained(&backend->end);
	assert_did(client, "on");
	finish_with_conns();
}

static void test_a_queue_that_broke_holds_up_nothing(void **state)
{
	(void)state;
	begin_with_conns(ECHO "queue_limit = 64K\n");
	queue(65537);
	backend->ends = backend;
	says(client, "x");
	assert_did(client, "close(1011 backend-reset)");
	finish_with_conns();
}

static void test_when_memory_is_short_any_queue_does(void **state)
{
	(void)state;
	begin_with_conns(ECHO "queue_limit = 1M\n");
	atomic_store(&gate.shared.budget.limit, 0);
	says(client, "one");
	assert_did(client, "");
	queue(1);
	says(client, "two");
	assert_did(client, "off");
	finish_with_conns();
}

/* What comes back from echo is what the client sends. */
static void test_the_echo_of_a_slow_client_holds_it_up(void **state)
{
	(void)state;
	begin_with_conns(ECHO "queue_limit = 64K\n");
	backend->end.conn = NULL;
	client->end.conn = two.c;
	queue(65537);
	says(backend, "echo");
	assert_did(client, "<echo> off");
	assert_did(backend, "");
	client->end.owner->cb->drained(&client->end);
	assert_did(client, "on");
	finish_with_conns();
}

static void test_for_want_of_memory_only_what_waits_goes(void **state)
{
	(void)state;
	begin_with_conns(ECHO);
	pair_abort(pair, REASON_MEMORY);
	assert_int_equal(two.c->state, CONN_OPEN);
	queue(1);
	pair_abort(pair, REASON_MEMORY);
	assert_int_equal(two.c->state, CONN_CLOSED);
	assert_did(client, "close(1013 memory)");
	finish_with_conns();
}

static void test_at_the_stop_all_goes(void **state)
{
	(void)state;
	begin_with_conns(ECHO);
	farewell_begin(worker, SIZE_MAX);
	assert_int_equal(two.c->state, CONN_OPEN);
	assert_did(client, "close(1001 shutdown)");
	pairs_stop(worker);
	assert_int_equal(two.c->state, CONN_CLOSED);
	assert_did(client, "");
	finish_with_conns();
}

static void test_the_pair_for_which_most_waits(void **state)
{
	struct pair *largest;

	(void)state;
	begin_with_conns(ECHO);
	backend->end.whole = true;

	says_part(client, "half", true, false);
	queue(100);
	assert_int_equal(pairs_largest(worker, &largest),
		conn_cost(one.c) + conn_cost(two.c) + 4);
	assert_ptr_equal(largest, pair);
	finish_with_conns();
}

/* --- the beginning --------------------------------------------------------------*/

static void test_without_memory_nothing_is_taken(void **state)
{
	struct client c;
	unsigned n = 0;

	(void)state;
	relay_open(ECHO "message_rate = 1\n");
	c = client_of_route(JWT_READ_WRITE);
	client = player(END_CLIENT, NULL);
	backend = player(END_BACKEND, NULL);
	for (;;) {
		no_memory_at(++n);
		pair = pair_new(worker, &c, &client->end, &backend->end);
		if (!no_memory_was())
			break;
		assert_null(pair);
		assert_ptr_equal(client->end.owner, &end_unowned);
		assert_ptr_equal(backend->end.owner, &end_unowned);
		assert_did(client, "");
		assert_true(c.tickets.entered && c.tickets.route);
	}
	assert_in_range(n, 3, 5);
	assert_non_null(pair);
	finish();
}

/* A token that has ended while the backend was opened. */
static void test_may_be_over_at_once(void **state)
{
	struct client c;

	(void)state;
	relay_open(ECHO);
	c = client_of_route(JWT_READ_WRITE);
	c.verdict.expire_at = clock_unix_ms() - 1000;
	client = player(END_CLIENT, NULL);
	backend = player(END_BACKEND, NULL);
	pair = pair_new(worker, &c, &client->end, &backend->end);
	assert_non_null(pair);
	assert_did(client, "on close(3000 token-end)");
	assert_did(backend, "on close(1001 token-end)");
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_go_both_ways),
		cmocka_unit_test(test_counts_what_came),
		cmocka_unit_test(test_a_reader_may_not_write),
		cmocka_unit_test(test_a_writer_may_not_read),
		cmocka_unit_test(
			test_a_whole_message_for_an_end_that_wants_one),
		cmocka_unit_test(test_half_a_message_is_dropped_with_the_end),
		cmocka_unit_test(test_an_end_that_refuses_a_message_ends_both),
		cmocka_unit_test(test_a_send_that_breaks_the_backend),
		cmocka_unit_test(
			test_a_send_that_breaks_the_backend_after_whole),
		cmocka_unit_test(test_only_the_first_end_counts),
		cmocka_unit_test(test_is_counted_until_both_are_gone),
		cmocka_unit_test(test_each_side_has_its_idle_time),
		cmocka_unit_test(test_control_frames_use_the_rate),
		cmocka_unit_test(test_the_backend_has_no_rate),
		cmocka_unit_test(test_a_long_queue_holds_up_the_other_side),
		cmocka_unit_test(test_a_queue_that_broke_holds_up_nothing),
		cmocka_unit_test(test_when_memory_is_short_any_queue_does),
		cmocka_unit_test(test_the_echo_of_a_slow_client_holds_it_up),
		cmocka_unit_test(test_for_want_of_memory_only_what_waits_goes),
		cmocka_unit_test(test_at_the_stop_all_goes),
		cmocka_unit_test(test_the_pair_for_which_most_waits),
		cmocka_unit_test(test_without_memory_nothing_is_taken),
		cmocka_unit_test(test_may_be_over_at_once),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
