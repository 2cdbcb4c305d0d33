#include "codec/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static const struct str good[] = {
	STR(""),
	STR("plain ASCII, longer than one word of eight and four of them"),
	STR("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"), /* kosme */
	STR("\0"),
	STR("\x7f"),
	STR("\xc2\x80"),         /* U+0080, the first of two bytes */
	STR("\xdf\xbf"),         /* U+07FF */
	STR("\xe0\xa0\x80"),     /* U+0800 */
	STR("\xed\x9f\xbf"),     /* U+D7FF, before the surrogates */
	STR("\xee\x80\x80"),     /* U+E000, behind them */
	STR("\xef\xbf\xbd"),     /* U+FFFD */
	STR("\xef\xbf\xbe"),     /* U+FFFE, no character but valid */
	STR("\xef\xbf\xbf"),     /* U+FFFF */
	STR("\xf0\x90\x80\x80"), /* U+10000 */
	STR("\xf4\x8f\xbf\xbf"), /* U+10FFFF */
	STR("1234567\xc3\xa4"
	    "1234567\xf0\x9f\x98\x80"
	    "12345678"),
};

/* Each is wrong wherever valid text stands before or behind it. */
static const struct str bad[] = {
	STR("\x80"), /* a continuation alone */
	STR("\xbf"),
	STR("\x80\xbf\x80"),
	STR("\xc0\x20"), /* a lead and no continuation */
	STR("\xdf\x20"),
	STR("\xe0\xa0\x20"),
	STR("\xef\xbf\x20"),
	STR("\xf0\x90\x80\x20"),
	STR("\xf4\x80\x80\x20"),
	STR("\xc3\xc3\xa4"),
	STR("\xc0\xaf"), /* "/" in too many bytes */
	STR("\xc1\xbf"),
	STR("\xe0\x80\xaf"),
	STR("\xe0\x9f\xbf"),
	STR("\xf0\x80\x80\xaf"),
	STR("\xf0\x8f\xbf\xbf"),
	STR("\xf8\x80\x80\x80\xaf"),
	STR("\xfc\x80\x80\x80\x80\xaf"),
	STR("\xed\xa0\x80"), /* surrogates */
	STR("\xed\xad\xbf"),
	STR("\xed\xbf\xbf"),
	STR("\xed\xa0\x80\xed\xb0\x80"),
	STR("\xf4\x90\x80\x80"), /* U+110000 */
	STR("\xf5\x80\x80\x80"),
	STR("\xf7\xbf\xbf\xbf"),
	STR("\xfb\xbf\xbf\xbf\xbf"),
	STR("\xfe"),
	STR("\xff"),
	STR("\xf0\x9f\x98\xf0\x9f\x98\x80"),
};

/* Both parts stand in blocks of their own, so that ASan sees the ends. */
static bool valid_in_two(struct str s, size_t cut)
{
	struct utf8 u = { 0 };
	uint8_t *a = malloc(cut + 1), *b = malloc(s.n - cut + 1);
	bool ok;

	memcpy(a + 1, s.p, cut);
	memcpy(b + 1, s.p + cut, s.n - cut);
	ok = utf8_add(&u, a + 1, cut) && utf8_add(&u, b + 1, s.n - cut) &&
	     utf8_complete(&u);
	free(a);
	free(b);
	return ok;
}

static void check_everywhere(struct str s, bool expected)
{
	assert_int_equal(utf8_valid(s.p, s.n), expected);
	for (size_t cut = 0; cut <= s.n; cut++)
		assert_int_equal(valid_in_two(s, cut), expected);
}

/* Behind 0 to 40 bytes of ASCII, to meet every step of the ASCII skip. */
static void check_shifted(struct str s, bool expected)
{
	char text[128];

	for (size_t shift = 0; shift <= 40; shift++) {
		memset(text, 'a', sizeof(text));
		memcpy(text + shift, s.p, s.n);
		check_everywhere((struct str){ text, shift + s.n }, expected);
		check_everywhere(
			(struct str){ text, shift + s.n + 20 }, expected);
	}
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		check_shifted(good[i], true);
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_shifted(bad[i], false);
}

