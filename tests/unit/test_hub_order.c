/*
 * Random orders: clients of two workers join a hub, speak and leave, are slow
 * for a while, and the letters between the workers are opened whenever. A model
 * knows what each must have heard: from where it joined, with the replay in
 * front, all that the home has read, in that order, once. Where more waits than
 * queue_limit something of that may be missing, but no speaker is held up for
 * ever.
 */
#include "hub_support.h"

#define SEEDS   200
#define STEPS   400
#define CLIENTS 40
#define SAID    (STEPS + 1)

struct visit {
	struct browser browser;
	size_t from; /* of the log, where it joined */
	unsigned words;
};

static struct visit visits[CLIENTS];
static size_t visits_n;
/* What the home has read, in order. */
static struct word {
	uint64_t by;
	char text[12];
} said[SAID];
static size_t said_n, replay;
static bool echo;  /* its speaker hears it, too */
static bool lossy; /* queue_limit is small: older messages may be dropped */
static bool swift; /* the lines of all take all */
static uint64_t state;

static uint32_t below(uint32_t n)
{
	return next_random(&state) % n;
}

static void home_reads(uint64_t by, const void *text, size_t n)
{
	assert_true(said_n < SAID && n < sizeof(said[0].text));
	said[said_n].by = by;
	memcpy(said[said_n].text, text, n);
	said[said_n++].text[n] = '\0';
}

static void note_letter(size_t worker, const struct letter *l)
{
	(void)worker;
	if (l->kind == &hub_letter_join) {
		const struct hub_join *j = CONTAINER_OF(
			l, const struct hub_join, letter);

		visits[j->id - 1].from = said_n > replay ? said_n - replay : 0;
	} else if (l->kind == &hub_letter_input) {
		const struct hub_input_letter *i = CONTAINER_OF(
			l, const struct hub_input_letter, letter);

		home_reads(i->seat->id, i->bytes, i->n);
	}
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
	struct browser *b = &v->browser;
	char text[sizeof(said[0].text)];

	if (!is_member(b) || !b->reading)
		return;
	snprintf(text, sizeof(text), "%d.%u", (int)b->client.id, v->words++);
	/* At home it is read at once. */
	if (b->hub->home->index == b->worker)
		home_reads(b->client.id, text, strlen(text));
	browser_says_in_turn(b, text);
	if (below(2))
		end_turn(b->worker);
}

static void a_client_leaves(struct visit *v)
{
	if (v->browser.attempt)
		browser_gives_up(&v->browser);
	else if (is_member(&v->browser))
		browser_leaves(&v->browser);
}

static void a_line_changes(struct visit *v)
{
	static const size_t rooms[] = { 0, 3, 50, SIZE_MAX };

	if (v->browser.script && !swift)
		v->browser.script->room = rooms[below(4)];
}

static void a_letter_is_opened(size_t worker)
{
	(void)open_letter_in_turn(worker);
	if (below(2))
		end_turn(worker);
}

static void step(void)
{
	struct visit *v;
	uint32_t what = below(24);

	if (what == 0 || visits_n == 0) {
		a_client_joins();
		return;
	}
	v = &visits[below((uint32_t)visits_n)];
	if (what == 1)
		a_client_leaves(v);
	else if (what <= 8)
		a_client_speaks(v);
	else if (what <= 10)
		a_line_changes(v);
	else if (what <= 12)
		turn(what % 2);
	else
		a_letter_is_opened(what % 2);
}

/* --- what must have come of it ----------------------------------------------*/

static bool is_due(const struct visit *v, size_t i)
{
	return echo || said[i].by != v->browser.client.id;
}

/* Whether it is the next word that is due, or, in what is lossy, a later one. */
static bool take_word(const struct visit *v, size_t *at, const char *word)
{
	for (; *at < said_n; ++*at) {
		if (!is_due(v, *at))
			continue;
		if (strcmp(said[*at].text, word) == 0) {
			++*at;
			return true;
		}
		if (!lossy)
			return false;
	}
	return false;
}

