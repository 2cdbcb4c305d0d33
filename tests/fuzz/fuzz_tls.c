/*
 * fuzz_tls.c: a client and a server of ours, and between them somebody who
 * changes bytes.
 *
 *   client -> middle -> changed -> middle -> server      and back
 *
 *   byte 0   bit 0: what goes to the server is changed, else to the client
 *            bit 1: the rest of the input is sent in place of the stream
 *            bit 2: the stream is cut where the input says
 *   byte 1   bit 0: sockets with little room
 *   then     three bytes each: offset in the stream (two), what is xored
 *
 * Whatever is changed: what arrives is a beginning of what was sent, nothing
 * crashes, nothing is left.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/tls_support.h"
#include "base/budget.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"

#define TEXT  40000 /* bytes that each tells the other: three records */
#define QUIET 30    /* turns without a byte, then it is over */

struct side {
	struct conn *c;
	struct conn *middle; /* the other end of its socket */
	struct side *other;
	size_t got;
	size_t passed; /* bytes that came out of it */
	bool closed;
};

struct input {
	const uint8_t *p;
	size_t n;
	bool to_server, raw, cut;
	int room; /* of the sockets, 0 = as usual */
};

static struct budget budget;
static struct loop *loop;
static struct tls_made made;
static struct tls_context *server_context, *client_context;
static uint8_t text[TEXT];
static struct side server, client;
static struct input in;
static struct deferred turn;
static int quiet;

/* --- the two that speak TLS ----------------------------------------------------------*/

static size_t side_input(struct conn *c, uint8_t *p, size_t n)
{
	struct side *s = c->owner;

	quiet = 0;
	assert(s->got + n <= TEXT);
	assert(memcmp(text + s->got, p, n) == 0);
	s->got += n;
	return n;
}

static void side_ended(struct conn *c, int error)
{
	char why[TLS_TEXT];

	(void)error;
	if (tls_cause(c) != TLS_NOTHING)
		assert(tls_failure(c, why)[0] && tls_cause_text(c)[0]);
	conn_finish(c, 10);
}

static void side_closed(struct conn *c)
{
	struct side *s = c->owner;

	s->c = NULL;
	s->closed = true;
}

static const struct conn_cb side_cb = {
	.input = side_input, .ended = side_ended, .closed = side_closed
};

/* --- who stands between them ------------------------------------------------------------*/

static void change(struct side *from, uint8_t *p, size_t n)
{
	for (size_t i = 2; i + 3 <= in.n; i += 3) {
		size_t at = (size_t)in.p[i] << 8 | in.p[i + 1];

		if (at >= from->passed && at < from->passed + n)
			p[at - from->passed] ^= in.p[i + 2];
	}
}

/* What one side's socket gives, to the other side's. */
static size_t middle_input(struct conn *c, uint8_t *p, size_t n)
{
	struct side *from = c->owner;
	struct conn *to = from->other->middle;

	quiet = 0;
	if (!to)
		return n;
	if ((from->other == &server) == in.to_server) {
		if (in.raw && from->passed > 0)
			return n;
		if (in.raw) {
			from->passed = 1;
			conn_send_copied(to, in.p + 2, in.n - 2);
			return n;
		}
		if (in.cut && in.n >= 4 &&
			from->passed + n > ((size_t)in.p[2] << 8 | in.p[3])) {
			conn_finish(to, 10);
			return n;
		}
		change(from, p, n);
	}
	from->passed += n;
	conn_send_copied(to, p, n);
	return n;
}

static void middle_ended(struct conn *c, int error)
{
	struct side *from = c->owner;

	(void)error;
	if (from->other->middle)
		conn_finish(from->other->middle, 10);
	conn_finish(c, 10);
}

static void middle_closed(struct conn *c)
{
	((struct side *)c->owner)->middle = NULL;
}

static const struct conn_cb middle_cb = {
	.input = middle_input, .ended = middle_ended, .closed = middle_closed
};

/* --- a run --------------------------------------------------------------------------------*/

static void next_turn(struct deferred *d)
{
	bool all = server.got == TEXT && client.got == TEXT;

	(void)d;
	if (all || ++quiet > QUIET || (server.closed && client.closed))
		loop_stop(loop);
	else
		loop_defer_next(loop, &turn, next_turn);
}

static void side_open(struct side *s, struct side *other)
{
	int fd[2];

	*s = (struct side){ .other = other };
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0 ||
		fcntl(fd[0], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(fd[1], F_SETFL, O_NONBLOCK) < 0)
		abort();
	for (int i = 0; in.room && i < 2; i++)
		(void)setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &in.room,
			sizeof(in.room));
	s->c = conn_new(loop, fd[0], fd[0], &side_cb, s);
	s->middle = conn_new(loop, fd[1], fd[1], &middle_cb, s);
	if (!s->c || !s->middle)
		abort();
	conn_set_reading(s->middle, true);
}

static void side_stop(struct side *s)
{
	if (s->c)
		conn_close(s->c);
	if (s->middle)
		conn_close(s->middle);
}

static void start(void)
{
	char why[TLS_TEXT];

	if (tls_init() < 0)
		abort();
	budget_init(&budget, SIZE_MAX);
	loop = loop_new(&budget);
	tls_make(&made, "CN=localhost,O=lab");
	server_context = tls_server_new(
		&(struct tls_server_params){
			.identities = &made.identity, .identities_n = 1 },
		why);
	client_context = tls_client_new(
		&(struct tls_client_params){
			.verify = true, .ca = made.identity.chain },
		why);
	if (!loop || !server_context || !client_context)
		abort();
	for (size_t i = 0; i < TEXT; i++)
		text[i] = (uint8_t)(i * 7 + i / 251);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (!loop)
		start();
	if (n < 2)
		return -1;
	in = (struct input){ .p = p,
		.n = n,
		.to_server = p[0] & 1,
		.raw = p[0] & 2,
		.cut = p[0] & 4,
		.room = p[1] & 1 ? 1 : 0 };
	quiet = 0;
	side_open(&server, &client);
	side_open(&client, &server);
	if (tls_accept(server.c, server_context) < 0 ||
		tls_connect(client.c, client_context, "localhost") < 0)
		abort();
	conn_set_reading(server.c, true);
	conn_set_reading(client.c, true);
	conn_send_copied(server.c, text, TEXT);
	conn_send_copied(client.c, text, TEXT);
	atomic_store(&loop->stopped, false);
	loop_defer_next(loop, &turn, next_turn);
	if (loop_run(loop) < 0)
		abort();
	/* Nobody touched anything: all of it arrives. */
	if (n < 5 && !in.raw && !in.cut)
		assert(server.got == TEXT && client.got == TEXT);
	side_stop(&server);
	side_stop(&client);
	loop_run_deferred(loop);
	assert(budget_used(&budget) == 0);
	return 0;
}
