#include "codec/tagged.h"

#include <stdio.h>

#include "base/buf.h"
#include "support.h"

#define NINES "9999999999999999999999999999999"
#define R123  "a" NINES NINES NINES "99999999999999999999999999999"

/* What was read, as text: "> 1f [payload]", "x 1f 4000 [reason]", "! 3". */
static void show(char *out, size_t size, enum tagged_error e,
	const struct tagged_message *m)
{
	if (e != TAGGED_OK)
		snprintf(out, size, "! %d", (int)e);
	else if (m->verb == TAGGED_SEND)
		snprintf(out, size, "> %llx [%.*s]", (unsigned long long)m->id,
			(int)m->n, (char *)m->data);
	else
		snprintf(out, size, "x %llx %d [%.*s]",
			(unsigned long long)m->id, m->code, (int)m->n,
			(char *)m->data);
}

static void read_one(
	char *out, size_t size, struct str in, bool text, size_t max)
{
	uint8_t *block = (uint8_t *)exact_copy(in.p, in.n);
	struct tagged_message m = { 0 };

	show(out, size, tagged_parse(&m, block, in.n, text, max), &m);
	free(block);
}

static const struct vector {
	struct str in;
	const char *out;
} vectors[] = {
	{ STR("> 1f hello"), "> 1f [hello]" },
	{ STR("> 1f "), "> 1f []" },
	{ STR("> 1f  two  spaces "), "> 1f [ two  spaces ]" },
	{ STR("> * to all"), "> 0 [to all]" },
	{ STR("> * "), "> 0 []" },
	{ STR("> ffffffffffffffff x"), "> ffffffffffffffff [x]" },
	{ STR("> 19a2b3c4d5e6f70 > 2 y"), "> 19a2b3c4d5e6f70 [> 2 y]" },
	{ STR("> 1 \xc3\xa6\xf0\x9f\x90\xa7"),
		"> 1 [\xc3\xa6\xf0\x9f\x90\xa7]" },
	{ STR("x 1f 1000"), "x 1f 1000 []" },
	{ STR("x 1f 1000 "), "x 1f 1000 []" },
	{ STR("x 1f 3000 no"), "x 1f 3000 [no]" },
	{ STR("x 1f 4999  spaces "), "x 1f 4999 [ spaces ]" },
	{ STR("x 1f 4000 " R123), "x 1f 4000 [" R123 "]" },
	/* verbs */
	{ STR(""), "! 1" },
	{ STR(">"), "! 1" },
	{ STR("x"), "! 1" },
	{ STR(" > 1f x"), "! 1" },
	{ STR(">1f x"), "! 1" },
	{ STR(">\t1f x"), "! 1" },
	{ STR("X 1f 1000"), "! 1" },
	{ STR("+ 1f {}"), "! 1" },
	{ STR("- 1f {}"), "! 1" },
	{ STR("= 1f"), "! 1" },
	{ STR("hello"), "! 1" },
	/* the second space */
	{ STR("> "), "! 2" },
	{ STR("> 1f"), "! 2" },
	{ STR("> *"), "! 2" },
	{ STR("x 1f"), "! 2" },
	{ STR("> 1f\thello"), "! 2" },
	{ STR("> 1ffffffffffffffff x"), "! 2" },
	{ STR("> hellohellohellohellohello x"), "! 2" },
	/* ids */
	{ STR(">  x"), "! 3" },
	{ STR("> 0 x"), "! 3" },
	{ STR("> 01f x"), "! 3" },
	{ STR("> 1F x"), "! 3" },
	{ STR("> 0x1f x"), "! 3" },
	{ STR("> -1 x"), "! 3" },
	{ STR("> 1g x"), "! 3" },
	{ STR("> ** x"), "! 3" },
	{ STR("x * 1000"), "! 3" },
	{ STR("x  1000"), "! 3" },
	/* codes */
	{ STR("x 1f "), "! 4" },
	{ STR("x 1f bye"), "! 4" },
	{ STR("x 1f 999"), "! 4" },
	{ STR("x 1f 1001"), "! 4" },
	{ STR("x 1f 1005"), "! 4" },
	{ STR("x 1f 1006 x"), "! 4" },
	{ STR("x 1f 2999"), "! 4" },
	{ STR("x 1f 5000"), "! 4" },
	{ STR("x 1f 10000"), "! 4" },
	{ STR("x 1f 01000"), "! 4" },
	{ STR("x 1f 4000\tx"), "! 4" },
	{ STR("x 1f +400"), "! 4" },
	/* reasons, UTF-8, length */
	{ STR("x 1f 4000 " R123 "0"), "! 5" },
	{ STR("x 1f 4000 \xff"), "! 6" },
	{ STR("> 1f \xff"), "! 6" },
	{ STR("> * a\xc3"), "! 6" },
	{ STR("> * \xed\xa0\x80"), "! 6" },
};

