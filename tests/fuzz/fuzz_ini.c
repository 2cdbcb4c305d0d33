/*
 * fuzz_ini.c: any text as a configuration.
 *
 * What must hold: a refusal has a reason; what is accepted can be dumped, the
 * dump is accepted, and dumped again it is the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/conf.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* In an empty directory, an include = * finds nothing to read. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char directory[] = "/tmp/wsrelay-fuzz-XXXXXX";

	(void)argc;
	(void)argv;
	if (!mkdtemp(directory) || chdir(directory) < 0 || rmdir(directory) < 0)
		perror(directory);
	return 0;
}

/* The configuration written out, or nothing. */
static struct conf *load_and_dump(struct str text, struct buf *out)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("f.ini", text, &errors);

	assert(c || errors.n > 0);
	buf_free(&errors);
	if (c && conf_dump(out, c) < 0)
		abort();
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf first = { 0 }, second = { 0 };
	struct conf *c, *again;

	c = load_and_dump((struct str){ (const char *)data, n }, &first);
	if (c) {
		again = load_and_dump(buf_str(&first), &second);
		assert(again);
		assert(str_eq(buf_str(&first), buf_str(&second)));
		conf_unref(again);
	}
	conf_unref(c);
	buf_free(&first);
	buf_free(&second);
	return 0;
}
