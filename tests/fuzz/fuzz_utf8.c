/*
 * Cuts a text in two and compares with the whole; the first byte says where.
 */
#include "codec/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_prefix(const uint8_t *text, size_t n, size_t max)
{
	size_t prefix = utf8_prefix(text, n, max);

	if (prefix > n || prefix > max)
		abort();
	if (utf8_valid(text, n) && !utf8_valid(text, prefix))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct utf8 u = { 0 };
	size_t cut;
	bool ok;

	if (n == 0)
		return 0;
	cut = data[0] % n;
	data++;
	n--;
	ok = utf8_add(&u, data, cut) && utf8_add(&u, data + cut, n - cut) &&
	     utf8_complete(&u);
	if (ok != utf8_valid(data, n))
		abort();
	check_prefix(data, n, cut);
	return 0;
}
