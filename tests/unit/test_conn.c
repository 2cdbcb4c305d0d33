/*
 * Connections: how they are read, and how they live and go. What they send is
 * in test_conn_send.c, how they end in test_conn_end.c.
 */
#include "net/conn.h"

#include <errno.h>

#include "conn_support.h"

/* --- input ------------------------------------------------------------------*/

static void test_a_pause_stops_in_the_middle(void **state)
{
	(void)state;
	one.take = 1;
	one.pause_at = 3;
	say(&one, "0123456789", 10);
	run_turns();
	assert_str(buf_str(&one.got), "012");
	assert_int_equal(one.calls, 1);
	one.pause_at = 0;
	conn_set_reading(one.c, true);
	run(one_has_ten);
	assert_str(buf_str(&one.got), "0123456789");
}

/* What one does not use up is no reason for the other to wait. */
static void test_a_share_ends(void **state)
{
	uint8_t many[200] = { 0 };

	(void)state;
	one.take = 1;
	one.slow = true;
	say(&one, many, sizeof(many));
	say(&two, "0123456789", 10);
	two.take = 1;
	run_turns();
	assert_int_equal(two.got.n, 10);
	assert_in_range(one.got.n, 2, sizeof(many) - 1);
	one.slow = false;
	run(one_has_ten);
}

/* An end comes behind the last byte, however late that is used. */
static void test_the_end_comes_last(void **state)
{
	(void)state;
	one.take = 1;
	one.pause_at = 3;
	say(&one, "0123456789", 10);
	shutdown(one.peer, SHUT_WR);
	run_turns();
	assert_int_equal(one.ended, 0);
	one.pause_at = 0;
	conn_set_reading(one.c, true);
	run(one_ended);
	assert_int_equal(one.got.n, 10);
	assert_int_equal(one.error, 0);
}

static void test_unread(void **state)
{
	(void)state;
	say(&one, "56789", 5);
	assert_int_equal(conn_unread(one.c, "01234", 5), 0);
	run(one_has_ten);
	assert_str(buf_str(&one.got), "0123456789");
}

/* What is borrowed of a rest has left when the rest is freed. */
static void test_borrowed_of_a_rest_that_ends(void **state)
{
	char *bytes = exact_copy("0123456789", 10);

	(void)state;
	script->room = 100;
	assert_int_equal(conn_unread(one.c, bytes, 10), 0);
	free(bytes);
	one.borrower = two.c;
	one.finish = one.c;
	run(one_has_ten);
	assert_str(buf_str(&script->sent), "0123456789");
}

/* Nothing is read while the owner pauses, and nothing is lost by it. */
static void test_a_pause(void **state)
{
	(void)state;
	conn_set_reading(one.c, false);
	say(&one, "0123456789", 10);
	run_turns();
	assert_int_equal(one.calls, 0);
	conn_set_reading(one.c, true);
	run(one_has_ten);
	assert_int_equal(one.calls, 1);
}

/* What was not used comes again, with what is read next behind it. */
static void test_a_part_is_not_used(void **state)
{
	(void)state;
	one.take = 4;
	one.pause_at = 4;
	say(&one, "01234", 5);
	run_turns();
	assert_str(buf_str(&one.got), "0123");
	assert_int_equal(one.c->rest->bytes.n, 1);
	one.pause_at = 0;
	say(&one, "56789", 5);
	conn_set_reading(one.c, true);
	run(one_has_ten);
	assert_str(buf_str(&one.got), "0123456789");
	assert_null(one.c->rest);
}

/* Neither of them is an end. */
static void test_reads_that_give_nothing(void **state)
{
	(void)state;
	script_reads(script, READ_ERROR(EAGAIN), READ_ERROR(EINTR),
		READ_TEXT("0123"));
	say(&two, "456789", 6);
	run_turns();
	assert_str(buf_str(&two.got), "0123456789");
	assert_int_equal(two.ended, 0);
}

static void test_no_memory_for_a_rest(void **state)
{
	(void)state;
	one.take = 1;
	one.pause_at = 10;
	assert_int_equal(buf_add(&one.got, "012345678", 9, SIZE_MAX), 0);
	say(&one, "90123", 5);
	no_memory_at(1);
	run(one_ended);
	assert_true(no_memory_was());
	assert_int_equal(one.error, ENOMEM);
}

static void test_no_memory_to_unread(void **state)
{
	(void)state;
	no_memory_at(1);
	assert_int_equal(conn_unread(one.c, "01234", 5), -1);
	assert_true(no_memory_was());
	say(&one, "0123456789", 10);
	run(one_has_ten);
}

/* An owner that hands over after the end: its successor is told it, too. */
static void test_the_end_is_told_again(void **state)
{
	(void)state;
	shutdown(one.peer, SHUT_WR);
	run(one_ended);
	assert_int_equal(conn_unread(one.c, "0123456789", 10), 0);
	one.ended = 0;
	run(one_ended);
	assert_int_equal(one.got.n, 10);
	run_turns();
	assert_int_equal(one.ended, 1);
}

/* --- life -------------------------------------------------------------------*/

/* No callback of the same turn meets a freed connection. */
static void test_closed_is_told_at_the_end_of_the_turn(void **state)
{
	struct conn *c = one.c;

	(void)state;
	conn_close(c);
	conn_close(c);
	assert_false(one.closed);
	assert_int_equal(conn_cost(c), 0);
	assert_true(conn_is_shut(c));
	conn_send_copied(c, "x", 1);
	run(one_closed);
	assert_int_equal(recv(one.peer, (char[1]){ 0 }, 1, 0), 0);
}

static void test_closed_by_its_own_input(void **state)
{
	(void)state;
	one.take = 3;
	one.pause_at = 3;
	one.close = one.c;
	say(&one, "0123456789", 10);
	shutdown(one.peer, SHUT_WR);
	run(one_closed);
	assert_int_equal(one.calls, 1);
	assert_int_equal(one.ended, 0);
}

/* The loop has ended, and its next turn, in which more would be used. */
static void test_closed_between_two_turns(void **state)
{
	uint8_t many[200] = { 0 };

	(void)state;
	one.take = 1;
	one.slow = true;
	say(&one, many, sizeof(many));
	run_turns();
	assert_true(one.c->rest_waits);
	conn_close(one.c);
	loop_run_deferred(loop);
	assert_true(one.closed);
}

/* Another side's input closes what it has just sent to. */
static void test_closed_with_a_cork(void **state)
{
	(void)state;
	one.borrower = one.close = two.c;
	script->room = 100;
	say(&one, "0123456789", 10);
	run(two_closed);
	assert_int_equal(script->sent.n, 0);
}

static void test_no_memory_for_a_connection(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	no_memory_at(1);
	assert_null(conn_new(loop, fd[0], fd[0], &side_cb, NULL));
	assert_true(no_memory_was());
	assert_int_equal(recv(fd[1], (char[1]){ 0 }, 1, 0), 0);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_pause_stops_in_the_middle),
		TEST(test_a_share_ends),
		TEST(test_the_end_comes_last),
		TEST(test_unread),
		TEST(test_borrowed_of_a_rest_that_ends),
		TEST(test_a_pause),
		TEST(test_a_part_is_not_used),
		TEST(test_reads_that_give_nothing),
		TEST(test_no_memory_for_a_rest),
		TEST(test_no_memory_to_unread),
		TEST(test_the_end_is_told_again),
		TEST(test_closed_is_told_at_the_end_of_the_turn),
		TEST(test_closed_by_its_own_input),
		TEST(test_closed_between_two_turns),
		TEST(test_closed_with_a_cork),
		TEST(test_no_memory_for_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
