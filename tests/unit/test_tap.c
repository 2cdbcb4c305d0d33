/*
 * Taps of a worker whose messages pass through a pair: what is kept, in which
 * bounds, what is counted in its place, and that without one nothing is done.
 */
#include "end/tap.h"

#include "relay_support.h"

#include "base/message.h"
#include "pair/pair.h"
#include "pair/session.h"
#include "worker/mailbox.h"

static struct player *client, *backend;
static struct mailbox reader;
static struct tap *tap;
static unsigned calls;

static void called(void *owner)
{
	(void)owner;
	calls++;
}

static void open_calls(void)
{
	reader.waker.woken(&reader.waker);
}

static struct tap *open_tap(struct tap_filter f)
{
	if (!f.keep)
		f.keep = 100;
	return tap_open(&(struct tap_params){ .filter = f,
		.shared = &gate.shared,
		.reader = &reader,
		.called = called });
}

static void begin_with(const char *route, struct tap_filter f)
{
	struct client c;

	relay_open(route);
	mailbox_init(&reader, loop, NULL);
	c = client_of_route(JWT_READ_WRITE);
	client = player(END_CLIENT, NULL);
	backend = player(END_BACKEND, NULL);
	assert_non_null(pair_new(worker, &c, &client->end, &backend->end));
	f.client = f.client ? c.id : 0;
	calls = 0;
	tap = open_tap(f);
	assert_non_null(tap);
	assert_false(tap_is_on(tap));
	assert_true(tap_wait(tap));
	turn_of(worker);
	assert_true(tap_is_on(tap) && worker->tapped);
	open_calls();
	assert_int_equal(calls, 1);
}

static void begin(struct tap_filter f)
{
	begin_with(ECHO, f);
}

static void pair_ends(void)
{
	player_ends(client, REASON_CLIENT_CLOSE);
	leaves(backend);
	leaves(client);
}

static void finish(void)
{
	pair_ends();
	if (tap)
		tap_close(tap);
	tap = NULL;
	turn_of(worker);
	assert_false(worker->tapped);
	mailbox_fini(&reader);
	relay_close();
}

/* "client text hello" of the oldest, with the sizes where it was cut. */
static const char *take(void)
{
	static char text[300];
	struct tap_item *i = tap_take(tap);
	int n;

	if (!i)
		return "";
	n = snprintf(text, sizeof(text), "%s %s %.*s",
		i->from == END_CLIENT ? "client" : "backend",
		i->opcode == WS_TEXT ? "text" : "binary", (int)i->n, i->data);
	if (i->n < i->size)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			" (%zu of %llu)", i->n, (unsigned long long)i->size);
	if (i->dropped)
		snprintf(text + n, sizeof(text) - (size_t)n, " [%llu before]",
			(unsigned long long)i->dropped);
	assert_string_equal(i->route, "r");
	assert_null(i->hub);
	assert_true(i->at_us > 0);
	tap_item_free(tap, i);
	return text;
}

/* --- without one ------------------------------------------------------------*/

static void test_without_a_tap_nothing_is_looked_at(void **state)
{
	struct taps_here *taps;

	(void)state;
	begin((struct tap_filter){ 0 });
	tap_close(tap);
	tap = NULL;
	turn_of(worker);
	/* Whatever looked at more than worker.tapped would fall over this. */
	taps = worker->taps;
	worker->taps = (struct taps_here *)(uintptr_t)1;
	says(client, "hello");
	says_part(backend, "a", true, false);
	says_part(backend, "b", false, true);
	assert_did(backend, "on <hello>");
	assert_did(client, "on <a b>");
	pair_ends();
	worker->taps = taps;
	mailbox_fini(&reader);
	relay_close();
}

/* --- what is shown ------------------------------------------------------------*/

static void test_whole_messages(void **state)
{
	(void)state;
	begin((struct tap_filter){ 0 });
	says(client, "hello");
	says_part(backend, "a", true, false);
	says(client, "between");
	says_part(backend, "b", false, false);
	says_part(backend, "", false, true);
	says(backend, "");
	assert_string_equal(take(), "client text hello");
	assert_string_equal(take(), "client text between");
	assert_string_equal(take(), "backend text ab");
	assert_string_equal(take(), "backend text ");
	assert_string_equal(take(), "");
	finish();
}

