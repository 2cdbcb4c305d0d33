/*
 * test_certificate_subject.c: Names in DER as lines. The DER is made here.
 */
#include "support.h"

#include <stdio.h>

#include "base/compiler.h"
#include "codec/certificate.h"
#include "codec/utf8.h"

#define CN    "\x06\x03\x55\x04\x03"
#define O     "\x06\x03\x55\x04\x0a"
#define ODD   "\x06\x04\x2a\x03\x87\x68" /* 1.2.3.1000 */
#define UTF8  0x0c
#define PRINT 0x13
#define T61   0x14
#define IA5   0x16
#define BMP   0x1e

struct der {
	uint8_t p[4096];
	size_t n;
};

/* tag, length and what was there; in front of it all. */
static void wrap(struct der *d, uint8_t tag)
{
	uint8_t head[4] = { tag };
	size_t n = 2;

	if (d->n < 128) {
		head[1] = (uint8_t)d->n;
	} else {
		head[1] = 0x82;
		head[2] = (uint8_t)(d->n >> 8);
		head[3] = (uint8_t)d->n;
		n = 4;
	}
	assert_true(d->n + n <= sizeof(d->p));
	memmove(d->p + n, d->p, d->n);
	memcpy(d->p, head, n);
	d->n += n;
}

static void append(struct der *d, const void *p, size_t n)
{
	assert_true(d->n + n <= sizeof(d->p));
	memcpy(d->p + d->n, p, n);
	d->n += n;
}

struct part {
	const char *oid; /* in DER, with its tag; NULL = the end */
	int tag;
	const char *value;
	size_t n;    /* 0 = up to its NUL */
	bool joined; /* to the part before, in one set */
};

static struct der make_name(const struct part *parts)
{
	struct der name = { .n = 0 };
	struct der set = { .n = 0 };

	for (const struct part *p = parts; p->oid; p++) {
		struct der value = { .n = 0 };
		struct der pair = { .n = 0 };

		append(&value, p->value, p->n > 0 ? p->n : strlen(p->value));
		wrap(&value, (uint8_t)p->tag);
		append(&pair, p->oid, 2 + (size_t)p->oid[1]);
		append(&pair, value.p, value.n);
		wrap(&pair, 0x30);
		append(&set, pair.p, pair.n);
		if (p[1].oid && p[1].joined)
			continue;
		wrap(&set, 0x31);
		append(&name, set.p, set.n);
		set.n = 0;
	}
	wrap(&name, 0x30);
	return name;
}

static void test_lines(void **state)
{
	static const struct {
		struct part parts[4];
		const char *want;
	} cases[] = {
		{ { { 0 } }, "" },
		{ { { CN, UTF8, "alice", 0, false },
			  { O, PRINT, "lab", 0, false } },
			"CN=alice, O=lab" },
		{ { { O, IA5, "lab", 0, false }, { CN, UTF8, "alice", 0, true },
			  { CN, UTF8, "x", 0, false } },
			"O=lab + CN=alice, CN=x" },
		/* One value is never two parts. */
		{ { { CN, UTF8, "alice, O=lab", 0, false } },
			"CN=alice\\, O=lab" },
		{ { { CN, UTF8, "a + CN=b", 0, false } }, "CN=a \\+ CN=b" },
		{ { { CN, UTF8, "#\"<>;\\#", 0, false } },
			"CN=\\#\\\"\\<\\>\\;\\\\#" },
		{ { { CN, UTF8, "  a b  ", 0, false } }, "CN=\\  a b \\ " },
		{ { { CN, UTF8, " ", 0, false } }, "CN=\\ " },
		{ { { CN, UTF8, "", 0, false } }, "CN=" },
		{ { { CN, UTF8, "Zo\xc3\xab", 0, false } }, "CN=Zo\xc3\xab" },
		{ { { CN, UTF8, "\xe6\x97\xa5\xf0\x9f\x98\x80", 0, false } },
			"CN=\xe6\x97\xa5\xf0\x9f\x98\x80" },
		/* What is not UTF-8, and what would not stay in its line. */
		{ { { CN, UTF8, "Zo\xeb", 0, false } }, "CN=Zo\\EB" },
		{ { { CN, UTF8, "\xc3\xab\xc3", 0, false } },
			"CN=\\C3\\AB\\C3" },
		{ { { CN, UTF8, "a\r\nb\x7f", 0, false } },
			"CN=a\\0D\\0Ab\\7F" },
		{ { { CN, UTF8, "a\0b", 3, false } }, "CN=a\\00b" },
		{ { { CN, UTF8, "a\xc2\x85\xc2\xa0", 0, false } },
			"CN=a\\C2\\85\xc2\xa0" },
		{ { { CN, UTF8, "\\C3", 0, false } }, "CN=\\\\C3" },
		/* Other kinds of strings say bytes. */
		{ { { CN, T61, "Zo\xeb", 0, false } }, "CN=#14035A6FEB" },
		{ { { CN, BMP, "\0a", 2, false } }, "CN=#1E020061" },
		{ { { ODD, UTF8, "x", 0, false } }, "1.2.3.1000=x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct der d = make_name(cases[i].parts);
		uint8_t *p = (uint8_t *)exact_copy(d.p, d.n);
		char line[CERTIFICATE_SUBJECT_MAX];

		if (certificate_subject(line, p, d.n) < 0 ||
			strcmp(line, cases[i].want) != 0)
			fail_case(cases[i].want, "%zu is \"%s\"", i, line);
		free(p);
	}
}

/* Whatever is cut, or is not there: no name, and nothing read behind it. */
static void test_broken(void **state)
{
	static const struct part parts[] = {
		{ O, PRINT, "lab", 0, false },
		{ CN, UTF8, "alice", 0, true },
		{ ODD, T61, "b\xeb", 0, false },
		{ 0 },
	};
	struct der d = make_name(parts);
	char line[CERTIFICATE_SUBJECT_MAX];

	(void)state;
	for (size_t n = 0; n < d.n; n++) {
		uint8_t *p = (uint8_t *)exact_copy(d.p, n);

		assert_int_equal(certificate_subject(line, p, n), -1);
		assert_string_equal(line, "");
		free(p);
	}
	/* Any byte may be another: a line of UTF-8, or none. */
	for (size_t i = 0; i < d.n * 255; i++) {
		uint8_t *p = (uint8_t *)exact_copy(d.p, d.n);

		p[i / 255] = (uint8_t)(p[i / 255] + 1 + i % 255);
		if (certificate_subject(line, p, d.n) == 0)
			assert_true(utf8_valid(line, strlen(line)));
		else
			assert_string_equal(line, "");
		free(p);
	}
}

static void test_long(void **state)
{
	static char value[2000];
	struct part parts[] = {
		{ CN, UTF8, value, 0, false },
		{ O, UTF8, "behind", 0, false },
		{ 0 },
	};
	char line[CERTIFICATE_SUBJECT_MAX];

	(void)state;
	for (size_t n = 480; n < 520; n++) {
		struct der d;

		memset(value, 'x', n);
		memcpy(value + n, "\xc3\xab", 3);
		d = make_name(parts);
		assert_int_equal(certificate_subject(line, d.p, d.n), 0);
		assert_true(strlen(line) >= 480);
		assert_true(utf8_valid(line, strlen(line)));
	}
	memset(value, '\n', sizeof(value) - 1);
	assert_int_equal(certificate_subject(
				 line, make_name(parts).p, make_name(parts).n),
		0);
	assert_int_equal(strlen(line), 3 + 169 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
