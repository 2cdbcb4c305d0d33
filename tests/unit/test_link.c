/* The way to a backend on loopback, as far as each test lets it come. */
#include "backend/link.h"

#include "backend_support.h"
#include "net/conn.h"
#include "net/tls.h"
#include "worker/credentials.h"
#include "tls_support.h"

static struct backend_params params;
static struct link way;
static struct tls_made made;
static struct conf_ca ca;

/* --- the link's owner ---------------------------------------------------------*/

static struct {
	unsigned ready, failed, late;
	enum reason reason;
	char detail[TLS_TEXT];
} told;

static void link_ready(struct link *l)
{
	assert_ptr_equal(l, &way);
	assert_non_null(l->conn);
	told.ready++;
}

static void link_failed(struct link *l, enum reason reason, const char *detail)
{
	told.failed++;
	told.reason = reason;
	snprintf(told.detail, sizeof(told.detail), "%s", detail ? detail : "");
	link_close(l);
}

static void link_late(struct link *l)
{
	told.late++;
	link_close(l);
}

static const struct link_cb cb = {
	.ready = link_ready,
	.failed = link_failed,
	.late = link_late,
};

static bool is_ready(void)
{
	return told.ready > 0;
}

static bool has_failed(void)
{
	return told.failed > 0;
}

static bool is_late(void)
{
	return told.late > 0;
}

static void start(void)
{
	params = (struct backend_params){ .worker = &world.worker,
		.client = &world.client,
		.request = &world.request,
		.captures = &world.captures,
		.client_fd = world.listening };
	assert_int_equal(link_open(&way, &params, &cb), 0);
	assert_false(told.ready || told.failed);
}

static void assert_failed(enum reason reason, const char *detail)
{
	backend_run(has_failed);
	assert_int_equal(told.reason, reason);
	assert_string_equal(told.detail, detail);
	assert_int_equal(told.ready, 0);
}

/* It is over: nothing is told, the backend hears the end of the stream. */
static void assert_cancelled(void)
{
	link_close(&way);
	backend_run(backend_after_turns);
	assert_int_equal(told.failed + told.late, 0);
}

static int setup(void **state)
{
	(void)state;
	backend_setup();
	memset(&told, 0, sizeof(told));
	memset(&way, 0, sizeof(way));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	link_close(&way);
	credentials_free(world.worker.credentials);
	backend_teardown();
	return 0;
}

/* The route's backend speaks TLS, with a certificate for "localhost". */
static void use_tls(const char *host)
{
	char text[TLS_TEXT];

	world.route.to.tls = true;
	world.route.to.host = (char *)host;
	world.route.backend_verify = true;
	tls_make(&made, "CN=localhost,O=lab");
	ca = (struct conf_ca){ .pem = made.chain,
		.pem_n = made.identity.chain.n };
	world.route.ca = &ca;
	world.worker.credentials = credentials_new(&world.conf, text);
	assert_non_null(world.worker.credentials);
}

/* --- without TLS --------------------------------------------------------------*/

static void test_ready(void **state)
{
	(void)state;
	start();
	backend_run(is_ready);
	conn_send_copied(way.conn, "hello", 5);
	link_close(&way);
	backend_run(backend_heard_end);
	assert_str(buf_str(&world.heard), "hello");
}

/* Who took the connection has it: no deadline, and no close of the link. */
static void test_taken(void **state)
{
	struct conn *c;

	(void)state;
	world.route.connect_timeout = 20;
	start();
	backend_run(is_ready);
	c = link_take(&way);
	assert_non_null(c);
	backend_run(backend_after_turns);
	usleep(20000);
	backend_run(backend_after_turns);
	assert_int_equal(told.late, 0);
	link_close(&way);
	backend_run(backend_after_turns);
	assert_false(world.ended);
	conn_close(c);
	backend_run(backend_heard_end);
}

