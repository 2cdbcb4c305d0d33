/* What ends have in common: whole messages of pieces, and how an end is told. */
#include "end/end.h"

#include "base/budget.h"
#include "base/buf.h"
#include "base/waiting.h"
#include "codec/ws.h"
#include "no_memory.h"
#include "end/ending.h"
#include "support.h"

static struct budget budget;
static struct buf kept;
static struct piece whole;
static enum reason failed;

static int setup(void **state)
{
	(void)state;
	budget_init(&budget, SIZE_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_forget(&kept, &budget);
	assert_int_equal(budget_used(&budget), 0);
	return 0;
}

static struct piece piece(const char *text, bool first, bool last)
{
	return (struct piece){ .opcode = WS_TEXT,
		.first = first,
		.last = last,
		.data = (uint8_t *)(uintptr_t)text,
		.n = strlen(text) };
}

static const struct piece *assemble(const char *text, bool first, bool last)
{
	static struct piece p;

	p = piece(text, first, last);
	return end_assemble(&kept, &budget, &p, &whole, &failed);
}

/* --- whole messages ---------------------------------------------------------*/

static void test_a_whole_message_is_not_copied(void **state)
{
	struct piece p = piece("whole", true, true);

	(void)state;
	assert_ptr_equal(end_assemble(&kept, &budget, &p, &whole, &failed), &p);
	assert_int_equal(budget_used(&budget), 0);
}

static void test_pieces_are_collected(void **state)
{
	(void)state;
	assert_null(assemble("one ", true, false));
	assert_null(assemble("two ", false, false));
	assert_int_equal(budget_used(&budget), 8);
	assert_ptr_equal(assemble("three", false, true), &whole);
	assert_int_equal(failed, REASON_NONE);
	assert_true(whole.first && whole.last && whole.brief);
	assert_int_equal(whole.n, 13);
	assert_memory_equal(whole.data, "one two three", 13);
}

static void test_a_message_that_makes_memory_short(void **state)
{
	static char much[WAITING_SMALL + 1];

	(void)state;
	memset(much, 'x', WAITING_SMALL);
	atomic_store(&budget.limit, 0);
	budget_add(&budget, 1);
	assert_null(assemble(much, true, false)); /* a small one may */
	assert_int_equal(failed, REASON_NONE);
	assert_null(assemble("more", false, false));
	assert_int_equal(failed, REASON_MEMORY);
	budget_sub(&budget, 1);
}

static void test_a_message_without_memory(void **state)
{
	(void)state;
	no_memory_at(1);
	assert_null(assemble("begun", true, false));
	assert_true(no_memory_was());
	assert_int_equal(failed, REASON_INTERNAL);
}

/* --- how an end is told -----------------------------------------------------*/

static void test_an_end_without_an_owner(void **state)
{
	struct end e = { .owner = &end_unowned };
	struct piece p = piece("lost", true, true);

	(void)state;
	e.owner->cb->input(&e, &p);
	e.owner->cb->drained(&e);
	e.owner->cb->ended(&e, &(struct ending){ .reason = REASON_INTERNAL });
	e.owner->cb->dropped(&e, 4);
	e.owner->cb->gone(&e);
}

static void test_the_words_of_a_close_frame(void **state)
{
	char text[WS_CLOSE_REASON_MAX];

	(void)state;
	assert_str(ending_close_text(REASON_TOO_BIG, text, STR_NONE),
		"too-big: a message longer than max_message");
	assert_str(ending_close_text(REASON_TOO_BIG, text, STR("other words")),
		"other words");
	assert_int_equal(
		ending_close_text(REASON_CLIENT_CLOSE, text, STR_NONE).n, 0);
}

static void test_what_a_client_is_told(void **state)
{
	(void)state;
	assert_int_equal(ending_client_code(REASON_TOO_BIG, 1009), 1009);
	assert_int_equal(ending_client_code(REASON_SHUTDOWN, 0), 1001);
	/* An empty close frame stays empty; one that is gone is told nothing. */
	assert_int_equal(ending_client_code(REASON_BACKEND_CLOSE, 1005), 1005);
	assert_int_equal(ending_client_code(REASON_CLIENT_RESET, 1006), 0);
}

/* To it the client goes away: its faults are not the backend's business. */
static void test_what_a_backend_is_told(void **state)
{
	static const struct {
		struct ending why;
		uint16_t code;
	} cases[] = {
		{ { .reason = REASON_PROTOCOL, .backend_code = 1002 }, 1001 },
		{ { .reason = REASON_CLIENT_CLOSE, .code = 3333 }, 3333 },
		{ { .reason = REASON_CLIENT_CLOSE, .code = 1005 }, 1005 },
		{ { .reason = REASON_BACKEND_CLOSE }, 1000 },
		{ { .reason = REASON_BACKEND_PROTOCOL, .backend_code = 1009 },
			1009 },
		{ { .reason = REASON_BACKEND_PROTOCOL }, 1002 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			ending_backend_code(&cases[i].why), cases[i].code);
}

static void test_the_side_that_ended_it(void **state)
{
	(void)state;
	assert_string_equal(ending_side(REASON_TOO_BIG, END_CLIENT), "client");
	assert_string_equal(
		ending_side(REASON_BACKEND_RESET, END_BACKEND), "backend");
	assert_string_equal(ending_side(REASON_SHUTDOWN, END_CLIENT), "relay");
}

static void test_a_length_in_words(void **state)
{
	char text[ENDING_LENGTH_TEXT];

	(void)state;
	assert_string_equal(ending_length_text(text, UINT64_MAX, true,
				    "max_backend_message", UINT64_MAX),
		"a message of 18446744073709551615 bytes or more, "
		"max_backend_message is 18446744073709551615");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_whole_message_is_not_copied),
		TEST(test_pieces_are_collected),
		TEST(test_a_message_that_makes_memory_short),
		TEST(test_a_message_without_memory),
		TEST(test_an_end_without_an_owner),
		TEST(test_the_words_of_a_close_frame),
		TEST(test_what_a_client_is_told),
		TEST(test_what_a_backend_is_told),
		TEST(test_the_side_that_ended_it),
		TEST(test_a_length_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
