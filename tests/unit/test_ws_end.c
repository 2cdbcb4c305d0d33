/*
 * The WebSocket end, both roles: what its owner is told of the peer's bytes,
 * and what the peer gets, byte for byte.
 */
#include "ws_end_support.h"

/* --- messages ---------------------------------------------------------------*/

static void test_a_message_comes(void **state)
{
	(void)state;
	peer_says(BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"));
	assert_told("text Hello;"); /* RFC 6455 section 5.7 */
}

static void test_a_message_of_a_backend_comes(void **state)
{
	(void)state;
	peer_says(BYTES("\x81\x05Hello"));
	assert_told("text Hello;");
}

static void test_fragments_come_as_pieces(void **state)
{
	(void)state;
	peer_says_frame(0x01, BYTES("hel"));
	peer_says_frame(0x00, BYTES(""));
	peer_says_frame(0x80, BYTES("lo"));
	assert_told("text hel...;control 0;text ...lo;");
}

static void test_half_a_frame_is_a_piece(void **state)
{
	(void)state;
	peer_says(BYTES("\x82\x84\0\0\0\0wh"));
	assert_told("binary wh...;");
	peer_says(BYTES("at"));
	assert_told("binary ...at;");
}

static void test_a_message_is_sent(void **state)
{
	(void)state;
	assert_int_equal(send_text("Hello"), REASON_NONE);
	assert_heard(BYTES("\x81\x05Hello"));
}

static void test_a_message_is_sent_masked(void **state)
{
	uint8_t first[4], second[4], head[2], text[5];

	(void)state;
	assert_int_equal(send_text("Hello"), REASON_NONE);
	assert_int_equal(send_text("Hello"), REASON_NONE);
	hear_all(head, 2);
	assert_memory_equal(head, "\x81\x85", 2);
	hear_all(first, 4);
	hear_all(text, 5);
	ws_mask(text, 5, first);
	assert_memory_equal(text, "Hello", 5);
	hear_all(head, 2);
	hear_all(second, 4);
	assert_memory_not_equal(first, second, 4); /* section 10.3 */
}

static void test_pieces_are_sent_as_fragments(void **state)
{
	uint8_t hel[] = "hel", lo[] = "lo";

	(void)state;
	send_piece((struct piece){
		.opcode = WS_TEXT, .first = true, .data = hel, .n = 3 });
	send_piece((struct piece){ .opcode = WS_TEXT, .data = lo, .n = 0 });
	send_piece((struct piece){
		.opcode = WS_TEXT, .last = true, .data = lo, .n = 2 });
	assert_heard(BYTES("\x01\x03hel\x00\x00\x80\x02lo"));
}

/* The mask goes on over the prefix and the data behind it. */
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
	assert_heard_masked(BYTES("\x81\x09> 17 data"));
}

/* --- flow -------------------------------------------------------------------*/

static void test_a_pause_stops_between_messages(void **state)
{
	(void)state;
	pauses = true;
	peer_says(BYTES("\x81\x01"
			"1\x81\x01"
			"2"));
	assert_told("text 1;");
	end->ops->flow(end, true);
	assert_told("text 2;");
}

static void test_the_rest_of_a_pause_is_dropped_at_the_end(void **state)
{
	(void)state;
	pauses = true;
	peer_says(BYTES("\x82\x01"
			"1\x82\x04late"));
	assert_told("binary 1;");
	conn_close(conn);
	assert_told("gone;");
	assert_int_equal(dropped, 6);
}

static void test_the_owner_is_told_when_the_queue_is_short(void **state)
{
	uint8_t *much = malloc(MUCH);

	(void)state;
	assert_non_null(much);
	send_much();
	hear_all(much, MUCH);
	if (told.n == 0)
		turn_until(1, 2000);
	assert_memory_equal(told.p, "drained;", 8);
	buf_free(&told);
	free(much);
}

/* --- control frames ---------------------------------------------------------*/

static void test_a_ping_is_answered(void **state)
{
	(void)state;
	peer_says_frame(0x89, BYTES("are you there"));
	assert_heard(BYTES("\x8a\x0d"
			   "are you there"));
	assert_told("control 13;");
}

static void test_a_ping_of_a_backend_is_answered(void **state)
{
	(void)state;
	peer_says_frame(0x89, BYTES("ping"));
	assert_heard_masked(BYTES("\x8a\x04ping"));
	assert_told(""); /* rates are the clients' */
}

