/*
 * Hubs on two workers: seats, the order of messages whatever the order in which
 * letters are opened, replays, max_hubs. Drivers, ends and slow workers are in
 * test_hub_driver.c, test_hub_end.c and test_hub_slow.c.
 */
#include "four_browsers.h"

/* --- the order --------------------------------------------------------------*/

static void test_a_message_reaches_all_others(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 0, "/x");
	browser_joins(&c, 1, "/x");
	browser_joins(&d, 1, "/y");
	browser_says(&a, "one");
	browser_says(&c, "two");
	settle();
	expect_heard(&a, "two");
	expect_heard(&b, "one two");
	expect_heard(&c, "one");
	expect_heard(&d, "");
}

/* It was said first, but the home read it last. */
static void test_the_order_is_the_homes(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 0, "/x");
	browser_joins(&c, 1, "/x");
	browser_joins(&d, 1, "/x");
	browser_says(&c, "early");
	browser_says(&a, "late");
	settle();
	expect_heard(&b, "late early");
	expect_heard(&d, "late early");
}

static void test_letters_of_one_turn_come_in_order(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	for (char text[] = "a"; text[0] <= 'f'; text[0]++)
		browser_says(&b, text);
	assert_int_equal(letters_of(0), 6); /* only the first woke the home */
	settle();
	expect_heard(&a, "a b c d e f");
	browser_says(&a, "1");
	browser_says(&a, "2");
	assert_int_equal(letters_of(1), 2);
	settle();
	expect_heard(&b, "1 2");
}

/*
 * The answer to a client of the home waits in the home's own letters: what is
 * said meanwhile must come behind it, or that client would miss it.
 */
static void test_at_home_nothing_overtakes_an_answer(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 0, "/x");
	browser_says(&a, "before");
	browser_asks(&c, 0, "/x");
	assert_true(open_letter(0)); /* it has a seat, and is told by letter */
	browser_says(&a, "one");
	browser_says(&a, "two");
	expect_heard(&b, "before");
	settle();
	expect_heard(&b, "before one two");
	expect_heard(&c, "one two");
}

/* What is gathered for all is sent to all before a client gets its seat. */
static void test_a_client_does_not_get_what_was_said_before(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	browser_says(&b, "one");
	browser_asks(&c, 1, "/x");
	browser_says(&b, "two");
	settle();
	expect_heard(&a, "one two");
	expect_heard(&c, "two");
}

/* --- replay -----------------------------------------------------------------*/

static void test_a_client_gets_its_replay_first(void **state)
{
	(void)state;
	world_open(ROOM "replay = 2\n");
	browser_joins(&a, 0, "/x");
	browser_says(&a, "1");
	browser_says(&a, "2");
	browser_says(&a, "3");
	browser_asks(&b, 0, "/x");
	browser_asks(&c, 1, "/x");
	open_letters_of(0);
	browser_says(&a, "4");
	settle();
	expect_heard(&b, "2 3 4");
	expect_heard(&c, "2 3 4");
}

static void test_replay_bytes_bound_it(void **state)
{
	char big[603] = { 0 };
	(void)state;

	memset(big, 'x', 600);
	world_open(ROOM "replay = 9\nreplay_bytes = 1K\n");
	browser_joins(&a, 0, "/x");
	browser_says(&a, big);
	browser_says(&a, big);
	browser_says(&a, "1");
	browser_joins(&b, 1, "/x");
	memcpy(big + 600, " 1", 3);
	expect_heard(&b, big);
}

/* --- seats ------------------------------------------------------------------*/

static void expect_seats(size_t n)
{
	settle();
	assert_int_equal(hub_at("/x")->seats_n, n);
}

static void test_a_member_that_leaves_leaves_its_seat(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	expect_seats(2);
	browser_leaves(&b);
	expect_seats(1);
	assert_true(b.gone);
	browser_leaves(&a);
	expect_seats(0);
}

static void test_a_join_is_cancelled_before_it_is_read(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_asks(&b, 1, "/x");
	browser_gives_up(&b);
	expect_seats(1);
	assert_int_equal(b.answers, 0);
}

static void test_a_join_is_cancelled_before_its_answer(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_asks(&b, 1, "/x");
	open_letters_of(0);
	assert_int_equal(hub_at("/x")->seats_n, 2);
	browser_gives_up(&b);
	browser_says(&a, "x");
	expect_seats(1);
	assert_int_equal(b.answers, 0);
}

