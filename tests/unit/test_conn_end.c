/* Connections: how they end, from either side, in order or not. */
#include "net/conn.h"

#include <errno.h>
#include <signal.h>

#include "conn_support.h"

/* --- the peer ends ----------------------------------------------------------*/

/* The end of its stream is not the end of ours. */
static void test_half_close(void **state)
{
	(void)state;
	say(&one, "bye", 3);
	shutdown(one.peer, SHUT_WR);
	run(one_ended);
	assert_str(buf_str(&one.got), "bye");
	assert_int_equal(one.error, 0);
	conn_send_copied(one.c, "still here", 10);
	run_turns();
	assert_string_equal(heard(&one), "still here");
	assert_int_equal(one.ended, 1);
}

static void test_a_read_that_fails(void **state)
{
	(void)state;
	script_reads(script, READ_TEXT("abc"), READ_ERROR(ECONNRESET));
	say(&two, "!", 1);
	run_turns();
	assert_str(buf_str(&two.got), "abc");
	assert_int_equal(two.ended, 1);
	assert_int_equal(two.error, ECONNRESET);
}

/* The socket is good, so there are no last words to wait for. */
static void test_a_write_that_fails(void **state)
{
	(void)state;
	script_sends(script, -EAGAIN, -ECONNRESET);
	conn_send_copied(two.c, "0123456789", 10);
	run_turns();
	assert_int_equal(two.ended, 1);
	assert_int_equal(two.error, ECONNRESET);
	assert_int_equal(two.c->queued, 0);
	script->room = 100;
	conn_send_copied(two.c, "ignored", 7);
	assert_int_equal(script->sent.n, 0);
}

/* A write fails while reading is paused: the owner is told nevertheless. */
static void test_a_write_that_fails_while_paused(void **state)
{
	(void)state;
	conn_set_reading(one.c, false);
	say(&one, "last words", 10);
	hang_up(&one);
	conn_send_copied(one.c, "x", 1);
	run_turns();
	assert_int_equal(one.ended, 1);
	assert_str(buf_str(&one.got), "last words");
}

/* The last words were kept, too, when their owner stopped in the middle. */
static void test_last_words_behind_a_rest(void **state)
{
	(void)state;
	one.take = 1;
	one.pause_at = 3;
	say(&one, "01234", 5);
	run_turns();
	say(&one, "56789", 5);
	hang_up(&one);
	one.pause_at = 0;
	conn_send_copied(one.c, "x", 1);
	run_turns();
	assert_str(buf_str(&one.got), "0123456789");
	assert_int_equal(one.ended, 1);
	assert_int_equal(one.error, EPIPE);
}

/* What was paused because the queue was long may go on: it was dropped. */
static void test_drained_by_a_failure(void **state)
{
	(void)state;
	assert_int_equal(shutdown(one.peer, SHUT_RD), 0);
	conn_send_copied(one.c, "x", 1);
	assert_int_equal(one.drained, 0);
	run_turns();
	assert_int_equal(one.drained, 1);
}

/* A Unix peer that shuts its reading side lives, and waits while we pause. */
static void test_a_peer_that_does_not_read(void **state)
{
	(void)state;
	conn_set_reading(one.c, false);
	assert_int_equal(shutdown(one.peer, SHUT_RD), 0);
	say(&one, "0123456789", 10);
	conn_send_copied(one.c, "x", 1);
	run_turns();
	assert_int_equal(one.ended + one.got.n, 0);
	assert_true(conn_is_shut(one.c));
	conn_set_reading(one.c, true);
	run_turns();
	assert_int_equal(one.got.n, 10);
	assert_int_equal(one.ended, 0);
}

/* --- we end -----------------------------------------------------------------*/

static void test_the_queue_leaves_before_the_end(void **state)
{
	(void)state;
	conn_send_copied(two.c, "0123456789", 10);
	conn_finish(two.c, 60000);
	conn_send_copied(two.c, "too late", 8);
	run_turns();
	assert_int_equal(two.c->state, CONN_FINISHING);
	script->room = 100;
	run_turns();
	assert_int_equal(two.c->state, CONN_LINGERING);
	assert_str(buf_str(&script->sent), "0123456789");
}

