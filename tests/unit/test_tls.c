/*
 * TLS over a pair of sockets in one loop: both sides are ours. Other people's
 * clients and servers are in the end-to-end tests.
 */
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "net/conn.h"
#include "net/loop.h"
#include "support.h"
#include "tls_support.h"

struct side {
	struct conn *c;
	uint8_t *got;
	size_t got_n, room;
	bool ready, ended, closed;
	int error;
	enum tls_cause cause;
	char failure[TLS_TEXT];
	size_t echo_left;
};

struct world {
	struct budget budget;
	struct loop *loop;
	struct tls_made made;
	struct tls_context *server_context, *client_context;
	struct side server, client;
	struct timer watch;
	bool (*done)(struct world *w);
	int ticks;
};

static struct world *world; /* one at a time */

static size_t side_input(struct conn *c, uint8_t *p, size_t n)
{
	struct side *s = c->owner;

	assert_true(s->ready);
	assert_true(s->got_n + n <= s->room);
	memcpy(s->got + s->got_n, p, n);
	s->got_n += n;
	if (s->echo_left >= n) {
		conn_send_frame_borrowed(c,
			&(struct conn_frame){ .payload = p, .payload_n = n });
		s->echo_left -= n;
	}
	return n;
}

static void side_ended(struct conn *c, int error)
{
	struct side *s = c->owner;
	char text[TLS_TEXT];

	s->ended = true;
	s->error = error;
	s->cause = tls_cause(c);
	if (s->cause != TLS_NOTHING)
		snprintf(s->failure, sizeof(s->failure), "%s",
			tls_failure(c, text));
	conn_finish(c, 100);
}

static void side_closed(struct conn *c)
{
	struct side *s = c->owner;

	s->c = NULL;
	s->closed = true;
}

static void side_ready(struct conn *c)
{
	((struct side *)c->owner)->ready = true;
}

static const struct conn_cb side_cb = {
	.input = side_input,
	.ended = side_ended,
	.closed = side_closed,
	.ready = side_ready,
};

static void watch(struct timer *t)
{
	if (world->done(world) || ++world->ticks > 20000)
		loop_stop(world->loop);
	else
		timer_set(world->loop, t, loop_now(world->loop) + 1);
}

/* Turns the loop until done says so; false: it never did. */
static bool run(bool (*done)(struct world *w))
{
	world->done = done;
	world->ticks = 0;
	atomic_store(&world->loop->stopped, false);
	timer_set(world->loop, &world->watch, loop_now(world->loop));
	assert_int_equal(loop_run(world->loop), 0);
	return done(world);
}

static void side_start(struct side *s, int fd, size_t room)
{
	s->room = room;
	s->got = malloc(room);
	assert_non_null(s->got);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	s->c = conn_new(world->loop, fd, fd, &side_cb, s);
	assert_non_null(s->c);
}

