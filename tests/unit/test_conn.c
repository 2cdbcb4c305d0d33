/*
 * Connections over socket pairs, and over a scripted transport: one that takes
 * so many bytes, or none, or fails, as a test says.
 */
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/message.h"
#include "net/loop.h"
#include "support.h"

struct side {
	struct conn *c;
	int peer; /* the other end of its socket */
	/* How its owner takes input: see input. */
	size_t take;     /* bytes at a time; 0 = all at once */
	size_t pause_at; /* stops reading when it has so many */
	bool slow;       /* each piece takes the whole share */
	struct conn *borrower, *finish;
	struct buf got;
	unsigned calls, drained, ended;
	int error;
	bool closed;
};

static struct budget budget;
static struct loop *loop;
static struct side one, two;
static struct timer watch;
static bool (*done)(void);
static int ticks;

/* --- the scripted transport -------------------------------------------------*/

static struct {
	size_t room; /* bytes that it still takes */
	int error;   /* instead; 0 = EAGAIN when there is no room */
	struct buf sent;
} script;

static ssize_t scripted_send(struct conn *c, const struct iovec *v, int parts)
{
	size_t taken = 0;

	(void)c;
	for (int i = 0; i < parts; i++) {
		size_t n = v[i].iov_len;

		if (n > script.room)
			n = script.room;
		assert_int_equal(
			buf_add(&script.sent, v[i].iov_base, n, SIZE_MAX), 0);
		script.room -= n;
		taken += n;
		if (n < v[i].iov_len)
			break;
	}
	if (taken > 0)
		return (ssize_t)taken;
	errno = script.error ? script.error : EAGAIN;
	return -1;
}

static ssize_t scripted_recv(struct conn *c, void *p, size_t n)
{
	return recv(c->fd, p, n, 0);
}

static int scripted_shut(struct conn *c)
{
	return shutdown(c->fd, SHUT_WR);
}

static const struct transport transport_scripted = {
	.recv = scripted_recv,
	.send = scripted_send,
	.shut = scripted_shut,
};

/* --- an owner ----------------------------------------------------------------*/

static void use_up_share(void)
{
	while (loop_share_left_now(loop))
		;
}

static size_t input(struct conn *c, uint8_t *p, size_t n)
{
	struct side *s = c->owner;
	size_t used = 0;

	s->calls++;
	while (used < n && conn_goes_on(c)) {
		size_t part = s->take && s->take < n - used ? s->take
							    : n - used;

		assert_int_equal(buf_add(&s->got, p + used, part, SIZE_MAX), 0);
		if (s->borrower)
			conn_send_frame_borrowed(s->borrower,
				&(struct conn_frame){ .payload = p + used,
					.payload_n = part });
		used += part;
		if (s->pause_at && s->got.n >= s->pause_at)
			conn_set_reading(c, false);
		if (s->slow)
			use_up_share();
	}
	if (s->finish)
		conn_finish(s->finish, 1000);
	return used;
}

static void drained(struct conn *c)
{
	struct side *s = c->owner;

	s->drained++;
}

static void ended(struct conn *c, int error)
{
	struct side *s = c->owner;

	s->ended++;
	s->error = error;
}

static void closed(struct conn *c)
{
	struct side *s = c->owner;

	s->c = NULL;
	s->closed = true;
}

static const struct conn_cb cb = {
	.input = input, .drained = drained, .ended = ended, .closed = closed
};

/* --- the world ---------------------------------------------------------------*/

static void tick(struct timer *t)
{
	if (done() || ++ticks > 20000)
		loop_stop(loop);
	else
		timer_set(loop, t, loop_now(loop) + 1);
}

/* Turns the loop until it is so. */
static void run(bool (*is)(void))
{
	done = is;
	ticks = 0;
	atomic_store(&loop->stopped, false);
	timer_set(loop, &watch, loop_now(loop));
	assert_int_equal(loop_run(loop), 0);
	assert_true(is());
}

static bool after_turns(void)
{
	return ticks >= 5;
}

static void start(struct side *s)
{
	int fd[2];

	*s = (struct side){ .peer = -1 };
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	s->peer = fd[1];
	s->c = conn_new(loop, fd[0], fd[0], &cb, s);
	assert_non_null(s->c);
	conn_set_reading(s->c, true);
}

static int setup(void **state)
{
	(void)state;
	budget_init(&budget, SIZE_MAX);
	loop = loop_new(&budget);
	assert_non_null(loop);
	assert_int_equal(timer_init(loop, &watch, tick), 0);
	start(&one);
	start(&two);
	two.c->transport = &transport_scripted;
	script.room = 0;
	script.error = 0;
	return 0;
}

static void side_free(struct side *s)
{
	if (s->c)
		conn_close(s->c);
	if (s->peer >= 0)
		close(s->peer);
	buf_free(&s->got);
}

static int teardown(void **state)
{
	(void)state;
	side_free(&one);
	side_free(&two);
	loop_run_deferred(loop);
	assert_int_equal(budget_used(&budget), 0);
	timer_fini(loop, &watch);
	loop_free(loop);
	buf_free(&script.sent);
	return 0;
}

static void say(const struct side *s, const void *p, size_t n)
{
	assert_int_equal(send(s->peer, p, n, 0), n);
}

static bool one_has_ten(void)
{
	return one.got.n >= 10;
}

static bool one_ended(void)
{
	return one.ended > 0;
}

/* --- input --------------------------------------------------------------------*/