static void test_proxy_header(void **state)
{
	char want[100];

	(void)state;
	world.route.send_proxy = PROXY_V1;
	start();
	backend_run(is_ready);
	conn_send_copied(way.conn, "x", 1);
	link_close(&way);
	backend_run(backend_heard_end);
	snprintf(want, sizeof(want),
		"PROXY TCP4 203.0.113.9 127.0.0.1 4711 %s\r\nx", world.port);
	assert_str(buf_str(&world.heard), want);
}

static void test_refused(void **state)
{
	char port[6];
	int fd = backend_bind(port);

	(void)state;
	world.route.to.port = port;
	start();
	assert_failed(REASON_BACKEND_REFUSED, "Connection refused");
	close(fd);
}

static void test_no_such_socket(void **state)
{
	(void)state;
	world.route.to = (struct conf_backend){ .kind = BACKEND_UNIX,
		.path = (char *)"/nonexistent/socket" };
	start();
	assert_failed(REASON_BACKEND_REFUSED, "No such file or directory");
}

static void test_forbidden(void **state)
{
	struct cidr only;

	(void)state;
	assert_int_equal(cidr_parse(&only, STR("192.0.2.0/24")), 0);
	world.route.backend_allow = (struct cidr_list){ &only, 1 };
	start();
	assert_failed(REASON_BACKEND_FORBIDDEN, "");
}

/* A port may be a capture, and then be anything. */
static void test_no_port(void **state)
{
	static const char *const ports[] = { "", "x", "-1", "80x", "65536",
		"99999999999999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof(ports) / sizeof(*ports); i++) {
		world.route.to.port = (char *)ports[i];
		memset(&told, 0, sizeof(told));
		start();
		assert_failed(REASON_BACKEND_REFUSED, "there is no such port");
	}
}

/* Connections that it has not accepted fill its backlog: no answer comes. */
static void test_dialling_times_out(void **state)
{
	struct sockaddr_in in;
	socklen_t n = sizeof(in);
	char port[6];
	int fd = backend_bind(port), fill[4];

	(void)state;
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)&in, n);
	}
	world.route.connect_timeout = 20;
	world.route.to.port = port;
	start();
	assert_failed(REASON_BACKEND_TIMEOUT, "timed out");
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	close(fd);
}

static void test_late_after_ready(void **state)
{
	(void)state;
	world.route.connect_timeout = 20;
	start();
	backend_run(is_late);
	assert_int_equal(told.ready, 1);
	backend_run(backend_heard_end);
}

static void test_cancelled_while_dialling(void **state)
{
	(void)state;
	start();
	assert_cancelled();
	assert_int_equal(told.ready, 0);
}

static void test_cancelled_when_ready(void **state)
{
	(void)state;
	start();
	backend_run(is_ready);
	assert_cancelled();
	backend_run(backend_heard_end);
}

static void test_never_opened(void **state)
{
	(void)state;
	assert_cancelled();
}

/* --- TLS ----------------------------------------------------------------------*/

static size_t server_input(struct conn *c, uint8_t *p, size_t n)
{
	(void)c;
	assert_int_equal(buf_add(&world.heard, p, n, SIZE_MAX), 0);
	return n;
}

static void server_ended(struct conn *c, int error)
{
	(void)error;
	world.ended = true;
	conn_close(c);
}

static void server_closed(struct conn *c)
{
	(void)c;
}

static const struct conn_cb server_cb = {
	.input = server_input,
	.ended = server_ended,
	.closed = server_closed,
};

/* The backend's side of TLS, on the connection that it has accepted. */
static void serve_tls(void)
{
	char text[TLS_TEXT];
	struct tls_context *x = tls_server_new(
		&(struct tls_server_params){
			.identities = &made.identity, .identities_n = 1 },
		text);
	struct conn *c;

	assert_non_null(x);
	c = conn_new(world.loop, world.connection, world.connection, &server_cb,
		NULL);
	world.connection = -1; /* it is c's */
	assert_non_null(c);
	assert_int_equal(tls_accept(c, x), 0);
	conn_set_reading(c, true);
	tls_context_unref(x);
}

