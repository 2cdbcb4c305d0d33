/* Connections: what they send, at once, corked, gathered, queued. */
#include "net/conn.h"

#include <errno.h>

#include "base/message.h"
#include "conn_support.h"

/* --- borrowed and copied ----------------------------------------------------*/

static void test_copied_and_borrowed(void **state)
{
	char *bytes = exact_copy("copied ", 7);

	(void)state;
	conn_send_copied(two.c, bytes, 7);
	memset(bytes, 'x', 7);
	free(bytes);
	one.borrower = two.c;
	say(&one, "borrowed", 8);
	run_turns();
	memset(loop->scratch, 'x', 100);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "copied borrowed");
}

/* Outside of a read it has left, or been copied, when the call returns. */
static void test_borrowed_outside_of_a_read(void **state)
{
	char *bytes = exact_copy("0123456789", 10);

	(void)state;
	script_sends(script, 3, -EAGAIN);
	send_borrowed(two.c, bytes, 10);
	free(bytes);
	assert_str(buf_str(&script->sent), "012");
	assert_int_equal(two.c->queued, 7);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "0123456789");
	assert_int_equal(script->writes, 2);
}

/* Pieces that lie behind each other are one run of bytes, in one write. */
static void test_a_read_leaves_as_one_write(void **state)
{
	(void)state;
	script->room = 100;
	one.take = 2;
	one.borrower = two.c;
	say(&one, "0123456789", 10);
	run(one_has_ten);
	assert_str(buf_str(&script->sent), "0123456789");
	assert_int_equal(script->writes, 1);
	assert_int_equal(script->parts, 1);
}

/* What the socket refuses of a corked read is copied before that is gone. */
static void test_a_read_leaves_in_part(void **state)
{
	(void)state;
	script_sends(script, 3, -EAGAIN, 2);
	one.take = 2;
	one.borrower = two.c;
	say(&one, "0123456789", 10);
	run(one_has_ten);
	memset(loop->scratch, 'x', 10);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "0123456789");
}

static void test_heads_and_tails(void **state)
{
	struct conn_frame f = { .head = "<",
		.payload = "abc",
		.tail = ">",
		.head_n = 1,
		.payload_n = 3,
		.tail_n = 1 };

	(void)state;
	script_sends(script, 2);
	conn_send_frame_borrowed(two.c, &f);
	f.payload = "def";
	conn_send_frame_copied(two.c, &f);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "<abc><def>");
}

/* A copied frame flushes what was borrowed before it. */
static size_t borrow_then_copy(struct conn *c, uint8_t *p, size_t n)
{
	(void)c;
	send_borrowed(two.c, p, n);
	assert_int_equal(script->writes, 0);
	conn_send_copied(two.c, "!", 1);
	assert_int_equal(script->writes, 2);
	return n;
}

static void test_order_within_a_read(void **state)
{
	static const struct conn_cb cb = { .input = borrow_then_copy,
		.closed = side_closed };

	(void)state;
	script->room = 100;
	conn_set_owner(one.c, &cb, &one);
	say(&one, "borrowed", 8);
	run_turns();
	assert_str(buf_str(&script->sent), "borrowed!");
}

static void test_an_interrupted_write(void **state)
{
	(void)state;
	script_sends(script, -EINTR, 4);
	script->room = 100;
	conn_send_copied(two.c, "0123456789", 10);
	assert_int_equal(two.c->queued, 10);
	run_turns();
	assert_str(buf_str(&script->sent), "0123456789");
	assert_false(conn_is_shut(two.c));
}

/* --- gathered ---------------------------------------------------------------*/

/* All that is sent copied in a turn leaves at its end, in order. */
static void test_gathering(void **state)
{
	char *bytes = exact_copy("two ", 4);

	(void)state;
	script->room = 100;
	conn_set_gathering(two.c);
	conn_send_copied(two.c, "one ", 4);
	conn_send_copied(two.c, bytes, 4);
	free(bytes);
	assert_int_equal(script->sent.n, 0);
	conn_send_frame_borrowed(two.c,
		&(struct conn_frame){ .payload = "three", .payload_n = 5 });
	assert_str(buf_str(&script->sent), "one two three");
}

static void test_gathered_leaves_as_one_write(void **state)
{
	(void)state;
	script->room = 100;
	conn_set_gathering(two.c);
	conn_send_copied(two.c, "one ", 4);
	conn_send_copied(two.c, "two", 3);
	assert_int_equal(two.c->queued, 7);
	run_turns();
	assert_str(buf_str(&script->sent), "one two");
	assert_int_equal(script->writes, 1);
}

