/*
 * test_state.c: the daemon's state as text: what is written is read again;
 * whatever else is in the file, and wherever it is cut, it is refused.
 */
#include "support.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/state.h"

static const struct state_record records[] = {
	{ .kind = STATE_REVOKED,
		.until_ms = INT64_C(1764183600000),
		.before_ms = INT64_C(1764180000000),
		.of = STATE_SUB,
		.key = { "lab", 3 },
		.value = { "alice of the lab", 16 } },
	{ .kind = STATE_BANNED,
		.until_ms = INT64_C(253402300799999),
		.of = STATE_KID,
		.value = { "Schl\xc3\xbcssel *", 12 } },
	{ .kind = STATE_BANNED,
		.until_ms = 0,
		.of = STATE_JTI,
		.value = { "*", 1 } },
	{ .kind = STATE_REVOKED,
		.until_ms = 1,
		.before_ms = 2,
		.of = STATE_TOKEN,
		.value = { "000102030405060708090a0b0c0d0eff", 32 } },
	{ .kind = STATE_SINCE, .before_ms = 17 },
	{ .kind = STATE_USED,
		.until_ms = 18,
		.key = { "lab-2.x_y", 9 },
		.id = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
			255 } },
};

static const char text_of_records[] =
	"wsrelayd-state 1\n"
	"revoked 1764183600000 1764180000000 sub lab alice of the lab\n"
	"banned 253402300799999 kid * Schl\xc3\xbcssel *\n"
	"banned 0 jti * *\n"
	"revoked 1 2 token * 000102030405060708090a0b0c0d0eff\n"
	"since 17\n"
	"used 18 lab-2.x_y 000102030405060708090a0b0c0d0eff\n";

static struct buf write_all(void)
{
	struct buf b = { 0 };

	assert_int_equal(state_begin(&b), 0);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		assert_int_equal(state_add(&b, &records[i]), 0);
	return b;
}

static void assert_same(struct str a, struct str b)
{
	assert_int_equal(a.n, b.n);
	if (a.n > 0)
		assert_memory_equal(a.p, b.p, a.n);
}

static void test_round_trip(void **state)
{
	struct buf b = write_all();
	struct str left;
	struct state_record r;
	const char *why;
	(void)state;

	assert_str(buf_str(&b), text_of_records);
	assert_int_equal(state_seal(&b), 0);
	assert_int_equal(state_open(&left, buf_str(&b), &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		const struct state_record *want = &records[i];

		assert_int_equal(state_next(&left, &r), 1);
		assert_int_equal(r.kind, want->kind);
		assert_int_equal(r.until_ms, want->until_ms);
		assert_int_equal(r.before_ms, want->before_ms);
		assert_int_equal(r.of, want->of);
		assert_same(r.key, want->key);
		assert_same(r.value, want->value);
		assert_memory_equal(r.id, want->id, STATE_ID);
	}
	assert_int_equal(state_next(&left, &r), 0);
	buf_free(&b);
}

/* Without records it is a state, too. */
static void test_empty(void **state)
{
	struct buf b = { 0 };
	struct str left;
	struct state_record r;
	const char *why;
	(void)state;

	assert_int_equal(state_begin(&b), 0);
	assert_int_equal(state_seal(&b), 0);
	assert_int_equal(state_open(&left, buf_str(&b), &why), 0);
	assert_int_equal(state_next(&left, &r), 0);
	buf_free(&b);
}

static void test_cut_at_every_byte(void **state)
{
	struct buf b = write_all();
	struct str left;
	const char *why;
	(void)state;

	assert_int_equal(state_seal(&b), 0);
	for (size_t n = 0; n < b.n; n++) {
		char *copy = exact_copy(b.p, n);

		assert_int_equal(
			state_open(&left, (struct str){ copy, n }, &why), -1);
		free(copy);
	}
	buf_free(&b);
}

static void test_each_byte_changed(void **state)
{
	struct buf b = write_all();
	struct str left;
	const char *why;
	(void)state;

	assert_int_equal(state_seal(&b), 0);
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 1;
		assert_int_equal(state_open(&left, buf_str(&b), &why), -1);
		b.p[i] ^= 1;
	}
	assert_int_equal(buf_add_str(&b, STR("\n")), 0);
	assert_int_equal(state_open(&left, buf_str(&b), &why), -1);
	buf_free(&b);
}

