/*
 * end_support.h: one end over a socket pair, with an owner that writes down
 * what it is told, and a peer that the test plays.
 *
 *	peer_says(BYTES("\x89\x80mask"));
 *	assert_told("control 0;");
 *	assert_heard("\x8a\x00");
 *
 * Both asserts turn the loop until so much has come. Time passes when a test
 * says so, beside the few real milliseconds that it takes: routes count in
 * minutes. What the kernel knows of the peer is for the test to say, too.
 */
#ifndef TESTS_END_SUPPORT_H
#define TESTS_END_SUPPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/loop.h"
#include "worker/route_counters.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "end/end.h"
#include "end/ending.h"
#include "support.h"

#define BYTES(text) (text), sizeof(text) - 1
#define MINUTE      INT64_C(60000)

static struct shared shared;
static struct worker worker;
static struct route_counters counters;
static struct route_state route_state;
static struct conf_route route;
static struct end *end;   /* NULL once it is gone */
static struct conn *conn; /* the end's */
static int peer;          /* the other end of its socket; -1: closed */

/* --- the owner --------------------------------------------------------------*/

static struct buf told;  /* what the owner was told */
static uint64_t dropped; /* the sum of what it was told of that */
static bool pauses;      /* it wants one message at a time */
static bool closes;      /* it closes what has ended, as a pair does */

static inline void tell(const char *format, ...) PRINTF_LIKE(1, 2);
static inline void tell(const char *format, ...)
{
	char text[600];
	va_list args;

	assert_non_null(end); /* gone is the last word */
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_int_equal(buf_add(&told, text, strlen(text), SIZE_MAX), 0);
}

/* "text hel...;" and "text ...lo;" are one message in two pieces. */
static inline void owner_input(struct end *e, const struct piece *p)
{
	assert_ptr_equal(e, end);
	tell("%s %s", p->opcode == WS_TEXT ? "text" : "binary",
		p->first ? "" : "...");
	if (p->n <= 100)
		tell("%.*s", (int)p->n, (const char *)p->data);
	else
		tell("(%zu bytes)", p->n);
	tell("%s;", p->last ? "" : "...");
	if (pauses)
		e->ops->flow(e, false);
}

static inline void owner_control(struct end *e, size_t n)
{
	assert_ptr_equal(e, end);
	tell("control %zu;", n);
}

static inline void owner_too_big(struct end *e)
{
	assert_ptr_equal(e, end);
	tell("too-big;");
}

static inline void owner_drained(struct end *e)
{
	assert_ptr_equal(e, end);
	tell("drained;");
}

static inline void owner_ended(struct end *e, const struct ending *why)
{
	uint16_t code = why->code ? why->code : reason_get(why->reason)->code;

	assert_ptr_equal(e, end);
	tell("ended %s", reason_get(why->reason)->word);
	if (why->code)
		tell(" %d", why->code);
	if (why->text.n > 0)
		tell(" '%.*s'", (int)why->text.n, why->text.p);
	if (why->backend_code)
		tell(" to-backend %d", why->backend_code);
	if (why->detail)
		tell(" (%s)", why->detail);
	tell(";");
	if (closes)
		e->ops->close(e,
			e->side == END_CLIENT
				? ending_client_code(why->reason, code)
				: ending_backend_code(why),
			why->text);
}

static inline void owner_dropped(struct end *e, uint64_t n)
{
	assert_ptr_equal(e, end);
	dropped += n;
}

static inline void owner_gone(struct end *e)
{
	assert_ptr_equal(e, end);
	tell("gone;");
	end = NULL;
}

static const struct end_cb owner_cb = {
	.input = owner_input,
	.control = owner_control,
	.too_big = owner_too_big,
	.drained = owner_drained,
	.ended = owner_ended,
	.dropped = owner_dropped,
	.gone = owner_gone,
};
static const struct end_owner owner = { &owner_cb };

/* --- time, and what the kernel knows ----------------------------------------*/

static int64_t passed;      /* ms that tests have let pass */
static int64_t passing;     /* with the next turn */
static bool peer_vanished;  /* conn_vanished */
static int64_t arrived_ago; /* conn_arrived_ago */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = __real_clock_gettime(id, ts);

	if (id == CLOCK_MONOTONIC)
		ts->tv_sec += passed / 1000;
	return r;
}

bool __wrap_conn_vanished(const struct conn *c, int64_t ms);
bool __wrap_conn_vanished(const struct conn *c, int64_t ms)
{
	(void)c;
	(void)ms;
	return peer_vanished;
}

int64_t __wrap_conn_arrived_ago(const struct conn *c);
int64_t __wrap_conn_arrived_ago(const struct conn *c)
{
	(void)c;
	return arrived_ago;
}

/* --- the world --------------------------------------------------------------*/

static struct timer watch;
static unsigned turns_left;
static size_t wanted;

static inline void tick(struct timer *t)
{
	if (turns_left == 0 || told.n >= wanted)
		loop_stop(worker.loop);
	else
		timer_set(worker.loop, t, loop_now(worker.loop) + 1);
	turns_left -= turns_left > 0;
}

