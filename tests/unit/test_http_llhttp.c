/*
 * Our request parser against llhttp, the parser of Node.js, in its strict
 * mode: whatever ours takes llhttp must take too, and read the same method,
 * target and fields out of it, no body, and the same end. Two parsers that
 * read one request in two ways are what request smuggling is made of. The same
 * for the chunks of a response.
 *
 * The other way round nothing is asked. llhttp takes, and we refuse: more than
 * one empty line in front, obs-fold, several or no Host, bodies, HTTP/0.9 and
 * 2.0, more than one space before the version, a missing last CR.
 *
 * Intended differences, which the comparison steps around:
 * - llhttp knows a list of methods, we take any token and the caller answers
 *   405: requests with other methods than those below are not compared.
 * - llhttp refuses HTTP/1.2 and later, which we take for HTTP/1.1 (RFC 9110
 *   section 2.5): such a version is compared as HTTP/1.1.
 * - llhttp takes blanks behind a Content-Length, but no tab: compared with
 *   blanks.
 * - llhttp parses the extensions of chunks, and lengths among the trailers; we
 *   skip them: where it refuses one nothing is compared.
 * - llhttp judges the form of the target while it reads, we do so in
 *   uri_split_target: a request counts as taken when both of ours agree.
 * - llhttp leaves white space at the end of a value where it stands.
 */
#include "codec/http/http.h"

#include <stdio.h>

#include <llhttp.h>

#include "base/buf.h"
#include "codec/http/body.h"
#include "codec/http/uri.h"

#include "support.h"

#define MUTANTS 60000
#define SEED    UINT64_C(0x77737265)

/* --- what llhttp reads --------------------------------------------------- */

struct reading {
	struct str method, target;
	struct http_field fields[HTTP_FIELDS_MAX + 1];
	size_t n;
	bool body;
};

/* Spans come in pieces, next to each other: the view grows over them. */
static int grow(struct str *s, const char *at, size_t n)
{
	if (!s->p)
		s->p = at;
	s->n = (size_t)(at + n - s->p);
	return 0;
}

static int on_method(llhttp_t *parser, const char *at, size_t n)
{
	struct reading *r = parser->data;

	return grow(&r->method, at, n);
}

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
	struct reading *r = parser->data;

	return grow(&r->target, at, n);
}

static int on_name(llhttp_t *parser, const char *at, size_t n)
{
	struct reading *r = parser->data;

	return r->n > HTTP_FIELDS_MAX ? -1 : grow(&r->fields[r->n].name, at, n);
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
	struct reading *r = parser->data;

	return grow(&r->fields[r->n].value, at, n);
}

static int on_value_complete(llhttp_t *parser)
{
	struct reading *r = parser->data;

	r->n++;
	return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct reading *r = parser->data;

	(void)at;
	(void)n;
	r->body = true;
	return 0;
}

/* Stops at the end of the first message, so that its end can be told. */
static int on_message_complete(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED;
}

/* Where the first message ends, or 0 and *error. */
static size_t read_with_llhttp(
	struct reading *r, const char *p, size_t n, const char **error)
{
	llhttp_settings_t settings;
	llhttp_t parser;
	llhttp_errno_t code;

	llhttp_settings_init(&settings);
	settings.on_method = on_method;
	settings.on_url = on_url;
	settings.on_header_field = on_name;
	settings.on_header_value = on_value;
	settings.on_header_value_complete = on_value_complete;
	settings.on_body = on_body;
	settings.on_message_complete = on_message_complete;
	memset(r, 0, sizeof(*r));
	llhttp_init(&parser, HTTP_REQUEST, &settings);
	parser.data = r;
	code = llhttp_execute(&parser, p, n);
	*error = code == HPE_OK ? "incomplete" : parser.reason;
	return code == HPE_PAUSED ? (size_t)(llhttp_get_error_pos(&parser) - p)
				  : 0;
}

/* --- the comparison ------------------------------------------------------ */

static bool is_known_method(struct str method)
{
	static const char *const known[] = { "GET", "HEAD", "POST", "PUT",
		"DELETE", "OPTIONS", "PATCH", "TRACE" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_eq(method, str_of(known[i])))
			return true;
	return false;
}

