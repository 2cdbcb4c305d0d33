/* What a pair and a member have in common, with an owner that writes it down. */
#include "pair/session.h"
#include "worker/route_counters.h"

#include <inttypes.h>

#include "relay_support.h"

static struct session session;
static struct end_owner owner;
static struct player *client, *backend; /* no backend: as in a member */
static char told[200];                  /* "client idle": of limits in time */

static void note_ended(struct end *e, const struct ending *why)
{
	assert_string_equal(told, "");
	snprintf(told, sizeof(told), "%s %s",
		e->side == END_CLIENT ? "client" : "backend",
		reason_get(why->reason)->word);
}

static const struct end_cb owner_cb = { .ended = note_ended };

static struct player *make_player(enum end_side side)
{
	struct player *p = player(side, NULL);

	p->end.owner = &owner;
	session.sides[side].end = &p->end;
	return p;
}

/* Takes the client. */
static void begin_as(struct client c, bool has_backend)
{
	owner.cb = &owner_cb;
	told[0] = '\0';
	assert_int_equal(session_init(&session, worker, &c), 0);
	client = make_player(END_CLIENT);
	backend = has_backend ? make_player(END_BACKEND) : NULL;
	session_open(&session);
	session_check(&session);
	assert_did(client, "on");
}

static void begin(const char *route)
{
	relay_open(route);
	begin_as(client_of_route(JWT_READ_WRITE), true);
}

/* Without memory for a detail there is none. */
static void end(enum reason reason, const char *detail)
{
	assert_true(session_end(&session, END_CLIENT,
		&(struct ending){ .reason = reason, .detail = detail }));
}

static void finish(void)
{
	if (session_is_open(&session))
		end(REASON_CLIENT_CLOSE, NULL);
	session_fini(&session, F_INT("lost", 7), F_NONE);
	free(client);
	free(backend);
	relay_close();
}

static struct piece piece_of(const char *text, bool first, bool last)
{
	return (struct piece){ .opcode = WS_TEXT,
		.first = first,
		.last = last,
		.data = (uint8_t *)text,
		.n = strlen(text) };
}

/* --- reading ----------------------------------------------------------------*/