static void sockets(int fd[2], int buffer)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	for (int i = 0; buffer && i < 2; i++)
		setsockopt(
			fd[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
}

static void connect_both(int buffer, size_t room, const char *host)
{
	int fd[2];

	sockets(fd, buffer);
	side_start(&world->server, fd[0], room);
	side_start(&world->client, fd[1], room);
	assert_int_equal(tls_accept(world->server.c, world->server_context), 0);
	assert_int_equal(
		tls_connect(world->client.c, world->client_context, host), 0);
	conn_set_reading(world->server.c, true);
	conn_set_reading(world->client.c, true);
}

static int setup(void **state)
{
	char text[TLS_TEXT];

	(void)state;
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	assert_int_equal(tls_init(), 0);
	budget_init(&world->budget, SIZE_MAX);
	world->loop = loop_new(&world->budget);
	assert_non_null(world->loop);
	assert_int_equal(timer_init(world->loop, &world->watch, watch), 0);
	tls_make(&world->made, "CN=localhost,O=lab");
	world->server_context = tls_server_new(
		&(struct tls_server_params){
			.identities = &world->made.identity,
			.identities_n = 1 },
		text);
	assert_non_null(world->server_context);
	world->client_context = tls_client_new(
		&(struct tls_client_params){
			.verify = true, .ca = world->made.identity.chain },
		text);
	assert_non_null(world->client_context);
	return 0;
}

static void side_stop(struct side *s)
{
	if (s->c)
		conn_close(s->c);
}

static int teardown(void **state)
{
	(void)state;
	side_stop(&world->server);
	side_stop(&world->client);
	loop_run_deferred(world->loop);
	assert_int_equal(budget_used(&world->budget), 0);
	tls_context_unref(world->server_context);
	tls_context_unref(world->client_context);
	timer_fini(world->loop, &world->watch);
	loop_free(world->loop);
	free(world->server.got);
	free(world->client.got);
	free(world);
	return 0;
}

static bool both_ready(struct world *w)
{
	return w->server.ready && w->client.ready;
}

static bool client_filled(struct world *w)
{
	return w->client.got_n == w->client.room;
}

static bool both_closed(struct world *w)
{
	return w->server.closed && w->client.closed;
}

static bool server_ended(struct world *w)
{
	return w->server.ended;
}

static bool server_closed(struct world *w)
{
	return w->server.closed;
}

static bool client_ended(struct world *w)
{
	return w->client.ended;
}

static void test_handshake(void **state)
{
	(void)state;
	connect_both(0, 1, "localhost");
	/* Sent at once: waits for the end of the handshake. */
	conn_send_copied(world->server.c, "x", 1);
	assert_true(run(client_filled));
	assert_true(both_ready(world));
	assert_int_equal(world->client.got[0], 'x');
	/* The suites of 1.3 leave the key exchange out of their names. */
	if (strcmp(tls_version(world->server.c), "TLSv1.2") == 0)
		assert_non_null(strstr(tls_suite(world->server.c), "ECDHE"));
}

/* Through sockets with little room: what is refused is held, and arrives. */
static void test_echo(void **state)
{
	static const size_t sizes[] = { 1, 125, 16383, 16384, 16385, 70000,
		262144, 300000, 3000000 };
	uint64_t seed = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i];
		uint8_t *text = malloc(n);

		assert_non_null(text);
		for (size_t k = 0; k < n; k++)
			text[k] = (uint8_t)next_random(&seed);
		connect_both(i % 2 ? 8192 : 0, n, "localhost");
		world->server.echo_left = n;
		assert_true(run(both_ready));
		/* In two parts, the first of a head's size. */
		conn_send_frame_borrowed(world->client.c,
			&(struct conn_frame){ .head = text,
				.head_n = n > 7 ? 7 : n,
				.payload = text + (n > 7 ? 7 : n),
				.payload_n = n > 7 ? n - 7 : 0 });
		assert_true(run(client_filled));
		assert_memory_equal(world->client.got, text, n);
		side_stop(&world->server);
		side_stop(&world->client);
		assert_true(run(both_closed));
		free(world->server.got);
		free(world->client.got);
		world->server = world->client = (struct side){ 0 };
		free(text);
	}
}

static void test_finish(void **state)
{
	(void)state;
	connect_both(8192, 100000, "localhost");
	assert_true(run(both_ready));
	memset(world->client.got, 1, 100000);
	conn_send_copied(world->server.c, world->client.got, 100000);
	conn_finish(world->server.c, 1000);
	assert_true(run(both_closed));
	assert_int_equal(world->client.got_n, 100000);
	assert_int_equal(world->client.error, 0);
	assert_int_equal(world->client.cause, TLS_NOTHING);
}

/* Without close_notify somebody may have cut the stream. */
static void test_truncated(void **state)
{
	(void)state;
	connect_both(0, 1, "localhost");
	assert_true(run(both_ready));
	assert_int_equal(shutdown(world->client.c->fd, SHUT_WR), 0);
	assert_true(run(server_ended));
	assert_int_equal(world->server.error, EPROTO);
	assert_int_equal(world->server.cause, TLS_TRUNCATED);
}

/* Who has said all says so, even when it closes at once. */
static void test_close(void **state)
{
	(void)state;
	connect_both(0, 1, "localhost");
	assert_true(run(both_ready));
	conn_close(world->client.c);
	assert_true(run(server_ended));
	assert_int_equal(world->server.error, 0);
	assert_int_equal(world->server.cause, TLS_NOTHING);
}