static void test_vectors(void **state)
{
	char got[256];

	(void)state;
	assert_int_equal(sizeof(R123) - 1, 123);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		read_one(got, sizeof(got), vectors[i].in, true, SIZE_MAX);
		if (strcmp(got, vectors[i].out) != 0)
			fail_case(vectors[i].in.p, "got %s, expected %s", got,
				vectors[i].out);
	}
}

static void test_binary_and_length(void **state)
{
	char got[64];

	(void)state;
	read_one(got, sizeof(got), STR("> 1f \xff"), false, SIZE_MAX);
	assert_string_equal(got, "> 1f [\xff]");
	read_one(got, sizeof(got), STR("x 1f 4000 \xff"), false, SIZE_MAX);
	assert_string_equal(got, "! 6");
	/* The prefix does not count. */
	read_one(got, sizeof(got), STR("> 1f abcd"), true, 4);
	assert_string_equal(got, "> 1f [abcd]");
	read_one(got, sizeof(got), STR("> * abcde"), true, 4);
	assert_string_equal(got, "! 7");
	read_one(got, sizeof(got), STR("x 1f 1000 long enough"), true, 4);
	assert_string_equal(got, "x 1f 1000 [long enough]");
}

/*
 * Cut at every byte: the beginning is a message of its own, a shorter one or
 * a malformed one, and is never taken for more than it says.
 */
static void test_cut_at_every_byte(void **state)
{
	static const struct {
		struct str in;
		const char *cut; /* the error for each length, '.' for none */
	} cases[] = {
		{ STR("> 1f ab"), "11222..." },
		{ STR("> * ab"), "1122..." },
		{ STR("x 1f 4000 ab"), "112224444...." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t n = 0; n <= cases[i].in.n; n++) {
			char c = cases[i].cut[n];
			char got[64], want[8];

			read_one(got, sizeof(got),
				(struct str){ cases[i].in.p, n }, true, 99);
			snprintf(want, sizeof(want), "! %c", c);
			if (c == '.' ? got[0] == '!' : strcmp(got, want) != 0)
				fail_case(
					cases[i].in.p, "%zu bytes: %s", n, got);
		}
}

static void test_strerror(void **state)
{
	(void)state;
	for (int e = TAGGED_OK + 1; e < TAGGED_ERRORS; e++)
		assert_string_not_equal(
			tagged_strerror((enum tagged_error)e), "no error");
	assert_string_equal(tagged_strerror(TAGGED_OK), "no error");
}

static void test_write(void **state)
{
	uint8_t prefix[TAGGED_PREFIX_MAX];
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(tagged_write_prefix(prefix, 0x1f), 5);
	assert_memory_equal(prefix, "> 1f ", 5);
	assert_int_equal(
		tagged_write_prefix(prefix, UINT64_MAX), TAGGED_PREFIX_MAX);
	assert_memory_equal(prefix, "> ffffffffffffffff ", TAGGED_PREFIX_MAX);
	assert_int_equal(tagged_add_driver(&b, 0x10), 0);
	assert_str(buf_str(&b), "= 10");
	buf_free(&b);
	assert_int_equal(tagged_add_driver(&b, 0), 0);
	assert_str(buf_str(&b), "= -");
	buf_free(&b);
	assert_int_equal(tagged_add_left(&b, 0xa, "client-gone"), 0);
	assert_str(buf_str(&b), "- a {\"reason\":\"client-gone\"}");
	buf_free(&b);
}

static void test_joined(void **state)
{
	static const struct {
		struct tagged_client c;
		const char *out;
	} cases[] = {
		{ { 0x19a, "alice", "rw", "192.0.2.1:80", "/h/1" },
			"+ 19a {\"sub\":\"alice\",\"perm\":\"rw\","
			"\"peer\":\"192.0.2.1:80\",\"path\":\"/h/1\"}" },
		{ { 1, NULL, "r", "unix", "/" },
			"+ 1 {\"sub\":null,\"perm\":\"r\",\"peer\":\"unix\","
			"\"path\":\"/\"}" },
		/* No line feed of a name ends the line that it stands in. */
		{ { 2, "a\"b\\c\nd\x01\xc3\xa6\xe2\x80\xa8", "w", "p", "/p" },
			"+ 2 {\"sub\":\"a\\\"b\\\\c\\nd\\u0001\xc3\xa6"
			"\xe2\x80\xa8\",\"perm\":\"w\",\"peer\":\"p\","
			"\"path\":\"/p\"}" },
		{ { 3, "\xff", "w", "p", "/\xc0\xaf" },
			"+ 3 {\"sub\":null,\"perm\":\"w\",\"peer\":\"p\","
			"\"path\":null}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = { 0 };

		assert_int_equal(tagged_add_joined(&b, &cases[i].c), 0);
		assert_str(buf_str(&b), cases[i].out);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_binary_and_length),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_strerror),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
