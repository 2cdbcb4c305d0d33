/* Backends of each kind that needs no daemon around it, opened for a client. */
#include "backend/backend.h"

#include "backend_support.h"
#include "codec/http/handshake.h"
#include "end/end.h"

static struct attempt *attempt;

static struct {
	unsigned done;
	enum reason reason;
	char detail[100], protocol[20], body[100], fields[200];
	int status;
	struct end *end;
} told;

static void keep(char *out, size_t size, struct str s)
{
	snprintf(out, size, "%.*s", (int)s.n, s.n > 0 ? s.p : "");
}

static void done(void *owner, const struct backend_result *r)
{
	const struct outcome *o = &r->outcome;

	assert_ptr_equal(owner, &told);
	attempt = NULL;
	told.done++;
	told.reason = o->reason;
	keep(told.detail, sizeof(told.detail),
		o->detail ? str_of(o->detail) : STR_NONE);
	keep(told.protocol, sizeof(told.protocol), o->protocol);
	keep(told.body, sizeof(told.body), r->body);
	keep(told.fields, sizeof(told.fields), r->fields);
	told.status = r->status;
	told.end = r->end;
}

static bool is_done(void)
{
	return told.done > 0;
}

static void start(enum conf_backend_kind kind)
{
	world.route.to.kind = kind;
	attempt = backend_open(
		&(struct backend_params){ .worker = &world.worker,
			.client = &world.client,
			.request = &world.request,
			.captures = &world.captures,
			.client_fd = -1,
			.done = done,
			.owner = &told });
	assert_non_null(attempt);
	assert_int_equal(told.done, 0);
}

static void assert_opened(void)
{
	backend_run(is_done);
	assert_int_equal(told.reason, REASON_NONE);
	assert_non_null(told.end);
}

static void assert_failed(enum reason reason, const char *detail)
{
	backend_run(is_done);
	assert_int_equal(told.reason, reason);
	assert_string_equal(told.detail, detail);
	assert_null(told.end);
	backend_run(backend_after_turns);
	assert_int_equal(told.done, 1);
}

static void assert_cancelled(void)
{
	backend_cancel(attempt);
	backend_run(backend_after_turns);
	assert_int_equal(told.done, 0);
}

static int setup(void **state)
{
	(void)state;
	backend_setup();
	memset(&told, 0, sizeof(told));
	world.route.framing = FRAMING_LINE;
	world.route.max_backend_message = 1000;
	world.route.close_timeout = 1000;
	world.request.path = STR("/");
	world.request.host = STR("relay.example");
	world.request.head.fields[world.request.head.n++] = (struct http_field){
		STR("Sec-WebSocket-Protocol"), STR("one, two")
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (told.end)
		end_discard(told.end);
	if (world.connection >= 0)
		shutdown(world.connection, SHUT_RDWR);
	backend_run(backend_after_turns);
	backend_teardown();
	return 0;
}

/* --- without a handshake ------------------------------------------------------*/

static void test_echo(void **state)
{
	(void)state;
	start(BACKEND_ECHO);
	assert_opened();
}

static void test_echo_cancelled(void **state)
{
	(void)state;
	start(BACKEND_ECHO);
	assert_cancelled();
}

static void test_socket(void **state)
{
	(void)state;
	start(BACKEND_TCP);
	assert_opened();
	end_discard(told.end);
	told.end = NULL;
	backend_run(backend_heard_end);
}

static void test_socket_refused(void **state)
{
	char port[6];
	int fd = backend_bind(port);

	(void)state;
	world.route.to.port = port;
	start(BACKEND_TCP);
	assert_failed(REASON_BACKEND_REFUSED, "Connection refused");
	close(fd);
}

static void test_socket_cancelled(void **state)
{
	(void)state;
	start(BACKEND_TCP);
	assert_cancelled();
}

/* --- ws -----------------------------------------------------------------------*/

static bool heard_request(void)
{
	return world.heard.n > 4 &&
	       memcmp(world.heard.p + world.heard.n - 4, "\r\n\r\n", 4) == 0;
}

static struct str heard_field(const char *name)
{
	static struct http_head h;
	const char *why;

	assert_int_equal(http_parse_request(&h, (const char *)world.heard.p,
				 world.heard.n, &why),
		0);
	return http_field(&h, str_of(name));
}

static void start_ws(void)
{
	start(BACKEND_WS);
	backend_run(heard_request);
	assert_int_equal(told.done, 0);
}

static void answer(const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(world.connection, text, n, 0), n);
}

static void answer_switch(const char *field)
{
	char accept[HANDSHAKE_ACCEPT], text[300];

	handshake_accept(accept, heard_field("Sec-WebSocket-Key"));
	snprintf(text, sizeof(text),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n"
		"%s\r\n",
		HANDSHAKE_ACCEPT, accept, field);
	answer(text);
}

static void test_ws(void **state)
{
	(void)state;
	start_ws();
	assert_str(heard_field("Sec-WebSocket-Protocol"), "one, two");
	assert_str(heard_field("X-Forwarded-For"), "203.0.113.9");
	answer_switch("Sec-WebSocket-Protocol: two\r\n");
	assert_opened();
	assert_string_equal(told.protocol, "two");
}

static void test_ws_selects_what_was_not_offered(void **state)
{
	(void)state;
	start_ws();
	answer_switch("Sec-WebSocket-Protocol: three\r\n");
	assert_failed(REASON_BACKEND_HANDSHAKE,
		"it selected a subprotocol that was not offered");
	backend_run(backend_heard_end);
}

static void test_ws_refuses(void **state)
{
	(void)state;
	start_ws();
	answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n"
	       "Retry-After: 5\r\nServer: x\r\n\r\nno");
	assert_failed(REASON_BACKEND_STATUS, "HTTP 403");
	assert_int_equal(told.status, 403);
	assert_string_equal(told.fields, "Retry-After: 5\r\n");
	assert_string_equal(told.body, "no");
	backend_run(backend_heard_end);
}

/* What came of its body is passed on. */
static void test_ws_refuses_and_is_late(void **state)
{
	(void)state;
	world.route.connect_timeout = 50;
	start_ws();
	answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 20\r\n\r\nno");
	assert_failed(REASON_BACKEND_STATUS, "HTTP 403");
	assert_string_equal(told.body, "no");
}

static void test_ws_closes(void **state)
{
	(void)state;
	start_ws();
	answer("HTTP/1.1 101");
	shutdown(world.connection, SHUT_WR);
	assert_failed(
		REASON_BACKEND_HANDSHAKE, "it closed instead of answering");
}

static void test_ws_is_late(void **state)
{
	(void)state;
	world.route.connect_timeout = 50;
	start_ws();
	assert_failed(REASON_BACKEND_TIMEOUT, "no answer to the upgrade");
	backend_run(backend_heard_end);
}

static void test_ws_cancelled(void **state)
{
	(void)state;
	start_ws();
	assert_cancelled();
	backend_run(backend_heard_end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_echo),
		TEST(test_echo_cancelled),
		TEST(test_socket),
		TEST(test_socket_refused),
		TEST(test_socket_cancelled),
		TEST(test_ws),
		TEST(test_ws_selects_what_was_not_offered),
		TEST(test_ws_refuses),
		TEST(test_ws_refuses_and_is_late),
		TEST(test_ws_closes),
		TEST(test_ws_is_late),
		TEST(test_ws_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