static void test_much_is_not_gathered(void **state)
{
	static char many[40000];

	(void)state;
	script->room = SIZE_MAX;
	conn_set_gathering(two.c);
	conn_send_copied(two.c, many, sizeof(many));
	assert_int_equal(script->writes, 0);
	conn_send_copied(two.c, many, sizeof(many));
	assert_int_equal(script->sent.n, 2 * sizeof(many));
}

/* The socket is full: what is gathered waits for that, behind what waits. */
static void test_gathered_behind_a_queue(void **state)
{
	(void)state;
	conn_send_copied(two.c, "one ", 4);
	conn_set_gathering(two.c);
	conn_send_copied(two.c, "two", 3);
	run_turns();
	assert_int_equal(two.c->queued, 7);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "one two");
}

static void test_gathered_leaves_before_the_end(void **state)
{
	(void)state;
	script->room = 100;
	conn_set_gathering(two.c);
	conn_send_copied(two.c, "last", 4);
	conn_finish(two.c, 60000);
	assert_str(buf_str(&script->sent), "last");
}

/* --- pongs ------------------------------------------------------------------*/

/*
 * Frames of a letter and its length, in any amounts and at any speed: what
 * comes out is what went in, and a pong is always between two of them.
 */
static void test_urgent_never_divides_a_frame(void **state)
{
	uint64_t seed = 11;
	uint8_t frame[2000];
	size_t sent = 0, seen = 0, pongs = 0;

	(void)state;
	conn_set_reading(two.c, false);
	for (int i = 0; i < 3000; i++) {
		size_t n = 3 + next_random(&seed) % (i % 7 ? 20 : 1500);

		memset(frame, 'a' + (int)(sent % 26), n);
		frame[0] = (uint8_t)(n >> 8);
		frame[1] = (uint8_t)n;
		if (next_random(&seed) % 5 == 0) {
			memset(frame, '!', 6);
			frame[0] = 0;
			frame[1] = 6;
			conn_send_urgent(two.c, frame, 6);
		} else {
			conn_send_copied(two.c, frame, n);
			sent++;
		}
		script->room = next_random(&seed) % 60;
		if (i % 3 == 0)
			run_turns();
	}
	script->room = SIZE_MAX;
	run_turns();
	assert_int_equal(two.c->queued, 0);
	for (size_t at = 0, n; at < script->sent.n; at += n) {
		const uint8_t *p = script->sent.p + at;

		n = (size_t)(p[0] << 8 | p[1]);
		assert_in_range(n, 3, sizeof(frame));
		if (p[2] == '!')
			pongs++;
		else
			assert_int_equal(p[2], 'a' + (int)(seen++ % 26));
		for (size_t k = 2; k < n; k++)
			assert_int_equal(p[k], p[2]);
	}
	assert_int_equal(seen, sent);
	assert_in_range(pongs, 1, 600);
}

static void test_the_newest_pong_waits(void **state)
{
	(void)state;
	script->room = 2;
	conn_send_copied(two.c, "01234", 5);
	conn_send_copied(two.c, "56789", 5);
	conn_send_urgent(two.c, "old", 3);
	conn_send_urgent(two.c, "new!", 4);
	assert_int_equal(two.c->queued, 3 + 5 + 4);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "01234new!56789");
}

/* --- shared messages --------------------------------------------------------*/

static struct message *message_of(const char *text)
{
	struct message *m = message_new((const uint8_t *)"", 0,
		(const uint8_t *)text, strlen(text), &budget);

	assert_non_null(m);
	return m;
}

static void test_shared_messages(void **state)
{
	struct message *m[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		m[i] = message_new((const uint8_t *)"<", 1,
			(const uint8_t *)"abc" + i, 1, &budget);
		assert_non_null(m[i]);
	}
	script->room = 3;
	assert_int_equal(conn_send_messages(two.c, m, 3), 2);
	assert_false(conn_is_clear(two.c));
	assert_int_equal(conn_send_messages(two.c, m + 2, 1), 0);
	conn_queue_message(two.c, m[2]);
	for (int i = 0; i < 3; i++)
		message_unref(m[i]);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "<a<b<c");
}

