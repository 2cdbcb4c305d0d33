/*
 * The pings of a WebSocket end: when a peer is pinged, what is an answer, and
 * when a peer is given up.
 */
#include "ws_end_support.h"

static void assert_pinged(void)
{
	assert_heard(BYTES("\x89\x00"));
}

static void test_silence_is_pinged(void **state)
{
	(void)state;
	time_passes(19 * MINUTE);
	assert_silence();
	time_passes(1 * MINUTE);
	assert_pinged();
}

static void test_a_backend_is_pinged(void **state)
{
	(void)state;
	time_passes(20 * MINUTE);
	assert_heard_masked(BYTES("\x89\x00"));
}

/* Any byte is as good an answer as a pong. */
static void test_an_answer_is_life(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} answers[] = { { BYTES("\x8a\x80mask") }, { BYTES("\x8a") },
		{ BYTES("\x80mask\x82\x81\0\0\0\0x") },
		{ BYTES("\x89\x80mask") } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		time_passes(20 * MINUTE);
		assert_pinged();
		time_passes(9 * MINUTE);
		peer_says(answers[i].bytes, answers[i].n);
		turn();
		time_passes(9 * MINUTE);
	}
	assert_told("control 0;control 0;binary x;control 0;");
	assert_heard(BYTES("\x8a\x00"));
	assert_silence();
}

static void test_a_client_that_does_not_answer(void **state)
{
	(void)state;
	closes = true;
	time_passes(20 * MINUTE);
	assert_pinged();
	time_passes(9 * MINUTE);
	assert_told("");
	time_passes(2 * MINUTE);
	assert_told("ended ping-timeout;");
	assert_heard(BYTES("\x88\x02\x03\xe9"));
	time_passes(6 * MINUTE);
	assert_told("gone;");
}

static void test_a_backend_that_does_not_answer(void **state)
{
	(void)state;
	time_passes(20 * MINUTE);
	time_passes(11 * MINUTE);
	assert_told("ended ping-timeout 1011;"); /* the code for browsers */
}

/* Then a close frame would not arrive, and is not waited for. */
static void test_a_peer_that_has_vanished(void **state)
{
	(void)state;
	closes = true;
	time_passes(20 * MINUTE);
	assert_pinged();
	arrived_ago = -1;
	peer_vanished = true;
	time_passes(11 * MINUTE);
	assert_told("ended ping-timeout;gone;");
	assert_peer_heard_the_end();
}

/* Megabytes may lie in the kernel in front of the ping. */
static void test_a_slow_line_is_not_a_dead_one(void **state)
{
	(void)state;
	time_passes(20 * MINUTE);
	arrived_ago = -1;
	for (int i = 0; i < 5; i++)
		time_passes(11 * MINUTE);
	assert_told("");
	arrived_ago = 4 * MINUTE; /* so long it has had to answer */
	time_passes(11 * MINUTE);
	assert_told("");
	arrived_ago = 9 * MINUTE;
	time_passes(5 * MINUTE);
	assert_told("");
	time_passes(2 * MINUTE);
	assert_told("ended ping-timeout;");
}

/* Its answer may lie unread: then only the kernel knows whether it is gone. */
static void test_a_peer_that_is_not_read(void **state)
{
	(void)state;
	time_passes(20 * MINUTE);
	assert_pinged();
	end->ops->flow(end, false);
	for (int i = 0; i < 5; i++)
		time_passes(11 * MINUTE);
	assert_told("");
	peer_vanished = true;
	time_passes(11 * MINUTE);
	assert_told("ended ping-timeout;");
}

static void test_a_pause_gives_new_time_to_answer(void **state)
{
	(void)state;
	time_passes(20 * MINUTE);
	end->ops->flow(end, false);
	time_passes(30 * MINUTE);
	end->ops->flow(end, true);
	time_passes(9 * MINUTE);
	assert_told("");
	time_passes(11 * MINUTE);
	assert_told("ended ping-timeout;");
}

