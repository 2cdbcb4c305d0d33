/*
 * Members of a hub without a backend (room:), which join as clients do, over
 * connections whose socket takes what a test lets it take.
 */
#include "hub/member.h"

#include "base/message.h"
#include "codec/tagged.h"
#include "hub/join.h"
#include "hub/private.h"
#include "relay_support.h"
#include "worker/route_counters.h"

struct guest {
	struct worker *worker;
	struct client client; /* until it is a member */
	struct hub_attempt *attempt;
	struct player *player;
	struct member *member;
	struct conn *conn;
	struct script *script;
	int peer;
	uint64_t id;
	char got[200]; /* "one two": messages up to their first '.' */
};

static struct guest a, b, c;
static struct hub *hub; /* of the member that joined last */

static const struct request request = { .path = { "/r", 2 } };

/* --- connections --------------------------------------------------------------*/

static size_t guest_input(struct conn *conn, uint8_t *p, size_t n)
{
	(void)conn;
	(void)p;
	return n;
}

static void guest_drained(struct conn *conn)
{
	struct guest *g = conn->owner;

	g->player->end.owner->cb->drained(&g->player->end);
}

static void guest_ended(struct conn *conn, int error)
{
	(void)conn;
	(void)error;
}

static void guest_closed(struct conn *conn)
{
	((struct guest *)conn->owner)->conn = NULL;
}

static const struct conn_cb guest_cb = {
	.input = guest_input,
	.drained = guest_drained,
	.ended = guest_ended,
	.closed = guest_closed,
};