static void test_a_pause_stops_in_the_middle(void **state)
{
	(void)state;
	one.take = 1;
	one.pause_at = 3;
	say(&one, "0123456789", 10);
	run(after_turns);
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
	run(after_turns);
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
	run(after_turns);
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
	script.room = 100;
	assert_int_equal(conn_unread(one.c, bytes, 10), 0);
	free(bytes);
	one.borrower = two.c;
	one.finish = one.c;
	run(one_has_ten);
	assert_str(buf_str(&script.sent), "0123456789");
}

/* --- output -------------------------------------------------------------------*/

static void test_copied_and_borrowed(void **state)
{
	char *bytes = exact_copy("copied ", 7);

	(void)state;
	conn_send_copied(two.c, bytes, 7);
	memset(bytes, 'x', 7);
	free(bytes);
	one.borrower = two.c;
	say(&one, "borrowed", 8);
	run(after_turns);
	memset(loop->scratch, 'x', 100);
	script.room = 100;
	run(after_turns);
	assert_str(buf_str(&script.sent), "copied borrowed");
}

/* All that is sent copied in a turn leaves at its end, in order. */
static void test_gathering(void **state)
{
	char *bytes = exact_copy("two ", 4);

	(void)state;
	script.room = 100;
	conn_set_gathering(two.c);
	conn_send_copied(two.c, "one ", 4);
	conn_send_copied(two.c, bytes, 4);
	free(bytes);
	assert_int_equal(script.sent.n, 0);
	conn_send_frame_borrowed(two.c,
		&(struct conn_frame){ .payload = "three", .payload_n = 5 });
	assert_str(buf_str(&script.sent), "one two three");
}

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
		script.room = next_random(&seed) % 60;
		if (i % 3 == 0)
			run(after_turns);
		ticks = 0;
	}
	script.room = SIZE_MAX;
	run(after_turns);
	assert_int_equal(two.c->queued, 0);
	for (size_t at = 0, n; at < script.sent.n; at += n) {
		const uint8_t *p = script.sent.p + at;

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
	script.room = 2;
	conn_send_copied(two.c, "01234", 5);
	conn_send_copied(two.c, "56789", 5);
	conn_send_urgent(two.c, "old", 3);
	conn_send_urgent(two.c, "new!", 4);
	assert_int_equal(two.c->queued, 3 + 5 + 4);
	script.room = 100;
	run(after_turns);
	assert_str(buf_str(&script.sent), "01234new!56789");
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
	script.room = 3;
	assert_int_equal(conn_send_messages(two.c, m, 3), 2);
	assert_false(conn_is_clear(two.c));
	assert_int_equal(conn_send_messages(two.c, m + 2, 1), 0);
	conn_queue_message(two.c, m[2]);
	for (int i = 0; i < 3; i++)
		message_unref(m[i]);
	script.room = 100;
	run(after_turns);
	assert_str(buf_str(&script.sent), "<a<b<c");
}

/* --- the end ------------------------------------------------------------------*/

/* A write fails while reading is paused: the owner is told nevertheless. */
static void test_a_write_that_fails_while_paused(void **state)
{
	(void)state;
	two.c->transport = &transport_socket;
	conn_set_reading(two.c, false);
	say(&two, "last words", 10);
	close(two.peer);
	two.peer = -1;
	conn_send_copied(two.c, "x", 1);
	run(after_turns);
	assert_int_equal(two.ended, 1);
	assert_str(buf_str(&two.got), "last words");
}

/* A Unix peer that shuts its reading side lives, and waits while we pause. */
static void test_a_peer_that_does_not_read(void **state)
{
	(void)state;
	two.c->transport = &transport_socket;
	conn_set_reading(two.c, false);
	assert_int_equal(shutdown(two.peer, SHUT_RD), 0);
	say(&two, "0123456789", 10);
	conn_send_copied(two.c, "x", 1);
	run(after_turns);
	assert_int_equal(two.ended + two.got.n, 0);
	assert_true(conn_is_shut(two.c));
	conn_set_reading(two.c, true);
	run(after_turns);
	assert_int_equal(two.got.n, 10);
	assert_int_equal(two.ended, 0);
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
		run(after_turns);
	}
	assert_in_range(said, 8u << 20, 12u << 20);
}

static void test_the_queue_leaves_before_the_end(void **state)
{
	(void)state;
	conn_send_copied(two.c, "0123456789", 10);
	conn_finish(two.c, 60000);
	conn_send_copied(two.c, "too late", 8);
	run(after_turns);
	assert_int_equal(two.c->state, CONN_FINISHING);
	script.room = 100;
	run(after_turns);
	assert_int_equal(two.c->state, CONN_LINGERING);
	assert_str(buf_str(&script.sent), "0123456789");
}

/* The loop has ended, and its next turn, in which more would be used. */
static void test_closed_between_two_turns(void **state)
{
	uint8_t many[200] = { 0 };

	(void)state;
	one.take = 1;
	one.slow = true;
	say(&one, many, sizeof(many));
	run(after_turns);
	assert_true(one.c->rest_waits);
	conn_close(one.c);
	loop_run_deferred(loop);
	assert_true(one.closed);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_pause_stops_in_the_middle),
		TEST(test_a_share_ends),
		TEST(test_the_end_comes_last),
		TEST(test_unread),
		TEST(test_borrowed_of_a_rest_that_ends),
		TEST(test_copied_and_borrowed),
		TEST(test_gathering),
		TEST(test_urgent_never_divides_a_frame),
		TEST(test_the_newest_pong_waits),
		TEST(test_shared_messages),
		TEST(test_a_write_that_fails_while_paused),
		TEST(test_a_peer_that_does_not_read),
		TEST(test_a_peer_that_does_not_end),
		TEST(test_the_queue_leaves_before_the_end),
		TEST(test_closed_between_two_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
