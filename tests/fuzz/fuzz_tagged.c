/*
 * Takes a backend's message apart; the first two bytes say its kind and how
 * long a payload may be. What is read, written again, reads the same; and
 * what a client's names become stays one line.
 */
#include "codec/tagged.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_send(
	const struct tagged_message *m, const uint8_t *p, size_t n, bool text)
{
	uint8_t prefix[TAGGED_PREFIX_MAX];
	size_t prefix_n = tagged_write_prefix(prefix, m->id);

	check(!text || utf8_valid(m->data, m->n));
	if (m->id == 0) {
		check(n == m->n + 4 && memcmp(p, "> * ", 4) == 0);
		return;
	}
	check(n == m->n + prefix_n && memcmp(p, prefix, prefix_n) == 0);
}

static void check_names(const uint8_t *p, size_t n)
{
	struct buf out = { 0 }, name = { 0 };

	check(buf_add(&name, p, n, SIZE_MAX) == 0 &&
		buf_add(&name, "", 1, SIZE_MAX) == 0);
	check(tagged_add_joined(&out, &(struct tagged_client){ .id = 1,
					      .subject = (char *)name.p,
					      .perm = "rw",
					      .peer = "unix",
					      .path = (char *)name.p }) == 0);
	check(!memchr(out.p, '\n', out.n) && utf8_valid(out.p, out.n));
	buf_free(&out);
	buf_free(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tagged_message m;
	enum tagged_error e;
	size_t max;
	uint8_t *p;
	bool text;

	if (n < 2)
		return 0;
	text = data[0] & 1;
	max = data[1] == 255 ? SIZE_MAX : data[1];
	n -= 2;
	p = malloc(n > 0 ? n : 1); /* an exact block: ASan sees more */
	check(p != NULL);
	memcpy(p, data + 2, n);
	e = tagged_parse(&m, p, n, text, max);
	if (e == TAGGED_OK && m.verb == TAGGED_SEND) {
		check(m.n <= max && m.data + m.n == p + n);
		check_send(&m, p, n, text);
	} else if (e == TAGGED_OK) {
		check(m.id != 0 && m.n <= 123 && m.data + m.n == p + n);
		check(m.code == 1000 || (m.code >= 3000 && m.code <= 4999));
		check(utf8_valid(m.data, m.n));
	} else {
		check(strcmp(tagged_strerror(e), "no error") != 0);
	}
	check_names(p, n);
	free(p);
	return 0;
}