/* What comes behind the end is dropped, but not for ever. */
static void test_a_peer_that_does_not_end(void **state)
{
	static uint8_t many[65536];
	size_t said = 0;

	(void)state;
	conn_finish(one.c, 60000);
	while (!one.closed) {
		ssize_t n = send(one.peer, many, sizeof(many), MSG_NOSIGNAL);

		if (n > 0)
			said += (size_t)n;
		assert_in_range(said, 0, 12u << 20);
		run_turns();
	}
	assert_in_range(said, 8u << 20, 12u << 20);
}

/* Our side is shut; what comes is dropped, or a reset would cut our last. */
static void test_lingering(void **state)
{
	(void)state;
	conn_send_copied(one.c, "bye", 3);
	conn_finish(one.c, 60000);
	assert_int_equal(one.c->state, CONN_LINGERING);
	say(&one, "0123456789", 10);
	run_turns();
	assert_int_equal(one.c->dropped, 10);
	assert_int_equal(one.calls, 0);
	assert_string_equal(heard(&one), "bye");
	hang_up(&one);
	run(one_closed);
	assert_int_equal(one.ended, 0);
}

static void test_lingering_has_an_end(void **state)
{
	(void)state;
	conn_finish(one.c, 20);
	run(one_closed);
}

static void test_a_queue_that_does_not_leave(void **state)
{
	(void)state;
	conn_send_copied(two.c, "0123456789", 10);
	conn_finish(two.c, 20);
	run(two_closed);
	assert_int_equal(script->sent.n, 0);
}

/* The peer has ended already: nothing is left to wait for but the queue. */
static void test_finished_behind_its_end(void **state)
{
	(void)state;
	conn_send_copied(two.c, "0123456789", 10);
	shutdown(two.peer, SHUT_WR);
	run_turns();
	assert_int_equal(two.ended, 1);
	conn_finish(two.c, 60000);
	run_turns();
	assert_false(two.closed);
	script->room = 100;
	run(two_closed);
	assert_str(buf_str(&script->sent), "0123456789");
}

static void test_finished_after_a_failure(void **state)
{
	(void)state;
	script_sends(script, -ECONNRESET);
	conn_send_copied(two.c, "x", 1);
	conn_finish(two.c, 60000);
	run(two_closed);
}

/* A write fails when the owner has already ended: it is not told. */
static void test_a_failure_while_finishing(void **state)
{
	(void)state;
	script_sends(script, -EAGAIN, -ECONNRESET);
	conn_send_copied(two.c, "x", 1);
	conn_finish(two.c, 60000);
	run(two_closed);
	assert_int_equal(two.ended, 0);
}

/* What the owner has not used yet is dropped, and counted. */
static void test_finished_with_a_rest(void **state)
{
	(void)state;
	one.take = 1;
	one.pause_at = 3;
	say(&one, "0123456789", 10);
	run_turns();
	conn_finish(one.c, 60000);
	assert_int_equal(one.c->dropped, 7);
	run_turns();
	assert_int_equal(one.got.n, 3);
}

/* --- what a transport may want by itself ------------------------------------*/

/* The connection's last bytes wait in the transport, not in its queue. */
static void test_an_end_that_waits_for_room(void **state)
{
	(void)state;
	script->holds = true;
	conn_finish(two.c, 60000);
	run_turns();
	assert_int_equal(two.c->state, CONN_FINISHING);
	script->room = 100;
	run_turns();
	assert_int_equal(two.c->state, CONN_LINGERING);
	assert_int_equal(script->shuts, 2);
}

/* Nothing is clear, or drained, while the transport holds what it took. */
static void test_bytes_that_the_transport_holds(void **state)
{
	(void)state;
	script->holds = true;
	conn_set_reading(two.c, true);
	assert_false(conn_is_clear(two.c));
	run_turns();
	assert_int_equal(two.drained, 0);
	script->room = 100;
	run_turns();
	assert_int_equal(two.drained, 1);
	assert_true(conn_is_clear(two.c));
}