static bool is_taken(struct http_head *h, const char *p, size_t n, size_t *end)
{
	struct uri_target target;
	size_t scanned = 0;
	ssize_t found = http_find_end(p, n, &scanned);
	const char *why;

	if (found <= 0)
		return false;
	*end = (size_t)found;
	return http_parse_request(h, p, *end, &why) == 0 &&
	       uri_split_target(&target, h->target) == 0 &&
	       is_known_method(h->method);
}

/* The request, less what llhttp would refuse although it says the same. */
static char *copy_for_llhttp(const struct http_head *h, const char *p, size_t n)
{
	char *copy = exact_copy(p, n);
	char *minor = copy + (h->target.p + h->target.n - p) +
		      sizeof(" HTTP/1.") - 1;

	if (*minor > '1')
		*minor = '1';
	for (size_t i = 0; i < h->n; i++) {
		struct str value = h->fields[i].value;
		char *at = copy + (value.p + value.n - p);

		if (!str_eq_nocase(h->fields[i].name, STR("Content-Length")))
			continue;
		for (; *at != '\r'; at++)
			*at = ' ';
	}
	return copy;
}

/* Whether we take the request; fails where llhttp reads another one. */
static bool compare(const char *p, size_t n)
{
	static struct http_head h;
	static struct reading r;
	const char *error;
	size_t end, llhttp_end;
	char *copy;

	if (!is_taken(&h, p, n, &end))
		return false;
	copy = copy_for_llhttp(&h, p, n);
	llhttp_end = read_with_llhttp(&r, copy, n, &error);
	if (llhttp_end == 0)
		fail_case(p, "llhttp refuses it: %s", error);
	if (llhttp_end != end)
		fail_case(p, "ends at %zu, for llhttp at %zu", end, llhttp_end);
	if (r.body)
		fail_case(p, "llhttp reads a body");
	if (!str_eq(r.method, h.method) || !str_eq(r.target, h.target))
		fail_case(p, "another method or target");
	if (r.n != h.n)
		fail_case(p, "%zu fields, for llhttp %zu", h.n, r.n);
	for (size_t i = 0; i < h.n; i++)
		if (!str_eq(r.fields[i].name, h.fields[i].name) ||
			!str_eq(str_trim(r.fields[i].value), h.fields[i].value))
			fail_case(p, "field %zu reads differently", i);
	free(copy);
	return true;
}

/* --- requests made by hand ----------------------------------------------- */

static const char *const fronts[] = { "", "\r\n" };
static const char *const methods[] = { "GET", "HEAD", "POST", "OPTIONS" };
static const char *const targets[] = { "/", "/sim/42?token=a.b-c_d",
	"/a%20b/%E4?x[]={y|z}&\\^`", "/?", "/;a=b,c:d@e!$'()*+~",
	"http://example.org", "http://example.org:80/sim?x=/?",
	"wss://[::1]:8443/sim", "https://a_b.c-d/" };
static const char *const versions[] = { "HTTP/1.1", "HTTP/1.0", "HTTP/1.2" };
static const char *const field_sets[] = {
	"",
	"Upgrade: websocket\r\nConnection: Upgrade\r\n",
	"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
	"Sec-WebSocket-Version: 13\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	"Sec-WebSocket-Extensions: permessage-deflate; "
	"client_max_window_bits\r\nOrigin: http://example.org\r\n",
	"Connection: close\r\n",
	"connection:\tclose , x\t\r\n",
	"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
	"Proxy-Connection: keep-alive\r\n",
	"Content-Length: 0\r\n",
	"content-length:0 \r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
	"Upgrade:\r\nConnection:\r\n",
	"Empty:\r\nBlank: \t \r\nText: \x80\xff\t\"<>\\|\r\n",
	"A: b\r\nA: c\r\na:d\r\nX:::\r\n!#$%&'*+-.^_`|~0aZ: x\r\n",
	"Transfer-Encodin: chunked\r\nTransfer-Encodings: x\r\n",
	"Content-Lengt: 5\r\nContent-Lengths: 7\r\n",
	"Expect: 100-continue\r\nTE: trailers\r\nTrailer: x\r\n",
};
static const char *const behind[] = { "", "GET /next HTTP/1.1\r\n", "\r\n",
	"\x81\x80" };

