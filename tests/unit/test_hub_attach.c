/*
 * Simulations that take their places (hub/attach.h): on two workers, whatever
 * the order in which letters are opened, and in random orders against a model.
 */
#include "four_browsers.h"

#include "codec/http/handshake.h"
#include "hub/attach.h"

#define ATTACH                                                                 \
	"[listen main]\n[key k]\nsecret_file = secret\n"                       \
	"[attach s]\npath = /a/{id}\n"                                         \
	"[route r]\npath = /{id}\nbackend = attach:s\nmode = hub\n"            \
	"auth = none\nqueue_limit = 16M\n"
#define SIMS 4

struct sim {
	struct client client;
	size_t worker;
	struct hub_attach *attach; /* under way, or its place is kept */
	int peer;                  /* its end of the socket; -1 = none */
	bool hesitates;            /* it keeps its place and does not come */
	unsigned answers;
	enum reason refused; /* of the answer */
	bool came;           /* its connection was taken */
};

static struct sim sims[SIMS];

static size_t no_input(struct conn *conn, uint8_t *p, size_t n)
{
	(void)conn;
	(void)p;
	return n;
}

static const struct conn_cb no_cb = { .input = no_input };

static void sim_forgets_client(struct sim *s)
{
	worker_left(world.workers[s->worker]);
	client_leaves(&world.gate, &s->client);
}

static void sim_gives_up(struct sim *s)
{
	hub_attach_cancel(s->attach);
	s->attach = NULL;
	sim_forgets_client(s);
}

/* Its connection goes to its place. */
static void sim_comes(struct sim *s)
{
	struct hub_attach *attach = s->attach;
	struct buf reply = { 0 };
	struct conn *conn;
	int fd[2];

	no_memory_pause(true); /* its request has come over it */
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	conn = conn_new(
		world.workers[s->worker]->loop, fd[0], fd[0], &no_cb, NULL);
	assert_non_null(conn);
	s->peer = fd[1];
	assert_true(conn_leave(conn));
	assert_int_equal(buf_add_str(&reply, STR("101.")), 0);
	no_memory_pause(false);
	s->attach = NULL;
	s->came = true;
	hub_attach_take(attach, conn, &s->client, &reply, false);
	s->client = (struct client){ 0 };
}

static void sim_answered(void *owner, const struct outcome *o)
{
	struct sim *s = owner;

	s->answers++;
	s->refused = o->reason;
	if (o->reason != REASON_NONE) {
		s->attach = NULL;
		sim_forgets_client(s);
	} else if (!s->hesitates) {
		sim_comes(s);
	}
}

static void sim_asks(struct sim *s, size_t worker, const char *sub)
{
	struct request r = { .path = STR("/a/x") };
	const struct conf_route *entrance =
		&world.gate.conf->attaches[0].entrance;
	struct captures captures;

	*s = (struct sim){ .worker = worker, .peer = -1 };
	no_memory_pause(true);
	s->client = client_from(&world.gate, "192.0.2.1");
	s->client.id = ++world.clients;
	s->client.route = entrance;
	s->client.verdict = (struct client_verdict){ .perm = JWT_SERVE,
		.identity = sub ? strdup(sub) : NULL,
		.token_exp = JWT_NEVER,
		.expire_at = JWT_NEVER };
	no_memory_pause(false);
	assert_true(pattern_match(entrance->pattern, r.path, &captures));
	atomic_fetch_add(&world.workers[worker]->connections, 1);
	s->attach = hub_attach_open(
		&(struct hub_attach_params){ .worker = world.workers[worker],
			.client = &s->client,
			.request = &r,
			.captures = &captures,
			.done = sim_answered,
			.owner = s });
	if (!s->attach) {
		s->refused = REASON_INTERNAL;
		sim_forgets_client(s);
	}
}

static void sim_attaches(struct sim *s, size_t worker, const char *sub)
{
	sim_asks(s, worker, sub);
	settle();
	expect_reason(s->refused, NONE);
	assert_true(s->came);
}

/* In a masked frame, whose mask is 0. */
static void sim_sends(
	const struct sim *s, uint8_t opcode, const char *p, size_t n)
{
	uint8_t frame[200] = { (uint8_t)(0x80 | opcode), (uint8_t)(0x80 | n) };

	memcpy(frame + 6, p, n);
	assert_int_equal(write(s->peer, frame, n + 6), (ssize_t)(n + 6));
}

