#include "codec/http/handshake.h"

#include <stdio.h>

#include "codec/http/http.h"

#include "support.h"

/* RFC 6455 section 1.3 */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define HOST          "Host: h\r\n"
#define UPGRADE       "Upgrade: websocket\r\n"
#define CONNECTION    "Connection: Upgrade\r\n"
#define VERSION_FIELD "Sec-WebSocket-Version: "
#define KEY_FIELD     "Sec-WebSocket-Key: "
#define PROTOCOL      "Sec-WebSocket-Protocol: "

/* A request line, Host and what an upgrade needs less the key. */
#define START "GET /sim HTTP/1.1\r\n" HOST
#define ASK   START UPGRADE CONNECTION VERSION_FIELD "13\r\n"
#define GOOD  ASK KEY_FIELD KEY "\r\n"

static const struct {
	const char *head; /* without its empty line */
	int status;
	const char *why; /* a part of it */
} requests[] = {
	{ GOOD, 0, NULL },
	/* RFC 6455 section 1.2 */
	{ "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n" UPGRADE
			CONNECTION KEY_FIELD KEY
	  "\r\nOrigin: http://example.com\r\n" PROTOCOL
	  "chat, superchat\r\n" VERSION_FIELD "13\r\n",
		0, NULL },
	/* Firefox */
	{ START UPGRADE "Connection: keep-alive, Upgrade\r\n" VERSION_FIELD
			"13\r\n" KEY_FIELD KEY "\r\n",
		0, NULL },
	{ START "upgrade: h2c, WebSocket\r\nconnection: upgrade\r\n"
		"sec-websocket-version:13\r\nsec-websocket-key:" KEY "\r\n",
		0, NULL },
	{ GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n", 0, NULL },
	{ GOOD PROTOCOL "a\r\n" PROTOCOL "b ,, A\r\n", 0, NULL },
	{ ASK KEY_FIELD "AAAAAAAAAAAAAAAAAAAAAA==\r\n", 0, NULL },

	{ "POST / HTTP/1.1\r\n" HOST UPGRADE CONNECTION, 405, "GET" },
	{ "HEAD / HTTP/1.1\r\n" HOST, 405, "GET" },
	{ "get / HTTP/1.1\r\n" HOST, 405, "GET" },
	{ START, 400, "no Upgrade" },
	{ START CONNECTION, 400, "no Upgrade" },
	{ START CONNECTION "Upgrade: h2c\r\n", 400, "no Upgrade" },
	{ START CONNECTION "Upgrade: websocket/13\r\n", 400, "no Upgrade" },
	{ "GET / HTTP/1.0\r\n" UPGRADE CONNECTION, 400, "HTTP/1.1" },
	{ START UPGRADE, 400, "Connection" },
	{ START UPGRADE "Connection: close\r\n", 400, "Connection" },
	{ START UPGRADE "Connection: upgrades\r\n", 400, "Connection" },

	{ START UPGRADE CONNECTION KEY_FIELD KEY "\r\n", 400, "Version" },
	{ GOOD VERSION_FIELD "13\r\n", 400, "Version" },
	{ GOOD VERSION_FIELD "8\r\n", 400, "Version" },
	{ START UPGRADE CONNECTION VERSION_FIELD "8\r\n" KEY_FIELD KEY "\r\n",
		426, "not 13" },
	{ START UPGRADE CONNECTION VERSION_FIELD "013\r\n", 426, "not 13" },
	{ START UPGRADE CONNECTION VERSION_FIELD "13, 8\r\n", 426, "not 13" },
	{ START UPGRADE CONNECTION VERSION_FIELD "\r\n", 426, "not 13" },

	{ ASK, 400, "Key" },
	{ GOOD KEY_FIELD KEY "\r\n", 400, "Key" },
	{ ASK KEY_FIELD "\r\n", 400, "Key" },
	{ ASK KEY_FIELD "dGhlIHNhbXBsZSBub25jZQ=\r\n", 400, "Key" },
	{ ASK KEY_FIELD "dGhlIHNhbXBsZSBub25jZQ\r\n", 400, "Key" },
	{ ASK KEY_FIELD KEY "=\r\n", 400, "Key" },
	/* 15, 17 and 18 bytes */
	{ ASK KEY_FIELD "dGhlIHNhbXBsZSBub25j\r\n", 400, "Key" },
	{ ASK KEY_FIELD "dGhlIHNhbXBsZSBub25jZWU=\r\n", 400, "Key" },
	{ ASK KEY_FIELD "dGhlIHNhbXBsZSBub25jZWVl\r\n", 400, "Key" },
	/* bits behind the last byte, base64url, a space inside */
	{ ASK KEY_FIELD "dGhlIHNhbXBsZSBub25jZR==\r\n", 400, "Key" },
	{ ASK KEY_FIELD "dGhl-HNhbXBsZSBub25jZQ==\r\n", 400, "Key" },
	{ ASK KEY_FIELD "dGhl HNhbXBsZSBub25jZQ==\r\n", 400, "Key" },

	{ GOOD PROTOCOL "\r\n", 400, "empty" },
	{ GOOD PROTOCOL ", ,\r\n", 400, "empty" },
	{ GOOD PROTOCOL "a b\r\n", 400, "token" },
	{ GOOD PROTOCOL "a;q=1\r\n", 400, "token" },
	{ GOOD PROTOCOL "\"a\"\r\n", 400, "token" },
	{ GOOD PROTOCOL "\xc3\xa9\r\n", 400, "token" },
	{ GOOD PROTOCOL "a, b, a\r\n", 400, "twice" },
	{ GOOD PROTOCOL "a\r\n" PROTOCOL "b, a\r\n", 400, "twice" },
};

/* Parses a head to which the empty line is added; free(*copy). */
static void parse(struct http_head *h, const char *head, char **copy)
{
	char text[4096];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s\r\n", head);
	const char *why = NULL;
	int result;

	assert_true(n < sizeof(text));
	*copy = exact_copy(text, n);
	result = str_starts(str_of(head), STR("HTTP/"))
			 ? http_parse_response(h, *copy, n, &why)
			 : http_parse_request(h, *copy, n, &why);
	if (result != 0)
		fail_case(head, "%s", why);
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct http_head h;
		struct str key;
		const char *why = "not set";
		char *copy;
		int status;

		parse(&h, requests[i].head, &copy);
		status = handshake_check_request(&h, &key, &why);
		if (status != requests[i].status)
			fail_case(requests[i].head, "%d: %s", status,
				why ? why : "-");
		if (requests[i].why ? !why || !strstr(why, requests[i].why)
				    : why != NULL)
			fail_case(requests[i].head, "%s", why ? why : "-");
		if (status == 0)
			assert_int_equal(key.n, HANDSHAKE_KEY);
		free(copy);
	}
}

