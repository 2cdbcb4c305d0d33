/*
 * Reads requests to the control socket until there are no more: a line is used
 * whole, one that is no good says why, and all that its command may have can be
 * asked for.
 */
#include "codec/control.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_arguments(const struct control_request *r)
{
	check(r->uid >= -1);
	for (const struct control_argument *a = r->command->arguments; a->name;
		a++) {
		const char *text = control_text(r, a->name);
		int64_t number = control_number(r, a->name);

		check(!text || a->type == CONTROL_TEXT);
		check(number >= -1);
		if (a->type == CONTROL_TEXTS && number >= 0)
			check(control_text_at(r, a->name, 0) != NULL);
		(void)control_flag(r, a->name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct control_request r;
	char why[CONTROL_WHY];

	while (n > 0) {
		char *p = malloc(n); /* an exact block: ASan sees more */
		ssize_t used;

		check(p != NULL);
		memcpy(p, data, n);
		used = control_read(&r, p, n, why);
		if (used > 0) {
			check((size_t)used <= n && p[used - 1] == '\n');
			check(!r.command == !r.object);
			check(r.command || why[0]);
		}
		free(p); /* what was read is a copy */
		if (used <= 0)
			return 0;
		if (r.command)
			check_arguments(&r);
		control_request_free(&r);
		data += used;
		n -= (size_t)used;
	}
	return 0;
}