static void test_plain_http(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	int fd[2];

	(void)state;
	sockets(fd, 0);
	side_start(&world->server, fd[0], 1);
	assert_int_equal(tls_accept(world->server.c, world->server_context), 0);
	conn_set_reading(world->server.c, true);
	assert_int_equal(write(fd[1], request, sizeof(request) - 1),
		sizeof(request) - 1);
	assert_true(run(server_ended));
	assert_int_equal(world->server.cause, TLS_PLAIN_HTTP);
	close(fd[1]);
}

static void test_garbage(void **state)
{
	uint8_t bytes[64];
	ssize_t n;
	int fd[2];

	(void)state;
	memset(bytes, 0xee, sizeof(bytes));
	sockets(fd, 0);
	side_start(&world->server, fd[0], 1);
	assert_int_equal(tls_accept(world->server.c, world->server_context), 0);
	conn_set_reading(world->server.c, true);
	assert_int_equal(write(fd[1], bytes, sizeof(bytes)), sizeof(bytes));
	assert_true(run(server_ended));
	assert_int_equal(world->server.cause, TLS_PROTOCOL);
	assert_true(world->server.failure[0] != '\0');
	/* What else it said is read and dropped, or a reset would follow. */
	shutdown(fd[1], SHUT_WR);
	assert_true(run(server_closed));
	while ((n = read(fd[1], bytes, sizeof(bytes))) > 0)
		; /* an alert, or none */
	assert_int_equal(n, 0);
	close(fd[1]);
}

static void test_wrong_host(void **state)
{
	static const char *const hosts[] = { "example.org", "127.0.0.1", "::1",
		"xlocalhost" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		connect_both(0, 1, hosts[i]);
		assert_true(run(client_ended));
		assert_int_equal(world->client.cause, TLS_CERTIFICATE);
		assert_string_equal(world->client.failure,
			"its certificate is for another host");
		assert_true(run(both_closed));
		/* In 1.3 mbedTLS's client does not seal this alert. */
		assert_int_equal(world->server.cause,
			MBED_HAS_TLS_1_3 ? TLS_PROTOCOL : TLS_REFUSED);
		free(world->server.got);
		free(world->client.got);
		world->server = world->client = (struct side){ 0 };
	}
}

/* The root's dot is no part of the name in a certificate. */
static void test_trailing_dot(void **state)
{
	(void)state;
	connect_both(0, 1, "localhost.");
	assert_true(run(both_ready));
}

static void test_unknown_authority(void **state)
{
	struct tls_made *other = malloc(sizeof(*other));
	char text[TLS_TEXT];

	(void)state;
	assert_non_null(other);
	tls_make(other, "CN=other");
	tls_context_unref(world->client_context);
	world->client_context = tls_client_new(
		&(struct tls_client_params){
			.verify = true, .ca = other->identity.chain },
		text);
	assert_non_null(world->client_context);
	connect_both(0, 1, "localhost");
	assert_true(run(client_ended));
	assert_int_equal(world->client.cause, TLS_CERTIFICATE);
	assert_string_equal(world->client.failure,
		"its certificate is not signed by a known authority");
	free(other);
}

static void test_not_for_clients(void **state)
{
	char text[TLS_TEXT];

	(void)state;
	tls_context_unref(world->server_context);
	tls_context_unref(world->client_context);
	tls_make_for(&world->made, "CN=localhost", true);
	world->server_context = tls_server_new(
		&(struct tls_server_params){
			.identities = &world->made.identity,
			.identities_n = 1,
			.ask = TLS_ASK_REQUIRED,
			.client_ca = world->made.identity.chain },
		text);
	world->client_context = tls_client_new(
		&(struct tls_client_params){ .verify = true,
			.ca = world->made.identity.chain,
			.identity = &world->made.identity },
		text);
	assert_non_null(world->server_context);
	assert_non_null(world->client_context);
	connect_both(0, 1, "localhost");
	assert_true(run(server_ended));
	assert_int_equal(world->server.cause, TLS_CERTIFICATE);
	assert_string_equal(world->server.failure,
		"its certificate is not meant for this use");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_handshake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finish, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_plain_http, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_wrong_host, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_trailing_dot, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_unknown_authority, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_not_for_clients, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
