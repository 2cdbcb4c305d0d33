/* The loop: timers, deferred work, shares of a turn, being woken. */
#include "net/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/budget.h"
#include "no_memory.h"
#include "support.h"

#define ITEMS 60

/* Something with a timer and a deferred, that writes down its letter. */
struct item {
	struct timer timer;
	struct deferred deferred;
	char letter;
	int again;           /* how often it sets or defers itself */
	struct item *clears; /* whose timer it clears */
};

static struct budget budget;
static struct loop *loop;
static struct item items[ITEMS];
static char happened[200]; /* letters, in order */

static void note(char letter)
{
	size_t n = strlen(happened);

	assert_true(n + 1 < sizeof(happened));
	happened[n] = letter;
	happened[n + 1] = '\0';
}

static void fired(struct timer *t)
{
	struct item *i = CONTAINER_OF(t, struct item, timer);

	note(i->letter);
	if (i->clears)
		timer_clear(loop, &i->clears->timer);
	if (i->again-- > 0)
		timer_set(loop, t, loop_now(loop) + 1);
	else if (i->letter == '.')
		loop_stop(loop);
}

static void done(struct deferred *d)
{
	struct item *i = CONTAINER_OF(d, struct item, deferred);

	note(i->letter);
	if (i->letter == '.')
		loop_stop(loop);
	else if (i->again-- > 0)
		loop_defer_next(loop, d, done);
}

static int setup(void **state)
{
	(void)state;
	budget_init(&budget, SIZE_MAX);
	loop = loop_new(&budget);
	assert_non_null(loop);
	memset(items, 0, sizeof(items));
	for (int i = 0; i < ITEMS; i++) {
		assert_int_equal(timer_init(loop, &items[i].timer, fired), 0);
		items[i].letter = (char)('A' + i);
	}
	happened[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < ITEMS; i++)
		timer_fini(loop, &items[i].timer);
	loop_free(loop);
	return 0;
}

static void run(void)
{
	assert_int_equal(loop_run(loop), 0);
}

static void set(int i, int64_t in_ms)
{
	timer_set(loop, &items[i].timer, loop_now(loop) + in_ms);
}

/* --- timers -----------------------------------------------------------------*/

static void test_timers_fire_in_order(void **state)
{
	(void)state;
	items[3].letter = '.';
	set(3, 9);
	set(1, 3);
	set(0, 1);
	set(2, 6);
	run();
	assert_string_equal(happened, "ABC.");
}

/* Whatever was set, moved and cleared before: the heap gives the earliest. */
static void test_many_timers(void **state)
{
	int64_t due[ITEMS], last = 0;
	uint64_t seed = 7;

	(void)state;
	for (int n = 0; n < 2000; n++) {
		int i = (int)(next_random(&seed) % (ITEMS - 1));

		if (next_random(&seed) % 4 == 0)
			timer_clear(loop, &items[i].timer);
		else
			set(i, next_random(&seed) % 20);
	}
	for (int i = 0; i < ITEMS; i++)
		due[i] = items[i].timer.at ? items[i].timer.due : 0;
	items[ITEMS - 1].letter = '.';
	set(ITEMS - 1, 30);
	run();
	for (const char *p = happened; *p != '.'; p++) {
		int64_t *at = &due[*p - 'A'];

		assert_true(*at >= last);
		last = *at;
		*at = 0;
	}
	for (int i = 0; i < ITEMS; i++)
		assert_int_equal(due[i], 0);
}

static void test_a_timer_moves(void **state)
{
	(void)state;
	set(0, 1);
	items[1].letter = '.';
	set(1, 4);
	set(0, 2);
	set(0, 3);
	run();
	assert_string_equal(happened, "A.");
}

static void test_a_timer_clears_another_that_is_due(void **state)
{
	(void)state;
	items[0].clears = &items[1];
	set(0, 1);
	set(1, 1);
	items[2].letter = '.';
	set(2, 3);
	run();
	assert_string_equal(happened, "A.");
}

static void test_a_timer_sets_itself(void **state)
{
	(void)state;
	items[0].letter = '.';
	items[0].again = 3;
	set(0, 0);
	run();
	assert_string_equal(happened, "....");
}