#define BY_HAND                                                                \
	(ARRAY_SIZE(fronts) * ARRAY_SIZE(methods) * ARRAY_SIZE(targets) *      \
		ARRAY_SIZE(versions) * ARRAY_SIZE(field_sets) *                \
		ARRAY_SIZE(behind))

/* The i-th combination. */
static size_t make_request(char *out, size_t size, size_t i)
{
	const char *front = fronts[i % ARRAY_SIZE(fronts)];
	const char *method, *target, *version, *fields, *rest;

	i /= ARRAY_SIZE(fronts);
	method = methods[i % ARRAY_SIZE(methods)];
	i /= ARRAY_SIZE(methods);
	target = targets[i % ARRAY_SIZE(targets)];
	i /= ARRAY_SIZE(targets);
	version = versions[i % ARRAY_SIZE(versions)];
	i /= ARRAY_SIZE(versions);
	fields = field_sets[i % ARRAY_SIZE(field_sets)];
	i /= ARRAY_SIZE(field_sets);
	rest = behind[i % ARRAY_SIZE(behind)];
	return (size_t)snprintf(out, size,
		"%s%s %s %s\r\nHost: example.org\r\n%s\r\n%s", front, method,
		target, version, fields, rest);
}

static void test_by_hand(void **state)
{
	char text[1024];

	(void)state;
	for (size_t i = 0; i < BY_HAND; i++) {
		size_t n = make_request(text, sizeof(text), i);
		char *copy = exact_copy(text, n + 1);

		assert_true(n < sizeof(text));
		if (!compare(copy, n))
			fail_case(copy, "refused");
		free(copy);
	}
}

/* --- mutants ------------------------------------------------------------- */

/* What a smuggler would put in. */
static const char *const words[] = { "\r\n", "\r", "\n", " ", "\t", ":", ",",
	";", "%00", "?", "#", "\x80", "\x7f", "\x0b", "HTTP/1.1", "\r\n ",
	"\r\nContent-Length: 0", "\r\nContent-Length: 5", "\r\n\r\n",
	"\r\nTransfer-Encoding: chunked", "\r\nTransfer-Encoding : chunked",
	"\r\nConnection: close, Content-Length", "\r\nUpgrade: websocket",
	"\r\nHost: b", "Content-Length", "chunked", "http://", "//", "[::1]",
	"\r\nConnection: upgrade", "\r\nA: b" };

static size_t below(uint64_t *random, size_t limit)
{
	return next_random(random) % limit;
}

/* Puts n bytes in the place of drop bytes at i; the new length. */
static size_t splice(char *p, size_t size, size_t i, size_t drop, struct str s)
{
	size_t n = strlen(p);

	if (i + drop > n || n - drop + s.n >= size)
		return n;
	memmove(p + i + s.n, p + i + drop, n - i - drop + 1);
	memcpy(p + i, s.p, s.n);
	return n - drop + s.n;
}

static size_t mutate(char *p, size_t size, uint64_t *random)
{
	size_t n = strlen(p), i = below(random, n);
	char byte = (char)(1 + below(random, 255));
	char piece[32];
	size_t length = below(random, sizeof(piece));

	switch (below(random, 5)) {
	case 0:
		p[i] = byte;
		return n;
	case 1:
		return splice(p, size, i, 0, (struct str){ &byte, 1 });
	case 2:
		return splice(p, size, i, 1 + below(random, 3), STR(""));
	case 3:
		return splice(p, size, i, below(random, 3),
			str_of(words[below(random, ARRAY_SIZE(words))]));
	default:
		/* A piece of the request once more, elsewhere. */
		if (length > n - i)
			length = n - i;
		memcpy(piece, p + i, length);
		return splice(p, size, below(random, n), 0,
			(struct str){ piece, length });
	}
}

static void test_mutants(void **state)
{
	uint64_t random = SEED;
	size_t taken = 0;

	(void)state;
	for (size_t i = 0; i < MUTANTS; i++) {
		char text[2048];
		size_t n = make_request(
			text, sizeof(text), below(&random, BY_HAND));
		char *copy;

		for (size_t k = 1 + below(&random, 3); k > 0; k--)
			n = mutate(text, sizeof(text), &random);
		copy = exact_copy(text, n + 1);
		taken += compare(copy, n);
		free(copy);
	}
	/* Both verdicts must be common, or little was compared. */
	assert_in_range(taken, MUTANTS / 10, MUTANTS * 9 / 10);
}