static void sim_says(const struct sim *s, const char *text)
{
	sim_sends(s, WS_TEXT, text, strlen(text));
	settle();
}

static void sim_closes(const struct sim *s, uint16_t code)
{
	const char payload[2] = { (char)(code >> 8), (char)code };

	sim_sends(s, WS_CLOSE, payload, 2);
	settle();
}

static void sim_vanishes(struct sim *s)
{
	close(s->peer);
	s->peer = -1;
	settle();
}

/* What has come to it, behind the answer to its upgrade. */
static void expect_sim_hears(const struct sim *s, const char *want)
{
	char room[500] = { 0 };
	ssize_t n = read(s->peer, room, sizeof(room) - 1);

	assert_true(n >= 4);
	assert_memory_equal(room, "101.", 4);
	if (!want[0]) {
		assert_int_equal(n, 4);
		return;
	}
	assert_int_equal(room[4] & 15, WS_TEXT);
	assert_string_equal(room + 6, want);
}

/* The code of the close frame that is the last of what came; 0: none. */
static unsigned close_code(const struct sim *s)
{
	uint8_t room[500];
	ssize_t n = read(s->peer, room, sizeof(room));

	for (ssize_t i = 0; i + 3 < n; i++)
		if (room[i] == (0x80 | WS_CLOSE))
			return (unsigned)room[i + 2] << 8 | room[i + 3];
	return 0;
}

static int sims_setup(void **state)
{
	for (size_t i = 0; i < SIMS; i++)
		sims[i] = (struct sim){ .peer = -1 };
	assert_int_equal(setup(state), 0);
	put_text("secret", "0123456789abcdef0123456789abcdef");
	return 0;
}

static int sims_teardown(void **state)
{
	for (size_t i = 0; i < SIMS; i++)
		if (sims[i].attach)
			sim_gives_up(&sims[i]);
	if (world.is_open)
		settle();
	for (size_t i = 0; i < SIMS; i++)
		if (sims[i].peer >= 0)
			close(sims[i].peer);
	return teardown(state);
}

/* --- the place ------------------------------------------------------------*/

static void test_it_is_the_trunk_wherever_it_came_in(void **state)
{
	(void)state;
	world_open(ATTACH "on_backend_loss = hold\n");
	browser_joins(&a, 0, "/x"); /* its worker is the hub's home */
	sim_attaches(&sims[0], 1, "k/anna");
	browser_joins(&b, 1, "/x");
	assert_ptr_equal(hub_at("/x")->home, world.workers[0]);
	sim_says(&sims[0], "one");
	expect_heard(&a, "one");
	expect_heard(&b, "one");
	browser_says(&b, "faster");
	settle();
	expect_sim_hears(&sims[0], "faster");
}

static void test_its_hub_is_at_home_where_it_came_in(void **state)
{
	(void)state;
	world_open(ATTACH "replay = 1\n");
	sim_attaches(&sims[0], 1, "k/anna");
	assert_ptr_equal(hub_at("/x")->home, world.workers[1]);
	sim_says(&sims[0], "early");
	browser_joins(&a, 0, "/x");
	expect_heard(&a, "early");
}

/* A client comes while a simulation is on its way: it waits for it. */
static void test_a_client_waits_for_one_on_its_way(void **state)
{
	(void)state;
	world_open(ATTACH);
	sims[0].hesitates = true;
	sim_asks(&sims[0], 0, "k/anna");
	sims[0].hesitates = true;
	settle();
	browser_asks(&a, 1, "/x");
	settle();
	assert_int_equal(a.answers, 0);
	sim_comes(&sims[0]);
	settle();
	assert_non_null(a.hub);
}

static void test_it_gives_up_and_the_client_is_told(void **state)
{
	(void)state;
	world_open(ATTACH);
	sim_asks(&sims[0], 0, "k/anna");
	sims[0].hesitates = true;
	settle();
	browser_asks(&a, 1, "/x");
	settle();
	sim_gives_up(&sims[0]);
	settle();
	expect_reason(a.refused, ATTACH_MISSING);
	assert_null(hub_at("/x"));
}

