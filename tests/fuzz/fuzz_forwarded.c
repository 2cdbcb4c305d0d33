/*
 * fuzz_forwarded.c: what a trusted proxy says about its client. A line per
 * field; its first byte says which: F Forwarded, X X-Forwarded-For, P -Proto,
 * H -Host.
 *
 * What must hold: where a client was found behind a proxy, nothing that the
 * client puts to the left of it changes anything; and what was found, written
 * down as a Forwarded field, is read the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/http/forwarded.h"
#include "codec/http/http.h"
#include "codec/http/uri.h"

#define FIELDS 16
#define FORGED "for=6.6.6.6;proto=https;host=evil.example, "

static struct str next_line(struct str *text)
{
	const char *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	struct str line = { text->p, end ? (size_t)(end - text->p) : text->n };
	size_t used = end ? line.n + 1 : line.n;

	text->p += used;
	text->n -= used;
	return line;
}

static struct str name_of(char c)
{
	switch (c) {
	case 'X':
		return STR("X-Forwarded-For");
	case 'P':
		return STR("X-Forwarded-Proto");
	case 'H':
		return STR("X-Forwarded-Host");
	default:
		return STR("Forwarded");
	}
}

/* An owned copy with nothing behind it. */
static struct str copy(struct str s, const char *before)
{
	size_t n = strlen(before);
	char *p = malloc(n + s.n + (n + s.n == 0));

	if (!p)
		abort();
	memcpy(p, before, n);
	if (s.n > 0)
		memcpy(p + n, s.p, s.n);
	return (struct str){ p, n + s.n };
}

static struct cidr_list trusted_nets(void)
{
	static struct cidr nets[2];
	struct cidr_list list = { nets, 2 };

	if (cidr_parse(&nets[0], STR("10.0.0.0/8")) < 0 ||
		cidr_parse(&nets[1], STR("2001:db8::/32")) < 0)
		abort();
	return list;
}

static int read_head(struct forwarded *f, const struct http_head *h)
{
	struct cidr_list trusted = trusted_nets();
	struct addr proxy;
	const char *why = "unset";
	int result;

	if (addr_parse(&proxy, STR("10.0.0.1:80")) < 0)
		abort();
	result = forwarded_read(f, h, &proxy, &trusted, &why);
	if ((result == 0) != (why == NULL) || result > 0 || result < -1)
		abort();
	return result;
}

static void must_be_same(const struct forwarded *a, const struct forwarded *b)
{
	if (!addr_same_ip(&a->peer, &b->peer) || a->has_proto != b->has_proto ||
		(a->has_proto && a->secure != b->secure) ||
		!str_eq(a->host, b->host))
		abort();
}

/* The client adds what it likes in front; a proxy only adds behind. */
static void check_forged(const struct forwarded *f, struct http_head *h)
{
	struct cidr_list trusted = trusted_nets();
	struct forwarded again, list;
	struct str line;
	size_t i = 0;
	struct addr proxy = { .family = ADDR_UNIX };
	const char *why;

	if (forwarded_read_list(&list, h, &proxy, &trusted, &why) < 0)
		abort();
	if (list.peer.family == ADDR_UNIX ||
		cidr_list_contains(&trusted, &list.peer))
		return; /* it did not find the client */
	while (i < h->n && h->fields[i].name.n != strlen("Forwarded"))
		i++;
	line = h->fields[i].value;
	h->fields[i].value = copy(line, FORGED);
	if (read_head(&again, h) < 0)
		abort();
	must_be_same(f, &again);
	free((void *)(uintptr_t)h->fields[i].value.p);
	h->fields[i].value = line;
}

static void check_written(const struct forwarded *f)
{
	static struct http_head h;
	struct uri_authority host;
	struct forwarded again;
	struct buf out = { 0 };

	if (f->host.p && uri_parse_authority(&host, f->host) < 0)
		abort();
	if (forwarded_write(&out, &f->peer, f->host, f->secure) < 0)
		abort();
	h.n = 1;
	h.fields[0] = (struct http_field){ STR("Forwarded"),
		copy(buf_str(&out), "") };
	buf_free(&out);
	if (read_head(&again, &h) < 0 || !addr_same_ip(&again.peer, &f->peer) ||
		!again.has_proto || again.secure != f->secure ||
		!str_eq(again.host, f->host))
		abort();
	free((void *)(uintptr_t)h.fields[0].value.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	static struct http_head h;
	struct forwarded f;

	h.n = 0;
	while (text.n > 0 && h.n < FIELDS) {
		struct str line = next_line(&text);
		char c = line.n > 0 ? line.p[0] : 'F';

		if (line.n > 0) {
			line.p++;
			line.n--;
		}
		h.fields[h.n++] = (struct http_field){ name_of(c),
			copy(line, "") };
	}
	if (read_head(&f, &h) == 0) {
		check_written(&f);
		check_forged(&f, &h);
	}
	for (size_t i = 0; i < h.n; i++)
		free((void *)(uintptr_t)h.fields[i].value.p);
	return 0;
}