static void test_a_message_waits_for_the_socket(void **state)
{
	struct message *m = message_of("message");

	(void)state;
	script_sends(script, -EAGAIN);
	assert_int_equal(conn_send_messages(two.c, &m, 1), 1);
	message_unref(m);
	assert_int_equal(two.c->queued, 7);
	script->room = 100;
	run_turns();
	assert_str(buf_str(&script->sent), "message");
}

/* They are the connection's, which drops them: the caller has none left. */
static void test_messages_to_a_broken_connection(void **state)
{
	struct message *m[2] = { message_of("a"), message_of("b") };

	(void)state;
	script_sends(script, -ECONNRESET);
	assert_int_equal(conn_send_messages(two.c, m, 2), 2);
	assert_int_equal(conn_send_messages(two.c, m, 2), 2);
	assert_int_equal(two.c->queued, 0);
	message_unref(m[0]);
	message_unref(m[1]);
}

/* --- drained ----------------------------------------------------------------*/

static void test_drained(void **state)
{
	(void)state;
	two.c->resume_at = 4;
	conn_send_copied(two.c, "0123456789", 10);
	script->room = 5;
	run_turns();
	assert_int_equal(two.drained, 0);
	script->room = 1;
	run_turns();
	assert_int_equal(two.drained, 1);
	assert_int_equal(two.c->queued, 4);
}

/* For an owner whose share was used up: in the next turn, if there is room. */
static void test_drained_again(void **state)
{
	(void)state;
	conn_drain_again(two.c);
	assert_int_equal(two.drained, 0);
	run_turns();
	assert_int_equal(two.drained, 1);
	conn_drain_again(two.c);
	conn_send_copied(two.c, "x", 1);
	run_turns();
	assert_int_equal(two.drained, 1);
}

/* --- no memory --------------------------------------------------------------*/

static bool two_ended(void)
{
	return two.ended > 0;
}

/* What would have been lost silently is an end that the owner is told. */
static void breaks_without_memory(void)
{
	assert_true(no_memory_was());
	assert_true(conn_is_shut(two.c));
	assert_int_equal(two.c->queued, 0);
	assert_int_equal(two.ended, 0);
	run(two_ended);
	assert_int_equal(two.error, ENOMEM);
}

static void test_no_memory_for_the_queue(void **state)
{
	(void)state;
	no_memory_at(1);
	conn_send_copied(two.c, "0123456789", 10);
	breaks_without_memory();
}

static void test_no_memory_for_more_of_the_queue(void **state)
{
	static char many[5000];

	(void)state;
	conn_send_copied(two.c, many, sizeof(many));
	no_memory_at(1);
	conn_send_copied(two.c, many, sizeof(many));
	breaks_without_memory();
}

static void test_no_memory_to_gather(void **state)
{
	(void)state;
	conn_set_gathering(two.c);
	no_memory_at(1);
	conn_send_copied(two.c, "0123456789", 10);
	breaks_without_memory();
}

static void test_no_memory_for_a_pong(void **state)
{
	(void)state;
	conn_send_copied(two.c, "0123456789", 10);
	no_memory_at(1);
	conn_send_urgent(two.c, "pong", 4);
	breaks_without_memory();
}

static void test_no_memory_for_a_message(void **state)
{
	struct message *m = message_of("message");

	(void)state;
	no_memory_at(1);
	conn_queue_message(two.c, m);
	message_unref(m);
	breaks_without_memory();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copied_and_borrowed),
		TEST(test_borrowed_outside_of_a_read),
		TEST(test_a_read_leaves_as_one_write),
		TEST(test_a_read_leaves_in_part),
		TEST(test_heads_and_tails),
		TEST(test_order_within_a_read),
		TEST(test_an_interrupted_write),
		TEST(test_gathering),
		TEST(test_gathered_leaves_as_one_write),
		TEST(test_much_is_not_gathered),
		TEST(test_gathered_behind_a_queue),
		TEST(test_gathered_leaves_before_the_end),
		TEST(test_urgent_never_divides_a_frame),
		TEST(test_the_newest_pong_waits),
		TEST(test_shared_messages),
		TEST(test_a_message_waits_for_the_socket),
		TEST(test_messages_to_a_broken_connection),
		TEST(test_drained),
		TEST(test_drained_again),
		TEST(test_no_memory_for_the_queue),
		TEST(test_no_memory_for_more_of_the_queue),
		TEST(test_no_memory_to_gather),
		TEST(test_no_memory_for_a_pong),
		TEST(test_no_memory_for_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