/* Before its answer has come. */
static void test_it_gives_up_while_it_is_asked_for(void **state)
{
	(void)state;
	for (size_t opened = 0; opened < 2; opened++) {
		world_open(ATTACH);
		browser_asks(&a, 0, "/x"); /* the hub's home is 0 */
		sim_asks(&sims[0], 1, "k/anna");
		for (size_t i = 0; i < 2 * opened; i++)
			assert_true(open_letter(0));
		sim_gives_up(&sims[0]);
		settle();
		sim_attaches(&sims[1], 1, "k/ben"); /* the place is free */
		close(sims[1].peer);
		sims[1].peer = -1;
		settle();
		world_close();
		browser_free(&a);
	}
}

static void test_of_two_at_once_one_is_refused(void **state)
{
	(void)state;
	world_open(ATTACH);
	sim_asks(&sims[0], 0, "k/anna");
	sim_asks(&sims[1], 1, "k/anna");
	settle();
	assert_true(sims[0].came);
	expect_reason(sims[1].refused, ATTACH_TAKEN);
}

static void test_the_same_subject_takes_over(void **state)
{
	(void)state;
	world_open(ATTACH "on_backend_loss = hold\n");
	sim_attaches(&sims[0], 0, "k/anna");
	browser_joins(&a, 1, "/x");
	sim_asks(&sims[1], 1, "k/ben");
	settle();
	expect_reason(sims[1].refused, ATTACH_TAKEN);
	sim_attaches(&sims[2], 1, "k/anna");
	assert_int_equal(close_code(&sims[0]), 3003);
	sim_says(&sims[2], "two");
	expect_heard(&a, "two");
	/* The old one's late words are nobody's. */
	sim_says(&sims[0], "ghost");
	expect_heard(&a, "two");
	assert_int_equal(a.closes, 0);
}

/* --- the end of a run -----------------------------------------------------*/

static void test_the_hub_outlives_the_run(void **state)
{
	(void)state;
	world_open(ATTACH "linger = 1h\nreplay = 2\n");
	sim_attaches(&sims[0], 0, "k/anna");
	browser_joins(&a, 1, "/x");
	sim_says(&sims[0], "last");
	sim_closes(&sims[0], 1000);
	assert_int_equal(a.closes, 1);
	assert_int_equal(a.code, 1000);
	browser_joins(&b, 1, "/x");
	expect_heard(&b, "last");
	browser_says(&b, "denied");
	sim_attaches(&sims[1], 1, "k/ben"); /* whoever begins the next */
	sim_says(&sims[1], "first");
	expect_heard(&b, "last first");
	expect_sim_hears(&sims[1], "");
}

static void test_linger_is_the_end_of_all(void **state)
{
	(void)state;
	world_open(ATTACH "linger = 0\n");
	sim_attaches(&sims[0], 0, "k/anna");
	sim_closes(&sims[0], 1000);
	while (hub_at("/x"))
		settle();
}

static void test_a_loss_is_held(void **state)
{
	(void)state;
	world_open(ATTACH "on_backend_loss = hold\n");
	sim_attaches(&sims[0], 0, "k/anna");
	browser_joins(&a, 1, "/x");
	sim_vanishes(&sims[0]);
	assert_int_equal(a.closes, 0);
	browser_says(&a, "meanwhile");
	sim_attaches(&sims[1], 1, "k/anna");
	expect_sim_hears(&sims[1], "meanwhile");
	sim_says(&sims[1], "back");
	expect_heard(&a, "back");
}

/* --- its letters are never opened -----------------------------------------*/

static void test_a_stop_with_letters_under_way(void **state)
{
	(void)state;
	for (size_t opened = 0; opened < 4; opened++) {
		world_open(ATTACH);
		browser_asks(&a, 0, "/x");
		settle();
		sim_asks(&sims[0], 1, "k/anna");
		for (size_t i = 0; i < opened; i++)
			(void)(open_letter(0) || open_letter(1));
		for (size_t i = 0; i < 2; i++) {
			world.workers[i]->draining = true;
			mailbox_drop(&world.workers[i]->mailbox);
		}
		if (sims[0].attach)
			sim_gives_up(&sims[0]);
		for (size_t i = 0; i < 2; i++)
			hubs_stop(world.workers[i]);
		settle();
		sections_close(world.gate.sections); /* as at the end */
		world_close();
		if (sims[0].peer >= 0)
			close(sims[0].peer);
		sims[0].peer = -1;
		browser_free(&a);
	}
}