static void test_assembled_for_an_end_that_wants_that(void **state)
{
	(void)state;
	begin((struct tap_filter){ .match = strdup("lo wo"), .match_n = 5 });
	backend->end.whole = true;
	says_part(client, "hello ", true, false);
	says_part(client, "world", false, true);
	assert_string_equal(take(), "client text hello world");
	finish();
}

static void test_one_that_began_before_the_tap(void **state)
{
	(void)state;
	begin((struct tap_filter){ 0 });
	says_part(client, "first", true, false);
	tap_close(tap);
	turn_of(worker);
	tap = open_tap((struct tap_filter){ 0 });
	turn_of(worker);
	says_part(client, "rest", false, true);
	says(client, "next");
	assert_string_equal(take(), "client text next");
	finish();
}

static void test_what_is_longer_is_cut_between_characters(void **state)
{
	(void)state;
	begin((struct tap_filter){ .keep = 5 });
	says(client, "12345");
	says(client, "123456");
	says(client, "123\xf0\x9f\x98\x80");
	says(client, "1234\xc3\xa9");
	says(client, "123\xc3\xa9x");
	says_part(client, "1234", true, false);
	says_part(client, "\xc3\xa9", false, false);
	says_part(client, "more", false, true);
	assert_string_equal(take(), "client text 12345");
	assert_string_equal(take(), "client text 12345 (5 of 6)");
	assert_string_equal(take(), "client text 123 (3 of 7)");
	assert_string_equal(take(), "client text 1234 (4 of 6)");
	assert_string_equal(take(), "client text 123\xc3\xa9 (5 of 6)");
	assert_string_equal(take(), "client text 1234 (4 of 10)");
	finish();
}

static void test_whole_or_dropped(void **state)
{
	(void)state;
	begin((struct tap_filter){ .keep = 5, .whole = true });
	says(client, "12345");
	says(client, "123456");
	says(backend, "1");
	assert_string_equal(take(), "client text 12345");
	assert_string_equal(take(), "backend text 1 [1 before]");
	says(client, "123456");
	assert_int_equal(tap_take_dropped(tap), 1);
	assert_int_equal(tap_take_dropped(tap), 0);
	finish();
}

static void test_filters(void **state)
{
	(void)state;
	begin((struct tap_filter){ .route = strdup("other") });
	says(client, "hello");
	says_part(client, "he", true, false);
	says_part(client, "llo", false, true);
	assert_string_equal(take(), "");
	finish();
	begin((struct tap_filter){ .route = strdup("r"),
		.not_from = { [END_BACKEND] = true },
		.match = strdup("lo"),
		.match_n = 2 });
	says(client, "hello");
	says(client, "l");
	says(client, "low and lower");
	says(backend, "hello");
	assert_string_equal(take(), "client text hello");
	assert_string_equal(take(), "client text low and lower");
	assert_string_equal(take(), "");
	finish();
	begin((struct tap_filter){ .for_all = true });
	says(backend, "of a pair");
	assert_string_equal(take(), "");
	finish();
	begin((struct tap_filter){ .hub = strdup("/r") });
	says(backend, "of a pair");
	assert_string_equal(take(), "");
	finish();
}

/* A match is looked for in what there is of a message in pieces. */
static void test_match_in_pieces(void **state)
{
	(void)state;
	begin((struct tap_filter){
		.match = strdup("llo"), .match_n = 3, .keep = 5 });
	says_part(client, "hel", true, false);
	says_part(client, "lo", false, true);
	says_part(client, "much to", true, false);
	says_part(client, "o late: hello", false, true);
	says(client, "in one piece: hello");
	assert_string_equal(take(), "client text hello");
	assert_string_equal(take(), "client text in on (5 of 19)");
	assert_string_equal(take(), "");
	finish();
}

static void test_tap_no(void **state)
{
	(void)state;
	begin_with(ECHO "tap = no\n", (struct tap_filter){ 0 });
	says(client, "hello");
	says_part(client, "he", true, false);
	says_part(client, "llo", false, true);
	assert_string_equal(take(), "");
	assert_int_equal(tap_take_dropped(tap), 0);
	finish();
}

/* --- its end ------------------------------------------------------------------*/

static void test_limit(void **state)
{
	(void)state;
	begin((struct tap_filter){ .limit = 2 });
	says(client, "one");
	assert_false(tap_is_over(tap));
	says(client, "two");
	says(client, "three");
	assert_true(tap_is_over(tap));
	assert_string_equal(take(), "client text one");
	assert_string_equal(take(), "client text two");
	assert_string_equal(take(), "");
	finish();
}

