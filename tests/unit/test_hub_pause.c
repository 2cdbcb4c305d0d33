/*
 * Random orders, as in test_hub_order.c: clients of two workers join a hub,
 * speak and leave while its route is paused and is not, each worker hears of
 * that when it likes, and letters are opened whenever. With hold nothing of what
 * was said is lost, there are never two backends, and while all is paused there
 * is none.
 */
#include "hub_support.h"

#include "base/walk.h"
#include "worker/section.h"

#define SEEDS   200
#define STEPS   1000
#define CLIENTS 40
#define TRUNKS  100

struct visit {
	struct browser browser;
	unsigned words;
};

static struct visit visits[CLIENTS];
static size_t visits_n;
static int trunks[TRUNKS]; /* -1: it is closed */
static size_t trunks_n;
static struct buf heard; /* by all of them, line by line */
static bool hold;
static uint64_t state;

static uint32_t below(uint32_t n)
{
	return next_random(&state) % n;
}

static struct route_state *route(void)
{
	return world.gate.conf->routes[0].state;
}

/* --- the backend --------------------------------------------------------------*/

static bool is_there(void)
{
	for (size_t i = 0; i < trunks_n; i++)
		if (trunks[i] >= 0)
			return true;
	return false;
}

/* What has come; its own end follows that of the relay. */
static void read_trunk(int *fd)
{
	char room[4096];
	ssize_t n;

	if (*fd < 0)
		return;
	while ((n = read(*fd, room, sizeof(room))) > 0)
		assert_int_equal(buf_add(&heard, room, (size_t)n, SIZE_MAX), 0);
	if (n < 0)
		return;
	close(*fd);
	*fd = -1;
}

static void read_trunks(void)
{
	for (size_t i = 0; i < trunks_n; i++)
		read_trunk(&trunks[i]);
}

static void the_backend_acts(void)
{
	int fd;

	read_trunks();
	fd = accept4(world.listening, NULL, NULL, SOCK_NONBLOCK);
	if (fd < 0)
		return;
	/* What was given up in a turn is closed at its end. */
	for (size_t i = 0; i < 2 && is_there(); i++)
		end_turn(i);
	read_trunks();
	assert_true(!hold || !is_there());
	assert_true(trunks_n < TRUNKS);
	trunks[trunks_n++] = fd;
}

/* --- steps ------------------------------------------------------------------*/

static bool is_member(const struct browser *b)
{
	return b->hub && b->closes == 0;
}

static void a_client_joins(void)
{
	if (visits_n == CLIENTS)
		return;
	visits[visits_n] = (struct visit){ .words = 0 };
	browser_asks(&visits[visits_n++].browser, below(2), "/x");
}

static void a_client_speaks(struct visit *v)
{
	char text[20];

	if (!is_member(&v->browser) || !v->browser.reading)
		return;
	snprintf(text, sizeof(text), "%d.%u", (int)v->browser.client.id,
		v->words++);
	browser_says_in_turn(&v->browser, text);
	if (below(2))
		end_turn(v->browser.worker);
}

static void a_client_leaves(struct visit *v)
{
	if (v->browser.attempt)
		browser_gives_up(&v->browser);
	else if (is_member(&v->browser))
		browser_leaves(&v->browser);
}

static void a_worker_heeds(size_t worker)
{
	struct hub_pauses n = { 0 };
	struct walk walk = { 0 };

	while (hubs_heed_pause(world.workers[worker], route(), &walk, &n))
		;
	walk_end(&walk);
	if (below(2))
		end_turn(worker);
}

static void step(void)
{
	uint32_t what = below(28);
	struct visit *v;

	if (what == 0 || visits_n == 0) {
		a_client_joins();
		return;
	}
	v = &visits[below((uint32_t)visits_n)];
	if (what == 1)
		a_client_leaves(v);
	else if (what <= 8)
		a_client_speaks(v);
	else if (what == 9)
		atomic_store(&route()->paused, below(2));
	else if (what <= 12)
		a_worker_heeds(what % 2);
	else if (what <= 14)
		the_backend_acts();
	else if (what <= 16)
		turn(what % 2);
	else
		(void)open_letter_in_turn(what % 2);
}