static void start_tls(const char *host)
{
	use_tls(host);
	world.deaf = true;
	start();
	backend_run(backend_accepted);
	assert_int_equal(told.ready, 0);
}

static void test_tls(void **state)
{
	(void)state;
	start_tls("localhost");
	serve_tls();
	backend_run(is_ready);
	conn_send_copied(way.conn, "hello", 5);
	link_close(&way);
	backend_run(backend_heard_end);
	assert_str(buf_str(&world.heard), "hello");
}

static void test_tls_of_a_wrong_name(void **state)
{
	(void)state;
	start_tls("127.0.0.1");
	serve_tls();
	backend_run(has_failed);
	assert_int_equal(told.reason, REASON_BACKEND_CERTIFICATE);
	assert_non_null(strstr(told.detail, "another host"));
	assert_int_equal(told.ready, 0);
	backend_run(backend_heard_end);
}

static void test_tls_to_one_that_speaks_none(void **state)
{
	(void)state;
	start_tls("localhost");
	assert_int_equal(send(world.connection, "220 hello\r\n", 11, 0), 11);
	backend_run(has_failed);
	assert_int_equal(told.reason, REASON_BACKEND_TLS);
	assert_string_not_equal(told.detail, "");
}

static void test_tls_ends_at_once(void **state)
{
	(void)state;
	start_tls("localhost");
	shutdown(world.connection, SHUT_WR);
	assert_failed(REASON_BACKEND_TLS, "it closed in the handshake");
}

static void test_tls_is_late(void **state)
{
	(void)state;
	world.route.connect_timeout = 20;
	start_tls("localhost");
	backend_run(is_late);
	assert_int_equal(told.ready, 0);
	world.deaf = false;
	backend_run(backend_heard_end);
}

static void test_tls_cancelled(void **state)
{
	(void)state;
	start_tls("localhost");
	assert_cancelled();
	assert_int_equal(told.ready, 0);
	world.deaf = false;
	backend_run(backend_heard_end);
}

static struct str behind_proxy_header(void)
{
	struct str heard = buf_str(&world.heard);
	const char *end = heard.n > 0 ? memchr(heard.p, '\n', heard.n) : NULL;

	return end ? (struct str){ end + 1,
		(size_t)(heard.p + heard.n - end) - 1 }
		   : STR_NONE;
}

static bool more_than_proxy_header(void)
{
	return behind_proxy_header().n > 2;
}

/* haproxy's proxy-protocol.txt: in front of everything, TLS included. */
static void test_proxy_header_before_tls(void **state)
{
	(void)state;
	world.route.send_proxy = PROXY_V1;
	start_tls("localhost");
	world.deaf = false;
	backend_run(more_than_proxy_header);
	assert_true(str_starts(buf_str(&world.heard), STR("PROXY TCP4 ")));
	/* A handshake record, of TLS. */
	assert_true(str_starts(behind_proxy_header(), STR("\x16\x03")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_ready),
		TEST(test_taken),
		TEST(test_proxy_header),
		TEST(test_refused),
		TEST(test_no_such_socket),
		TEST(test_forbidden),
		TEST(test_no_port),
		TEST(test_dialling_times_out),
		TEST(test_late_after_ready),
		TEST(test_cancelled_while_dialling),
		TEST(test_cancelled_when_ready),
		TEST(test_never_opened),
		TEST(test_tls),
		TEST(test_tls_of_a_wrong_name),
		TEST(test_tls_to_one_that_speaks_none),
		TEST(test_tls_ends_at_once),
		TEST(test_tls_is_late),
		TEST(test_tls_cancelled),
		TEST(test_proxy_header_before_tls),
	};

	if (tls_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