/* The first client makes the hub, and gives up before its home knows of it. */
static void test_a_hub_whose_maker_gave_up_can_be_joined(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_asks(&a, 0, "/x");
	browser_gives_up(&a);
	browser_asks(&b, 1, "/x");
	expect_seats(1);
	assert_non_null(b.hub);
	assert_ptr_equal(b.hub->home, world.workers[0]);
}

static void test_a_client_that_leaves_as_it_comes_leaves_no_seat(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_asks(&b, 1, "/x");
	open_letters_of(0);
	open_letters_of(1); /* it is a member */
	browser_leaves(&b);
	expect_seats(1);
}

/*
 * Wherever memory is short while a client joins: it is refused, or closed, or a
 * member with all that it is to get. When it has left nothing of it is counted
 * any more: world_close looks.
 */
static void join_without_memory(size_t worker, unsigned n)
{
	world_open(ROOM "replay = 2\n");
	browser_joins(&a, 0, "/x");
	browser_says(&a, "1");
	no_memory_at(n);
	browser_asks(&b, worker, "/x");
	settle();
}

static void expect_seat_or_refusal(void)
{
	if (b.closes > 0)
		assert_int_equal(b.code, WS_CODE_TRY_AGAIN_LATER);
	else if (!b.hub)
		expect_reason(b.refused, INTERNAL);
	expect_seats(b.hub ? 2 : 1);
	if (!b.hub)
		return;
	browser_says(&a, "2");
	settle();
	expect_heard(&b, "1 2");
}

static void test_a_join_without_memory_takes_nothing(void **state)
{
	(void)state;
	for (size_t worker = 0; worker < 2; worker++) {
		bool failed = true;

		for (unsigned n = 1; failed; n++) {
			join_without_memory(worker, n);
			failed = no_memory_was();
			assert_true(failed || b.hub);
			expect_seat_or_refusal();
			teardown(NULL);
		}
	}
}

static void test_a_first_join_without_memory_leaves_nothing(void **state)
{
	bool failed = true;
	(void)state;

	for (unsigned n = 1; failed; n++) {
		world_open(ROOM "max_hubs = 1\n");
		no_memory_at(n);
		browser_asks(&a, 1, "/x");
		settle();
		failed = no_memory_was();
		assert_true(failed || a.hub);
		if (a.hub)
			browser_leaves(&a);
		settle();
		/* Whatever hub it has made gives way. */
		browser_joins(&b, 0, "/y");
		teardown(NULL);
	}
}

/* --- max_hubs ---------------------------------------------------------------*/

static void test_an_empty_hub_gives_way(void **state)
{
	(void)state;
	world_open(ROOM "max_hubs = 1\n");
	browser_joins(&a, 0, "/x");
	browser_asks(&b, 1, "/y");
	settle();
	expect_reason(b.refused, LIMIT_HUBS);
	browser_leaves(&a);
	settle();
	browser_joins(&b, 1, "/y");
	assert_null(hub_at("/x"));
}

/* A client is on its way to it, which its home does not know yet. */
static void test_a_hub_that_empties_behind_a_join_does_not_give_way(
	void **state)
{
	(void)state;
	world_open(ROOM "max_hubs = 1\n");
	browser_joins(&a, 0, "/x");
	browser_leaves(&a);
	browser_asks(&b, 1, "/x");
	assert_true(open_letter(0)); /* the leave */
	assert_int_equal(hub_at("/x")->seats_n, 0);
	browser_asks(&c, 1, "/y");
	settle();
	expect_reason(c.refused, LIMIT_HUBS);
	assert_non_null(b.hub);
}

static void test_an_empty_hub_does_not_end_before_a_client_on_its_way(
	void **state)
{
	struct hub *x;
	(void)state;

	world_open(ROOM_LINGER("0"));
	browser_joins(&a, 0, "/x");
	x = hub_ref(hub_at("/x"));
	browser_leaves(&a);
	open_letters_of(0);
	browser_asks(&b, 1, "/x");
	turn(0); /* its timer fires */
	settle();
	assert_ptr_equal(b.hub, x);
	browser_leaves(&b);
	settle();
	assert_null(hub_at("/x"));
	hub_unref(x);
}