static void guest_connect(struct guest *g)
{
	int fd[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	g->peer = fd[1];
	g->conn = conn_new(g->worker->loop, fd[0], fd[0], &guest_cb, g);
	assert_non_null(g->conn);
	g->script = script_start(g->conn);
	g->script->room = SIZE_MAX;
	g->player = player(END_CLIENT, g->conn);
}

/* The frames that its socket took, each a message of text. */
static const char *got(struct guest *g)
{
	const uint8_t *p = g->script->sent.p;
	size_t left = g->script->sent.n;
	char *out = g->got;

	*out = '\0';
	while (left > 0) {
		size_t head = p[1] == 126 ? 4 : 2;
		size_t n = p[1] == 126 ? (size_t)(p[2] << 8 | p[3]) : p[1];

		const uint8_t *dot;

		assert_int_equal(p[0], 0x81);
		assert_true(left >= head + n);
		dot = memchr(p + head, '.', n);
		out += sprintf(out, "%s%.*s", out > g->got ? " " : "",
			(int)(dot ? (size_t)(dot - p) - head : n), p + head);
		p += head + n;
		left -= head + n;
	}
	buf_free(&g->script->sent);
	return g->got;
}

/* --- members ------------------------------------------------------------------*/

/* An allocation of member_new that fails, and whether there was one; 0: none. */
static unsigned fails_at;
static bool failed;

static void joined(void *owner, const struct hub_joined *j)
{
	struct guest *g = owner;

	g->attempt = NULL;
	expect_reason(j->outcome.reason, NONE);
	no_memory_at(fails_at);
	g->member = member_new(g->worker, &g->client, &g->player->end, j);
	failed = no_memory_was();
	if (g->member)
		hub = j->hub;
	else
		hub_join_discard(j);
}

/* It asks for a seat; the answer is a letter. */
static void asks_for_seat(struct guest *g, struct worker *w, enum jwt_perm perm)
{
	*g = (struct guest){ .worker = w, .client = client_of(w, perm) };
	g->id = g->client.id;
	guest_connect(g);
	g->attempt = hub_join_open(&(struct hub_join_params){ .worker = w,
		.client = &g->client,
		.request = &request,
		.done = joined,
		.owner = g });
	assert_non_null(g->attempt);
}

static void turns(void)
{
	for (int i = 0; i < 3; i++)
		for (size_t k = 0; k < gate.shared.workers_n; k++)
			turn_of(workers[k]);
}

static void joins_as(struct guest *g, enum jwt_perm perm)
{
	asks_for_seat(g, worker, perm);
	turns();
	assert_non_null(g->member);
	assert_did(g->player, "on");
}

static void joins(struct guest *g)
{
	joins_as(g, JWT_READ_WRITE);
}

static void goes(struct guest *g)
{
	if (!g->player)
		return;
	if (g->member) {
		player_ends(g->player, REASON_CLIENT_CLOSE);
		g->player->end.owner->cb->gone(&g->player->end);
	}
	free(g->player);
	if (g->conn)
		conn_close(g->conn);
	loop_run_deferred(g->worker->loop);
	close(g->peer);
	*g = (struct guest){ 0 };
}

/* Its line, from "client_messages" on. */
static const char *line_of(struct guest *g)
{
	const char *line;

	keep_log();
	goes(g);
	line = strstr(logged(), "client_messages=");
	assert_non_null(line);
	return line;
}

static void finish(void)
{
	goes(&a);
	goes(&b);
	goes(&c);
	turns();
	pass(60000); /* the hub lingers */
	turns();
	for (int i = 0; i < SCRIPTS; i++)
		buf_free(&scripts[i].sent);
	scripts_free();
	relay_close();
}

static void begin(const char *more)
{
	struct buf route = { 0 };
	char *text;

	assert_int_equal(buf_add_printf(&route, ROOM "%s", more), 0);
	text = take_text(&route);
	relay_open(text);
	free(text);
}

/* --- messages -----------------------------------------------------------------*/

static void test_all_others_hear_it(void **state)
{
	(void)state;
	begin("");
	joins(&a);
	joins(&b);
	joins(&c);
	says(a.player, "one");
	says_part(a.player, "t", true, false);
	says(b.player, "three");
	says_part(a.player, "wo", false, true);
	says_part(a.player, "f", true, false);
	says_part(a.player, "our", false, true);
	turns();
	assert_int_equal(budget_used(&gate.shared.budget), 0);
	assert_string_equal(got(&a), "three");
	assert_string_equal(got(&b), "one two four");
	assert_string_equal(got(&c), "one three two four");
	finish();
}

static void test_rights(void **state)
{
	(void)state;
	begin("");
	joins(&a);
	joins_as(&b, JWT_READ);
	joins_as(&c, JWT_WRITE);
	says(a.player, "one");
	says(b.player, "no");
	says_part(b.player, "n", true, false);
	says_part(b.player, "o", false, true);
	says(c.player, "two");
	turns();
	assert_string_equal(got(&a), "two");
	assert_string_equal(got(&b), "one two");
	assert_string_equal(got(&c), "");
	assert_string_equal(line_of(&b),
		"client_messages=0 client_bytes=0 backend_messages=2 "
		"backend_bytes=6 client_dropped=4 messages_dropped=0 "
		"denied=2\n");
	finish();
}

static void test_denied_input_may_end_it(void **state)
{
	(void)state;
	begin("denied_input = close\n");
	joins_as(&a, JWT_READ);
	says(a.player, "no");
	assert_did(a.player, "close(1008 read-only)");
	says(a.player, "no");
	assert_string_equal(line_of(&a),
		"client_messages=0 client_bytes=0 backend_messages=0 "
		"backend_bytes=0 client_dropped=4 messages_dropped=0\n");
	finish();
}

/* --- those that are slow --------------------------------------------------------*/

/*
 * A message of a KiB. The first is on its way when the receiver takes no more;
 * three of the others fit into queue_limit.
 */
static void say_long(struct guest *g, char letter)
{
	char text[1025];

	memset(text, '.', 1024);
	text[0] = letter;
	text[1024] = '\0';
	says(g->player, text);
	turns();
}

static void test_what_is_too_slow_loses(void **state)
{
	static const struct {
		const char *route, *heard, *line;
		int dropped;
	} cases[] = {
		{ "slow = drop-old\n", "1 5 6 7", "messages_dropped=3\n", 3 },
		{ "slow = latest\n", "1 7", "messages_dropped=5\n", 5 },
		{ "slow = close\nslow_text = latest\n", "1 7",
			"messages_dropped=5\n", 5 },
	};
	const struct route_counters *counted;
	char route[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(route, sizeof(route), "queue_limit = 3600\n%s",
			cases[i].route);
		begin(route);
		joins(&a);
		joins(&b);
		b.script->room = 0;
		for (char letter = '1'; letter <= '7'; letter++)
			say_long(&a, letter);
		assert_string_equal(got(&b), "");
		b.script->room = SIZE_MAX;
		run_turns();
		assert_string_equal(got(&b), cases[i].heard);
		assert_non_null(strstr(line_of(&b), cases[i].line));
		counted = worker_route(worker, &gate.conf->routes[0]);
		assert_int_equal(counted->dropped_messages[COUNT_BACKEND], cases[i].dropped);
		assert_int_equal(counted->members_in, 2);
		assert_int_equal(counted->members_out, 1);
		finish();
	}
}

static void test_what_is_too_slow_is_closed(void **state)
{
	(void)state;
	begin("queue_limit = 3600\nslow = close\n");
	joins(&a);
	joins(&b);
	b.script->room = 0;
	for (char letter = '1'; letter <= '4'; letter++)
		say_long(&a, letter);
	assert_did(b.player, "");
	say_long(&a, '5');
	assert_did(b.player, "close(1013 slow)");
	/* It gets no more of what it could not take. */
	b.script->room = SIZE_MAX;
	run_turns();
	assert_string_equal(got(&b), "1");
	finish();
}

static void test_one_at_a_time_by_max_rate(void **state)
{
	(void)state;
	begin("max_rate = 10\n");
	joins(&a);
	joins(&b);
	for (int i = 1; i <= 3; i++)
		says(a.player, (char[]){ (char)('0' + i), '\0' });
	turns();
	assert_string_equal(got(&b), "1");
	pass(99);
	assert_string_equal(got(&b), "");
	pass(1);
	assert_string_equal(got(&b), "2");
	pass(100);
	assert_string_equal(got(&b), "3");
	finish();
}

/* --- what goes before what --------------------------------------------------------*/

static void test_a_hub_that_has_not_read_holds_its_members_up(void **state)
{
	(void)state;
	relay_open_workers(ROOM "queue_limit = 3600\n", 2);
	joins(&a);
	asks_for_seat(&b, workers[1], JWT_READ_WRITE);
	turns();
	assert_did(b.player, "on");
	for (int i = 0; i < 5; i++) {
		char text[1025];

		memset(text, '.', 1024);
		text[0] = (char)('1' + i);
		text[1024] = '\0';
		says(b.player, text);
	}
	assert_did(b.player, "off");
	turns();
	assert_did(b.player, "on");
	assert_string_equal(got(&a), "1 2 3 4 5");
	finish();
}

static void test_the_end_comes_behind_what_was_said(void **state)
{
	(void)state;
	relay_open_workers(ROOM, 2);
	joins(&a);
	asks_for_seat(&b, workers[1], JWT_READ_WRITE);
	asks_for_seat(&c, worker, JWT_READ_WRITE);
	turns();
	says(a.player, "last");
	hub_end(hub, &(struct ending){ .reason = REASON_BACKEND_EXIT });
	turns();
	assert_string_equal(got(&b), "last");
	assert_string_equal(got(&c), "last");
	assert_did(a.player, "close(1011 backend-exit)");
	assert_did(b.player, "on close(1011 backend-exit)");
	assert_did(c.player, "on close(1011 backend-exit)");
	finish();
}

/* --- for single members ------------------------------------------------------------*/

/* As a tagged backend's: to = 0 for all, opcode WS_CLOSE ends that one. */
static struct message *message_to(
	uint64_t to, uint64_t serial, uint8_t opcode, const char *text)
{
	uint8_t head[2] = { (uint8_t)(0x80 | opcode), (uint8_t)strlen(text) };
	struct message *m = message_new(head,
		opcode == WS_CLOSE ? 0 : sizeof(head), (const uint8_t *)text,
		strlen(text), &gate.shared.budget);

	assert_non_null(m);
	m->opcode = opcode;
	m->to = to;
	m->serial = serial;
	return m;
}

static void deliver(struct message **v, size_t n)
{
	shard_deliver(hub, worker, v, n);
	for (size_t i = 0; i < n; i++)
		message_unref(v[i]);
}

static void test_own_messages_among_those_for_all(void **state)
{
	(void)state;
	begin("");
	joins(&a);
	joins(&b);
	deliver((struct message *[]){ message_to(0, 1, WS_TEXT, "all1"),
			message_to(b.id, 1, WS_TEXT, "b1"),
			message_to(0, 2, WS_TEXT, "all2"),
			message_to(a.id, 1, WS_TEXT, "a1"),
			message_to(b.id, 2, WS_TEXT, "b2"),
			message_to(0, 3, WS_TEXT, "all3") },
		6);
	assert_string_equal(got(&a), "all1 all2 a1 all3");
	assert_string_equal(got(&b), "all1 b1 all2 b2 all3");
	finish();
}

static void test_a_kick_comes_behind_what_was_before_it(void **state)
{
	(void)state;
	begin("");
	joins(&a);
	joins(&b);
	deliver((struct message *[]){ message_to(a.id, 1, WS_TEXT, "bye"),
			message_to(a.id, 2, WS_CLOSE, "\x10\x01out"),
			message_to(0, 1, WS_TEXT, "all"),
			message_to(a.id, 3, WS_TEXT, "late") },
		4);
	assert_string_equal(got(&a), "bye");
	assert_did(a.player, "close(4097 out)");
	assert_string_equal(got(&b), "all");
	assert_did(b.player, "");
	finish();
}

/* What a worker had no room for did not come its members' way. */
static void test_gaps_are_counted_and_nothing_comes_twice(void **state)
{
	(void)state;
	begin("");
	joins(&a);
	deliver((struct message *[]){ message_to(0, 3, WS_TEXT, "3"),
			message_to(0, 4, WS_TEXT, "4") },
		2);
	deliver((struct message *[]){ message_to(0, 4, WS_TEXT, "4"),
			message_to(0, 6, WS_TEXT, "6") },
		2);
	assert_string_equal(got(&a), "3 4 6");
	assert_non_null(strstr(line_of(&a), " messages_dropped=3\n"));
	finish();
}

/* --- the session of a member ---------------------------------------------------------*/

static void test_a_member_has_its_limits(void **state)
{
	(void)state;
	begin("idle_timeout = 5s\nmessage_rate = 1\n");
	joins(&a);
	joins_as(&b, JWT_READ);
	says(a.player, "x");
	a.player->end.owner->cb->control(&a.player->end, 0);
	assert_did(a.player, "off");
	pass(4000);
	assert_did(a.player, "on");
	/* What it has no right to say is not silence, and not free either. */
	says(b.player, "x");
	pass(1000);
	assert_did(a.player, "close(1001 idle)");
	assert_did(b.player, "");
	says(b.player, "x");
	says(b.player, "x");
	assert_did(b.player, "off");
	finish();
}

static void test_want_of_memory_ends_the_member_for_which_most_waits(
	void **state)
{
	struct member *largest;

	(void)state;
	begin("");
	joins(&a);
	joins(&b);
	joins(&c);
	b.script->room = 0;
	for (char letter = '1'; letter <= '3'; letter++)
		say_long(&a, letter);
	assert_true(shards_largest(worker, &largest) >= 2 * 1024);
	assert_ptr_equal(largest, b.member);
	member_abort(largest, REASON_MEMORY);
	assert_did(b.player, "close(1013 memory)");
	assert_int_equal(b.conn->state, CONN_CLOSED);
	assert_string_equal(got(&c), "1 2 3");

	finish();
}

/* It could not become a member: what it holds is still its own. */
static void assert_untaken(struct guest *g)
{
	assert_null(g->member);
	assert_ptr_equal(g->player->end.owner, &end_unowned);
	assert_did(g->player, "");
	client_leaves(&gate, &g->client);
	worker_left(worker);
}

static void test_without_memory_nothing_is_taken(void **state)
{
	unsigned untaken = 0;

	(void)state;
	begin("message_rate = 1\nmax_rate = 1\n");
	for (fails_at = 1;; fails_at++) {
		asks_for_seat(&a, worker, JWT_READ_WRITE);
		turns();
		if (!failed)
			break;
		if (!a.member) {
			assert_untaken(&a);
			untaken++;
		}
		goes(&a);
	}
	fails_at = 0;
	/* The member, its rates, max_rate and the shard, at least. */
	assert_in_range(untaken, 4, 8);
	joins(&b);
	says(a.player, "x");
	turns();
	assert_string_equal(got(&b), "x");
	finish();
}

/* A member must not believe that nothing was said. */
static void test_without_memory_for_its_replay_it_is_over(void **state)
{
	unsigned over = 0;

	(void)state;
	begin("replay = 2\n");
	joins(&a);
	says(a.player, "1");
	for (fails_at = 1;; fails_at++) {
		asks_for_seat(&b, worker, JWT_READ_WRITE);
		turns();
		if (!b.member)
			assert_untaken(&b);
		else if (strstr(b.player->did, "close(1013 memory)"))
			over++;
		else
			assert_string_equal(got(&b), "1");
		goes(&b);
		if (!failed)
			break;
	}
	fails_at = 0;
	assert_int_equal(over, 1);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_others_hear_it),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_denied_input_may_end_it),
		cmocka_unit_test(test_what_is_too_slow_loses),
		cmocka_unit_test(test_what_is_too_slow_is_closed),
		cmocka_unit_test(test_one_at_a_time_by_max_rate),
		cmocka_unit_test(
			test_a_hub_that_has_not_read_holds_its_members_up),
		cmocka_unit_test(test_the_end_comes_behind_what_was_said),
		cmocka_unit_test(test_own_messages_among_those_for_all),
		cmocka_unit_test(test_a_kick_comes_behind_what_was_before_it),
		cmocka_unit_test(test_gaps_are_counted_and_nothing_comes_twice),
		cmocka_unit_test(test_a_member_has_its_limits),
		cmocka_unit_test(
			test_want_of_memory_ends_the_member_for_which_most_waits),
		cmocka_unit_test(test_without_memory_nothing_is_taken),
		cmocka_unit_test(test_without_memory_for_its_replay_it_is_over),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