static void test_is_read_when_no_reason_is_left(void **state)
{
	(void)state;
	begin(ECHO);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_RATE);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	assert_did(client, "off");
	session_resume(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	session_resume(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	assert_did(client, "");
	session_resume(&session, END_CLIENT, SESSION_PAUSED_RATE);
	assert_did(client, "on");
	assert_did(backend, "on");
	finish();
}

static void test_is_not_read_after_its_end(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 1\n");
	session_pause(&session, END_BACKEND, SESSION_PAUSED_QUEUE);
	session_use_rates(&session, 2, 0);
	assert_did(client, "off");
	end(REASON_CLIENT_CLOSE, NULL);
	session_resume(&session, END_BACKEND, SESSION_PAUSED_QUEUE);
	session_use_rates(&session, 2, 0);
	pass(10000);
	assert_did(client, "");
	assert_did(backend, "on off");
	finish();
}

static void test_is_not_held_up_after_its_end(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 1\n");
	end(REASON_CLIENT_CLOSE, NULL);
	session_use_rates(&session, 2, 0);
	assert_did(client, "");
	finish();
}

/* --- rates ------------------------------------------------------------------*/

static void test_a_rate_holds_the_client_up(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 10\n");
	session_use_rates(&session, 10, 1000000);
	assert_did(client, "");
	session_use_rates(&session, 1, 0);
	assert_did(client, "off");
	pass(99);
	assert_did(client, "");
	pass(1);
	assert_did(client, "on");
	finish();
}

static void test_the_slower_of_two_rates_counts(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 10\nbyte_rate = 1000\n");
	session_use_rates(&session, 11, 3000);
	pass(1999);
	assert_did(client, "off");
	pass(1);
	assert_did(client, "on");
	finish();
}

static void test_a_rate_is_no_other_reason(void **state)
{
	(void)state;
	begin(ECHO "message_rate = 1\n");
	session_use_rates(&session, 2, 0);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	pass(5000);
	assert_did(client, "off");
	session_resume(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	assert_did(client, "on");
	finish();
}

static void test_no_rate_costs_nothing(void **state)
{
	(void)state;
	begin(ECHO);
	assert_null(session.rates);
	session_use_rates(&session, INT32_MAX, SIZE_MAX / 4);
	assert_did(client, "");
	finish();
}

/* --- limits in time -----------------------------------------------------------*/

static void test_an_idle_client_ends_it(void **state)
{
	(void)state;
	begin(ECHO "idle_timeout = 5s\n");
	pass(4999);
	session_count(&session, END_CLIENT, false, 1);
	session_count(&session, END_BACKEND, true, 1);
	pass(4999);
	assert_string_equal(told, "");
	pass(1);
	assert_string_equal(told, "client idle");
	finish();
}

static void test_an_idle_backend_ends_it(void **state)
{
	(void)state;
	begin(ECHO "backend_idle_timeout = 5s\n");
	pass(3000);
	session_count(&session, END_CLIENT, true, 1);
	pass(2000);
	assert_string_equal(told, "backend backend-idle");
	finish();
}

static void test_a_backend_without_an_end_is_never_idle(void **state)
{
	(void)state;
	relay_open(ECHO "backend_idle_timeout = 5s\n");
	begin_as(client_of_route(JWT_READ_WRITE), false);
	pass(100000);
	assert_string_equal(told, "");
	finish();
}

/* Its bytes may wait in the kernel. */
static void test_a_side_that_is_not_read_is_not_idle(void **state)
{
	(void)state;
	begin(ECHO "idle_timeout = 5s\n");
	session_pause(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	pass(60000);
	assert_string_equal(told, "");
	session_resume(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	pass(5000);
	assert_string_equal(told, "client idle");
	finish();
}

static void test_a_session_has_its_time(void **state)
{
	(void)state;
	begin(ECHO "max_session = 10s\nidle_timeout = 8s\n");
	pass(7000);
	session_count(&session, END_CLIENT, true, 1);
	pass(2999);
	assert_string_equal(told, "");
	pass(1);
	assert_string_equal(told, "client session-end");
	finish();
}

static void test_a_token_ends_it_before_that(void **state)
{
	struct client c;

	(void)state;
	relay_open(ECHO "max_session = 2h\n");
	c = client_of_route(JWT_READ_WRITE);
	c.verdict.expire_at = clock_unix_ms() + 3600 * 1000;
	begin_as(c, true);
	pass(3500 * 1000); /* the other clock has gone on meanwhile */
	assert_string_equal(told, "");
	pass(100 * 1000);
	assert_string_equal(told, "client token-end");
	finish();
}

static void test_a_token_that_lasts_longer_does_not(void **state)
{
	struct client c;

	(void)state;
	relay_open(ECHO "max_session = 10s\n");
	c = client_of_route(JWT_READ_WRITE);
	c.verdict.expire_at = clock_unix_ms() + 3600 * 1000;
	begin_as(c, true);
	pass(10000);
	assert_string_equal(told, "client session-end");
	finish();
}

static void test_a_token_may_end_it_at_once(void **state)
{
	struct client c;

	(void)state;
	relay_open(ECHO "max_session = 1h\n");
	c = client_of_route(JWT_READ_WRITE);
	c.verdict.expire_at = clock_unix_ms() - 60000;
	begin_as(c, true);
	assert_string_equal(told, "client token-end");
	finish();
}

static void test_nothing_ends_it_twice(void **state)
{
	(void)state;
	begin(ECHO "max_session = 10s\nidle_timeout = 8s\n");
	end(REASON_CLIENT_CLOSE, NULL);
	pass(20000);
	session_check(&session);
	assert_string_equal(told, "");
	finish();
}

/* --- whole messages -----------------------------------------------------------*/

static bool made_room;

static bool make_room(struct worker *w)
{
	made_room = true;
	atomic_store(&w->shared->budget.limit, SIZE_MAX);
	return true;
}

static void test_what_is_in_the_making_is_counted_and_dropped(void **state)
{
	struct piece first = piece_of("one", true, false), whole;
	enum reason failed;

	(void)state;
	begin(ECHO);
	assert_null(session_assemble(
		&session, END_BACKEND, &first, &whole, &failed));
	expect_reason(failed, NONE);
	assert_int_equal(budget_used(&gate.shared.budget), 3);
	end(REASON_CLIENT_CLOSE, NULL);
	assert_int_equal(budget_used(&gate.shared.budget), 0);
	assert_int_equal(session.sides[END_BACKEND].dropped, 3);
	finish();
}

/* Of 64 KiB and more: smaller ones are let through. */
static void test_replays_give_way_to_a_message(void **state)
{
	char *text = calloc(1, 70000);
	struct piece p, whole;
	enum reason failed;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 69999);
	begin(ECHO);
	p = piece_of(text, true, false);
	atomic_store(&gate.shared.budget.limit, 0);
	budget_add(&gate.shared.budget, 1);
	worker->make_room = NULL;
	assert_null(
		session_assemble(&session, END_CLIENT, &p, &whole, &failed));
	expect_reason(failed, MEMORY);
	worker->make_room = make_room;
	assert_null(
		session_assemble(&session, END_CLIENT, &p, &whole, &failed));
	expect_reason(failed, NONE);
	assert_true(made_room);
	p = piece_of("y", false, true);
	assert_ptr_equal(
		session_assemble(&session, END_CLIENT, &p, &whole, &failed),
		&whole);
	assert_int_equal(whole.n, 70000);
	assert_int_equal(whole.data[69999], 'y');
	session_forget(&session, END_CLIENT);
	budget_sub(&gate.shared.budget, 1);
	free(text);
	finish();
}

/* --- the beginning and the end --------------------------------------------------*/

static void test_without_memory_nothing_is_taken(void **state)
{
	struct client c;
	uint32_t timers;
	unsigned n = 0;
	int result;

	(void)state;
	relay_open(ECHO "message_rate = 1\n");
	c = client_of_route(JWT_READ_WRITE);
	timers = loop->timers;
	do {
		assert_int_equal(loop->timers, timers);
		no_memory_at(++n);
		result = session_init(&session, worker, &c);
	} while (no_memory_was() && result < 0);
	assert_int_equal(result, 0);
	assert_in_range(n, 2, 4);
	session_undo(&session);
	assert_true(c.tickets.entered && c.tickets.route);
	client_leaves(&gate, &c);
	worker_left(worker);
	relay_close();
}

static void test_the_first_reason_stays(void **state)
{
	(void)state;
	begin(ECHO);
	end(REASON_IDLE, NULL);
	assert_false(session_end(&session, END_BACKEND,
		&(struct ending){ .reason = REASON_BACKEND_RESET }));
	assert_int_equal(session.reason, REASON_IDLE);
	assert_int_equal(session.ended_by, END_CLIENT);
	finish();
	assert_int_equal(session.code, 1001);
}

static void test_each_end_is_told_its_own(void **state)
{
	static const struct ending faulty = { .reason = REASON_INVALID_DATA };
	static const struct ending closed = { .reason = REASON_CLIENT_CLOSE,
		.code = 4321,
		.text = { "bye", 3 } };

	(void)state;
	begin(ECHO);
	assert_true(session_end(&session, END_CLIENT, &faulty));
	session_close_ends(&session, &faulty);
	assert_did(client, "close(1007 invalid-data)");
	/* The client's faults are not the backend's business. */
	assert_did(backend, "on close(1001 invalid-data)");
	finish();
	relay_open(ECHO);
	begin_as(client_of_route(JWT_READ_WRITE), true);
	assert_true(session_end(&session, END_CLIENT, &closed));
	session_close_ends(&session, &closed);
	assert_did(client, "close(4321 bye)");
	assert_did(backend, "on close(4321 bye)");
	finish();
}

static void test_a_client_that_is_gone_is_told_nothing(void **state)
{
	static const struct ending reset = { .reason = REASON_CLIENT_RESET,
		.code = 1006 };

	(void)state;
	begin(ECHO);
	assert_true(session_end(&session, END_CLIENT, &reset));
	session_close_ends(&session, &reset);
	assert_did(client, "close(0 client-reset)");
	finish();
}

static void test_its_line(void **state)
{
	char want[400];
	struct client c;

	(void)state;
	relay_open(ECHO);
	c = client_of_route(JWT_READ_WRITE);
	c.peer.port = 4711;
	c.verdict.identity = str_dup(STR("lab/anna"));
	begin_as(c, true);
	session_count(&session, END_CLIENT, true, 10);
	session_count(&session, END_CLIENT, false, 5);
	session_count(&session, END_BACKEND, true, 30);
	session_count(&session, END_BACKEND, true, 10);
	session.sides[END_CLIENT].dropped = 3;
	pass(1234);
	end(REASON_INVALID_DATA, "not UTF-8");
	keep_log();
	session_fini(&session, F_INT("lost", 8), F_INT("extra", 9));
	snprintf(want, sizeof(want),
		"info close id=%" PRIx64 " route=r subject=anna "
		"peer=203.0.113.9:4711 reason=invalid-data side=client "
		"code=1007 age_ms=1234 client_messages=1 client_bytes=15 "
		"backend_messages=2 backend_bytes=40 client_dropped=3 lost=8 "
		"extra=9 detail=\"not UTF-8\"\n",
		c.id);
	assert_string_equal(logged(), want);
	free(client);
	free(backend);
	relay_close();
}

static void test_the_worker_counts(void **state)
{
	const struct route_counters *c;

	(void)state;
	begin(ECHO);
	c = worker_route(worker, session.client.route);
	assert_int_equal(worker->counters.opened, 1);
	assert_int_equal(c->opened, 1);
	assert_int_equal(c->handshakes[COUNT_OK], 1);
	session_count(&session, END_BACKEND, true, 10);
	session_count(&session, END_CLIENT, false, 5);
	assert_int_equal(histogram_count(&c->messages[COUNT_BACKEND]), 1);
	assert_int_equal(c->bytes[COUNT_BACKEND], 10);
	assert_int_equal(histogram_count(&c->messages[COUNT_CLIENT]), 0);
	assert_int_equal(c->bytes[COUNT_CLIENT], 5);
	end(REASON_IDLE, NULL);
	assert_int_equal(c->closed, 0);
	session_fini(&session, F_NONE, F_NONE);
	assert_int_equal(worker->counters.closed, 1);
	assert_int_equal(c->closed, 1);
	assert_int_equal(c->closes[REASON_IDLE], 1);
	assert_int_equal(worker->counters.reasons[REASON_IDLE], 1);
	/* What admission gave is back; relay_close asks. */
	free(client);
	free(backend);
	relay_close();
}

static void test_a_message_is_counted_with_all_its_pieces(void **state)
{
	const struct histogram *sizes;

	(void)state;
	begin(ECHO);
	sizes = &worker_route(worker, session.client.route)
			 ->messages[COUNT_CLIENT];
	session_count(&session, END_CLIENT, false, 60);
	session_count(&session, END_CLIENT, true, 4);
	session_count(&session, END_CLIENT, true, 65);
	session_count(&session, END_CLIENT, true, 0);
	assert_int_equal(sizes->counts[0], 2); /* at most 64 */
	assert_int_equal(sizes->counts[1], 1);
	assert_int_equal(sizes->sum, 129);
	finish();
}

static void test_pauses_are_counted_once(void **state)
{
	const struct route_counters *c;

	(void)state;
	begin(ECHO);
	c = worker_route(worker, session.client.route);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_RATE);
	session_resume(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	session_pause(&session, END_CLIENT, SESSION_PAUSED_QUEUE);
	assert_int_equal(c->pauses[COUNT_CLIENT][COUNT_PAUSE_QUEUE], 2);
	assert_int_equal(c->pauses[COUNT_CLIENT][COUNT_PAUSE_RATE], 1);
	finish();
}

static void test_a_detail_needs_memory_the_line_does_not(void **state)
{
	(void)state;
	begin(ECHO);
	no_memory_at(1);
	end(REASON_INVALID_DATA, "not UTF-8");
	assert_true(no_memory_was());
	keep_log();
	session_fini(&session, F_NONE, F_NONE);
	assert_null(strstr(logged(), "detail="));
	free(client);
	free(backend);
	relay_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_read_when_no_reason_is_left),
		cmocka_unit_test(test_is_not_read_after_its_end),
		cmocka_unit_test(test_is_not_held_up_after_its_end),
		cmocka_unit_test(test_a_rate_holds_the_client_up),
		cmocka_unit_test(test_the_slower_of_two_rates_counts),
		cmocka_unit_test(test_a_rate_is_no_other_reason),
		cmocka_unit_test(test_no_rate_costs_nothing),
		cmocka_unit_test(test_an_idle_client_ends_it),
		cmocka_unit_test(test_an_idle_backend_ends_it),
		cmocka_unit_test(test_a_backend_without_an_end_is_never_idle),
		cmocka_unit_test(test_a_side_that_is_not_read_is_not_idle),
		cmocka_unit_test(test_a_session_has_its_time),
		cmocka_unit_test(test_a_token_ends_it_before_that),
		cmocka_unit_test(test_a_token_that_lasts_longer_does_not),
		cmocka_unit_test(test_a_token_may_end_it_at_once),
		cmocka_unit_test(test_nothing_ends_it_twice),
		cmocka_unit_test(
			test_what_is_in_the_making_is_counted_and_dropped),
		cmocka_unit_test(test_replays_give_way_to_a_message),
		cmocka_unit_test(test_without_memory_nothing_is_taken),
		cmocka_unit_test(test_the_first_reason_stays),
		cmocka_unit_test(test_each_end_is_told_its_own),
		cmocka_unit_test(test_a_client_that_is_gone_is_told_nothing),
		cmocka_unit_test(test_its_line),
		cmocka_unit_test(test_the_worker_counts),
		cmocka_unit_test(test_a_message_is_counted_with_all_its_pieces),
		cmocka_unit_test(test_pauses_are_counted_once),
		cmocka_unit_test(test_a_detail_needs_memory_the_line_does_not),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
