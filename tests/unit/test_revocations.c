/*
 * test_revocations.c: which tokens are refused: by what they have in common,
 * until when, how many entries; written and read again.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/state.h"
#include "codec/token/jwt.h"
#include "gate/bearer.h"
#include "gate/revocations.h"

#define NOW  INT64_C(1700000000000)
#define HOUR (3600 * 1000)

static struct state_record record(enum state_kind kind, enum state_of of,
	const char *key, const char *value)
{
	return (struct state_record){ .kind = kind,
		.until_ms = NOW + HOUR,
		.before_ms = kind == STATE_REVOKED ? NOW : 0,
		.of = of,
		.key = str_of(key),
		.value = str_of(value) };
}

static void add(struct revocations *t, struct state_record r)
{
	assert_int_equal(revocations_add(t, &r, NOW), 0);
}

static struct bearer *bearer(int64_t iat, char *jti)
{
	struct jwt t = { .iat = iat, .jti = jti };
	struct bearer *b;

	memset(t.hash, 0xab, sizeof(t.hash));
	b = bearer_new(&t, "lab", "kid", NOW + 10);
	assert_non_null(b);
	return b;
}

static enum reason check(struct revocations *t, const char *identity,
	int64_t iat, char *jti, int64_t now)
{
	struct bearer *b = bearer(iat, jti);
	enum reason r = revocations_check(t, identity, b, now);

	free(b);
	return r;
}

static void test_empty(void **state)
{
	struct revocations *t = revocations_new();
	(void)state;

	assert_non_null(t);
	assert_int_equal(check(t, "lab/alice", NOW, NULL, NOW), REASON_NONE);
	assert_int_equal(revocations_check(t, NULL, NULL, NOW), REASON_NONE);
	revocations_free(t);
	revocations_free(NULL);
}

static void test_what_fits(void **state)
{
	static const struct {
		enum state_of of;
		const char *key, *value;
		bool fits;
	} cases[] = {
		{ STATE_SUB, "", "alice", true },
		{ STATE_SUB, "lab", "alice", true },
		{ STATE_SUB, "lib", "alice", false },
		{ STATE_SUB, "", "lab/alice", false },
		{ STATE_SUB, "", "alic", false },
		{ STATE_SUB, "", "j", false },
		{ STATE_KID, "", "kid", true },
		{ STATE_KID, "", "lab", false },
		{ STATE_JTI, "", "j", true },
		{ STATE_JTI, "lab", "j", true },
		{ STATE_JTI, "kid", "j", false },
		{ STATE_TOKEN, "", "abababababababababababababababab", true },
		{ STATE_TOKEN, "", "abababababababababababababababaa", false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int ban = 0; ban < 2; ban++) {
			struct revocations *t = revocations_new();
			enum reason no = ban ? REASON_BANNED : REASON_REVOKED;
			struct state_record r = record(
				ban ? STATE_BANNED : STATE_REVOKED, cases[i].of,
				cases[i].key, cases[i].value);

			assert_non_null(t);
			add(t, r);
			if (check(t, "lab/alice", NOW - 1, "j", NOW) !=
				(cases[i].fits ? no : REASON_NONE))
				fail_case(cases[i].value, "case %zu", i);
			assert_int_equal(check(t, NULL, NOW, NULL, NOW),
				cases[i].fits && (cases[i].of == STATE_KID ||
							 cases[i].of ==
								 STATE_TOKEN)
					? no
					: REASON_NONE);
			assert_true(revocations_remove(t, &r, NOW));
			assert_false(revocations_remove(t, &r, NOW));
			assert_int_equal(
				check(t, "lab/alice", NOW - 1, "j", NOW),
				REASON_NONE);
			revocations_free(t);
		}
}

static void test_when(void **state)
{
	struct revocations *t = revocations_new();
	(void)state;

	assert_non_null(t);
	add(t, record(STATE_REVOKED, STATE_SUB, "lab", "alice"));
	add(t, record(STATE_BANNED, STATE_SUB, "lab", "bob"));
	assert_int_equal(check(t, "lab/alice", NOW, NULL, NOW), REASON_REVOKED);
	assert_int_equal(
		check(t, "lab/alice", NOW + 1, NULL, NOW), REASON_NONE);
	assert_int_equal(
		check(t, "lab/alice", JWT_NEVER, NULL, NOW), REASON_REVOKED);
	assert_int_equal(
		check(t, "lab/bob", NOW + 1, NULL, NOW), REASON_BANNED);
	/* Once more, for a shorter time: the later times hold. */
	assert_int_equal(revocations_add(t,
				 &(struct state_record){ .kind = STATE_REVOKED,
					 .until_ms = NOW + 1,
					 .before_ms = NOW + 5,
					 .of = STATE_SUB,
					 .key = STR("lab"),
					 .value = STR("alice") },
				 NOW),
		0);
	assert_int_equal(check(t, "lab/alice", NOW + 5, NULL, NOW + HOUR - 1),
		REASON_REVOKED);
	assert_int_equal(
		check(t, "lab/alice", NOW, NULL, NOW + HOUR), REASON_NONE);
	assert_int_equal(
		check(t, "lab/bob", NOW, NULL, NOW + HOUR), REASON_NONE);
	revocations_free(t);
}