/* It was empty and could have given way until then. */
static void test_a_hub_that_is_joined_does_not_give_way(void **state)
{
	(void)state;
	world_open(ROOM "max_hubs = 1\n");
	browser_joins(&a, 0, "/x");
	browser_leaves(&a);
	settle();
	browser_asks(&a, 1, "/x");
	browser_asks(&b, 1, "/y");
	settle();
	expect_reason(b.refused, LIMIT_HUBS);
	assert_non_null(a.hub);
}

static void test_it_gives_way_without_memory(void **state)
{
	struct hub *x;
	(void)state;

	world_open(ROOM "max_hubs = 1\n");
	browser_joins(&a, 0, "/x");
	browser_leaves(&a);
	settle();
	x = hub_ref(hub_at("/x"));
	/* The join, the leave and its path come first. */
	for (unsigned n = 1; !atomic_load(&x->give_way.posted); n++) {
		browser_comes(&b, 1);
		no_memory_at(n);
		browser_asks_for(&b, "/y");
		assert_true(no_memory_was());
		if (!atomic_load(&x->give_way.posted))
			settle();
	}
	settle();
	assert_null(hub_at("/x"));
	assert_non_null(b.hub);
	hub_unref(x);
}

/* --- a reload -----------------------------------------------------------*/

/* Both workers have read of it. */
static void reload(const char *ini)
{
	struct conf *conf = load_warned(ini);

	assert_int_equal(sections_adopt(world.gate.sections, conf), 0);
	for (size_t i = 0; i < 2; i++) {
		struct worker *w = world.workers[i];

		assert_int_equal(worker_set_conf(w, conf), 0);
		shards_renew(w);
		hubs_renew(w);
	}
	conf_unref(conf);
}

static void test_a_route_goes_under_a_client_on_its_way(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_asks(&a, 0, "/x");
	reload("[listen main]\n");
	settle();
	expect_reason(a.refused, ROUTE_REMOVED);
	assert_null(hub_at("/x"));
}

/* Until it ends, for there are never two; then the keeper has its own. */
static void test_a_hub_is_kept_that_lives_elsewhere(void **state)
{
	static const char ini[] = "[listen main]\n[route r]\npath = /x\n"
				  "backend = room:\nmode = hub\nauth = none\n"
				  "linger = 1h\n";
	char always[sizeof(ini) + 20];
	size_t other;
	(void)state;

	snprintf(always, sizeof(always), "%strunk = always\n", ini);
	world_open(ini);
	other = hub_keeper_home(&world.gate.shared,
			&world.gate.conf->routes[0]) == world.workers[0];
	browser_asks(&a, other, "/x");
	reload(always); /* its home has not seen it yet */
	settle();
	assert_non_null(a.hub);
	assert_ptr_equal(a.hub->home, world.workers[other]);
	assert_true(TAILQ_EMPTY(&world.workers[!other]->hubs->list));
	hub_end(a.hub, &(struct ending){ .reason = REASON_BACKEND_CLOSE });
	while (!hub_at("/x"))
		settle();
	assert_ptr_equal(hub_at("/x")->home, world.workers[!other]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_message_reaches_all_others),
		T(test_the_order_is_the_homes),
		T(test_letters_of_one_turn_come_in_order),
		T(test_at_home_nothing_overtakes_an_answer),
		T(test_a_client_does_not_get_what_was_said_before),
		T(test_a_client_gets_its_replay_first),
		T(test_replay_bytes_bound_it),
		T(test_a_member_that_leaves_leaves_its_seat),
		T(test_a_join_is_cancelled_before_it_is_read),
		T(test_a_join_is_cancelled_before_its_answer),
		T(test_a_hub_whose_maker_gave_up_can_be_joined),
		T(test_a_client_that_leaves_as_it_comes_leaves_no_seat),
		T(test_a_join_without_memory_takes_nothing),
		T(test_a_first_join_without_memory_leaves_nothing),
		T(test_an_empty_hub_gives_way),
		T(test_a_hub_that_empties_behind_a_join_does_not_give_way),
		T(test_an_empty_hub_does_not_end_before_a_client_on_its_way),
		T(test_a_hub_that_is_joined_does_not_give_way),
		T(test_it_gives_way_without_memory),
		T(test_a_route_goes_under_a_client_on_its_way),
		T(test_a_hub_is_kept_that_lives_elsewhere),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