static void test_its_client_is_gone(void **state)
{
	(void)state;
	begin((struct tap_filter){ .client = 1 });
	says(client, "bye");
	assert_false(tap_is_over(tap));
	assert_false(tap_wait(tap));
	assert_string_equal(take(), "client text bye");
	assert_true(tap_wait(tap));
	says_part(client, "half", true, false);
	pair_ends();
	assert_true(tap_is_over(tap));
	open_calls();
	assert_int_equal(calls, 2);
	tap_close(tap);
	tap = NULL;
	turn_of(worker);
	mailbox_fini(&reader);
	relay_close();
}

static void test_stopped(void **state)
{
	(void)state;
	begin((struct tap_filter){ 0 });
	says(client, "before");
	tap_stop(tap);
	says(client, "behind");
	assert_true(tap_is_over(tap));
	assert_string_equal(take(), "client text before");
	assert_string_equal(take(), "");
	turn_of(worker);
	assert_false(worker->tapped);
	finish();
}

/* A caller may leave at any time: before its worker has begun, too. */
static void test_closed_before_it_is_on(void **state)
{
	(void)state;
	begin((struct tap_filter){ 0 });
	says(client, "kept");
	tap_close(tap);
	tap = open_tap((struct tap_filter){ 0 });
	tap_close(tap);
	tap = NULL;
	says(client, "nothing is kept of this");
	turn_of(worker);
	assert_false(worker->tapped);
	assert_int_equal(budget_used(&gate.shared.budget), 0);
	finish();
}

static void test_the_worker_ends_first(void **state)
{
	(void)state;
	begin((struct tap_filter){ 0 });
	says(client, "hello");
	says_part(client, "half", true, false);
	pair_ends();
	tap_close(tap);
	tap = open_tap((struct tap_filter){ 0 });
	tap_close(tap);
	tap = NULL;
	/* Its letters are freed unread. */
	mailbox_fini(&reader);
	relay_close();
}

/* --- its reader -----------------------------------------------------------------*/

static void test_called_once(void **state)
{
	(void)state;
	begin((struct tap_filter){ 0 });
	assert_true(tap_wait(tap));
	says(client, "one");
	says(client, "two");
	open_calls();
	assert_int_equal(calls, 2);
	says(client, "three");
	open_calls();
	assert_int_equal(calls, 2); /* it has not asked again */
	assert_false(tap_wait(tap));
	while (*take())
		;
	assert_true(tap_wait(tap));
	/* A letter that is under way is enough, however often it asks. */
	says(client, "four");
	assert_true(tap_wait(tap));
	says(client, "five");
	open_calls();
	assert_int_equal(calls, 3);
	finish();
}

/* --- bounds ---------------------------------------------------------------------*/

/* Players write down no more than a little. */
static enum reason takes_it(struct end *e, const struct piece *p)
{
	(void)e;
	(void)p;
	return REASON_NONE;
}

static const struct end_ops quiet_ops = {
	.send = takes_it,
	.flow = player_flow,
	.close = player_close,
};

static void begin_quietly(size_t keep)
{
	begin((struct tap_filter){ .keep = keep });
	client->end.ops = backend->end.ops = &quiet_ops;
}

static void says_long(struct player *p, size_t n)
{
	char *text = malloc(n + 1);

	assert_non_null(text);
	memset(text, 'x', n);
	text[n] = '\0';
	p->end.owner->cb->input(&p->end, &(struct piece){ .opcode = WS_BINARY,
						 .first = true,
						 .last = true,
						 .data = (uint8_t *)text,
						 .n = n });
	free(text);
}

static void test_one_that_does_not_read(void **state)
{
	const size_t size = 1u << 20;
	uint64_t shown = 0, lost;
	struct tap_item *i;

	(void)state;
	begin_quietly(size);
	for (int n = 0; n < 50; n++)
		says_long(client, size);
	assert_true(
		budget_used(&gate.shared.budget) < TAP_QUEUE_BYTES + 2 * size);
	assert_int_equal(tap_take_dropped(tap), 0); /* not its turn yet */
	while ((i = tap_take(tap))) {
		assert_int_equal(i->dropped, 0);
		assert_int_equal(i->n, size);
		shown++;
		tap_item_free(tap, i);
	}
	assert_in_range(
		shown, TAP_QUEUE_BYTES / size - 1, TAP_QUEUE_BYTES / size + 1);
	says(client, "it reads again");
	i = tap_take(tap);
	assert_non_null(i);
	lost = i->dropped;
	tap_item_free(tap, i);
	assert_int_equal(shown + lost, 50);
	finish();
}