static void test_no_memory_for_a_timer(void **state)
{
	struct timer more[64];
	int n = 0;

	(void)state;
	no_memory_at(1);
	while (timer_init(loop, &more[n], fired) == 0)
		assert_in_range(++n, 0, 63);
	assert_true(no_memory_was());
	while (n > 0)
		timer_fini(loop, &more[--n]);
}

/* --- deferred ---------------------------------------------------------------*/

static void test_deferred_once_in_order(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		loop_defer(loop, &items[i].deferred, done);
	loop_defer(loop, &items[0].deferred, done);
	loop_run_deferred(loop);
	assert_string_equal(happened, "ABC");
}

/* The next turn comes at once: it does not wait for a socket or a timer. */
static void test_deferred_to_the_next_turn(void **state)
{
	(void)state;
	items[0].again = 2;
	loop_defer_next(loop, &items[0].deferred, done);
	items[1].letter = '.';
	items[1].again = 0;
	set(1, 50);
	run();
	assert_string_equal(happened, "AAA.");
}

/* What is deferred comes behind all that was ready in the turn. */
static void test_deferred_behind_the_timers(void **state)
{
	(void)state;
	items[2].letter = '.';
	loop_defer_next(loop, &items[2].deferred, done);
	set(0, 0);
	set(1, 0);
	run();
	assert_int_equal(strlen(happened), 3);
	assert_int_equal(happened[2], '.');
}

static void test_undefer(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		loop_defer(loop, &items[i].deferred, done);
	loop_defer_next(loop, &items[3].deferred, done);
	loop_undefer(loop, &items[1].deferred);
	loop_undefer(loop, &items[3].deferred);
	loop_undefer(loop, &items[4].deferred);
	loop_run_deferred(loop);
	assert_string_equal(happened, "AC");
}

/* At the end no turn will come; what is for a next one then is not done. */
static void test_run_deferred_does_the_next_too(void **state)
{
	(void)state;
	items[0].again = 1;
	loop_defer_next(loop, &items[0].deferred, done);
	loop_defer(loop, &items[1].deferred, done);
	loop_run_deferred(loop);
	assert_string_equal(happened, "BA");
	loop_undefer(loop, &items[0].deferred);
}

/* --- shares -----------------------------------------------------------------*/

static void use_up(void)
{
	while (loop_share_left_now(loop))
		;
}

static void test_a_share_is_used_up_once(void **state)
{
	(void)state;
	loop_share_begin(loop);
	assert_false(loop_share_is_used(loop));
	use_up();
	assert_true(loop_share_is_used(loop));
	assert_false(loop_share_left(loop));
	assert_int_equal(loop->eager, 1);
	loop_share_begin(loop);
	assert_true(loop_share_left(loop));
	assert_false(loop_share_is_used(loop));
}

/* Asking costs nothing per message: the clock is looked at now and then. */
static void test_the_clock_is_not_asked_each_time(void **state)
{
	(void)state;
	loop_share_begin(loop);
	for (int i = 1; i < LOOP_SHARE_STEPS; i++)
		assert_true(loop_share_left(loop));
	assert_int_equal(loop->share_until, 0);
	assert_true(loop_share_left(loop));
	assert_true(loop->share_until > 0);
}

/* All that used theirs up in the turn before divide the turn among them. */
static int64_t share_among(unsigned eager)
{
	int64_t begun;

	loop->eager_before = eager;
	loop->turn_until = 0;
	loop_share_begin(loop);
	assert_true(loop_share_left_now(loop));
	begun = loop->turn_until - LOOP_TURN_NS;
	return loop->share_until - begun;
}

static void test_shares_divide_the_turn(void **state)
{
	(void)state;
	assert_int_equal(share_among(0), LOOP_SHARE_MAX_NS);
	assert_int_equal(share_among(7), LOOP_TURN_NS / 8);
	assert_int_equal(share_among(100000), LOOP_SHARE_MIN_NS);
}

static void test_a_crowd_reads_less(void **state)
{
	(void)state;
	assert_int_equal(loop_read_size(loop), LOOP_SCRATCH);
	for (int i = 0; i < 20; i++) {
		loop_share_begin(loop);
		loop->share_until = 1; /* long ago */
		assert_false(loop_share_left_now(loop));
	}
	assert_int_equal(loop_read_size(loop), LOOP_READ_MIN);
}

/* --- other threads ----------------------------------------------------------*/

static void woken(struct waker *w)
{
	(void)w;
	note('w');
	loop_stop(loop);
}

