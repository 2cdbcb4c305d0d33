/*
 * How hubs end, whatever letters are under way then: each member is told once,
 * behind what was said last, and each client that asked for a seat is answered.
 */
#include "four_browsers.h"

static void end_hub(struct hub *h)
{
	hub_end(h, &(struct ending){ .reason = REASON_BACKEND_CLOSE });
}

static void expect_told(const struct browser *to)
{
	assert_int_equal(to->closes, 1);
	assert_int_equal(to->code, WS_CODE_NORMAL);
}

/* --- the end ----------------------------------------------------------------*/

static void test_a_backend_that_ends_closes_all(void **state)
{
	(void)state;
	world_open_with_trunk("");
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	trunk_accept();
	trunk_says("last\nwords\n");
	trunk_hangs_up();
	settle();
	expect_heard(&a, "last words");
	expect_heard(&b, "last words");
	expect_told(&a);
	expect_told(&b);
	assert_null(hub_at("/x"));
}

/*
 * a and b are members, and something was said in this turn. c has a seat and is
 * not told of it yet; d has asked for one.
 */
static void test_an_end_passes_no_letter(void **state)
{
	struct hub *old;
	(void)state;

	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	old = hub_ref(hub_at("/x"));
	browser_asks(&c, 1, "/x");
	open_letters_of(0);
	browser_asks(&d, 1, "/x");
	browser_says_in_turn(&a, "last");
	end_hub(old);
	settle();
	expect_told(&a);
	expect_told(&b);
	expect_told(&c);
	expect_heard(&b, "last");
	expect_heard(&c, "last");
	/* The one that came too late is in another hub. */
	assert_int_equal(d.answers, 1);
	assert_int_equal(d.closes, 0);
	assert_ptr_equal(d.hub, hub_at("/x"));
	assert_ptr_not_equal(d.hub, old);
	hub_unref(old);
}

/* What its member said is for a hub that is no more. */
static void test_input_for_a_hub_that_has_ended_is_dropped(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	browser_says(&b, "late");
	end_hub(hub_at("/x"));
	settle();
	expect_told(&a);
	expect_told(&b);
	expect_heard(&a, "");
}

static void test_a_member_that_left_is_not_told(void **state)
{
	(void)state;
	world_open(ROOM);
	browser_joins(&a, 0, "/x");
	browser_joins(&b, 1, "/x");
	browser_leaves(&b); /* the home does not know that */
	end_hub(hub_at("/x"));
	settle();
	assert_int_equal(b.closes, 1);
	assert_int_equal(closed_as(1, REASON_CLIENT_CLOSE), 1);
	assert_int_equal(closed_as(1, REASON_BACKEND_CLOSE), 0);
}

static void test_a_backend_that_does_not_open_refuses_all(void **state)
{
	(void)state;
	world_open_with_trunk("");
	unlink("socket");
	browser_asks(&a, 0, "/x");
	browser_asks(&b, 1, "/x");
	browser_asks(&c, 1, "/x");
	browser_gives_up(&c);
	settle();
	assert_int_equal(a.answers, 1);
	assert_int_equal(b.answers, 1);
	assert_int_equal(c.answers, 0);
	expect_reason(a.refused, BACKEND_REFUSED);
	expect_reason(b.refused, BACKEND_REFUSED);
	assert_null(hub_at("/x"));
}

static void test_an_end_is_told_without_memory(void **state)
{
	bool failed = true;
	(void)state;

	for (unsigned n = 1; failed; n++) {
		world_open(ROOM);
		browser_joins(&a, 0, "/x");
		browser_joins(&b, 1, "/x");
		browser_asks(&c, 1, "/x");
		open_letters_of(0);
		no_memory_at(n);
		end_hub(hub_at("/x"));
		settle();
		failed = no_memory_was();
		expect_told(&a);
		expect_told(&b);
		assert_true(c.closes == 1 || c.refused != REASON_NONE);
		teardown(NULL);
	}
}

static void test_a_spare_letter_is_under_way_once(void **state)
{
	struct hub *h;
	(void)state;

	world_open(ROOM);
	browser_joins(&a, 1, "/x");
	h = hub_at("/x");
	for (int i = 0; i < 3; i++) { /* again when it was read */
		no_memory_at(1);
		hub_tell_resume(h);
		no_memory_at(1);
		hub_tell_resume(h);
		assert_true(no_memory_was());
		assert_int_equal(letters_of(1), 1);
		assert_true(open_letter(1));
	}
}

/* --- ends at any moment -----------------------------------------------------*/

#define SEEDS   300
#define CLIENTS 12

static struct browser many[CLIENTS];

static void open_some_letters(uint64_t *random, uint32_t most)
{
	for (uint32_t n = next_random(random) % most; n > 0; n--)
		(void)open_letter(next_random(random) % 2);
}

/* Some are members then, some on the way; afterwards more may come. */
static void end_at_random(uint64_t seed)
{
	uint64_t random = seed;
	struct hub *old;

	browser_joins(&many[0], next_random(&random) % 2, "/x");
	old = hub_ref(hub_at("/x"));
	for (int i = 1; i < CLIENTS; i++) {
		if (i == CLIENTS / 2)
			end_hub(old);
		browser_asks(&many[i], next_random(&random) % 2, "/x");
		open_some_letters(&random, 5);
	}
	settle();
	for (int i = 0; i < CLIENTS; i++) {
		const struct browser *x = &many[i];

		/* Told once by the old one, or in the new one. */
		assert_int_equal(x->answers, 1);
		assert_int_equal(x->refused, REASON_NONE);
		assert_int_equal(x->closes, x->hub ? 0 : 1);
		if (x->hub)
			assert_ptr_equal(x->hub, hub_at("/x"));
	}
	assert_ptr_not_equal(hub_at("/x"), old);
	hub_unref(old);
}

static void test_a_hub_ends_at_any_moment(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_open(ROOM);
		end_at_random(seed);
		world_close();
		for (int i = 0; i < CLIENTS; i++)
			browser_free(&many[i]);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_backend_that_ends_closes_all),
		T(test_an_end_passes_no_letter),
		T(test_input_for_a_hub_that_has_ended_is_dropped),
		T(test_a_member_that_left_is_not_told),
		T(test_a_backend_that_does_not_open_refuses_all),
		T(test_an_end_is_told_without_memory),
		T(test_a_spare_letter_is_under_way_once),
		T(test_a_hub_ends_at_any_moment),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