static void test_the_newest_ping_of_a_read_is_answered(void **state)
{
	(void)state;
	peer_says(BYTES("\x89\x01"
			"1\x89\x01"
			"2\x89\x01"
			"3"));
	assert_heard_masked(BYTES("\x8a\x01"
				  "3"));
	assert_silence();
}

static void test_a_ping_fits_between_fragments(void **state)
{
	(void)state;
	peer_says_frame(0x01, BYTES("hel"));
	peer_says_frame(0x89, BYTES("now"));
	peer_says_frame(0x80, BYTES("lo"));
	assert_told("text hel...;control 3;text ...lo;");
	assert_heard(BYTES("\x8a\x03now"));
}

static void test_a_pong_is_not_answered(void **state)
{
	(void)state;
	peer_says_frame(0x8a, BYTES("unasked"));
	assert_told("control 7;");
	assert_silence();
}

/* --- the close handshake ----------------------------------------------------*/

static void test_the_client_closes(void **state)
{
	(void)state;
	closes = true;
	peer_says_frame(0x88, BYTES("\x0d\x05"
				    "bye"));
	assert_heard(BYTES("\x88\x02\x0d\x05"));
	assert_peer_heard_the_end();
	assert_told("ended client-close 3333 'bye';");
	peer_leaves();
	assert_told("gone;");
}

static void test_the_backend_closes(void **state)
{
	(void)state;
	closes = true;
	peer_says_frame(0x88, BYTES("\x03\xe8"));
	assert_heard_masked(BYTES("\x88\x02\x03\xe8"));
	assert_peer_heard_the_end();
	assert_told("ended backend-close 1000;");
	peer_leaves();
	assert_told("gone;");
}

static void test_an_empty_close_is_answered_empty(void **state)
{
	(void)state;
	closes = true;
	peer_says_frame(0x88, BYTES(""));
	assert_heard(BYTES("\x88\x00"));
	assert_told("ended client-close 1005;");
}

static void test_nothing_is_read_behind_a_close(void **state)
{
	(void)state;
	closes = true;
	peer_says(BYTES("\x88\x00\x81\x04late"));
	assert_told("ended backend-close 1005;");
	peer_leaves();
	assert_told("gone;");
	assert_int_equal(dropped, 6);
}

/* The owner needs time: a hub gives its batch away first. */
static void test_a_close_waits_for_the_owner(void **state)
{
	(void)state;
	peer_says_frame(0x88, BYTES("\x03\xe8"));
	assert_told("ended client-close 1000;");
	assert_int_equal(send_text("last"), REASON_NONE);
	end->ops->close(end, 1000, STR_NONE);
	assert_heard(BYTES("\x81\x04last\x88\x02\x03\xe8"));
	assert_peer_heard_the_end();
}

static void test_we_close(void **state)
{
	(void)state;
	end->ops->close(end, WS_CODE_GOING_AWAY, STR("idle: bye"));
	assert_heard(BYTES("\x88\x0b\x03\xe9idle: bye"));
	peer_says_frame(0x81, BYTES("on its way"));
	assert_told("text on its way;"); /* the owner drops it */
	assert_silence(); /* our side of TCP is open: section 7.1.1 */
	peer_says_frame(0x88, BYTES("\x03\xe9"));
	assert_peer_heard_the_end();
	peer_leaves();
	assert_told("gone;");
}

static void test_what_is_queued_leaves_before_the_close(void **state)
{
	uint8_t *much = malloc(MUCH + 10);

	(void)state;
	assert_non_null(much);
	send_much();
	end->ops->close(end, 1000, STR_NONE);
	hear_all(much, MUCH + 10);
	assert_heard(BYTES("\x88\x02\x03\xe8"));
	free(much);
}

static void test_a_ping_is_not_answered_behind_our_close(void **state)
{
	(void)state;
	end->ops->close(end, 1000, STR_NONE);
	assert_heard(BYTES("\x88\x02\x03\xe8"));
	peer_says_frame(0x89, BYTES("?"));
	assert_told("control 1;");
	assert_silence();
}

static void test_close_timeout(void **state)
{
	(void)state;
	end->ops->close(end, 1000, STR_NONE);
	assert_heard(BYTES("\x88\x02\x03\xe8"));
	time_passes(4 * MINUTE);
	assert_told("");
	time_passes(2 * MINUTE);
	assert_told("gone;");
}