/* --- what must have come of it ----------------------------------------------*/

static void settle_with_backend(void)
{
	for (int i = 0; i < 4; i++) {
		settle();
		the_backend_acts();
	}
	settle();
}

static void everyone_heeds(bool paused)
{
	atomic_store(&route()->paused, paused);
	a_worker_heeds(0);
	a_worker_heeds(1);
	settle_with_backend();
}

static void check_paused(void)
{
	const struct hub *h;

	everyone_heeds(true);
	assert_false(is_there());
	for (size_t i = 0; i < 2; i++)
		TAILQ_FOREACH (h, &world.workers[i]->hubs->list, home_next) {
			assert_int_equal(h->state, HUB_HELD);
			assert_null(h->attempt);
			assert_null(h->trunk);
			assert_null(h->hold.retry.at);
			assert_null(h->hold.deadline.at);
		}
}

/* Its next word is due, or, where members are closed, a later one. */
static void check_line(const char *line, unsigned next[CLIENTS])
{
	unsigned client, word;

	assert_int_equal(sscanf(line, "%u.%u", &client, &word), 2);
	assert_true(client > 0 && client <= visits_n);
	assert_true(hold ? word == next[client - 1] : word >= next[client - 1]);
	next[client - 1] = word + 1;
}

static void check_heard(uint64_t seed)
{
	unsigned next[CLIENTS] = { 0 };
	char *text, *line, *save;

	assert_int_equal(buf_add(&heard, "", 1, SIZE_MAX), 0);
	text = (char *)heard.p;
	for (line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save))
		check_line(line, next);
	for (size_t i = 0; hold && i < visits_n; i++)
		if (next[i] != visits[i].words)
			fail_msg("seed %u: of %u words of client %u %u came",
				(unsigned)seed, visits[i].words,
				(unsigned)i + 1, next[i]);
}

static void check_visit(const struct visit *v)
{
	const struct browser *b = &v->browser;

	assert_null(b->attempt);
	assert_true(b->refused == REASON_NONE || b->refused == REASON_PAUSED);
	if (hold)
		return;
	assert_true(b->closes == 0 || b->code == 1013 || b->code == 1000);
}

static void run(const char *more, uint64_t seed)
{
	world_open_with_trunk(more);
	visits_n = trunks_n = 0;
	heard = (struct buf){ 0 };
	state = seed;
	for (int i = 0; i < STEPS; i++)
		step();
	check_paused();
	everyone_heeds(false);
	for (size_t i = 0; i < visits_n; i++) {
		assert_true(!is_member(&visits[i].browser) ||
			    visits[i].browser.reading);
		a_client_speaks(&visits[i]);
	}
	settle_with_backend();
	for (size_t i = 0; i < visits_n; i++)
		check_visit(&visits[i]);
	check_heard(seed);
	for (size_t i = 0; i < trunks_n; i++)
		if (trunks[i] >= 0)
			close(trunks[i]);
	world_close();
	buf_free(&heard);
	for (size_t i = 0; i < visits_n; i++)
		browser_free(&visits[i].browser);
}

static void run_all(const char *more)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		run(more, seed);
}

static void test_members_wait(void **unused)
{
	(void)unused;
	hold = true;
	run_all("on_backend_loss = hold\n");
}

static void test_members_wait_in_short_queues(void **unused)
{
	(void)unused;
	hold = true;
	run_all("on_backend_loss = hold\nqueue_limit = 1K\n");
}

static void test_members_are_closed(void **unused)
{
	(void)unused;
	hold = false;
	run_all("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_wait),
		cmocka_unit_test(test_members_wait_in_short_queues),
		cmocka_unit_test(test_members_are_closed),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