static void *wake(void *arg)
{
	loop_wake(arg);
	return NULL;
}

static void test_woken_by_another_thread(void **state)
{
	struct waker waker;
	pthread_t thread;

	(void)state;
	loop_on_wake(loop, &waker, woken);
	assert_int_equal(pthread_create(&thread, NULL, wake, loop), 0);
	run();
	pthread_join(thread, NULL);
	assert_int_equal(happened[0], 'w');
	loop_on_wake_no_more(&waker);
}

/* Wake-ups before the loop runs are not lost, and are one. */
static void test_woken_before_it_runs(void **state)
{
	struct waker one, other;

	(void)state;
	loop_on_wake(loop, &one, woken);
	loop_on_wake(loop, &other, woken);
	loop_wake(loop);
	loop_wake(loop);
	run();
	assert_string_equal(happened, "ww"); /* each of them, once */
	loop_on_wake_no_more(&one);
	atomic_store(&loop->stopped, false);
	loop_wake(loop);
	run();
	assert_string_equal(happened, "www");
	loop_on_wake_no_more(&other);
}

static void test_the_running_turn_is_finished(void **state)
{
	(void)state;
	loop_defer(loop, &items[0].deferred, done);
	set(1, 0);
	items[1].letter = '.'; /* stops */
	run();
	assert_string_equal(happened, ".A");
}

static void part_free(struct loop_part *p)
{
	(void)p;
	note('p');
}

static void other_free(struct loop_part *p)
{
	(void)p;
}

/* A wait is no part of it. */
static void test_turns_are_measured(void **state)
{
	const struct histogram *turns = &loop->stats.turns;
	int64_t before = loop_clock_ns(), all;

	(void)state;
	items[0].letter = '.';
	set(0, 100);
	run();
	all = loop_clock_ns() - before;
	assert_true(histogram_count(turns) > 0);
	/* A timer fires within a millisecond of its time, at the earliest. */
	assert_true((int64_t)counter_read(&turns->sum) <= all - 98000000);
}

static void test_lateness(void **state)
{
	const struct histogram *lags = &loop->stats.lags;

	(void)state;
	loop_note_lag(loop, loop_now(loop) - 7);
	assert_int_equal(histogram_count(lags), 1);
	assert_int_equal(counter_read(&lags->sum), 7000000);
	/* Times have no fractions of a millisecond. */
	loop_note_lag(loop, loop_now(loop) + 1);
	assert_int_equal(counter_read(&lags->sum), 7000000);
	assert_int_equal(counter_read(&lags->counts[0]), 1);
}

static void test_a_part_goes_with_its_loop(void **state)
{
	struct loop *l = loop_new(&budget);
	struct loop_part part;

	(void)state;
	assert_null(loop_part_find(l, part_free));
	loop_part_add(l, &part, part_free);
	assert_ptr_equal(loop_part_find(l, part_free), &part);
	assert_null(loop_part_find(l, other_free));
	loop_free(l);
	assert_string_equal(happened, "p");
}

static void test_no_memory_for_a_loop(void **state)
{
	(void)state;
	for (unsigned n = 1;; n++) {
		struct loop *l;

		no_memory_at(n);
		l = loop_new(&budget);
		if (!no_memory_was()) {
			assert_in_range(n, 3, 99);
			loop_free(l);
			return;
		}
		assert_null(l);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_timers_fire_in_order),
		TEST(test_many_timers),
		TEST(test_a_timer_moves),
		TEST(test_a_timer_clears_another_that_is_due),
		TEST(test_a_timer_sets_itself),
		TEST(test_no_memory_for_a_timer),
		TEST(test_deferred_once_in_order),
		TEST(test_deferred_to_the_next_turn),
		TEST(test_deferred_behind_the_timers),
		TEST(test_undefer),
		TEST(test_run_deferred_does_the_next_too),
		TEST(test_a_share_is_used_up_once),
		TEST(test_the_clock_is_not_asked_each_time),
		TEST(test_shares_divide_the_turn),
		TEST(test_a_crowd_reads_less),
		TEST(test_woken_by_another_thread),
		TEST(test_woken_before_it_runs),
		TEST(test_the_running_turn_is_finished),
		TEST(test_turns_are_measured),
		TEST(test_lateness),
		TEST(test_a_part_goes_with_its_loop),
		TEST(test_no_memory_for_a_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
