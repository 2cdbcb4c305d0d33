/*
 * fuzz_http.c: a request's or a response's head.
 *
 * What must hold: http_find_end says the same however its input is cut; a
 * head that is taken is one that http_find_end measured, its parts lie inside
 * of it, and written down again from its parts it reads the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/http/http.h"
#include "codec/http/uri.h"

#define MAX (1024 * 1024)

/* Where the input is cut depends on all of it, so that mutants move it. */
static size_t hash(const char *p, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	return h;
}

/* The first n bytes, in a block that ends there. */
static ssize_t find_in_copy(const char *p, size_t n, size_t *scanned)
{
	char *copy = malloc(n + 1);
	ssize_t end;

	if (!copy)
		abort();
	memcpy(copy + 1, p, n);
	end = http_find_end(copy + 1, n, scanned);
	free(copy);
	return end;
}

static void check_find_end(const char *p, size_t n)
{
	size_t scanned = 0, random = hash(p, n);
	size_t step = 1 + random % 64, at = random / 64 % (n + 1);
	ssize_t whole = http_find_end(p, n, &scanned), cut = 0;

	assert(whole >= -1 && whole <= (ssize_t)n && scanned <= n);
	scanned = 0;
	/* At most 16 pieces: each is a copy. */
	if (step < n / 16)
		step = n / 16;
	while (cut == 0 && at < n) {
		cut = find_in_copy(p, at, &scanned);
		assert(scanned <= at);
		at += step;
	}
	if (cut == 0)
		cut = find_in_copy(p, n, &scanned);
	assert(cut == whole);
}

static void check_inside(struct str s, const char *p, size_t n)
{
	assert(s.p >= p && s.p + s.n <= p + n);
	if (s.n > 0)
		assert(!memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) &&
			!memchr(s.p, '\0', s.n));
}

static void check_fields(const struct http_head *h, const char *p, size_t n)
{
	assert(h->n <= HTTP_FIELDS_MAX);
	for (size_t i = 0; i < h->n; i++) {
		const struct http_field *field = &h->fields[i];

		check_inside(field->name, p, n);
		check_inside(field->value, p, n);
		assert(http_is_token(field->name));
		assert(str_eq(str_trim(field->value), field->value));
		assert(http_field_count(h, field->name) > 0);
		assert(http_field(h, field->name).p);
	}
}

static void add(struct buf *out, struct str s)
{
	if (buf_add(out, s.p, s.n, MAX) < 0)
		abort();
}

static void add_fields(struct buf *out, const struct http_head *h)
{
	add(out, STR("\r\n"));
	for (size_t i = 0; i < h->n; i++) {
		add(out, h->fields[i].name);
		add(out, STR(": "));
		add(out, h->fields[i].value);
		add(out, STR("\r\n"));
	}
	add(out, STR("\r\n"));
}

static void check_same(const struct http_head *a, const struct http_head *b)
{
	assert(str_eq(a->method, b->method) && str_eq(a->target, b->target));
	assert(a->status == b->status && str_eq(a->reason, b->reason));
	assert(a->minor == b->minor && a->n == b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert(str_eq(a->fields[i].name, b->fields[i].name));
		assert(str_eq(a->fields[i].value, b->fields[i].value));
	}
}

static void check_measured(const char *p, size_t n)
{
	size_t scanned = 0;

	assert(http_find_end(p, n, &scanned) == (ssize_t)n);
}

static void check_request(const char *p, size_t n)
{
	static struct http_head h, again;
	struct uri_authority host;
	struct buf out = { 0 };
	const char *why = NULL;
	int status = http_parse_request(&h, p, n, &why);

	assert(status == 0 || status == 400 || status == 431 || status == 501 ||
		status == 505);
	assert((status == 0) == !why);
	if (status != 0)
		return;
	check_measured(p, n);
	check_inside(h.method, p, n);
	check_inside(h.target, p, n);
	check_fields(&h, p, n);
	assert(http_is_token(h.method));
	assert(http_field_count(&h, STR("Transfer-Encoding")) == 0);
	if (http_field_count(&h, STR("Host")) > 0)
		assert(uri_parse_authority(
			       &host, http_field(&h, STR("Host"))) == 0);
	add(&out, h.method);
	add(&out, STR(" "));
	add(&out, h.target);
	add(&out, h.minor ? STR(" HTTP/1.1") : STR(" HTTP/1.0"));
	add_fields(&out, &h);
	assert(http_parse_request(&again, buf_str(&out).p, out.n, &why) == 0);
	check_same(&h, &again);
	buf_free(&out);
}

static void check_response(const char *p, size_t n)
{
	static struct http_head h, again;
	struct buf out = { 0 };
	const char *why = NULL;
	int result = http_parse_response(&h, p, n, &why);

	assert(result == 0 || result == -1);
	assert((result == 0) == !why);
	if (result != 0)
		return;
	check_measured(p, n);
	check_inside(h.reason, p, n);
	check_fields(&h, p, n);
	assert(h.status >= 100 && h.status <= 599);
	assert(http_status_text(h.status));
	if (buf_add_printf(&out, "HTTP/1.%d %d ", h.minor, h.status) < 0)
		abort();
	add(&out, h.reason);
	add_fields(&out, &h);
	assert(http_parse_response(&again, buf_str(&out).p, out.n, &why) == 0);
	check_same(&h, &again);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	size_t scanned = 0;
	ssize_t end;

	/* Room for what writing it down again adds: a blank a field. */
	if (n == 0 || n > MAX / 2)
		return 0;
	check_find_end(p, n);
	check_request(p, n);
	check_response(p, n);
	end = http_find_end(p, n, &scanned);
	if (end > 0 && (size_t)end < n) {
		check_request(p, (size_t)end);
		check_response(p, (size_t)end);
	}
	return 0;
}
