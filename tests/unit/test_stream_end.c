/*
 * The end of a backend that speaks bytes with a framing: sockets, and
 * processes, of which the test says when they have exited. The echo, too.
 */
#include "end/stream.h"

#include "codec/framing.h"
#include "codec/tagged.h"
#include "end_support.h"
#include "net/proc.h"

/* --- a process --------------------------------------------------------------*/

static struct proc *const process = (struct proc *)&worker; /* any address */
static int64_t sigterm_after; /* ms; -1: it was not asked to end */

void __wrap_proc_end_after(struct proc *p, int64_t ms);
void __wrap_proc_end_after(struct proc *p, int64_t ms)
{
	assert_ptr_equal(p, process);
	sigterm_after = ms;
}

static void process_exits(int status)
{
	stream_end_exited(end, status);
}

static void peer_ends(void)
{
	shutdown(peer, SHUT_WR);
}

/* --- the world --------------------------------------------------------------*/

static void start(enum framing_id framing)
{
	route.framing = (int)framing;
	start_conn();
	own(stream_end_new(&worker, conn, &route));
	sigterm_after = -1;
}

static int start_nothing(void **state)
{
	(void)state;
	start_world();
	return 0;
}

static int start_raw(void **state)
{
	start_nothing(state);
	start(FRAMING_RAW);
	return 0;
}

static int start_line(void **state)
{
	start_nothing(state);
	start(FRAMING_LINE);
	return 0;
}

static int start_len32(void **state)
{
	start_nothing(state);
	start(FRAMING_LEN32);
	return 0;
}

static int start_process(void **state)
{
	start_nothing(state);
	route.to.kind = BACKEND_EXEC;
	start(FRAMING_LINE);
	stream_end_set_proc(end, process);
	return 0;
}

/* --- messages ---------------------------------------------------------------*/

static void test_a_read_is_a_message(void **state)
{
	(void)state;
	peer_says(BYTES("\xffraw"));
	assert_told("binary \xffraw;");
}

static void test_lines_are_messages(void **state)
{
	(void)state;
	peer_says(BYTES("one\ntwo\r\n\nbegun"));
	assert_told("text one;text two;text ;");
	peer_says(BYTES(" and ended\n"));
	assert_told("text begun and ended;");
}

static void test_len32(void **state)
{
	(void)state;
	peer_says(BYTES("\0\0\0\4\1one\0\0\0\4\2two"));
	assert_told("text one;binary two;");
}

static void test_any_cut_of_the_bytes_is_the_same(void **state)
{
	static const char bytes[] = "\0\0\0\4\1one\0\0\0\1\2\0\0\0\2\1x";

	(void)state;
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		peer_says(bytes + i, 1);
		turn();
	}
	assert_told("text one;binary ;text x;");
}

static void test_a_line_is_sent(void **state)
{
	(void)state;
	assert_int_equal(send_text("out"), REASON_NONE);
	assert_heard(BYTES("out\n"));
}

static void test_len32_is_sent(void **state)
{
	(void)state;
	assert_int_equal(send_text("out"), REASON_NONE);
	assert_heard(BYTES("\0\0\0\4\1out"));
}

static void test_a_prefix_is_part_of_the_message(void **state)
{
	uint8_t data[] = "data";

	(void)state;
	send_piece((struct piece){ .opcode = WS_TEXT,
		.first = true,
		.last = true,
		.prefix = (const uint8_t *)"> 17 ",
		.prefix_n = 5,
		.data = data,
		.n = 4 });
	assert_heard(BYTES("\0\0\0\12\1> 17 data"));
}

static void test_pieces_are_sent_raw(void **state)
{
	uint8_t data[] = "pieces";

	(void)state;
	assert_false(end->whole);
	send_piece((struct piece){
		.opcode = WS_TEXT, .first = true, .data = data, .n = 3 });
	send_piece((struct piece){
		.opcode = WS_TEXT, .last = true, .data = data + 3, .n = 3 });
	assert_heard(BYTES("pieces"));
}

/* They are told by the reason; nothing of them leaves. */
static void test_a_line_carries_no_binary_and_no_line_break(void **state)
{
	uint8_t data[] = "x";

	(void)state;
	assert_true(end->whole);
	assert_int_equal(send_piece((struct piece){ .opcode = WS_BINARY,
				 .first = true,
				 .last = true,
				 .data = data,
				 .n = 1 }),
		REASON_UNSUPPORTED);
	assert_int_equal(send_text("two\nlines"), REASON_POLICY);
	assert_silence();
}

static void test_heard_and_spoken_to(void **state)
{
	(void)state;
	assert_false(stream_end_heard(end));
	assert_false(stream_end_spoken_to(end));
	peer_says(BYTES("x"));
	turn();
	assert_true(stream_end_heard(end));
	assert_int_equal(send_text("x"), REASON_NONE);
	assert_true(stream_end_spoken_to(end));
}

/* --- flow -------------------------------------------------------------------*/