/* No other answer comes when reading goes on. */
static void test_an_answer_before_a_pause_counts(void **state)
{
	(void)state;
	pauses = true;
	time_passes(20 * MINUTE);
	assert_pinged();
	peer_says(BYTES("\x8a\x80mask\x82\x81\0\0\0\0x"));
	assert_told("control 0;binary x;");
	time_passes(9 * MINUTE);
	end->ops->flow(end, true);
	time_passes(11 * MINUTE);
	assert_told("");
	assert_pinged(); /* again */
}

/* The ping's time begins when it has left. */
static void test_a_ping_behind_a_queue(void **state)
{
	uint8_t *much = malloc(MUCH + 10);

	(void)state;
	assert_non_null(much);
	send_much();
	time_passes(20 * MINUTE);
	for (int i = 0; i < 5; i++)
		time_passes(11 * MINUTE);
	assert_told("");
	hear_all(much, MUCH + 10);
	assert_pinged();
	assert_told("drained;");
	time_passes(9 * MINUTE);
	assert_told("");
	time_passes(11 * MINUTE);
	assert_told("ended ping-timeout;");
	free(much);
}

/* Many write to it, and its ping leaves with what they say. */
static void test_a_backend_of_a_hub_that_does_not_answer(void **state)
{
	(void)state;
	conn_set_gathering(conn);
	time_passes(20 * MINUTE);
	assert_heard_masked(BYTES("\x89\x00"));
	assert_int_equal(send_text("input"), REASON_NONE);
	turn();
	assert_heard_masked(BYTES("\x81\x05input"));
	time_passes(11 * MINUTE);
	assert_told("drained;drained;ended ping-timeout 1011;");
}

static void test_a_peer_that_vanishes_behind_a_queue(void **state)
{
	(void)state;
	closes = true;
	send_much();
	time_passes(20 * MINUTE);
	peer_vanished = true;
	time_passes(11 * MINUTE);
	assert_told("ended ping-timeout;gone;");
}

static void test_round_trips_are_measured(void **state)
{
	const struct histogram *pings = &counters.pings[COUNT_CLIENT];

	(void)state;
	time_passes(20 * MINUTE);
	assert_pinged();
	time_passes(3 * MINUTE);
	peer_says(BYTES("\x8a\x81\0\0\0\0x")); /* not ours */
	turn();
	assert_int_equal(histogram_count(pings), 0);
	/* One, and one that no ping asked for. */
	peer_says(BYTES("\x8a\x80mask\x8a\x80mask"));
	turn();
	assert_int_equal(histogram_count(pings), 1);
	assert_true(counter_read(&pings->sum) >= 3 * MINUTE * 1000000);
	assert_int_equal(histogram_count(&counters.pings[COUNT_BACKEND]), 0);
}

static void test_without_pings(void **state)
{
	(void)state;
	route.ping_interval = 0;
	start(END_CLIENT);
	time_passes(10000 * MINUTE);
	assert_silence();
	assert_told("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVER(test_silence_is_pinged),
		CLIENT(test_a_backend_is_pinged),
		SERVER(test_an_answer_is_life),
		SERVER(test_a_client_that_does_not_answer),
		CLIENT(test_a_backend_that_does_not_answer),
		SERVER(test_a_peer_that_has_vanished),
		SERVER(test_a_slow_line_is_not_a_dead_one),
		SERVER(test_a_peer_that_is_not_read),
		SERVER(test_a_pause_gives_new_time_to_answer),
		SERVER(test_an_answer_before_a_pause_counts),
		SERVER(test_a_ping_behind_a_queue),
		CLIENT(test_a_backend_of_a_hub_that_does_not_answer),
		SERVER(test_a_peer_that_vanishes_behind_a_queue),
		SERVER(test_round_trips_are_measured),
		NOTHING(test_without_pings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