/* As many subprotocols as may be, and one more. */
static void test_offers_limit(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		char text[2048];
		size_t n = (size_t)snprintf(text, sizeof(text), GOOD PROTOCOL);
		struct http_head h;
		struct str key;
		const char *why;
		char *copy;

		for (int i = 0; i < HANDSHAKE_OFFERS_MAX + more; i++)
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, "p%d,", i);
		snprintf(text + n, sizeof(text) - n, "\r\n");
		parse(&h, text, &copy);
		assert_int_equal(handshake_check_request(&h, &key, &why),
			more ? 400 : 0);
		free(copy);
	}
}

static void test_is_upgrade(void **state)
{
	static const struct {
		const char *head;
		bool is_upgrade;
	} cases[] = {
		{ GOOD, true },
		{ START UPGRADE CONNECTION, true },
		/* What else is wrong is for handshake_check_request to say. */
		{ "POST / HTTP/1.1\r\n" HOST UPGRADE CONNECTION, true },
		{ START, false },
		{ START UPGRADE, false },
		{ START CONNECTION, false },
		{ START CONNECTION "Upgrade: h2c\r\n", false },
		{ "GET / HTTP/1.0\r\n" UPGRADE CONNECTION, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_head h;
		char *copy;

		parse(&h, cases[i].head, &copy);
		if (handshake_is_upgrade(&h) != cases[i].is_upgrade)
			fail_case(cases[i].head, "not %d", cases[i].is_upgrade);
		free(copy);
	}
}

static void test_accept(void **state)
{
	char accept[HANDSHAKE_ACCEPT];

	(void)state;
	handshake_accept(accept, STR(KEY));
	assert_memory_equal(accept, ACCEPT, HANDSHAKE_ACCEPT);
	/* Made with: printf %s KEY GUID | openssl sha1 -binary | base64 */
	handshake_accept(accept, STR("AAAAAAAAAAAAAAAAAAAAAA=="));
	assert_memory_equal(
		accept, "ICX+Yqv66kxgM0FcWaLWlFLwTAI=", HANDSHAKE_ACCEPT);
}

static void test_make_key(void **state)
{
	char key[HANDSHAKE_KEY];

	(void)state;
	handshake_make_key(key, (const uint8_t *)"the sample nonce");
	assert_memory_equal(key, KEY, HANDSHAKE_KEY);
}

#define SWITCH        "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT_FIELD  "Sec-WebSocket-Accept: "
#define GOOD_RESPONSE SWITCH UPGRADE CONNECTION ACCEPT_FIELD ACCEPT "\r\n"

static const struct {
	const char *head;
	int result;
	const char *why, *protocol;
} responses[] = {
	{ GOOD_RESPONSE, 0, NULL, NULL },
	{ GOOD_RESPONSE PROTOCOL "chat\r\n", 0, NULL, "chat" },
	{ "HTTP/1.1 101 \r\nupgrade: WebSocket\r\n"
	  "connection: keep-alive, UPGRADE\r\n"
	  "sec-websocket-accept: " ACCEPT "\r\nServer: x\r\n",
		0, NULL, NULL },

	{ "HTTP/1.1 200 OK\r\n" UPGRADE CONNECTION ACCEPT_FIELD ACCEPT "\r\n",
		-1, "101", NULL },
	{ "HTTP/1.0 101 OK\r\n" UPGRADE CONNECTION ACCEPT_FIELD ACCEPT "\r\n",
		-1, "101", NULL },
	{ SWITCH CONNECTION ACCEPT_FIELD ACCEPT "\r\n", -1, "no Upgrade",
		NULL },
	{ SWITCH "Upgrade: h2c\r\n" CONNECTION ACCEPT_FIELD ACCEPT "\r\n", -1,
		"no Upgrade", NULL },
	{ SWITCH "Upgrade: websocket, h2c\r\n" CONNECTION ACCEPT_FIELD ACCEPT
		 "\r\n",
		-1, "no Upgrade", NULL },
	{ GOOD_RESPONSE UPGRADE, -1, "no Upgrade", NULL },
	{ SWITCH UPGRADE ACCEPT_FIELD ACCEPT "\r\n", -1, "Connection", NULL },
	{ SWITCH UPGRADE "Connection: close\r\n" ACCEPT_FIELD ACCEPT "\r\n", -1,
		"Connection", NULL },
	{ SWITCH UPGRADE CONNECTION, -1, "Accept", NULL },
	{ SWITCH UPGRADE CONNECTION ACCEPT_FIELD "\r\n", -1, "Accept", NULL },
	{ SWITCH UPGRADE CONNECTION ACCEPT_FIELD KEY "\r\n", -1, "Accept",
		NULL },
	/* another key's, and this one's in the wrong case */
	{ SWITCH UPGRADE CONNECTION ACCEPT_FIELD
		"ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n",
		-1, "Accept", NULL },
	{ SWITCH UPGRADE CONNECTION ACCEPT_FIELD
		"S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
		-1, "Accept", NULL },
	{ GOOD_RESPONSE ACCEPT_FIELD ACCEPT "\r\n", -1, "Accept", NULL },
	{ GOOD_RESPONSE "Sec-WebSocket-Extensions: permessage-deflate\r\n", -1,
		"extension", NULL },
	{ GOOD_RESPONSE "Sec-WebSocket-Extensions:\r\n", -1, "extension",
		NULL },
	{ GOOD_RESPONSE PROTOCOL "a\r\n" PROTOCOL "a\r\n", -1, "more than one",
		NULL },
	{ GOOD_RESPONSE PROTOCOL "a, b\r\n", -1, "token", NULL },
	{ GOOD_RESPONSE PROTOCOL "\r\n", -1, "token", NULL },
};

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(responses); i++) {
		struct http_head h;
		struct str protocol = STR("not set");
		const char *why = "not set";
		char *copy;
		int result;

		parse(&h, responses[i].head, &copy);
		result = handshake_check_response(
			&h, STR(KEY), &protocol, &why);
		if (result != responses[i].result)
			fail_case(responses[i].head, "%d: %s", result,
				why ? why : "-");
		if (responses[i].why ? !why || !strstr(why, responses[i].why)
				     : why != NULL)
			fail_case(responses[i].head, "%s", why ? why : "-");
		assert_int_equal(!!protocol.p, !!responses[i].protocol);
		if (protocol.p)
			assert_str(protocol, responses[i].protocol);
		free(copy);
	}
}

static void test_offers(void **state)
{
	static const char *const want[] = { "a", "b", "C", "d" };
	struct handshake_offers o;
	struct http_head h;
	struct str protocol;
	size_t n = 0;
	char *copy;

	(void)state;
	parse(&h,
		START PROTOCOL "a, ,b\r\n" UPGRADE PROTOCOL "\r\n" PROTOCOL
			       " ,C,\t\r\n" PROTOCOL "d\r\n",
		&copy);
	handshake_offers_init(&o, &h);
	while (handshake_offers_next(&o, &protocol)) {
		assert_true(n < ARRAY_SIZE(want));
		assert_str(protocol, want[n++]);
	}
	assert_int_equal(n, ARRAY_SIZE(want));
	assert_false(handshake_offers_next(&o, &protocol));
	free(copy);

	parse(&h, START, &copy);
	handshake_offers_init(&o, &h);
	assert_false(handshake_offers_next(&o, &protocol));
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_offers_limit),
		cmocka_unit_test(test_is_upgrade),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_make_key),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