/* Of a hub's message the reader may get a part, but all of it is held. */
static void test_messages_that_are_referred_to(void **state)
{
	const size_t size = 1u << 20;
	uint8_t *bytes = calloc(1, size);
	struct tap_item *i;
	unsigned n = 0;

	(void)state;
	assert_non_null(bytes);
	begin((struct tap_filter){ .keep = 10 });
	for (unsigned k = 0; k < 30; k++) {
		struct message *m = message_new(
			bytes, 0, bytes, size, &gate.shared.budget);

		assert_non_null(m);
		m->opcode = WS_BINARY;
		tap_message(worker,
			&(struct tap_source){ .route = &gate.conf->routes[0],
				.from = END_BACKEND,
				.hub = "/r",
				.for_all = true },
			m);
		message_unref(m);
	}
	assert_true(
		budget_used(&gate.shared.budget) < TAP_QUEUE_BYTES + 2 * size);
	for (; (i = tap_take(tap)); n++) {
		assert_true(i->n == 10 && i->size == size);
		assert_string_equal(i->hub, "/r");
		tap_item_free(tap, i);
	}
	assert_in_range(n, 7, 9);
	assert_int_equal(tap_take_dropped(tap), 30 - n);
	free(bytes);
	finish();
}

static void test_memory_is_full(void **state)
{
	struct tap_item *i;
	unsigned n = 0;

	(void)state;
	begin_quietly(1u << 20);
	budget_set_limit(&gate.shared.budget, 1000);
	for (int k = 0; k < 10; k++)
		says_long(client, 50000);
	budget_set_limit(&gate.shared.budget, SIZE_MAX);
	while ((i = tap_take(tap))) {
		n++;
		tap_item_free(tap, i);
	}
	assert_int_equal(n, 2); /* until what waits is more than a little */
	assert_int_equal(tap_take_dropped(tap), 8);
	finish();
}

static void test_messages_in_the_making_are_bounded(void **state)
{
	char *text = malloc(TAP_PARTS_BYTES + 100);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', TAP_PARTS_BYTES + 99);
	text[TAP_PARTS_BYTES + 99] = '\0';
	begin_quietly(SIZE_MAX);
	says_part(client, text, true, false);
	assert_true(budget_used(&gate.shared.budget) <= TAP_PARTS_BYTES);
	says_part(backend, "no room ", true, false);
	says_part(backend, "for it", false, true);
	assert_int_equal(tap_take_dropped(tap), 1);
	says_part(client, "y", false, true);
	free(text);
	finish();
}

static void test_without_memory(void **state)
{
	(void)state;
	begin((struct tap_filter){ 0 });
	for (unsigned n = 1; n <= 2; n++) {
		no_memory_pause(false);
		no_memory_at(n == 1 ? 2 : 3);
		/* The test's own copy of the text is the first. */
		if (n == 1) {
			says(client, "one");
		} else {
			says_part(client, "o", true, false);
			says_part(client, "ne", false, true);
		}
		(void)no_memory_was();
	}
	while (*take())
		;
	(void)tap_take_dropped(tap);
	for (unsigned n = 1; n < 3; n++) {
		struct tap *t;

		no_memory_at(n);
		t = open_tap((struct tap_filter){ 0 });
		if (no_memory_was())
			assert_null(t);
		else
			tap_close(t);
	}
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_a_tap_nothing_is_looked_at),
		cmocka_unit_test(test_whole_messages),
		cmocka_unit_test(test_assembled_for_an_end_that_wants_that),
		cmocka_unit_test(test_one_that_began_before_the_tap),
		cmocka_unit_test(test_what_is_longer_is_cut_between_characters),
		cmocka_unit_test(test_whole_or_dropped),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_match_in_pieces),
		cmocka_unit_test(test_tap_no),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_its_client_is_gone),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_closed_before_it_is_on),
		cmocka_unit_test(test_the_worker_ends_first),
		cmocka_unit_test(test_called_once),
		cmocka_unit_test(test_one_that_does_not_read),
		cmocka_unit_test(test_messages_that_are_referred_to),
		cmocka_unit_test(test_memory_is_full),
		cmocka_unit_test(test_messages_in_the_making_are_bounded),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
