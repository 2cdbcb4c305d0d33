#include "codec/http/http.h"

#include <stdio.h>

#include "support.h"

#define HOST "Host: example.org\r\n"

/* --- http_find_end ------------------------------------------------------- */

static const struct {
	const char *p;
	size_t n;
	ssize_t end;
} ends[] = {
#define CASE(text, end)                                                        \
	{                                                                      \
		text, sizeof(text) - 1, end                                    \
	}
	CASE("", 0),
	CASE("G", 0),
	CASE("GET / HTTP/1.1", 0),
	CASE("GET / HTTP/1.1\r", 0),
	CASE("GET / HTTP/1.1\r\n", 0),
	CASE("GET / HTTP/1.1\r\n\r", 0),
	CASE("GET / HTTP/1.1\r\n\r\n", 18),
	CASE("GET / HTTP/1.1\r\n\r\n\n", 18),
	CASE("GET / HTTP/1.1\r\n\r\n\0", 18),
	CASE("GET / HTTP/1.1\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r\n", 24),
	CASE("\r\n\r\n", 4),
	CASE("\r\nGET / HTTP/1.1\r\n\r\n", 20),
	CASE("\r\n\r\nGET / HTTP/1.1\r\n\r\n", 4),
	CASE("\r\n", 0),
	CASE("\r", 0),
	CASE("\n", -1),
	CASE("\r\r", -1),
	CASE("\rx", -1),
	CASE("\0", -1),
	CASE("GET / HTTP/1.1\n", -1),
	CASE("GET / HTTP/1.1\r\n\n", -1),
	CASE("GET / HTTP/1.1\n\r\n", -1),
	CASE("GET / HTTP/1.1\r\r\n", -1),
	CASE("GET / HTTP/1.1\r\n\rX", -1),
	CASE("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", -1),
	CASE("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", -1),
	CASE("GET / HTTP/1.1\r\nA: b\r\0\r\n\r\n", -1),
#undef CASE
};

static ssize_t find_whole(const char *p, size_t n)
{
	char *copy = exact_copy(p, n);
	size_t scanned = 0;
	ssize_t end = http_find_end(copy, n, &scanned);

	/* Asked again, it says the same. */
	assert_int_equal(http_find_end(copy, n, &scanned), end);
	free(copy);
	return end;
}

/* The first cut bytes, then all of them. */
static ssize_t find_cut(const char *p, size_t n, size_t cut)
{
	char *first = exact_copy(p, cut), *all = exact_copy(p, n);
	size_t scanned = 0;
	ssize_t end = http_find_end(first, cut, &scanned);

	if (end == 0)
		end = http_find_end(all, n, &scanned);
	free(first);
	free(all);
	return end;
}

/* Byte after byte. */
static ssize_t find_dripping(const char *p, size_t n)
{
	size_t scanned = 0;
	ssize_t end = 0;

	for (size_t i = 1; i <= n && end == 0; i++) {
		char *copy = exact_copy(p, i);

		end = http_find_end(copy, i, &scanned);
		free(copy);
	}
	return end;
}

static void test_find_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		const char *p = ends[i].p;
		size_t n = ends[i].n;

		if (find_whole(p, n) != ends[i].end)
			fail_case(p, "whole: not %zd", ends[i].end);
		if (find_dripping(p, n) != ends[i].end)
			fail_case(p, "dripping: not %zd", ends[i].end);
		for (size_t cut = 0; cut <= n; cut++)
			if (find_cut(p, n, cut) != ends[i].end)
				fail_case(p, "cut at %zu: not %zd", cut,
					ends[i].end);
	}
}

/*
 * The cost is linear: what was scanned is not looked at again but for the
 * few bytes before a cut. They are overwritten with what would be refused.
 */
static void test_find_end_is_linear(void **state)
{
	enum { SIZE = 64 * 1024, LOOK_BACK = 3 };
	char *p = malloc(SIZE);
	size_t n = 0, scanned = 0;

	(void)state;
	assert_non_null(p);
	while (n + 64 < SIZE)
		n += (size_t)snprintf(
			p + n, SIZE - n, "Name-%zu: value\r\n", n);
	memcpy(p + n, "\r\n", 2);
	n += 2;
	for (size_t i = 1; i < n; i++) {
		assert_int_equal(http_find_end(p, i, &scanned), 0);
		assert_int_equal(scanned, i);
		if (i > LOOK_BACK)
			p[i - LOOK_BACK - 1] = '\0';
	}
	assert_int_equal(http_find_end(p, n, &scanned), n);
	free(p);
}

