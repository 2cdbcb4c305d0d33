/*
 * fuzz_handshake.c: a head with the fields of an upgrade, as a request and as
 * a response.
 *
 * What must hold: a status and a reason go together; what is offered are
 * distinct tokens; the answer that we would give to an accepted request is
 * one that we would accept, and no longer is with another key.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/http/handshake.h"
#include "codec/http/http.h"

static const char rfc_key[] = "dGhlIHNhbXBsZSBub25jZQ==";

/* The offers, at most as many as may be; the first one is the result. */
static struct str check_offers(const struct http_head *h)
{
	struct str seen[HANDSHAKE_OFFERS_MAX], protocol;
	struct handshake_offers o;
	size_t n = 0;

	handshake_offers_init(&o, h);
	while (handshake_offers_next(&o, &protocol)) {
		assert(n < HANDSHAKE_OFFERS_MAX && http_is_token(protocol));
		for (size_t i = 0; i < n; i++)
			assert(!str_eq(seen[i], protocol));
		seen[n++] = protocol;
	}
	assert(!handshake_offers_next(&o, &protocol));
	return n > 0 ? seen[0] : STR_NONE;
}

/* Answers with 101 and takes the answer as the client would. */
static void check_answer(struct str key, struct str protocol)
{
	static struct http_head h;
	char accept[HANDSHAKE_ACCEPT];
	struct buf out = { 0 };
	struct str selected;
	const char *why;
	int result;

	handshake_accept(accept, key);
	result = buf_add_printf(&out,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n",
		HANDSHAKE_ACCEPT, accept);
	if (result == 0 && protocol.p)
		result = buf_add_printf(&out,
			"Sec-WebSocket-Protocol: %.*s\r\n", (int)protocol.n,
			protocol.p);
	if (result < 0 || buf_add_str(&out, STR("\r\n")) < 0)
		abort();
	assert(http_parse_response(&h, buf_str(&out).p, out.n, &why) == 0);
	assert(handshake_check_response(&h, key, &selected, &why) == 0);
	assert(str_eq(selected, protocol));
	if (!str_eq(key, STR("AAAAAAAAAAAAAAAAAAAAAA==")))
		assert(handshake_check_response(&h,
			       STR("AAAAAAAAAAAAAAAAAAAAAA=="), &selected,
			       &why) == -1);
	buf_free(&out);
}

static void check_request(const char *p, size_t n)
{
	static struct http_head h;
	struct str key;
	const char *why = NULL;
	int status;

	if (http_parse_request(&h, p, n, &why) != 0)
		return;
	status = handshake_check_request(&h, &key, &why);
	assert(status == 0 || status == 400 || status == 405 || status == 426);
	assert((status == 0) == !why);
	if (status != 0)
		return;
	assert(handshake_is_upgrade(&h) && key.n == HANDSHAKE_KEY);
	check_answer(key, check_offers(&h));
}

static void check_response(const char *p, size_t n)
{
	static struct http_head h;
	struct str protocol;
	const char *why = NULL;
	int result;

	if (http_parse_response(&h, p, n, &why) != 0)
		return;
	result = handshake_check_response(&h, str_of(rfc_key), &protocol, &why);
	assert((result == 0) == !why);
	if (result == 0)
		assert(h.status == 101 &&
			(!protocol.p || http_is_token(protocol)));
	else
		assert(!protocol.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check_request((const char *)data, n);
	check_response((const char *)data, n);
	return 0;
}