/* --- without memory -------------------------------------------------------*/

static void test_each_allocation_may_fail(void **state)
{
	bool failed = true;
	(void)state;

	for (unsigned n = 1; failed; n++) {
		world_open(ATTACH "on_backend_loss = hold\n");
		browser_joins(&a, 0, "/x");
		no_memory_at(n);
		sim_asks(&sims[0], 1, "k/anna");
		settle();
		failed = no_memory_was();
		if (sims[0].peer >= 0)
			close(sims[0].peer);
		sims[0].peer = -1;
		settle();
		/* The place is free again, whatever failed. */
		sim_attaches(&sims[1], 1, "k/ben");
		close(sims[1].peer);
		sims[1].peer = -1;
		world_close();
		browser_free(&a);
	}
}

/* --- in random orders -----------------------------------------------------*/

static uint32_t dice;

static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525 + 1013904223;
	return (dice >> 16) % n;
}

static void random_step(void)
{
	static const char *const subs[] = { "k/anna", "k/ben", NULL };
	struct sim *s = &sims[roll(SIMS)];

	switch (roll(7)) {
	case 0:
	case 1:
		if (!s->attach && s->peer < 0) {
			sim_asks(s, roll(2), subs[roll(3)]);
			s->hesitates = roll(3) == 0;
		} else if (s->attach && s->answers > 0) {
			sim_comes(s);
		}
		break;
	case 2:
		if (s->attach)
			sim_gives_up(s);
		break;
	case 3:
		if (s->peer >= 0 && roll(2)) {
			close(s->peer);
			s->peer = -1;
		}
		break;
	default:
		(void)open_letter(roll(2));
		turn(roll(2));
	}
}

/*
 * Whatever was asked and given up in whatever order: behind it there is one
 * simulation at most, it is heard, and the place of one that has gone is free.
 */
static void test_random_orders(void **state)
{
	static char text[20];
	size_t attached;
	struct hub *h;
	(void)state;

	for (uint32_t seed = 1; seed <= 300; seed++) {
		dice = seed;
		world_open(
			ATTACH "on_backend_loss = hold\nhold_timeout = 24h\n");
		browser_joins(&a, 0, "/x");
		for (unsigned i = 0; i < 60; i++)
			random_step();
		for (size_t i = 0; i < SIMS; i++)
			if (sims[i].attach)
				sim_gives_up(&sims[i]);
		settle();
		h = hub_at("/x");
		assert_non_null(h);
		assert_int_equal(h->claimed, 0);
		attached = 0;
		for (size_t i = 0; i < SIMS; i++) {
			if (sims[i].peer < 0)
				continue;
			if (close_code(&sims[i]) == 0)
				attached++;
			close(sims[i].peer);
			sims[i].peer = -1;
		}
		assert_int_equal(attached, hub_is_attached(h) ? 1 : 0);
		settle();
		assert_false(hub_is_attached(h));
		sim_attaches(&sims[0], roll(2), "k/carl");
		snprintf(text, sizeof(text), "seed %u", seed);
		sim_says(&sims[0], text);
		expect_heard(&a, text);
		close(sims[0].peer);
		sims[0].peer = -1;
		settle();
		world_close();
		browser_free(&a);
		a = (struct browser){ .peer = -1 };
	}
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, sims_setup, sims_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_the_trunk_wherever_it_came_in),
		TEST(test_its_hub_is_at_home_where_it_came_in),
		TEST(test_a_client_waits_for_one_on_its_way),
		TEST(test_it_gives_up_and_the_client_is_told),
		TEST(test_it_gives_up_while_it_is_asked_for),
		TEST(test_of_two_at_once_one_is_refused),
		TEST(test_the_same_subject_takes_over),
		TEST(test_the_hub_outlives_the_run),
		TEST(test_linger_is_the_end_of_all),
		TEST(test_a_loss_is_held),
		TEST(test_a_stop_with_letters_under_way),
		TEST(test_each_allocation_may_fail),
		TEST(test_random_orders),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
