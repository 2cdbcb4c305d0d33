/*
 * ws_end_support.h: a WebSocket end in either role (end_support.h), and the
 * frames of its peer.
 */
#ifndef TESTS_WS_END_SUPPORT_H
#define TESTS_WS_END_SUPPORT_H

#include "end_support.h"
#include "end/ws.h"

/* A frame of the peer: masked when the end is a server's. */
static inline void peer_says_frame(uint8_t first, const void *p, size_t n)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t frame[600];
	size_t head_n = ws_encode_head(frame, first & 0xf, first & 0x80, n,
		end->side == END_CLIENT ? mask : NULL);

	assert_true(head_n + n <= sizeof(frame));
	memcpy(frame + head_n, p, n);
	if (end->side == END_CLIENT)
		ws_mask(frame + head_n, n, mask);
	peer_says(frame, head_n + n);
}

/* The next frame, of a client to its backend, is this one under some mask. */
static inline void assert_heard_masked(const void *want, size_t n)
{
	uint8_t got[600];

	hear_all(got, 6); /* all that are short: two bytes, and the mask */
	assert_int_equal(got[0], ((const uint8_t *)want)[0]);
	assert_int_equal(got[1], ((const uint8_t *)want)[1] | 0x80);
	hear_all(got + 6, n - 2);
	ws_mask(got + 6, n - 2, got + 2);
	assert_memory_equal(got + 6, (const uint8_t *)want + 2, n - 2);
}

static inline void start(enum end_side side)
{
	start_conn();
	own(ws_end_new(&worker, conn, side, &route));
}

static inline int start_server(void **state)
{
	(void)state;
	start_world();
	start(END_CLIENT);
	return 0;
}

static inline int start_client(void **state)
{
	(void)state;
	start_world();
	start(END_BACKEND);
	return 0;
}

/* For tests that set the route first. */
static inline int start_nothing(void **state)
{
	(void)state;
	start_world();
	return 0;
}

#define SERVER(f)  cmocka_unit_test_setup_teardown(f, start_server, end_world)
#define CLIENT(f)  cmocka_unit_test_setup_teardown(f, start_client, end_world)
#define NOTHING(f) cmocka_unit_test_setup_teardown(f, start_nothing, end_world)

#endif