/* A text cut inside a character is a good beginning and a bad end. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t n = 0; n < good[i].n; n++) {
			struct utf8 u = { 0 };
			bool cuts = ((uint8_t)good[i].p[n] & 0xc0) == 0x80;

			assert_true(
				utf8_add(&u, (const uint8_t *)good[i].p, n));
			assert_int_equal(utf8_complete(&u), !cuts);
			assert_int_equal(utf8_valid(good[i].p, n), !cuts);
		}
	}
}

/* What RFC 3629 section 3 says, as plainly as can be. */
static bool reference(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

	for (size_t i = 0; i < n;) {
		uint8_t c = p[i++];
		size_t more = c < 0x80             ? 0
			      : (c & 0xe0) == 0xc0 ? 1
			      : (c & 0xf0) == 0xe0 ? 2
			      : (c & 0xf8) == 0xf0 ? 3
						   : 9;
		uint32_t value = c < 0x80 ? c : c & (0x3fu >> more);

		if (more == 9 || n - i < more)
			return false;
		for (size_t k = 0; k < more; k++, i++) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			value = value << 6 | (p[i] & 0x3fu);
		}
		if (value < least[more] || value > 0x10ffff ||
			(value >= 0xd800 && value <= 0xdfff))
			return false;
	}
	return true;
}

static void test_against_reference(void **state)
{
	int valid = 0;
	uint8_t p[4];

	(void)state;
	/* Every first three bytes, and a last one at the edges. */
	for (uint32_t v = 0; v < 1u << 24; v += 1 + (v & 0xff) % 3) {
		p[0] = (uint8_t)(v >> 16);
		p[1] = (uint8_t)(v >> 8);
		p[2] = (uint8_t)v;
		p[3] = v % 5 == 0   ? 0x80
		       : v % 5 == 1 ? 0xbf
		       : v % 5 == 2 ? 0x7f
		       : v % 5 == 3 ? 0xc0
				    : 0;
		for (size_t n = 3; n <= 4; n++) {
			bool expected = reference(p, n);

			valid += expected;
			if (utf8_valid(p, n) != expected)
				fail_msg("%08x, %zu bytes", v, n);
		}
	}
	assert_in_range(valid, 100000, 1 << 24);
}

static void test_random(void **state)
{
	static const uint8_t edges[] = { 0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
		0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0,
		0xf1, 0xf4, 0xf5, 0xff };
	int valid = 0;

	(void)state;
	srand(2);
	for (int round = 0; round < 300000; round++) {
		uint8_t p[10];
		size_t n = (size_t)rand() % (sizeof(p) + 1);

		for (size_t i = 0; i < n; i++)
			p[i] = edges[(size_t)rand() % sizeof(edges)];
		valid += reference(p, n);
		assert_int_equal(utf8_valid(p, n), reference(p, n));
	}
	assert_true(valid > 1000);
}

static void test_prefix(void **state)
{
	static const struct {
		struct str s;
		size_t max, prefix;
	} cases[] = {
		{ STR("abc"), 3, 3 }, { STR("abc"), 9, 3 },
		{ STR("abc"), 2, 2 }, { STR("abc"), 0, 0 },
		{ STR("a\xc3\xa4"
		      "b"),
			3, 3 },
		{ STR("a\xc3\xa4"
		      "b"),
			2, 1 },
		{ STR("\xe2\x82\xac"
		      "x"),
			2, 0 },
		{ STR("\xe2\x82\xac"
		      "x"),
			1, 0 },
		{ STR("ab\xf0\x9f\x98\x80"
		      "x"),
			5, 2 },
		{ STR("ab\xf0\x9f\x98\x80"
		      "x"),
			3, 2 },
		{ STR("ab\xf0\x9f\x98\x80"
		      "x"),
			6, 6 },
		{ STR("\x80\x80\x80\x80\x80\x80"), 5, 5 }, /* no character */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			utf8_prefix(cases[i].s.p, cases[i].s.n, cases[i].max),
			cases[i].prefix);
	assert_int_equal(utf8_prefix(NULL, 0, 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_against_reference),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