/* --- chunked responses --------------------------------------------------- */

#define CHUNKED "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"

static const char *const chunks[] = {
	CHUNKED "5\r\nhello\r\n0\r\n\r\n",
	CHUNKED "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n02\r\nok\r\n00\r\n\r\n",
	CHUNKED "3;a=b\r\nabc\r\n1;c;d=\"e f\"\r\n\n\r\n0;g\r\n\r\n",
	CHUNKED "2\r\n\r\n\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n",
	CHUNKED "0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
};

static int on_content(llhttp_t *parser, const char *at, size_t n)
{
	return buf_add(parser->data, at, n, SIZE_MAX);
}

static size_t read_body_with_llhttp(
	struct buf *content, const char *p, size_t n, const char **error)
{
	llhttp_settings_t settings;
	llhttp_t parser;
	llhttp_errno_t code;

	llhttp_settings_init(&settings);
	settings.on_body = on_content;
	settings.on_message_complete = on_message_complete;
	llhttp_init(&parser, HTTP_RESPONSE, &settings);
	parser.data = content;
	code = llhttp_execute(&parser, p, n);
	*error = code == HPE_OK ? "incomplete" : parser.reason;
	return code == HPE_PAUSED ? (size_t)(llhttp_get_error_pos(&parser) - p)
				  : 0;
}

/* Where the body ends for us; 0: it is not complete, or refused. */
static size_t read_body(struct buf *content, const char *p, size_t n)
{
	const char *at = p + sizeof(CHUNKED) - 1, *why;
	size_t left = n - (sizeof(CHUNKED) - 1);
	struct http_head h;
	struct http_body b;
	struct str piece;
	enum http_body_event event;

	assert_int_equal(
		http_parse_response(&h, p, sizeof(CHUNKED) - 1, &why), 0);
	assert_int_equal(http_body_init(&b, &h, &why), 0);
	while ((event = http_body_next(&b, &at, &left, &piece, &why)) ==
		HTTP_BODY_PIECE)
		assert_int_equal(buf_add_str(content, piece), 0);
	return event == HTTP_BODY_END ? n - left : 0;
}

static bool is_skipped_by_us(const char *p, const char *error)
{
	bool extensions = strpbrk(p + sizeof(CHUNKED) - 1, "; \t") != NULL;

	return (extensions && strstr(error, "in chunk ")) ||
	       strstr(error, "Content-Length") ||
	       strstr(error, "Transfer-Encoding");
}

static bool compare_body(const char *p, size_t n)
{
	struct buf ours = { 0 }, theirs = { 0 };
	size_t end = read_body(&ours, p, n), llhttp_end;
	const char *error;

	if (end > 0) {
		llhttp_end = read_body_with_llhttp(&theirs, p, n, &error);
		if (llhttp_end == 0 && is_skipped_by_us(p, error))
			end = 0;
		else if (llhttp_end == 0)
			fail_case(p, "llhttp refuses it: %s", error);
		else if (llhttp_end != end)
			fail_case(p, "ends at %zu, for llhttp at %zu", end,
				llhttp_end);
		else if (!str_eq(buf_str(&ours), buf_str(&theirs)))
			fail_case(p, "another content");
	}
	buf_free(&ours);
	buf_free(&theirs);
	return end > 0;
}

static void test_chunked(void **state)
{
	uint64_t random = SEED;
	size_t taken = 0;

	(void)state;
	for (size_t i = 0; i < MUTANTS; i++) {
		const char *from = chunks[i % ARRAY_SIZE(chunks)];
		char text[512];
		char *body = text + sizeof(CHUNKED) - 1, *copy;
		size_t n = strlen(from);

		memcpy(text, from, n + 1);
		/* The first ones as they are. */
		if (i >= ARRAY_SIZE(chunks))
			n = sizeof(CHUNKED) - 1 +
			    mutate(body, sizeof(text) - sizeof(CHUNKED),
				    &random);
		copy = exact_copy(text, n + 1);
		taken += compare_body(copy, n);
		if (i < ARRAY_SIZE(chunks))
			assert_int_equal(taken, i + 1);
		free(copy);
	}
	assert_in_range(taken, MUTANTS / 10, MUTANTS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_mutants),
		cmocka_unit_test(test_chunked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
