/*
 * Letters to a worker, from its own thread and from others; what it frees when
 * it stops; its random bytes; room that is made when memory is short.
 */
#include "worker/worker.h"

#include <pthread.h>
#include <semaphore.h>

#include "conf_support.h"
#include "no_memory.h"
#include "worker/letter.h"

#define LETTERS 2000

enum fate { NOT_POSTED, POSTED, OPENED, FREED };

/* A letter that writes down what became of it, once. */
struct note {
	struct letter letter;
	int n;
	bool long_read; /* takes the whole share of the turn */
	bool stops;     /* the loop */
	int posts;      /* > 0: another, which stops the loop */
};

static void post(struct note say);

static struct shared shared;
static struct worker *worker;
static struct conf *conf;
static enum fate fates[LETTERS];
static int opened[LETTERS], opened_n; /* in order */
static sem_t read_one;
/* Turns of the loop, and a timer that notes in which of them it fired. */
static struct deferred turn;
static int turns, turn_of[LETTERS], timer_turn;
static struct timer timer;

static void open_note(struct worker *w, struct letter *l)
{
	struct note *note = CONTAINER_OF(l, struct note, letter);

	assert_ptr_equal(w, worker);
	assert_int_equal(fates[note->n], POSTED);
	fates[note->n] = OPENED;
	turn_of[note->n] = turns;
	opened[opened_n++] = note->n;
	while (note->long_read && loop_share_left_now(w->loop))
		;
	if (note->posts > 0)
		post((struct note){ .n = note->posts, .stops = true });
	if (note->stops)
		loop_stop(w->loop);
	sem_post(&read_one);
	free(note);
}

static void free_note(struct letter *l)
{
	struct note *note = CONTAINER_OF(l, struct note, letter);

	assert_int_equal(fates[note->n], POSTED);
	fates[note->n] = FREED;
	free(note);
}

static const struct letter_kind note_kind = {
	.open = open_note,
	.free = free_note,
};

static void post(struct note say)
{
	struct note *note = malloc(sizeof(*note));

	assert_non_null(note);
	*note = say;
	note->letter.kind = &note_kind;
	fates[note->n] = POSTED;
	worker_post(worker, &note->letter);
}

static int setup(void **state)
{
	(void)state;
	shared = (struct shared){ .workers = &worker, .workers_n = 1 };
	budget_init(&shared.budget, 1000);
	conf = load_good("[listen main]\n");
	worker = worker_new(&shared, conf, NULL);
	assert_non_null(worker);
	memset(fates, 0, sizeof(fates));
	opened_n = turns = 0;
	timer_turn = -1;
	return sem_init(&read_one, 0, 0);
}

static int teardown(void **state)
{
	(void)state;
	if (worker)
		worker_free(worker);
	conf_unref(conf);
	return sem_destroy(&read_one);
}

static void run(void)
{
	atomic_store(&worker->loop->stopped, false);
	assert_int_equal(loop_run(worker->loop), 0);
}

static void count_turn(struct deferred *d)
{
	turns++;
	loop_defer_next(worker->loop, d, count_turn);
}

static void note_turn(struct timer *t)
{
	(void)t;
	timer_turn = turns;
}

static void expect_opened_in_order(int n)
{
	assert_int_equal(opened_n, n);
	for (int i = 0; i < n; i++)
		assert_int_equal(opened[i], i);
}

/* --- letters --------------------------------------------------------------*/

static void test_letters_are_opened_in_order(void **state)
{
	(void)state;
	for (int i = 0; i < LETTERS; i++)
		post((struct note){ .n = i, .stops = i == LETTERS - 1 });
	assert_int_equal(opened_n, 0); /* posting opens none */
	run();
	expect_opened_in_order(LETTERS);
}

/* Behind others that wait it is only listed; after the last it wakes the loop. */
static void test_a_letter_that_one_posts_comes_behind_all(void **state)
{
	(void)state;
	post((struct note){ .n = 0, .posts = 3 });
	post((struct note){ .n = 1 });
	post((struct note){ .n = 2 });
	run();
	expect_opened_in_order(4);
	opened_n = 0;
	post((struct note){ .n = 0, .posts = 1 });
	run();
	expect_opened_in_order(2);
}

static void *post_all(void *arg)
{
	(void)arg;
	for (int i = 0; i < LETTERS; i++)
		post((struct note){ .n = i, .stops = i == LETTERS - 1 });
	return NULL;
}

static void test_letters_of_another_thread_come_in_its_order(void **state)
{
	pthread_t thread;
	(void)state;

	assert_int_equal(pthread_create(&thread, NULL, post_all, NULL), 0);
	run();
	pthread_join(thread, NULL);
	expect_opened_in_order(LETTERS);
}

