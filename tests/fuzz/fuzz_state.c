/*
 * Reads the daemon's state: as a whole text, and as records without their
 * checksum, which no fuzzer finds. What is read as a record, written again, is
 * the same line.
 */
#include "codec/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_records(struct str left)
{
	struct state_record r;
	struct buf out = { 0 };

	for (;;) {
		const char *line = left.p;
		int result = state_next(&left, &r);

		if (result <= 0)
			break;
		check(r.key.n <= STATE_KEY_MAX);
		check(r.value.n <= STATE_VALUE_MAX);
		out.n = 0;
		check(state_add(&out, &r) == 0);
		check(out.n == (size_t)(left.p - line));
		check(memcmp(out.p, line, out.n) == 0);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *p = malloc(n > 0 ? n : 1); /* an exact block: ASan sees more */
	struct str text, records;
	const char *why = NULL;

	check(p != NULL);
	memcpy(p, data, n);
	text = (struct str){ p, n };
	if (state_open(&records, text, &why) == 0)
		check_records(records);
	else
		check(why != NULL);
	check_records(text);
	free(p);
	return 0;
}