static void test_a_pause_stops_between_messages(void **state)
{
	(void)state;
	pauses = true;
	peer_says(BYTES("one\ntwo\n"));
	assert_told("text one;");
	end->ops->flow(end, true);
	assert_told("text two;");
}

static void test_the_owner_is_told_when_the_queue_is_short(void **state)
{
	uint8_t *much = malloc(MUCH);

	(void)state;
	assert_non_null(much);
	send_much();
	hear_all(much, MUCH);
	assert_told("drained;");
	free(much);
}

/* --- violations -------------------------------------------------------------*/

static const struct violation {
	enum framing_id framing;
	const char *bytes;
	size_t n;
	const char *told;
} violations[] = {
	{ FRAMING_LINE, BYTES("\xff\n"), "text that is not UTF-8" },
	{ FRAMING_LEN32, BYTES("\0\0\0\2\1\xff"), "text that is not UTF-8" },
	{ FRAMING_LEN32, BYTES("\0\0\0\2\3x"),
		"an opcode that is neither 1 nor 2" },
	{ FRAMING_LINE, BYTES("123456789012"),
		"a message of 11 bytes or more, max_backend_message is 10" },
	{ FRAMING_LEN32, BYTES("\0\0\0\x15\1"),
		"a message of 20 bytes, max_backend_message is 10" },
};

static void test_a_violation(void **state)
{
	const struct violation *v = *state;
	char want[200];

	closes = true;
	route.max_backend_message = 10;
	start(v->framing);
	peer_says(v->bytes, v->n);
	snprintf(want, sizeof(want), "ended backend-protocol (%s);", v->told);
	assert_told(want);
	assert_peer_heard_the_end();
	peer_leaves();
	assert_told("gone;");
}

/* The hub passes over them, and lives on. */
static void test_faults_of_a_tagged_backend_are_judged_later(void **state)
{
	char line[200];

	(void)state;
	route.addressing = CONF_ADDRESSING_TAGGED;
	route.max_backend_message = 10;
	start(FRAMING_LINE);
	peer_says(BYTES("\xff\n"));
	assert_told("text \xff;");
	memset(line, 'x', sizeof(line));
	peer_says(line, sizeof(line));
	assert_told("too-big;");
	peer_says(line, sizeof(line));
	peer_says(BYTES("\nshort\n"));
	assert_told("text short;");
}

/* Its beginning alone is more than a read: it may not make that worse. */
static void begin_a_long_message(void)
{
	uint8_t part[4096] = "\0\x20\0\0\2";

	atomic_store(&shared.budget.limit, 0);
	for (size_t n = 0; n <= LOOP_SCRATCH + 4096 && told.n == 0;) {
		ssize_t said = send(peer, part, sizeof(part), MSG_NOSIGNAL);

		n += said > 0 ? (size_t)said : 0;
		memset(part, 0, 5);
		if (said < (ssize_t)sizeof(part))
			turn();
	}
	turn();
}

static void test_a_long_message_without_memory(void **state)
{
	(void)state;
	closes = true;
	route.max_backend_message = 4 << 20;
	start(FRAMING_LEN32);
	begin_a_long_message();
	peer_leaves();
	assert_told("ended memory;gone;");
}

/* With it all members would end. */
static void test_a_long_message_of_a_hub_without_memory(void **state)
{
	(void)state;
	route.mode = CONF_MODE_HUB;
	route.max_backend_message = 4 << 20;
	start(FRAMING_LEN32);
	begin_a_long_message();
	assert_told("");
}

/* --- the end of a socket ----------------------------------------------------*/

static void test_the_backend_ends(void **state)
{
	(void)state;
	closes = true;
	peer_says(BYTES("last\n"));
	peer_leaves();
	assert_told("text last;ended backend-close;gone;");
}

static void test_the_backend_ends_in_a_message(void **state)
{
	(void)state;
	closes = true;
	peer_says(BYTES("whole\nbegun"));
	peer_leaves();
	assert_told("text whole;ended backend-close "
		    "(its last message was not finished);gone;");
}

static void test_the_backend_resets(void **state)
{
	(void)state;
	closes = true;
	assert_int_equal(send_text("unread"), REASON_NONE);
	peer_leaves();
	assert_told("ended backend-reset (Connection reset by peer);gone;");
}

/* What it may still read leaves before our side of its socket ends. */
static void test_we_close(void **state)
{
	uint8_t *much = malloc(MUCH);

	(void)state;
	assert_non_null(much);
	send_much();
	end->ops->close(end, 1000, STR("no word for a stream"));
	hear_all(much, MUCH);
	assert_peer_heard_the_end();
	peer_says(BYTES("too late\n"));
	turn();
	assert_told("");
	peer_leaves();
	assert_told("gone;");
	assert_int_equal(dropped, 9);
	free(much);
}

static void test_close_timeout(void **state)
{
	(void)state;
	end->ops->close(end, 1000, STR_NONE);
	assert_peer_heard_the_end();
	time_passes(4 * MINUTE);
	assert_told("");
	time_passes(2 * MINUTE);
	assert_told("gone;");
}

