#include "hub/backlog.h"

#include "base/buf.h"
#include "base/message.h"
#include "base/waiting.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "support.h"

static struct budget budget;

/* "t5": a text for the client 5; "b0": binary for all; "x5": its end. */
static int add(struct backlog *b, const struct conf_route *r, const char *what)
{
	static const uint8_t bytes[10];
	struct message *m = message_new(
		bytes, 0, bytes, sizeof(bytes), &budget);
	int result;

	assert_non_null(m);
	m->opcode = what[0] == 't'   ? WS_TEXT
		    : what[0] == 'b' ? WS_BINARY
				     : WS_CLOSE;
	m->to = (uint64_t)(what[1] - '0');
	result = backlog_add(b, m, r);
	message_unref(m);
	return result;
}

/* Adds all and compares what is left with the words of want. */
static void check(const struct conf_route *r, bool shared,
	const char *const *words, const char *want)
{
	struct message *v[64];
	struct buf got = { 0 };
	struct backlog b;
	size_t n;

	if (shared)
		backlog_init_shared(&b, &budget);
	else
		backlog_init(&b, &budget);
	for (; *words; words++)
		assert_true(add(&b, r, *words) >= 0);
	n = backlog_peek(&b, v, ARRAY_SIZE(v));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add_printf(&got, "%c%d ",
					 v[i]->opcode == WS_TEXT     ? 't'
					 : v[i]->opcode == WS_BINARY ? 'b'
								     : 'x',
					 (int)v[i]->to),
			0);
	assert_str(buf_str(&got), want);
	buf_free(&got);
	backlog_free(&b);
	assert_int_equal(budget_used(&budget), 0);
}

#define WORDS(...)                                                             \
	(const char *const[])                                                  \
	{                                                                      \
		__VA_ARGS__, NULL                                              \
	}

/* A client's own queue: whom a message was for makes no difference. */
static void test_latest_of_one(void **state)
{
	struct conf_route r = { .queue_limit = 10000,
		.slow_text_kind = CONF_SLOW_LATEST,
		.slow_binary_kind = CONF_SLOW_LATEST };

	(void)state;
	check(&r, false, WORDS("t0", "t5", "b5", "b0"), "t5 b0 ");
	check(&r, false, WORDS("t5", "t0", "x5"), "t0 x5 ");
}

/* A queue for many: none loses a message because another gets a newer one. */
static void test_latest_of_many(void **state)
{
	struct conf_route r = { .queue_limit = 10000,
		.slow_text_kind = CONF_SLOW_LATEST,
		.slow_binary_kind = CONF_SLOW_LATEST };

	(void)state;
	check(&r, true, WORDS("t5", "t6", "t5"), "t6 t5 ");
	check(&r, true, WORDS("t0", "t5", "b6"), "t0 t5 b6 ");
	check(&r, true, WORDS("t5", "t6", "b6", "t0"), "b6 t0 ");
	check(&r, true, WORDS("x5", "t6", "x6", "t0", "b0"), "x5 x6 t0 b0 ");
}

/* An end is never dropped, nor counted. */
static void test_close_gives_way_to_nothing(void **state)
{
	/* Room for two of these messages of 10 bytes. */
	struct conf_route r = { .queue_limit = 2 * (10 + BUDGET_ITEM),
		.slow_text_kind = CONF_SLOW_DROP_OLD,
		.slow_binary_kind = CONF_SLOW_CLOSE };
	struct backlog b;

	(void)state;
	check(&r, true, WORDS("x5", "t6", "x6", "t0", "t7"), "x5 x6 t0 t7 ");
	backlog_init(&b, &budget);
	assert_int_equal(add(&b, &r, "b0"), 0);
	assert_int_equal(add(&b, &r, "x5"), 0);
	assert_int_equal(add(&b, &r, "b5"), 0);
	assert_int_equal(add(&b, &r, "b0"), BACKLOG_SLOW);
	assert_int_equal(add(&b, &r, "x5"), 0);
	backlog_free(&b);
}

/* What is let in depends on the daemon, too, once a backlog is not small. */
static void test_full_budget(void **state)
{
	struct conf_route r = { .queue_limit = 1 << 20,
		.slow_text_kind = CONF_SLOW_CLOSE,
		.slow_binary_kind = CONF_SLOW_DROP_OLD };
	struct backlog b;
	size_t n = 0;
	int result;

	(void)state;
	budget_init(&budget, 0);
	backlog_init(&b, &budget);
	while ((result = add(&b, &r, "t0")) == 0)
		n++;
	assert_int_equal(result, BACKLOG_MEMORY);
	assert_int_equal(n, WAITING_SMALL / (10 + BUDGET_ITEM));
	assert_int_equal(add(&b, &r, "b0"), 0);
	assert_int_equal(add(&b, &r, "b0"), 1);
	backlog_free(&b);
	assert_int_equal(budget_used(&budget), 0);
	budget_init(&budget, SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latest_of_one),
		cmocka_unit_test(test_latest_of_many),
		cmocka_unit_test(test_close_gives_way_to_nothing),
		cmocka_unit_test(test_full_budget),
	};

	budget_init(&budget, SIZE_MAX);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