/* Turns the loop until so many bytes were told, but n times at most. */
static inline void turn_until(size_t told_n, unsigned n)
{
	wanted = told_n;
	turns_left = n;
	atomic_store(&worker.loop->stopped, false);
	timer_set(worker.loop, &watch, loop_now(worker.loop));
	/* Now, for the kernel's own time cannot be moved. */
	passed += passing;
	passing = 0;
	worker.loop->now_known = false;
	assert_int_equal(loop_run(worker.loop), 0);
}

/* So many that what is under way has arrived, and more would be seen. */
static inline void turn(void)
{
	turn_until(SIZE_MAX, 4);
}

/* And what is due by then is done. */
static inline void time_passes(int64_t ms)
{
	passing = ms;
	turn();
}

/* Waits for so much, and compares what has come by then. */
static inline void assert_told(const char *want)
{
	if (told.n < strlen(want))
		turn_until(strlen(want), 2000);
	turn();
	if (told.n != strlen(want) ||
		(told.n > 0 && memcmp(told.p, want, told.n) != 0))
		fail_msg("told %.*s, not %s", (int)told.n,
			told.n ? (char *)told.p : "", want);
	buf_free(&told);
}

static inline void peer_says(const void *p, size_t n)
{
	assert_int_equal(send(peer, p, n, MSG_NOSIGNAL), n);
}

static inline void peer_leaves(void)
{
	close(peer);
	peer = -1;
}

/* Reads what is there; the end of the stream is 0 bytes. */
static inline ssize_t hear(void *p, size_t n)
{
	ssize_t got = recv(peer, p, n, MSG_DONTWAIT);

	for (int i = 0; got < 0 && i < 2000; i++) {
		turn_until(SIZE_MAX, 1);
		got = recv(peer, p, n, MSG_DONTWAIT);
	}
	assert_true(got >= 0);
	return got;
}

static inline void hear_all(uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = hear(p, n);

		assert_true(got > 0);
		p += got;
		n -= (size_t)got;
	}
}

static inline void assert_silence(void)
{
	char c;

	turn();
	assert_int_equal(recv(peer, &c, 1, MSG_DONTWAIT), -1);
}

/* These bytes came and, so far, none behind them. */
static inline void assert_heard(const void *want, size_t n)
{
	uint8_t got[600];

	assert_true(n <= sizeof(got));
	hear_all(got, n);
	assert_memory_equal(got, want, n);
}

static inline void assert_peer_heard_the_end(void)
{
	char c;

	assert_int_equal(hear(&c, 1), 0);
}

static inline enum reason send_piece(struct piece p)
{
	p.brief = true; /* not from within a read */
	return end->ops->send(end, &p);
}

static inline enum reason send_text(const char *text)
{
	char copy[100];

	memcpy(copy, text, strlen(text));
	return send_piece((struct piece){ .opcode = WS_TEXT,
		.first = true,
		.last = true,
		.data = (uint8_t *)copy,
		.n = strlen(text) });
}

/* More than the kernels take, so that the end's queue is not empty. */
#define MUCH (1u << 20)
static inline void send_much(void)
{
	uint8_t *much = calloc(1, MUCH);

	assert_non_null(much);
	assert_int_equal(send_piece((struct piece){ .opcode = WS_BINARY,
				 .first = true,
				 .last = true,
				 .data = much,
				 .n = MUCH }),
		REASON_NONE);
	free(much);
	assert_true(conn->queued > 0);
}

/* A connection for the end under test; reading is off, as for any new one. */
static inline void start_conn(void)
{
	static const struct conn_cb none;
	int fd[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	peer = fd[1];
	conn = conn_new(worker.loop, fd[0], fd[0], &none, NULL);
	assert_non_null(conn);
}

static inline void start_world(void)
{
	budget_init(&shared.budget, SIZE_MAX);
	worker = (struct worker){ .shared = &shared };
	worker.loop = loop_new(&shared.budget);
	assert_non_null(worker.loop);
	assert_int_equal(timer_init(worker.loop, &watch, tick), 0);
	counters = (struct route_counters){ 0 };
	route_state.counters = &counters;
	route = (struct conf_route){ .state = &route_state,
		.max_message = 1000,
		.max_backend_message = 1000,
		.queue_limit = 65536,
		.ping_interval = 20 * MINUTE,
		.ping_timeout = 10 * MINUTE,
		.close_timeout = 5 * MINUTE };
	passed = 0;
	peer_vanished = false;
	arrived_ago = INT64_MAX;
	dropped = 0;
	pauses = closes = false;
	peer = -1;
}

static inline void own(struct end *e)
{
	assert_non_null(e);
	end = e;
	end->owner = &owner;
	end->ops->flow(end, true);
}

/* Whatever a test has left: an end is told of the end of its connection. */
static inline int end_world(void **state)
{
	(void)state;
	if (end && end->conn) {
		end->ops->close(end, 0, STR_NONE);
		if (end && end->conn)
			conn_close(end->conn);
	}
	loop_run_deferred(worker.loop);
	assert_null(end);
	if (peer >= 0)
		close(peer);
	assert_int_equal(budget_used(&shared.budget), 0);
	timer_fini(worker.loop, &watch);
	loop_free(worker.loop);
	buf_free(&told);
	return 0;
}

#endif