/* --- requests ------------------------------------------------------------ */

struct verdict {
	const char *head;
	int status;
	const char *why; /* a part of it */
};

static const struct verdict requests[] = {
	{ "GET / HTTP/1.1\r\n" HOST "\r\n", 0, NULL },
	{ "GET / HTTP/1.0\r\n" HOST "\r\n", 0, NULL },
	{ "GET / HTTP/1.0\r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.0\r\nA: b\r\n\r\n", 0, NULL },
	{ "GET http://example.org/ HTTP/1.1\r\n" HOST "\r\n", 0, NULL },
	{ "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n" HOST "\r\n", 0, NULL },
	{ "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\nhOST: [::1]:80\r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\nHost:example.org\r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\nHost: \t example.org \t \r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\n" HOST "A:\r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\n" HOST "A: \t\r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\tc \x80\xff !~\r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\n" HOST "A: :\r\n\r\n", 0, NULL },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 0, NULL },

	/* the end of the head */
	{ "", 400, "no request line" },
	{ "GET / HTTP/1.1", 400, "no request line" },
	{ "\n", 400, "no request line" },
	{ "GET / HTTP/1.1\n\r\n", 400, "no request line" },
	{ "GET / HTTP/1.1\r\n", 400, "empty line" },
	{ "GET / HTTP/1.1\r\n" HOST, 400, "empty line" },
	{ "GET / HTTP/1.1\r\n" HOST "\n", 400, "empty line" },
	{ "GET / HTTP/1.1\r\n" HOST "\r\nA: b\r\n\r\n", 400, "empty line" },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\n\r\n", 400, "empty line" },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\rB: c\r\n\r\n", 400, "control" },

	/* the request line */
	{ "\r\n\r\n", 400, "method" },
	{ "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0, NULL },
	{ "\r\n", 400, "no request line" },
	{ "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, "method" },
	{ "\r\n GET / HTTP/1.1\r\n" HOST "\r\n", 400, "method" },
	{ "\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, "no request line" },
	{ " GET / HTTP/1.1\r\n" HOST "\r\n", 400, "method" },
	{ "G\tT / HTTP/1.1\r\n" HOST "\r\n", 400, "method" },
	{ "G:T / HTTP/1.1\r\n" HOST "\r\n", 400, "method" },
	{ "G\xc3\xa9T / HTTP/1.1\r\n" HOST "\r\n", 400, "method" },
	{ "GET\r\n" HOST "\r\n", 400, "method" },
	{ "GET /\r\n\r\n", 400, "target" },
	{ "GET \r\n\r\n", 400, "target" },
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", 400, "target" },
	{ "GET /\t HTTP/1.1\r\n" HOST "\r\n", 400, "target" },
	{ "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400, "target" },
	{ "GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 400, "target" },
	{ "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 400, "target" },
	{ "GET\t/\tHTTP/1.1\r\n" HOST "\r\n", 400, "method" },
	{ "GET /  HTTP/1.1\r\n" HOST "\r\n", 400, "version" },
	{ "GET / b HTTP/1.1\r\n" HOST "\r\n", 400, "version" },
	{ "GET / \r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTP/1.1 \r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTP/1.11\r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTP/1.\r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTP/1,1\r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTP/x.1\r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTP/1.x\r\n" HOST "\r\n", 400, "version" },
	{ "GET / http/1.1\r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTPS/1.1\r\n" HOST "\r\n", 400, "version" },
	{ "GET / ICE/1.0\r\n" HOST "\r\n", 400, "version" },
	{ "GET / HTTP/0.9\r\n" HOST "\r\n", 505, "not HTTP/1" },
	{ "GET / HTTP/1.2\r\n" HOST "\r\n", 0, NULL },
	{ "GET / HTTP/1.9\r\n" HOST "\r\n", 0, NULL },
	{ "GET / HTTP/1.9\r\n\r\n", 400, "no Host" },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", 505, "not HTTP/1" },
	{ "PRI * HTTP/2.0\r\n\r\n", 505, "not HTTP/1" },

	/* fields */
	{ "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", 400, "colon" },
	{ "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400, "token" },
	{ "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400, "token" },
	{ "GET / HTTP/1.1\r\n" HOST "A\t: b\r\n\r\n", 400, "token" },
	{ "GET / HTTP/1.1\r\n A: b\r\n" HOST "\r\n", 400, "token" },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\r\n c: d\r\n\r\n", 400, "token" },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400, "colon" },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n", 400, "colon" },
	{ "GET / HTTP/1.1\r\n" HOST "A(: b\r\n\r\n", 400, "token" },
	{ "GET / HTTP/1.1\r\n" HOST "A\xe4: b\r\n\r\n", 400, "token" },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\x01\r\n\r\n", 400, "control" },
	{ "GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n", 400, "control" },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\r\r\n\r\n", 400, "control" },
	{ "GET / HTTP/1.1\r\n" HOST "A: \x1b[0m\r\n\r\n", 400, "control" },

	/* Host */
	{ "GET / HTTP/1.1\r\n\r\n", 400, "no Host" },
	{ "GET / HTTP/1.1\r\nHosts: a\r\n\r\n", 400, "no Host" },
	{ "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, "more than one" },
	{ "GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400, "more than one" },
	{ "GET / HTTP/1.1\r\n" HOST "host: b\r\n\r\n", 400, "more than one" },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "malformed" },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed" },
	{ "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "malformed" },
	{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "malformed" },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "malformed" },
	{ "GET / HTTP/1.0\r\nHost: a:b\r\n\r\n", 400, "malformed" },

/* bodies */
#define LENGTH "Content-Length: "
#define CODING "Transfer-Encoding: "
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "1\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "00\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "+0\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "-0\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "0x0\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "0, 0\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "0\r\n" LENGTH "0\r\n\r\n", 400,
		"body" },
	{ "GET / HTTP/1.0\r\n" LENGTH "5\r\n\r\n", 400, "body" },
	{ "GET / HTTP/1.1\r\n" HOST CODING "chunked\r\n\r\n", 501, "Transfer" },
	{ "GET / HTTP/1.1\r\n" HOST CODING "identity\r\n\r\n", 501,
		"Transfer" },
	{ "GET / HTTP/1.1\r\n" HOST CODING "\r\n\r\n", 501, "Transfer" },
	{ "GET / HTTP/1.1\r\n" HOST LENGTH "4\r\n" CODING "chunked\r\n\r\n",
		501, "Transfer" },
	{ "GET / HTTP/1.0\r\ntransfer-encoding: x\r\n\r\n", 501, "Transfer" },
#undef LENGTH
#undef CODING
};

static void test_requests(void **state)
{
	struct http_head h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct verdict *v = &requests[i];
		size_t n = strlen(v->head);
		char *copy = exact_copy(v->head, n);
		const char *why = "not set";
		int status = http_parse_request(&h, copy, n, &why);

		if (status != v->status)
			fail_case(v->head, "%d: %s", status, why ? why : "-");
		if (v->why ? !why || !strstr(why, v->why) : why != NULL)
			fail_case(v->head, "why: %s", why ? why : "-");
		free(copy);
	}
}

static void test_request_parts(void **state)
{
	static const char head[] = "HEAD /sim/42?x HTTP/1.1\r\n"
				   "Host: example.org:8080\r\n"
				   "Accept:*/*\r\n"
				   "Cookie: \t a=b; c=d \t\r\n"
				   "X-Empty: \r\n"
				   "\r\n";
	struct http_head h;
	const char *why;

	(void)state;
	assert_int_equal(
		http_parse_request(&h, head, sizeof(head) - 1, &why), 0);
	assert_str(h.method, "HEAD");
	assert_str(h.target, "/sim/42?x");
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.n, 4);
	assert_str(h.fields[0].name, "Host");
	assert_str(h.fields[0].value, "example.org:8080");
	assert_str(h.fields[1].value, "*/*");
	assert_str(h.fields[2].name, "Cookie");
	assert_str(h.fields[2].value, "a=b; c=d");
	assert_str(h.fields[3].value, "");
	/* There, but empty, is not the same as not there. */
	assert_non_null(http_field(&h, STR("x-empty")).p);
	assert_null(http_field(&h, STR("x-none")).p);
}

static int parse_many(struct http_head *h, size_t fields, const char *last)
{
	char text[HTTP_FIELDS_MAX * 16 + 256];
	const char *why;
	size_t n = (size_t)snprintf(
		text, sizeof(text), "GET / HTTP/1.1\r\n" HOST);

	for (size_t i = 1; i < fields; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "A: b\r\n");
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\r\n", last);
	return http_parse_request(h, text, n, &why);
}

static void test_field_limit(void **state)
{
	struct http_head h;

	(void)state;
	assert_int_equal(parse_many(&h, HTTP_FIELDS_MAX, ""), 0);
	assert_int_equal(h.n, HTTP_FIELDS_MAX);
	assert_int_equal(parse_many(&h, HTTP_FIELDS_MAX + 1, ""), 431);
	/* A line over the limit is not even looked at. */
	assert_int_equal(parse_many(&h, HTTP_FIELDS_MAX, "bad\r\n"), 431);
	assert_int_equal(parse_many(&h, HTTP_FIELDS_MAX - 1, "bad\r\n"), 400);
}

/* Parses a request with c in the place of its '@'. */
static int parse_with(const char *pattern, char c)
{
	size_t n = strlen(pattern);
	char *copy = exact_copy(pattern, n);
	struct http_head h;
	const char *why;
	int status;

	*(char *)memchr(copy, '@', n) = c;
	status = http_parse_request(&h, copy, n, &why);
	free(copy);
	return status;
}

/* Every byte in the place of one byte of each part of a head. */
static void test_every_byte(void **state)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
				    "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	(void)state;
	for (int i = 0; i < 256; i++) {
		char c = (char)i;
		bool is_token = c != '\0' && strchr(token, c);
		bool is_visible = i > 0x20 && i < 0x7f;
		bool is_text = i == '\t' || (i >= ' ' && i != 0x7f);

		assert_int_equal(
			http_is_token((struct str){ &c, 1 }), is_token);
		assert_int_equal(
			parse_with("G@T / HTTP/1.1\r\n" HOST "\r\n", c),
			is_token ? 0 : 400);
		assert_int_equal(
			parse_with("GET /@ HTTP/1.1\r\n" HOST "\r\n", c),
			is_visible ? 0 : 400);
		/* A colon in the name ends it. */
		assert_int_equal(
			parse_with(
				"GET / HTTP/1.1\r\n" HOST "A@B: c\r\n\r\n", c),
			is_token || c == ':' ? 0 : 400);
		assert_int_equal(
			parse_with(
				"GET / HTTP/1.1\r\n" HOST "A: b@c\r\n\r\n", c),
			is_text ? 0 : 400);
	}
	assert_false(http_is_token(STR("")));
	assert_false(http_is_token(STR("a b")));
	assert_true(http_is_token(STR("a-b")));
}

/* No prefix of a head is one. */
static void test_truncated(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\n" HOST "A: b\r\n\r\n";
	struct http_head h;
	const char *why;

	(void)state;
	for (size_t n = 0; n < sizeof(head) - 1; n++) {
		char *copy = exact_copy(head, n);

		assert_int_equal(http_parse_request(&h, copy, n, &why), 400);
		assert_non_null(why);
		assert_int_equal(http_parse_response(&h, copy, n, &why), -1);
		free(copy);
	}
}

/* --- responses ----------------------------------------------------------- */

static const struct verdict responses[] = {
	{ "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, NULL },
	{ "HTTP/1.0 200 OK\r\nA: b\r\n\r\n", 0, NULL },
	{ "HTTP/1.1 101 \r\n\r\n", 0, NULL },
	{ "HTTP/1.1 599 a\tb \xe4\r\n\r\n", 0, NULL },
	/* A refusal may carry a body, and a server may repeat its Host. */
	{ "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n", 0, NULL },
	{ "HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\n", 0, NULL },
	{ "HTTP/1.1 403 No\r\nHost: a\r\nHost: b\r\n\r\n", 0, NULL },

	{ "", -1, "no status line" },
	{ "\r\n\r\n", -1, "not HTTP/1" },
	{ "HTTP/1.1\r\n\r\n", -1, "not HTTP/1" },
	{ "HTTP/1.2 200 OK\r\n\r\n", 0, NULL },
	{ "\r\nHTTP/1.1 200 OK\r\n\r\n", -1, "not HTTP/1" },
	{ "HTTP/2.0 200 OK\r\n\r\n", -1, "not HTTP/1" },
	{ "http/1.1 200 OK\r\n\r\n", -1, "not HTTP/1" },
	{ " HTTP/1.1 200 OK\r\n\r\n", -1, "not HTTP/1" },
	{ "GET / HTTP/1.1\r\n\r\n", -1, "not HTTP/1" },
	{ "HTTP/1.1 200\r\n\r\n", -1, "status" },
	{ "HTTP/1.1  200 OK\r\n\r\n", -1, "status" },
	{ "HTTP/1.1 20 OK\r\n\r\n", -1, "status" },
	{ "HTTP/1.1 2000 OK\r\n\r\n", -1, "status" },
	{ "HTTP/1.1 20x OK\r\n\r\n", -1, "status" },
	{ "HTTP/1.1 099 OK\r\n\r\n", -1, "status" },
	{ "HTTP/1.1 600 OK\r\n\r\n", -1, "status" },
	{ "HTTP/1.1 200 O\x01K\r\n\r\n", -1, "control" },
	{ "HTTP/1.1 200 O\x7fK\r\n\r\n", -1, "control" },
	{ "HTTP/1.1 200 OK\n\r\n", -1, "no status line" },
	{ "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", -1, "token" },
	{ "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", -1, "colon" },
	{ "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", -1, "control" },
	{ "HTTP/1.1 200 OK\r\nA: b\r\n", -1, "empty line" },
};

static void test_responses(void **state)
{
	struct http_head h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(responses); i++) {
		const struct verdict *v = &responses[i];
		size_t n = strlen(v->head);
		char *copy = exact_copy(v->head, n);
		const char *why = "not set";
		int result = http_parse_response(&h, copy, n, &why);

		if (result != v->status)
			fail_case(v->head, "%d: %s", result, why ? why : "-");
		if (v->why ? !why || !strstr(why, v->why) : why != NULL)
			fail_case(v->head, "why: %s", why ? why : "-");
		free(copy);
	}
}

static void test_response_parts(void **state)
{
	static const char head[] = "HTTP/1.0 407 Proxy it, please\r\n"
				   "Server: x\r\n\r\n";
	struct http_head h;
	const char *why;

	(void)state;
	assert_int_equal(
		http_parse_response(&h, head, sizeof(head) - 1, &why), 0);
	assert_int_equal(h.status, 407);
	assert_int_equal(h.minor, 0);
	assert_str(h.reason, "Proxy it, please");
	assert_int_equal(h.n, 1);
	assert_null(h.method.p);
	assert_null(h.target.p);
}

/* --- fields and lists ---------------------------------------------------- */

static void test_fields(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\n" HOST
				   "Connection: keep-alive,\t,UPgrade ,\r\n"
				   "Via: a\r\n"
				   "connection: x\r\n"
				   "CONNECTION: \r\n\r\n";
	const struct str name = STR("Connection");
	struct http_head h;
	const char *why;

	(void)state;
	assert_int_equal(
		http_parse_request(&h, head, sizeof(head) - 1, &why), 0);
	assert_int_equal(http_field_count(&h, name), 3);
	assert_int_equal(http_field_count(&h, STR("VIA")), 1);
	assert_int_equal(http_field_count(&h, STR("Vi")), 0);
	assert_str(
		http_field(&h, STR("cONNECTION")), "keep-alive,\t,UPgrade ,");
	assert_true(http_has_element(&h, name, STR("upgrade")));
	assert_true(http_has_element(&h, name, STR("Keep-Alive")));
	assert_true(http_has_element(&h, name, STR("X")));
	assert_false(http_has_element(&h, name, STR("keep")));
	assert_false(http_has_element(&h, name, STR("")));
	assert_false(http_has_element(&h, name, STR("a")));
	assert_false(http_has_element(&h, STR("Upgrade"), STR("upgrade")));
}

static void test_status_text(void **state)
{
	size_t known = 0;

	(void)state;
	assert_string_equal(http_status_text(101), "Switching Protocols");
	assert_string_equal(http_status_text(421), "Misdirected Request");
	assert_string_equal(http_status_text(426), "Upgrade Required");
	assert_string_equal(http_status_text(502), "Bad Gateway");
	assert_string_equal(
		http_status_text(511), "Network Authentication Required");
	assert_string_equal(http_status_text(0), "");
	assert_string_equal(http_status_text(-1), "");
	assert_string_equal(http_status_text(306), "");
	assert_string_equal(http_status_text(418), "");
	for (int status = 100; status < 600; status++)
		known += http_status_text(status)[0] != '\0';
	assert_int_equal(known, 61);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_end),
		cmocka_unit_test(test_find_end_is_linear),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_request_parts),
		cmocka_unit_test(test_field_limit),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_response_parts),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_status_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