static bool is_all(const struct visit *v, size_t at)
{
	while (at < said_n && !is_due(v, at))
		at++;
	return at == said_n;
}

/* One that has left has heard the beginning of what was due. */
static void check(uint64_t seed, const struct visit *v)
{
	char *heard = heard_by(&v->browser), *save, *word;
	char *rest = str_dup(str_of(heard));
	size_t at = v->from;
	bool good = true;

	for (word = strtok_r(rest, " ", &save); word && good;
		word = strtok_r(NULL, " ", &save))
		good = take_word(v, &at, word);
	if (!good || (is_member(&v->browser) && !is_all(v, at)))
		fail_msg("seed %u: client %u joined at %u of %u, and heard %s",
			(unsigned)seed, (unsigned)v->browser.client.id,
			(unsigned)v->from, (unsigned)said_n, heard);
	free(rest);
	free(heard);
}

/* All that was held up for them may be said, and one says it. */
static void last_word(void)
{
	struct visit *last = NULL;

	for (size_t i = 0; i < visits_n; i++) {
		struct browser *b = &visits[i].browser;

		assert_null(b->attempt);
		assert_true(!is_member(b) || b->reading);
		if (is_member(b))
			last = &visits[i];
	}
	if (last)
		a_client_speaks(last);
	settle();
}

static void check_seats(void)
{
	struct hub *h = hub_at("/x");
	size_t members[2] = { 0 };

	for (size_t i = 0; i < visits_n; i++)
		members[visits[i].browser.worker] += is_member(
			&visits[i].browser);
	assert_int_equal(h->seats_n, members[0] + members[1]);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(h->remotes[i].seats, members[i]);
}

static void run(const char *ini, uint64_t seed)
{
	world_open(ini);
	world.on_letter = note_letter;
	visits_n = said_n = 0;
	state = seed;
	for (int i = 0; i < STEPS; i++)
		step();
	for (size_t i = 0; i < visits_n; i++)
		if (visits[i].browser.script)
			visits[i].browser.script->room = SIZE_MAX;
	settle();
	last_word();
	for (size_t i = 0; i < visits_n; i++)
		check(seed, &visits[i]);
	check_seats();
	world_close();
	for (size_t i = 0; i < visits_n; i++)
		browser_free(&visits[i].browser);
}

/* --- what is joined ---------------------------------------------------------*/

static void run_all(const char *ini)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		run(ini, seed);
}

static int setup(void **unused)
{
	(void)unused;
	echo = lossy = swift = false;
	replay = 0;
	return 0;
}

static void test_a_room(void **unused)
{
	(void)unused;
	run_all(ROOM);
}

static void test_a_room_with_a_replay(void **unused)
{
	(void)unused;
	replay = 5;
	run_all(ROOM "replay = 5\n");
}

static void test_a_backend(void **unused)
{
	(void)unused;
	echo = true;
	replay = 3;
	run_all(HUB("echo:", "1h") "replay = 3\n");
}

/* Where speakers can be held up no listener is too slow. */
static void test_a_room_with_short_queues_and_swift_lines(void **unused)
{
	(void)unused;
	swift = true;
	replay = 3;
	run_all(ROOM "replay = 3\nqueue_limit = 1K\n");
}

static void test_a_room_with_short_queues(void **unused)
{
	(void)unused;
	lossy = true;
	replay = 3;
	run_all(ROOM "replay = 3\nqueue_limit = 1K\nslow = drop-old\n");
}

static void test_a_backend_with_short_queues(void **unused)
{
	(void)unused;
	echo = lossy = true;
	replay = 5;
	run_all(HUB("echo:", "1h") "replay = 5\nqueue_limit = 1K\n"
				   "slow = drop-old\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(test_a_room),
		T(test_a_room_with_a_replay),
		T(test_a_backend),
		T(test_a_room_with_short_queues_and_swift_lines),
		T(test_a_room_with_short_queues),
		T(test_a_backend_with_short_queues),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
