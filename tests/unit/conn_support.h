/*
 * conn_support.h: connections over socket pairs in a loop, and an owner for
 * them that does as a test says. `one` goes through its socket, `two` through
 * a script (scripted_transport.h) that takes nothing at first.
 */
#ifndef TESTS_CONN_SUPPORT_H
#define TESTS_CONN_SUPPORT_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "net/conn.h"
#include "net/loop.h"
#include "no_memory.h"
#include "scripted_transport.h"
#include "support.h"

struct side {
	struct conn *c;
	int peer; /* the other end of its socket */
	/* How its owner takes input: see side_input. */
	size_t take;     /* bytes at a time; 0 = all at once */
	size_t pause_at; /* stops reading when it has so many */
	bool slow;       /* each piece takes the whole share */
	struct conn *borrower, *finish, *close;
	struct buf got;
	/* How often it was called. */
	unsigned calls, drained, ended;
	int error; /* of ended */
	bool closed;
};

static struct budget budget;
static struct loop *loop;
static struct side one, two;
static struct script *script; /* two's */
static struct timer watch;
static bool (*done)(void);
static int ticks;

/* --- an owner ---------------------------------------------------------------*/

static inline void use_up_share(void)
{
	while (loop_share_left_now(loop))
		;
}

static inline void send_borrowed(struct conn *c, const void *p, size_t n)
{
	conn_send_frame_borrowed(
		c, &(struct conn_frame){ .payload = p, .payload_n = n });
}

static inline size_t side_input(struct conn *c, uint8_t *p, size_t n)
{
	struct side *s = c->owner;
	size_t used = 0;

	s->calls++;
	while (used < n && conn_goes_on(c)) {
		size_t part = s->take && s->take < n - used ? s->take
							    : n - used;

		assert_int_equal(buf_add(&s->got, p + used, part, SIZE_MAX), 0);
		if (s->borrower)
			send_borrowed(s->borrower, p + used, part);
		used += part;
		if (s->pause_at && s->got.n >= s->pause_at)
			conn_set_reading(c, false);
		if (s->slow)
			use_up_share();
	}
	if (s->finish)
		conn_finish(s->finish, 1000);
	if (s->close)
		conn_close(s->close);
	return used;
}

static inline void side_drained(struct conn *c)
{
	((struct side *)c->owner)->drained++;
}

static inline void side_ended(struct conn *c, int error)
{
	struct side *s = c->owner;

	s->ended++;
	s->error = error;
}

static inline void side_closed(struct conn *c)
{
	struct side *s = c->owner;

	assert_false(s->closed);
	s->c = NULL;
	s->closed = true;
}

static const struct conn_cb side_cb = {
	.input = side_input,
	.drained = side_drained,
	.ended = side_ended,
	.closed = side_closed,
};

/* --- the world --------------------------------------------------------------*/

static inline void tick(struct timer *t)
{
	if (done() || ++ticks > 20000)
		loop_stop(loop);
	else
		timer_set(loop, t, loop_now(loop) + 1);
}

/* Turns the loop until it is so. */
static inline void run(bool (*is)(void))
{
	done = is;
	ticks = 0;
	atomic_store(&loop->stopped, false);
	timer_set(loop, &watch, loop_now(loop));
	assert_int_equal(loop_run(loop), 0);
	assert_true(is());
}

static inline void count_turn(struct deferred *d)
{
	if (++ticks >= 5)
		loop_stop(loop);
	else
		loop_defer_next(loop, d, count_turn);
}

/* Turns that wait for nothing: what is ready happens in them. */
static inline void run_turns(void)
{
	struct deferred turn = { 0 };

	ticks = 0;
	atomic_store(&loop->stopped, false);
	loop_defer_next(loop, &turn, count_turn);
	assert_int_equal(loop_run(loop), 0);
}

static inline void start_on(struct side *s, int fd, int wfd, int peer)
{
	*s = (struct side){ .peer = peer };
	s->c = conn_new(loop, fd, wfd, &side_cb, s);
	assert_non_null(s->c);
	conn_set_reading(s->c, true);
}

static inline void start(struct side *s)
{
	int fd[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	start_on(s, fd[0], fd[0], fd[1]);
}

static inline int setup(void **state)
{
	(void)state;
	budget_init(&budget, SIZE_MAX);
	loop = loop_new(&budget);
	assert_non_null(loop);
	assert_int_equal(timer_init(loop, &watch, tick), 0);
	start(&one);
	start(&two);
	script = script_start(two.c);
	return 0;
}

static inline void side_free(struct side *s)
{
	if (s->c)
		conn_close(s->c);
	if (s->peer >= 0)
		close(s->peer);
	buf_free(&s->got);
}

static inline int teardown(void **state)
{
	(void)state;
	no_memory_at(0);
	side_free(&one);
	side_free(&two);
	loop_run_deferred(loop);
	assert_int_equal(budget_used(&budget), 0);
	timer_fini(loop, &watch);
	loop_free(loop);
	scripts_free();
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* --- a peer -----------------------------------------------------------------*/

static inline void say(const struct side *s, const void *p, size_t n)
{
	assert_int_equal(send(s->peer, p, n, 0), n);
}

/* What the peer has received, as text of at most 99 bytes. */
static inline const char *heard(const struct side *s)
{
	static char text[100];
	ssize_t n = recv(s->peer, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static inline void hang_up(struct side *s)
{
	close(s->peer);
	s->peer = -1;
}

static inline bool one_has_ten(void)
{
	return one.got.n >= 10;
}

static inline bool one_ended(void)
{
	return one.ended > 0;
}

static inline bool one_closed(void)
{
	return one.closed;
}

static inline bool two_closed(void)
{
	return two.closed;
}

#endif