/* What its clock says of the future was issued when it was shown. */
static void test_a_clock_that_is_ahead(void **state)
{
	struct bearer *b = bearer(NOW + HOUR, NULL);
	(void)state;

	assert_int_equal(b->issued_ms, NOW + 10);
	free(b);
}

static void test_written_and_read(void **state)
{
	struct revocations *t = revocations_new(), *u = revocations_new();
	struct buf one = { 0 }, other = { 0 };
	struct state_record r;
	struct str left;
	(void)state;

	assert_non_null(t);
	assert_non_null(u);
	add(t, record(STATE_REVOKED, STATE_SUB, "lab", "alice"));
	add(t, record(STATE_BANNED, STATE_SUB, "lab", "alice"));
	add(t, record(STATE_BANNED, STATE_KID, "", "leaked"));
	r = record(STATE_BANNED, STATE_JTI, "", "soon");
	r.until_ms = NOW + 1;
	add(t, r);
	assert_int_equal(revocations_write(t, &one, NOW + 1), 0);
	assert_str(buf_str(&one),
		"revoked 1700003600000 1700000000000 sub lab alice\n"
		"banned 1700003600000 sub lab alice\n"
		"banned 1700003600000 kid * leaked\n");
	left = buf_str(&one);
	while (state_next(&left, &r) == 1)
		assert_int_equal(revocations_add(u, &r, NOW), 0);
	assert_int_equal(revocations_write(u, &other, NOW), 0);
	assert_int_equal(one.n, other.n);
	assert_memory_equal(one.p, other.p, one.n);
	buf_free(&one);
	buf_free(&other);
	revocations_free(t);
	revocations_free(u);
}

static void test_full(void **state)
{
	struct revocations *t = revocations_new();
	char name[16];
	(void)state;

	assert_non_null(t);
	for (int i = 0; i < REVOCATIONS_MAX; i++) {
		struct state_record r;

		snprintf(name, sizeof(name), "%d", i);
		r = record(STATE_BANNED, STATE_SUB, "", name);
		r.until_ms = NOW + 1 + i % 2;
		assert_int_equal(revocations_add(t, &r, NOW), 0);
	}
	for (int again = 0; again < 2; again++) {
		struct state_record r = record(
			STATE_REVOKED, STATE_SUB, "", "one more");

		errno = 0;
		assert_int_equal(revocations_add(t, &r, NOW), -1);
		assert_int_equal(errno, ENOSPC);
		assert_int_equal(
			check(t, "lab/one more", NOW, NULL, NOW), REASON_NONE);
	}
	/* One that is there takes no further place; what expires gives its. */
	add(t, record(STATE_REVOKED, STATE_SUB, "", "7"));
	assert_int_equal(check(t, "lab/8", NOW, NULL, NOW + 1), REASON_NONE);
	assert_int_equal(check(t, "lab/9", NOW, NULL, NOW + 1), REASON_BANNED);
	assert_int_equal(check(t, "lab/7", NOW, NULL, NOW + 1), REASON_BANNED);
	add(t, record(STATE_REVOKED, STATE_SUB, "", "one more"));
	revocations_free(t);
}

static void *ask_often(void *arg)
{
	for (int i = 0; i < 2000; i++)
		(void)!check(arg, "lab/alice", NOW, "j", NOW);
	return NULL;
}

static void test_threads(void **state)
{
	struct revocations *t = revocations_new();
	struct state_record r = record(STATE_BANNED, STATE_SUB, "", "alice");
	pthread_t threads[3];
	(void)state;

	assert_non_null(t);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, ask_often, t), 0);
	for (int i = 0; i < 1000; i++) {
		add(t, r);
		assert_int_equal(
			check(t, "x/alice", NOW, NULL, NOW), REASON_BANNED);
		assert_true(revocations_remove(t, &r, NOW));
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	revocations_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_what_fits),
		cmocka_unit_test(test_when),
		cmocka_unit_test(test_a_clock_that_is_ahead),
		cmocka_unit_test(test_written_and_read),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
