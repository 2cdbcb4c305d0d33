/*
 * Reads a recording whole and in cuts, whose width the first byte says, and
 * compares what was read. What was read, written again, reads the same.
 */
#include "codec/recording.h"

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

static void add(struct buf *out, const void *p, size_t n)
{
	check(buf_add(out, p, n, SIZE_MAX) == 0);
}

static void add_item(struct buf *out, const struct recording_item *i)
{
	char line[RECORDING_LINE_MAX];
	bool message = i->kind == RECORDING_TEXT || i->kind == RECORDING_BINARY;

	if (i->kind == RECORDING_HEAD) {
		add(out, recording_version, strlen(recording_version));
		if (i->framing) {
			const char *name = framing_get(i->framing)->name;

			add(out, "framing ", 8);
			add(out, name, strlen(name));
			add(out, "\n", 1);
		}
		add(out, "\n", 1);
		return;
	}
	check(i->at_us >= 0 && i->at_us < RECORDING_TIME_MAX);
	check(!message || i->n <= RECORDING_MESSAGE_MAX);
	check(i->kind != RECORDING_TEXT || utf8_valid(i->data, i->n));
	add(out, line, recording_line(line, i->kind, i->at_us, i->n));
	if (message) {
		add(out, i->data, i->n);
		add(out, "\n", 1);
	}
}

/* What was read, written again; *why: what was wrong, NULL: nothing was. */
static struct buf read_all(
	const uint8_t *p, size_t n, size_t step, const char **why)
{
	struct recording r = { .headed = false };
	struct recording_item item;
	struct buf written = { 0 };
	size_t from = 0, to = 0;

	*why = NULL;
	for (;;) {
		size_t room = to - from;
		uint8_t *exact = malloc(room ? room : 1);
		ssize_t used;

		check(exact != NULL);
		memcpy(exact, p + from, room);
		used = recording_read(&r, exact, room, &item, why);
		check(used <= (ssize_t)room && (used >= 0 || *why));
		if (used > 0)
			add_item(&written, &item);
		free(exact);
		if (used < 0 || (used == 0 && to == n))
			return written;
		if (used == 0)
			to += n - to < step ? n - to : step;
		else
			from += (size_t)used;
	}
}

static void check_same(const struct buf *a, const struct buf *b)
{
	check(a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *why, *why_cut, *why_again;
	struct buf whole, cut, again;

	if (n == 0)
		return 0;
	whole = read_all(data + 1, n - 1, SIZE_MAX, &why);
	cut = read_all(data + 1, n - 1, data[0] ? data[0] : 1, &why_cut);
	check(!why == !why_cut);
	check_same(&whole, &cut);
	again = read_all(whole.n ? whole.p : (const uint8_t *)"", whole.n,
		SIZE_MAX, &why_again);
	check(!why_again);
	check_same(&whole, &again);
	buf_free(&whole);
	buf_free(&cut);
	buf_free(&again);
	return 0;
}