/* As long as bytes leave, it may take longer than close_timeout. */
static void test_a_slow_peer_may_take_its_time(void **state)
{
	uint8_t *much = malloc(MUCH + 14);

	(void)state;
	assert_non_null(much);
	send_much();
	end->ops->close(end, 1000, STR_NONE);
	for (int i = 0; i < 8; i++) {
		time_passes(4 * MINUTE);
		hear_all(much, MUCH / 8);
	}
	hear_all(much, 10);
	assert_heard(BYTES("\x88\x02\x03\xe8"));
	assert_told("");
	free(much);
}

/* A peer that does not end may not go on for ever, however fast it is. */
static void test_what_comes_behind_our_close_is_bounded(void **state)
{
	static uint8_t frame[4 + 65532] = "\x82\x7e\xff\xfc";
	size_t n = 0, at = 0;

	(void)state;
	route.max_backend_message = 70000;
	start(END_BACKEND);
	end->ops->close(end, 1000, STR_NONE);
	while (end) {
		ssize_t k = send(
			peer, frame + at, sizeof(frame) - at, MSG_NOSIGNAL);

		at = (at + (k > 0 ? (size_t)k : 0)) % sizeof(frame);
		n += k > 0 ? (size_t)k : 0;
		assert_in_range(n, 0, 10u << 20);
		turn_until(SIZE_MAX, 1);
	}
	assert_in_range(n, 8u << 20, 10u << 20);
	buf_free(&told);
}

/* --- ends of the stream -----------------------------------------------------*/

static void test_the_client_is_gone(void **state)
{
	(void)state;
	closes = true;
	peer_leaves();
	assert_told("ended client-gone;gone;");
}

static void test_the_backend_is_gone(void **state)
{
	(void)state;
	closes = true;
	peer_leaves();
	assert_told("ended backend-reset;gone;");
}

static void test_a_reset(void **state)
{
	(void)state;
	closes = true;
	assert_int_equal(send_text("unread"), REASON_NONE);
	peer_leaves(); /* a Unix socket resets when something was not read */
	assert_told("ended client-reset;gone;");
}

static void test_a_half_closed_client_gets_what_waits_for_it(void **state)
{
	uint8_t *much = malloc(MUCH + 10);

	(void)state;
	assert_non_null(much);
	closes = true;
	send_much();
	shutdown(peer, SHUT_WR);
	assert_told("ended client-gone;");
	hear_all(much, MUCH + 10);
	assert_peer_heard_the_end();
	assert_told("gone;");
	free(much);
}

static void test_the_stream_ends_behind_our_close(void **state)
{
	(void)state;
	end->ops->close(end, 1000, STR_NONE);
	shutdown(peer, SHUT_WR);
	assert_heard(BYTES("\x88\x02\x03\xe8"));
	assert_peer_heard_the_end();
	assert_told("gone;");
}

/* --- violations -------------------------------------------------------------*/

#define LONG_20 "xxxxxxxxxxxxxxxxxxxx"

static const struct violation {
	enum end_side side;
	const char *bytes;
	size_t n;
	const char *told, *heard;
	size_t heard_n;
} violations[] = {
	{ END_CLIENT, BYTES("\x81\x02hi"),
		"ended protocol to-backend 1002 (a frame without a mask);",
		BYTES("\x88\x02\x03\xea") },
	{ END_CLIENT, BYTES("\x81\x82\0\0\0\0\xff\xff"),
		"ended invalid-data to-backend 1007 (text that is not UTF-8);",
		BYTES("\x88\x02\x03\xef") },
	{ END_CLIENT, BYTES("\x82\x8b\0\0\0\0xxx"),
		"ended too-big to-backend 1009 "
		"(a message of 11 bytes, max_message is 10);",
		BYTES("\x88\x02\x03\xf1") },
	{ END_CLIENT, BYTES("\x02\x8b\0\0\0\0xxx"),
		"ended too-big to-backend 1009 "
		"(a message of 11 bytes or more, max_message is 10);",
		BYTES("\x88\x02\x03\xf1") },
	{ END_BACKEND, BYTES("\xc1\x02hi"),
		"ended backend-protocol to-backend 1002 (a reserved bit is "
		"set);",
		BYTES("\x88\x02\x03\xea") },
	{ END_BACKEND, BYTES("\x81\x02\xff\xff"),
		"ended backend-protocol to-backend 1007 "
		"(text that is not UTF-8);",
		BYTES("\x88\x02\x03\xef") },
	{ END_BACKEND, BYTES("\x82\x14" LONG_20),
		"ended backend-protocol to-backend 1009 "
		"(a message of 20 bytes, max_backend_message is 15);",
		BYTES("\x88\x02\x03\xf1") },
};

