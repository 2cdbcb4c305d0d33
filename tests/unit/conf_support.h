/*
 * conf_support.h: a directory for a test's files, and configurations in it.
 * Relative names in a configuration begin there: the test runs in it.
 */
#ifndef TESTS_CONF_SUPPORT_H
#define TESTS_CONF_SUPPORT_H

#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "certificates.h"
#include "conf/conf.h"

#define SECRET "0123456789abcdef0123456789abcdef"

/* Where the tests were started: the top of the tree. */
static char *top;
static char scratch[] = "/tmp/wsrelay-conf-XXXXXX";

static inline void put_file(const char *name, const void *p, size_t n)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static inline void put_text(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

static inline int scratch_setup(void **state)
{
	(void)state;
	top = getcwd(NULL, 0);
	if (!top || !mkdtemp(scratch) || chdir(scratch) < 0)
		return -1;
	put_text("secret", SECRET "\n");
	put_text("chain", PEM_LEAF PEM_MIDDLE);
	put_text("key", PEM_LEAF_KEY);
	put_text("ca", PEM_CA);
	if (chmod("secret", 0600) < 0 || chmod("key", 0600) < 0 ||
		mkdir("dir", 0700) < 0)
		return -1;
	return 0;
}

static inline int scratch_remove(
	const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(name);
}

static inline int scratch_teardown(void **state)
{
	int r;

	(void)state;
	r = chdir(top) | nftw(scratch, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(top);
	return r;
}

/* What was said, as a string that the caller frees. */
static inline char *take_text(struct buf *b)
{
	char *s = str_dup(buf_str(b));

	assert_non_null(s);
	buf_free(b);
	return s;
}

/* A configuration that must be good, and must not cause a word. */
static inline struct conf *load_good(const char *text)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("t.ini", str_of(text), &errors);
	char *said = take_text(&errors);

	if (!c || said[0])
		fail_case(text, "%s", said);
	free(said);
	return c;
}

/* A configuration that must be good, whatever is said of it. */
static inline struct conf *load_warned(const char *text)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("t.ini", str_of(text), &errors);

	buf_free(&errors);
	assert_non_null(c);
	return c;
}

/* A configuration that must be refused with exactly these words. */
static inline void expect_errors(const char *text, const char *want)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("t.ini", str_of(text), &errors);
	char *said = take_text(&errors);

	conf_unref(c);
	if (c || strcmp(said, want) != 0)
		fail_case(text, "%s\nsaid \"%s\"\nwant \"%s\"",
			c ? "accepted" : "refused", said, want);
	free(said);
}

/* The same from a file. */
static inline void expect_file_errors(const char *name, const char *want)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load(name, &errors);
	char *said = take_text(&errors);

	conf_unref(c);
	if (c || strcmp(said, want) != 0)
		fail_case(name, "%s\nsaid \"%s\"\nwant \"%s\"",
			c ? "accepted" : "refused", said, want);
	free(said);
}

static inline char *dump(const struct conf *c)
{
	struct buf out = { 0 };

	assert_int_equal(conf_dump(&out, c), 0);
	return take_text(&out);
}

#endif
