/*
 * Reads a stream whole and in cuts, and compares the messages. The first
 * bytes say which framing, how long a message may be, and how wide a cut is.
 * Raw has no boundaries: there only the bytes are compared.
 */
#include "codec/framing.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void record(struct buf *out, const void *p, size_t n)
{
	if (buf_add(out, p, n, SIZE_MAX) < 0)
		abort();
}

static void record_message(
	struct buf *out, enum framing_id id, const struct framing_message *m)
{
	if (id != FRAMING_RAW) {
		record(out, &m->opcode, 1);
		record(out, &m->n, sizeof(m->n));
	}
	record(out, m->data, m->n);
}

/* What decode gave out, encode takes, and gives back the same. */
static void check_encode(const struct framing *f, struct framing_message *m)
{
	uint8_t head[FRAMING_HEAD_MAX], tail[FRAMING_TAIL_MAX];
	size_t head_n, tail_n, scanned = 0;
	const struct framing *line = framing_get(FRAMING_LINE);
	struct framing_message back;
	struct buf b = { 0 };
	int r = f->encode(m, head, &head_n, tail, &tail_n);

	/* What a backend prints may hold a CR, what a client says may not. */
	if (r == FRAMING_LINE_BREAK && f->decode == line->decode && m->n > 0 &&
		memchr(m->data, '\r', m->n))
		return;
	if (r != 0)
		abort();
	record(&b, head, head_n);
	record(&b, m->data, m->n);
	record(&b, tail, tail_n);
	if (f->decode(b.p, b.n, SIZE_MAX, &scanned, &back) != (ssize_t)b.n)
		abort();
	if (back.opcode != m->opcode || back.n != m->n)
		abort();
	if (back.n > 0 && memcmp(back.data, m->data, back.n) != 0)
		abort();
	buf_free(&b);
}

static struct buf run(
	enum framing_id id, const uint8_t *p, size_t n, size_t max, size_t step)
{
	const struct framing *f = framing_get(id);
	struct buf waiting = { 0 }, out = { 0 };
	size_t scanned = 0;
	ssize_t used = 0;

	for (size_t at = 0; at < n && used >= 0; at += step) {
		size_t take = step < n - at ? step : n - at;

		record(&waiting, p + at, take);
		do {
			struct framing_message m;
			uint8_t *block;

			if (waiting.n == 0)
				break;
			block = malloc(waiting.n);
			if (!block)
				abort();
			memcpy(block, waiting.p, waiting.n);
			used = f->decode(block, waiting.n, max, &scanned, &m);
			if (used > (ssize_t)waiting.n)
				abort();
			if (used > 0) {
				if (m.n > max)
					abort();
				record_message(&out, id, &m);
				if (step >= n)
					check_encode(f, &m);
				buf_drop(&waiting, (size_t)used);
				scanned = 0;
			}
			free(block);
		} while (used > 0);
	}
	record(&out, &used, used < 0 ? sizeof(used) : 0);
	buf_free(&waiting);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf whole, parts;
	enum framing_id id;
	size_t max, step;

	if (n < 3)
		return 0;
	id = (enum framing_id)(FRAMING_RAW + data[0] % 3);
	max = data[1] == 255 ? SIZE_MAX : data[1];
	step = data[2] % 16 + 1u;
	whole = run(id, data + 3, n - 3, max, n);
	parts = run(id, data + 3, n - 3, max, step);
	if (whole.n != parts.n ||
		(whole.n > 0 && memcmp(whole.p, parts.p, whole.n) != 0))
		abort();
	buf_free(&whole);
	buf_free(&parts);
	return 0;
}