static void test_a_violation(void **state)
{
	const struct violation *v = *state;

	route.max_message = 10;
	route.max_backend_message = 15;
	closes = true;
	start(v->side);
	peer_says(v->bytes, v->n);
	assert_told(v->told);
	if (v->side == END_CLIENT)
		assert_heard(v->heard, v->heard_n);
	else
		assert_heard_masked(v->heard, v->heard_n);
	/* Our side of TCP ends behind the peer's close frame here, too. */
	assert_silence();
	peer_leaves();
	assert_told("gone;");
}

/* Section 7.1.7: nothing of it is processed, but the close frame is found. */
static void test_behind_a_violation(void **state)
{
	(void)state;
	route.max_backend_message = 15;
	closes = true;
	start(END_BACKEND);
	peer_says(BYTES("\x82\x10xx"));
	assert_told("ended backend-protocol to-backend 1009 "
		    "(a message of 16 bytes, max_backend_message is 15);");
	assert_heard_masked(BYTES("\x88\x02\x03\xf1"));
	peer_says(BYTES("xxxxxxxxxxxxxx\x89\x00\x81\x04more"));
	assert_silence();
	assert_told("");
	peer_says(BYTES("\x88\x02\x03\xf1"));
	assert_peer_heard_the_end();
	peer_leaves();
	assert_told("gone;");
	assert_int_equal(dropped, 2 + 14 + 2 + 6 + 4);
}

static void test_without_messages_there_is_no_longest(void **state)
{
	(void)state;
	route.framing = FRAMING_RAW;
	route.max_message = 1;
	start(END_CLIENT);
	peer_says_frame(0x82, BYTES("raw"));
	assert_told("binary raw;");
}

/* The hub judges each message of such a backend, and lives on. */
static void test_messages_of_a_tagged_backend_are_judged_later(void **state)
{
	(void)state;
	route.addressing = CONF_ADDRESSING_TAGGED;
	route.max_backend_message = 1;
	start(END_BACKEND);
	peer_says(BYTES("\x81\x02\xff\xff"));
	assert_told("text \xff\xff;");
}

#define VIOLATION(i)                                                           \
	{                                                                      \
		"test_a_violation " #i, test_a_violation, start_nothing,       \
			end_world, (void *)&violations[i]                      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVER(test_a_message_comes),
		CLIENT(test_a_message_of_a_backend_comes),
		SERVER(test_fragments_come_as_pieces),
		SERVER(test_half_a_frame_is_a_piece),
		SERVER(test_a_message_is_sent),
		CLIENT(test_a_message_is_sent_masked),
		SERVER(test_pieces_are_sent_as_fragments),
		CLIENT(test_a_prefix_is_part_of_the_message),
		CLIENT(test_a_pause_stops_between_messages),
		CLIENT(test_the_rest_of_a_pause_is_dropped_at_the_end),
		SERVER(test_the_owner_is_told_when_the_queue_is_short),
		SERVER(test_a_ping_is_answered),
		CLIENT(test_a_ping_of_a_backend_is_answered),
		CLIENT(test_the_newest_ping_of_a_read_is_answered),
		SERVER(test_a_ping_fits_between_fragments),
		SERVER(test_a_pong_is_not_answered),
		SERVER(test_the_client_closes),
		CLIENT(test_the_backend_closes),
		SERVER(test_an_empty_close_is_answered_empty),
		CLIENT(test_nothing_is_read_behind_a_close),
		SERVER(test_a_close_waits_for_the_owner),
		SERVER(test_we_close),
		SERVER(test_what_is_queued_leaves_before_the_close),
		SERVER(test_a_ping_is_not_answered_behind_our_close),
		SERVER(test_close_timeout),
		SERVER(test_a_slow_peer_may_take_its_time),
		NOTHING(test_what_comes_behind_our_close_is_bounded),
		SERVER(test_the_client_is_gone),
		CLIENT(test_the_backend_is_gone),
		SERVER(test_a_reset),
		SERVER(test_a_half_closed_client_gets_what_waits_for_it),
		SERVER(test_the_stream_ends_behind_our_close),
		VIOLATION(0),
		VIOLATION(1),
		VIOLATION(2),
		VIOLATION(3),
		VIOLATION(4),
		VIOLATION(5),
		VIOLATION(6),
		NOTHING(test_behind_a_violation),
		NOTHING(test_without_messages_there_is_no_longest),
		NOTHING(test_messages_of_a_tagged_backend_are_judged_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