/* A handshake reads for itself, and lets nothing out. */
static void test_a_transport_that_is_opening(void **state)
{
	(void)state;
	script->opening = true;
	script_reads(script, READ_ERROR(EAGAIN), READ_ERROR(EAGAIN),
		READ_TEXT("its own"));
	script_sends(script, -EAGAIN);
	conn_set_reading(two.c, false);
	conn_send_copied(two.c, "0123456789", 10);
	say(&two, "!", 1);
	run_turns();
	assert_int_equal(script->reads_at, 3);
	assert_int_equal(script->writes, 0);
}

/* The end that came behind the bytes of a read is told with them. */
static void test_an_end_that_the_socket_does_not_show(void **state)
{
	(void)state;
	script_reads(script, READ_MORE("abc"), READ_END);
	say(&two, "!", 1);
	run_turns();
	assert_str(buf_str(&two.got), "abc");
	assert_int_equal(two.ended, 1);
}

/* It waits for an owner that has paused, though the socket is silent. */
static void test_an_unseen_end_behind_a_pause(void **state)
{
	(void)state;
	two.pause_at = 3;
	two.take = 3;
	script_reads(script, READ_MORE("abcd"), READ_END);
	say(&two, "!", 1);
	run_turns();
	assert_int_equal(two.ended, 0);
	two.pause_at = 0;
	conn_set_reading(two.c, true);
	run_turns();
	assert_str(buf_str(&two.got), "abcd");
	assert_int_equal(two.ended, 1);
}

/* --- the pipes of a process -------------------------------------------------*/

static int to_process, from_process;

static void start_process(struct side *s)
{
	int in[2], out[2];

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	conn_close(s->c);
	loop_run_deferred(loop);
	close(s->peer);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	to_process = in[0];
	from_process = out[1];
	start_on(s, out[0], in[1], -1);
}

static void test_a_process(void **state)
{
	char got[4];

	(void)state;
	start_process(&one);
	conn_send_copied(one.c, "abc", 3);
	assert_int_equal(read(to_process, got, 3), 3);
	assert_int_equal(write(from_process, "0123456789", 10), 10);
	run(one_has_ten);
	conn_finish(one.c, 60000);
	assert_int_equal(read(to_process, got, 1), 0);
	close(from_process);
	run(one_closed);
	close(to_process);
}

/* It may close its standard input: what it says still counts. */
static void test_a_process_that_does_not_read(void **state)
{
	(void)state;
	start_process(&one);
	close(to_process);
	conn_send_copied(one.c, "abc", 3);
	assert_true(conn_is_shut(one.c));
	assert_int_equal(write(from_process, "0123456789", 10), 10);
	run(one_has_ten);
	assert_int_equal(one.ended, 0);
	close(from_process);
	run(one_ended);
	assert_int_equal(one.error, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_half_close),
		TEST(test_a_read_that_fails),
		TEST(test_a_write_that_fails),
		TEST(test_a_write_that_fails_while_paused),
		TEST(test_last_words_behind_a_rest),
		TEST(test_drained_by_a_failure),
		TEST(test_a_peer_that_does_not_read),
		TEST(test_the_queue_leaves_before_the_end),
		TEST(test_a_peer_that_does_not_end),
		TEST(test_lingering),
		TEST(test_lingering_has_an_end),
		TEST(test_a_queue_that_does_not_leave),
		TEST(test_finished_behind_its_end),
		TEST(test_finished_after_a_failure),
		TEST(test_a_failure_while_finishing),
		TEST(test_finished_with_a_rest),
		TEST(test_an_end_that_waits_for_room),
		TEST(test_bytes_that_the_transport_holds),
		TEST(test_a_transport_that_is_opening),
		TEST(test_an_end_that_the_socket_does_not_show),
		TEST(test_an_unseen_end_behind_a_pause),
		TEST(test_a_process),
		TEST(test_a_process_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
