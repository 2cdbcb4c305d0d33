/*
 * Hubs whose messages are not taken: by a worker that is behind, or by the
 * backend. What gives way, and which source is held up until when. A member
 * whose own line is slow is in test_member.c.
 */
#include "hub_support.h"

#define SHORT "queue_limit = 1K\nmax_backend_message = 500\n"

static struct browser a, b, c;

static int setup(void **state)
{
	(void)state;
	a = b = c = (struct browser){ .peer = -1 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	browser_free(&a);
	browser_free(&b);
	browser_free(&c);
	return 0;
}

/* "1 2 3", or with another mark behind each. */
static char *numbers(int from, int to, char mark)
{
	struct buf text = { 0 };

	for (int i = from; i <= to; i++)
		assert_int_equal(
			buf_add_printf(&text, "%d%s", i,
				mark == ' ' && i == to
					? ""
					: (const char[]){ mark, '\0' }),
			0);
	return take_text(&text);
}

static void trunk_says_numbers(int n)
{
	char *lines = numbers(1, n, '\n');

	trunk_says(lines);
	free(lines);
}

static void expect_numbers(const struct browser *to, int n)
{
	char *text = numbers(1, n, ' ');

	expect_heard(to, text);
	free(text);
}

/* It has heard numbers from 1 on without a gap; then some up to the last. */
static void expect_gap(const struct browser *to, int last, int behind_gap)
{
	char *heard = heard_by(to), *save = NULL, *word;
	int before = 0, gaps = 0, run = 0;

	for (word = strtok_r(heard, " ", &save); word;
		word = strtok_r(NULL, " ", &save)) {
		int i = atoi(word);

		assert_true(i > before);
		if (i > before + 1) {
			gaps++;
			run = 0;
		}
		run++;
		before = i;
	}
	assert_int_equal(before, last);
	assert_int_equal(gaps, 1);
	assert_true(behind_gap ? run == behind_gap : run > 1);
	free(heard);
}

/* --- a worker that is behind ------------------------------------------------*/

/*
 * a is at home; the worker of b does not open its letters while the backend
 * speaks. Some are posted to it, the rest is held back at home.
 */
static void let_worker_be_behind(const char *policy)
{
	char more[200];

	snprintf(more, sizeof(more), SHORT "%s", policy);
	world_open_with_trunk(more);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	trunk_accept();
	trunk_says_numbers(100);
	for (int i = 0; i < 200; i++) {
		open_letters_of(0);
		turn(0);
	}
	expect_numbers(&a, 100);
	expect_heard(&b, "");
}

static void test_drop_old_keeps_the_newest_for_a_worker(void **state)
{
	(void)state;
	let_worker_be_behind("slow = drop-old\n");
	settle();
	expect_gap(&b, 100, 0);
}

static void test_latest_keeps_one_for_a_worker(void **state)
{
	(void)state;
	let_worker_be_behind("slow = latest\n");
	settle();
	expect_gap(&b, 100, 1);
}

static void test_close_ends_its_members(void **state)
{
	(void)state;
	let_worker_be_behind("slow = close\n");
	settle();
	assert_int_equal(b.closes, 1);
	assert_int_equal(b.code, WS_CODE_TRY_AGAIN_LATER);
	assert_int_equal(closed_as(1, REASON_SLOW), 1);
	assert_int_equal(a.closes, 0);
	browser_joins(&c, 1, "/x"); /* it is no worse for the next */
	trunk_says("next\n");
	settle();
	expect_heard(&c, "next");
}

/* The home says that it waits for that; nothing more has to be said. */
static void test_what_is_held_leaves_when_the_worker_has_read(void **state)
{
	(void)state;
	let_worker_be_behind("slow = drop-old\n");
	assert_true(hub_at("/x")->remotes[1].held.n > 0);
	open_letters_of(1);
	assert_int_equal(letters_of(0), 1); /* ready */
	settle();
	assert_int_equal(hub_at("/x")->remotes[1].held.n, 0);
}

static void test_what_is_held_leaves_before_the_end(void **state)
{
	(void)state;
	let_worker_be_behind("slow = drop-old\n");
	trunk_hangs_up();
	settle();
	expect_gap(&b, 100, 0);
	assert_int_equal(b.closes, 1);
	assert_int_equal(b.code, WS_CODE_NORMAL);
}

/* The letter that says so is there when memory is not. */
static void test_a_worker_is_ready_without_memory(void **state)
{
	bool failed = true;
	(void)state;

	for (unsigned n = 1; failed; n++) {
		let_worker_be_behind("slow = drop-old\n");
		no_memory_at(n);
		open_letters_of(1);
		failed = no_memory_was();
		settle();
		assert_int_equal(hub_at("/x")->remotes[1].held.n, 0);
		expect_gap(&b, 100, 0);
		teardown(NULL);
	}
}

/* What could not be posted for want of memory comes with the next message. */
static void test_what_is_held_is_not_lost_without_memory(void **state)
{
	bool failed = true;
	(void)state;

	for (unsigned n = 1; failed; n++) {
		let_worker_be_behind("slow = drop-old\n");
		no_memory_at(n);
		settle();
		failed = no_memory_was();
		trunk_says("101\n");
		settle();
		if (b.closes > 0)
			assert_int_equal(b.code, WS_CODE_TRY_AGAIN_LATER);
		else
			expect_gap(&b, 101, 0);
		teardown(NULL);
	}
}

/* --- a room's speakers are held up ------------------------------------------*/

/* Says numbers, until it is not to. Returns the last. */
static int speak_until_held_up(struct browser *speaker)
{
	char text[12];
	int i = 0;

	while (speaker->reading) {
		assert_true(i < 1000);
		snprintf(text, sizeof(text), "%d", ++i);
		browser_says(speaker, text);
	}
	return i;
}

static void test_a_room_waits_for_a_worker_that_is_behind(void **state)
{
	int n;
	(void)state;

	world_open(ROOM SHORT);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 0, "/x");
	browser_joins(&c, 1, "/x");
	n = speak_until_held_up(&a);
	assert_true(n > 1);
	expect_numbers(&b, n);
	expect_heard(&c, "");
	settle();
	assert_true(a.reading);
	expect_numbers(&c, n);
}