static void test_a_worker_with_a_thread_opens_them_there(void **state)
{
	(void)state;
	assert_int_equal(worker_start(worker, 0), 0);
	for (int i = 0; i < 3; i++) {
		post((struct note){ .n = i });
		sem_wait(&read_one); /* it wakes up for each of them */
	}
	worker_join(worker);
	expect_opened_in_order(3);
}

/* Each letter takes a share, which is then its turn's only one. */
static void test_many_letters_leave_turns_to_others(void **state)
{
	enum { MANY = 8 };
	(void)state;

	assert_int_equal(timer_init(worker->loop, &timer, note_turn), 0);
	for (int i = 0; i < MANY; i++)
		post((struct note){
			.n = i, .long_read = true, .stops = i == MANY - 1 });
	timer_set(worker->loop, &timer, loop_now(worker->loop));
	loop_defer_next(worker->loop, &turn, count_turn);
	run();
	expect_opened_in_order(MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(turn_of[i], i);
	assert_int_equal(timer_turn, 0);
	loop_undefer(worker->loop, &turn);
	timer_fini(worker->loop, &timer);
}

static void test_letters_unread_at_the_end_are_freed_once(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		post((struct note){
			.n = i, .long_read = i == 2, .stops = i == 2 });
	run();
	worker_free(worker);
	worker = NULL;
	expect_opened_in_order(3);
	for (int i = 3; i < 10; i++)
		assert_int_equal(fates[i], FREED);
}

/* Its thread ends in the middle of them, wherever that is. */
static void test_each_letter_is_opened_or_freed(void **state)
{
	pthread_t thread;
	int freed = 0;
	(void)state;

	assert_int_equal(worker_start(worker, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, post_all, NULL), 0);
	sem_wait(&read_one);
	worker_join(worker);
	pthread_join(thread, NULL);
	worker_free(worker);
	worker = NULL;
	for (int i = opened_n; i < LETTERS; i++)
		freed += fates[i] == FREED;
	expect_opened_in_order(opened_n);
	assert_int_equal(opened_n + freed, LETTERS);
}

static void test_a_worker_without_memory_is_none(void **state)
{
	(void)state;
	worker_free(worker);
	for (unsigned n = 1;; n++) {
		no_memory_at(n);
		worker = worker_new(&shared, conf, NULL);
		if (!no_memory_was())
			break;
		assert_null(worker);
	}
	assert_non_null(worker);
}

/* --- room -----------------------------------------------------------------*/

static int asked;

static bool give_way(struct worker *w)
{
	assert_ptr_equal(w, worker);
	return ++asked > 1;
}

static void test_what_may_give_way_is_asked(void **state)
{
	(void)state;
	assert_false(worker_make_room(worker)); /* nothing would */
	worker->make_room = give_way;
	asked = 0;
	assert_false(worker_make_room(worker));
	assert_true(worker_make_room(worker));
	assert_int_equal(asked, 2);
}

static void test_memory_is_full_over_its_limit(void **state)
{
	(void)state;
	assert_false(worker_memory_full(worker));
	budget_add(&shared.budget, 1001);
	assert_true(worker_memory_full(worker));
	budget_sub(&shared.budget, 1001);
	assert_false(worker_memory_full(worker));
}

/* --- random bytes ---------------------------------------------------------*/

static void test_random_bytes_are_given_out_once(void **state)
{
	static const uint8_t none[6];
	uint8_t out[6];
	(void)state;

	memcpy(worker->random, "abcdefgh", 8);
	worker->random_n = 8;
	worker_random(worker, out, 6);
	assert_memory_equal(out, "cdefgh", 6);
	assert_int_equal(worker->random_n, 2);
	assert_memory_equal(worker->random + 2, none, 6);
}

static void test_random_bytes_are_fetched_when_too_few_are_left(void **state)
{
	uint8_t out[8], before[8] = { 0 };
	(void)state;

	worker_random(worker, out, 3);
	assert_int_equal(worker->random_n, WORKER_RANDOM - 3);
	for (int i = 0; i < 3 * WORKER_RANDOM / 8; i++) {
		worker_random(worker, out, sizeof(out));
		assert_memory_not_equal(out, before, sizeof(out));
		memcpy(before, out, sizeof(out));
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_letters_are_opened_in_order),
		T(test_a_letter_that_one_posts_comes_behind_all),
		T(test_letters_of_another_thread_come_in_its_order),
		T(test_a_worker_with_a_thread_opens_them_there),
		T(test_many_letters_leave_turns_to_others),
		T(test_letters_unread_at_the_end_are_freed_once),
		T(test_each_letter_is_opened_or_freed),
		T(test_a_worker_without_memory_is_none),
		T(test_what_may_give_way_is_asked),
		T(test_memory_is_full_over_its_limit),
		T(test_random_bytes_are_given_out_once),
		T(test_random_bytes_are_fetched_when_too_few_are_left),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