/* --- the end of a process ---------------------------------------------------*/

/* Only its status says whether it ended well. */
static void test_output_ends_then_the_process(void **state)
{
	(void)state;
	closes = true;
	peer_ends();
	turn();
	assert_told("");
	assert_int_equal(sigterm_after, 5 * MINUTE);
	process_exits(0);
	assert_told("ended backend-close;gone;");
}

static void test_the_process_exits_then_its_output_ends(void **state)
{
	(void)state;
	closes = true;
	process_exits(3);
	peer_says(BYTES("last\n"));
	assert_told("text last;");
	peer_leaves();
	assert_told("ended backend-exit 'backend-exit:3' (backend-exit:3);"
		    "gone;");
}

/* A process that it has left has its output open, and says nothing. */
static void test_output_that_does_not_end(void **state)
{
	(void)state;
	process_exits(0);
	time_passes(4 * MINUTE);
	peer_says(BYTES("still\n"));
	assert_told("text still;");
	time_passes(4 * MINUTE);
	assert_told("");
	time_passes(2 * MINUTE);
	assert_told("ended backend-close;");
}

/* A slow client holds it up: that is no silence. */
static void test_output_that_is_not_read(void **state)
{
	(void)state;
	process_exits(0);
	end->ops->flow(end, false);
	peer_says(BYTES("waits\n"));
	for (int i = 0; i < 5; i++)
		time_passes(6 * MINUTE);
	assert_told("");
	end->ops->flow(end, true);
	assert_told("text waits;");
}

static void test_we_close_before_the_process_exits(void **state)
{
	(void)state;
	end->ops->close(end, 1000, STR_NONE);
	assert_int_equal(sigterm_after, 5 * MINUTE);
	peer_leaves();
	turn();
	assert_told(""); /* its place is not free */
	process_exits(128 + 15);
	assert_told("gone;");
}

static void test_we_close_and_the_process_exits_first(void **state)
{
	(void)state;
	end->ops->close(end, 1000, STR_NONE);
	process_exits(0);
	assert_told("");
	peer_leaves();
	assert_told("gone;");
}

/* Without memory for its queue it is closed, although its output has ended. */
static void test_a_connection_that_breaks_behind_the_output(void **state)
{
	(void)state;
	closes = true;
	peer_ends();
	turn();
	conn_close(conn);
	assert_told("ended internal;");
	process_exits(0);
	assert_told("gone;");
}

/* --- the echo ---------------------------------------------------------------*/

static void test_echo(void **state)
{
	(void)state;
	own(echo_end_new(&worker));
	assert_int_equal(send_text("echo"), REASON_NONE);
	assert_told("text echo;");
	end->ops->close(end, 1000, STR_NONE);
	buf_free(&told); /* gone never comes from within close */
	assert_non_null(end);
	assert_told("gone;");
}

#define TEST(start, f) cmocka_unit_test_setup_teardown(f, start, end_world)
#define VIOLATION(i)                                                           \
	{                                                                      \
		"test_a_violation " #i, test_a_violation, start_nothing,       \
			end_world, (void *)&violations[i]                      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(start_raw, test_a_read_is_a_message),
		TEST(start_line, test_lines_are_messages),
		TEST(start_len32, test_len32),
		TEST(start_len32, test_any_cut_of_the_bytes_is_the_same),
		TEST(start_line, test_a_line_is_sent),
		TEST(start_len32, test_len32_is_sent),
		TEST(start_len32, test_a_prefix_is_part_of_the_message),
		TEST(start_raw, test_pieces_are_sent_raw),
		TEST(start_line,
			test_a_line_carries_no_binary_and_no_line_break),
		TEST(start_line, test_heard_and_spoken_to),
		TEST(start_line, test_a_pause_stops_between_messages),
		TEST(start_raw, test_the_owner_is_told_when_the_queue_is_short),
		VIOLATION(0),
		VIOLATION(1),
		VIOLATION(2),
		VIOLATION(3),
		VIOLATION(4),
		TEST(start_nothing,
			test_faults_of_a_tagged_backend_are_judged_later),
		TEST(start_nothing, test_a_long_message_without_memory),
		TEST(start_nothing,
			test_a_long_message_of_a_hub_without_memory),
		TEST(start_line, test_the_backend_ends),
		TEST(start_line, test_the_backend_ends_in_a_message),
		TEST(start_line, test_the_backend_resets),
		TEST(start_raw, test_we_close),
		TEST(start_line, test_close_timeout),
		TEST(start_process, test_output_ends_then_the_process),
		TEST(start_process,
			test_the_process_exits_then_its_output_ends),
		TEST(start_process, test_output_that_does_not_end),
		TEST(start_process, test_output_that_is_not_read),
		TEST(start_process, test_we_close_before_the_process_exits),
		TEST(start_process, test_we_close_and_the_process_exits_first),
		TEST(start_process,
			test_a_connection_that_breaks_behind_the_output),
		TEST(start_nothing, test_echo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