/* More in one turn than may wait: that is no reason to close its listeners. */
static void test_a_room_bears_a_turn_full_of_words(void **state)
{
	char text[12];
	int n = 0;
	(void)state;

	world_open(ROOM SHORT);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 0, "/x");
	browser_joins(&c, 1, "/x");
	while (a.reading) {
		assert_true(n < 1000);
		snprintf(text, sizeof(text), "%d", ++n);
		browser_says_in_turn(&a, text);
	}
	settle();
	assert_true(a.reading);
	expect_numbers(&b, n);
	expect_numbers(&c, n);
}

/* The same, the other way round: what it says is not read at home. */
static void test_a_room_waits_for_its_home(void **state)
{
	int n;
	(void)state;

	world_open(ROOM SHORT);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	n = speak_until_held_up(&b);
	assert_true(n > 1);
	settle();
	assert_true(b.reading);
	expect_numbers(&a, n);
}

/* The letter that lets them go on is there when memory is not. */
static void test_speakers_go_on_without_memory(void **state)
{
	bool failed = true;
	(void)state;

	for (unsigned n = 1; failed; n++) {
		world_open(ROOM SHORT);
		browser_joins(&a, 0, "/x");
		browser_joins(&b, 1, "/x");
		(void)speak_until_held_up(&b);
		no_memory_at(n);
		settle();
		failed = no_memory_was();
		assert_true(b.closes > 0 || b.reading);
		teardown(NULL);
	}
}

/* --- a backend that is behind -----------------------------------------------*/

static void test_members_wait_for_the_backend(void **state)
{
	char big[901] = { 0 };
	size_t sent = 0, got = 0;
	(void)state;

	memset(big, 'x', sizeof(big) - 1);
	world_open_with_trunk(SHORT);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	trunk_accept();
	while (a.reading && b.reading) {
		browser_says(&a, big);
		browser_says(&b, big);
		open_letters_of(0);
		assert_true(++sent < 10000);
	}
	while (a.reading)
		browser_says(&a, big);
	trunk_says("heard all the same\n");
	settle();
	expect_heard(&a, "heard all the same");
	expect_heard(&b, "heard all the same");
	assert_false(a.reading);
	while (!a.reading || !b.reading) {
		char *text = trunk_hears();

		assert_true(got += strlen(text));
		free(text);
		settle();
	}
}

/* --- many at once -----------------------------------------------------------*/

/* More than a batch holds: the first of them leave before the turn is over. */
static void test_what_a_turn_brings_is_not_bounded_by_a_batch(void **state)
{
	char text[12];
	(void)state;

	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 0, "/x");
	browser_joins(&c, 1, "/x");
	for (int i = 1; i <= 3 * HUB_BATCH; i++) {
		snprintf(text, sizeof(text), "%d", i);
		browser_says_in_turn(&a, text);
	}
	settle();
	expect_numbers(&b, 3 * HUB_BATCH);
	expect_numbers(&c, 3 * HUB_BATCH);
}

/* What one read of the backend brings is delivered over several turns. */
static void test_a_turn_delivers_one_batch_of_the_backend(void **state)
{
	char *heard;
	(void)state;

	world_open_with_trunk("");
	browser_joins(&a, 0, "/x");
	trunk_accept();
	trunk_says_numbers(5 * HUB_BATCH);
	turn(0);
	heard = heard_by(&a);
	assert_true(strlen(heard) > 0);
	assert_null(strstr(heard, " 65")); /* HUB_BATCH + 1 */
	free(heard);
	settle();
	expect_numbers(&a, 5 * HUB_BATCH);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_drop_old_keeps_the_newest_for_a_worker),
		T(test_latest_keeps_one_for_a_worker),
		T(test_close_ends_its_members),
		T(test_what_is_held_leaves_when_the_worker_has_read),
		T(test_what_is_held_leaves_before_the_end),
		T(test_a_worker_is_ready_without_memory),
		T(test_what_is_held_is_not_lost_without_memory),
		T(test_a_room_waits_for_a_worker_that_is_behind),
		T(test_a_room_bears_a_turn_full_of_words),
		T(test_a_room_waits_for_its_home),
		T(test_speakers_go_on_without_memory),
		T(test_members_wait_for_the_backend),
		T(test_what_a_turn_brings_is_not_bounded_by_a_batch),
		T(test_a_turn_delivers_one_batch_of_the_backend),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