/* A line is cut at every byte: only the whole is a record. */
static void test_records_cut_at_every_byte(void **state)
{
	struct buf b = write_all();
	struct str text;
	(void)state;

	text = buf_str(&b);
	(void)str_cut(&text, '\n');
	while (text.n > 0) {
		size_t n = (size_t)((const char *)memchr(text.p, '\n', text.n) -
				    text.p) +
			   1;

		for (size_t cut = 1; cut < n; cut++) {
			char *copy = exact_copy(text.p, cut);
			struct str left = { copy, cut };
			struct state_record r;

			assert_int_equal(state_next(&left, &r), -1);
			free(copy);
		}
		text.p += n;
		text.n -= n;
	}
	buf_free(&b);
}

static void test_no_records(void **state)
{
	static const char *const lines[] = {
		"\n",
		" since 1\n",
		"since\n",
		"since \n",
		"since 1 \n",
		"since 01\n",
		"since -1\n",
		"since +1\n",
		"since 1x\n",
		"since 253402300800000\n",
		"since 9999999999999999\n",
		"SINCE 1\n",
		"sinces 1\n",
		"used 1 k 00\n",
		"used 1 k 000102030405060708090a0b0c0d0e0F\n",
		"used 1 k 000102030405060708090a0b0c0d0e0g\n",
		"used 1 k 000102030405060708090a0b0c0d0e0f0\n",
		"used 1 k 000102030405060708090a0b0c0d0e0f \n",
		"used 1 * 000102030405060708090a0b0c0d0e0f\n",
		"used 1  000102030405060708090a0b0c0d0e0f\n",
		"used x k 000102030405060708090a0b0c0d0e0f\n",
		"revoked 1 sub * a\n",
		"revoked 1 2 sub * \n",
		"revoked 1 2 sub *\n",
		"revoked 1 2 sub  a\n",
		"revoked 1 2 sub\n",
		"revoked 1 2 Sub * a\n",
		"revoked 1 2 subject * a\n",
		"revoked 1 2 kid lab a\n",
		"revoked 1 2 token lab 000102030405060708090a0b0c0d0e0f\n",
		"revoked 1 2 token * 0001\n",
		"revoked 1 2 sub l\tb a\n",
		"revoked 1 2 sub l\xc3\xa4 a\n",
		"revoked 1 2 sub * a\tb\n",
		"revoked 1 2 sub * a\x7f\n",
		"revoked 1 2 sub * a\r\n",
		"revoked 1 2 sub * a\xff\n",
		"revoked 1 2 sub * a\xc3\n",
		"banned 1 2 sub * a\n",
		"banned sub * a\n",
		"banned 1 sub **\n",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char *copy = exact_copy(lines[i], strlen(lines[i]));
		struct str left = { copy, strlen(lines[i]) };
		struct state_record r;

		if (state_next(&left, &r) != -1)
			fail_case(lines[i], "was taken for a record");
		free(copy);
	}
}

static void test_longest(void **state)
{
	char line[1024], value[STATE_VALUE_MAX + 2], key[STATE_KEY_MAX + 2];
	struct state_record r;
	struct str left;
	(void)state;

	memset(value, 'v', sizeof(value));
	memset(key, 'k', sizeof(key));
	for (int more_key = 0; more_key < 2; more_key++)
		for (int more = 0; more < 2; more++) {
			snprintf(line, sizeof(line), "banned 1 sub %.*s %.*s\n",
				STATE_KEY_MAX + more_key, key,
				STATE_VALUE_MAX + more, value);
			left = str_of(line);
			assert_int_equal(state_next(&left, &r),
				more || more_key ? -1 : 1);
		}
}

static void test_values(void **state)
{
	(void)state;
	assert_true(state_value_valid(STATE_SUB, STR("a b")));
	assert_false(state_value_valid(STATE_SUB, STR("")));
	assert_false(state_value_valid(STATE_JTI, STR("a\nb")));
	assert_false(state_value_valid(STATE_TOKEN, STR("a")));
	assert_true(state_value_valid(
		STATE_TOKEN, STR("000102030405060708090a0b0c0d0e0f")));
	assert_string_equal(state_of_word(STATE_TOKEN), "token");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_each_byte_changed),
		cmocka_unit_test(test_records_cut_at_every_byte),
		cmocka_unit_test(test_no_records),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
