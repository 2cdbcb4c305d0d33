/*
 * test_admission.c: what is counted, under which name, and that each place is
 * given back once.
 */
#include "gate_support.h"

#include <pthread.h>

#include "base/compiler.h"
#include "gate/used_tokens.h"

#define NOW   INT64_C(1000000)
#define ALICE "lab/alice"

static enum reason enters(struct gate *g, struct client *c)
{
	return admission_enter(&g->shared, c, NOW);
}

/* Whether there is room for one more from here; it leaves at once. */
static enum reason entered_from(
	struct gate *g, const char *address, int64_t now_ms)
{
	struct client c = client_from(g, address);
	enum reason reason = admission_enter(&g->shared, &c, now_ms);

	client_leaves(g, &c);
	return reason;
}

static void open_listen(struct gate *g, const char *lines)
{
	struct buf text = { 0 };
	char *s;

	assert_int_equal(buf_add_printf(&text, "[listen main]\n%s", lines), 0);
	s = take_text(&text);
	gate_open(g, load_warned(s));
	free(s);
}

static void open_route(struct gate *g, const char *lines)
{
	struct buf text = { 0 };
	char *s;

	assert_int_equal(buf_add_printf(&text,
				 "[listen main]\n[route r]\npath = /r\n"
				 "backend = echo:\nauth = none\n%s",
				 lines),
		0);
	s = take_text(&text);
	gate_open(g, load_warned(s));
	free(s);
}

/* --- all ------------------------------------------------------------------*/

static void test_so_many_connections_in_all(void **state)
{
	struct gate g;
	struct client a, b, c;
	(void)state;

	open_listen(&g, "[server]\nmax_connections = 2\n");
	a = client_from(&g, "192.0.2.1");
	b = client_from(&g, "unix");
	c = client_from(&g, "192.0.2.1");
	expect_reason(enters(&g, &a), NONE);
	expect_reason(enters(&g, &b), NONE);
	expect_reason(enters(&g, &c), LIMIT_CONNECTIONS);
	client_leaves(&g, &c);
	client_leaves(&g, &b);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), NONE);
	client_leaves(&g, &a);
	gate_close(&g);
}

static void test_leaving_twice_gives_back_once(void **state)
{
	struct gate g;
	struct client a, b;
	(void)state;

	open_route(&g, "max_connections = 1\n");
	a = client_from(&g, "192.0.2.1");
	b = client_from(&g, "192.0.2.1");
	expect_reason(enters(&g, &a), NONE);
	a.route = b.route = &g.conf->routes[0];
	expect_reason(admission_enter_route(&a), NONE);
	admission_give_back(&g.shared, &a);
	admission_give_back(&g.shared, &a);
	admission_leave(&g.shared, &a);
	client_leaves(&g, &a);
	assert_int_equal(atomic_load(&g.shared.connections), 0);
	a = client_from(&g, "192.0.2.1");
	a.route = &g.conf->routes[0];
	expect_reason(admission_enter_route(&a), NONE);
	expect_reason(admission_enter_route(&b), LIMIT_CONNECTIONS);
	client_leaves(&g, &a);
	client_leaves(&g, &b);
	gate_close(&g);
}

/* --- addresses ------------------------------------------------------------*/

static void test_so_many_connections_of_an_address(void **state)
{
	struct gate g;
	struct client a, b, c;
	(void)state;

	open_listen(&g, "max_connections_per_ip = 2\n");
	a = client_from(&g, "192.0.2.1");
	b = client_from(&g, "192.0.2.1");
	c = client_from(&g, "192.0.2.1");
	expect_reason(enters(&g, &a), NONE);
	expect_reason(enters(&g, &b), NONE);
	expect_reason(enters(&g, &c), LIMIT_ADDRESS);
	expect_reason(entered_from(&g, "192.0.2.2", NOW), NONE);
	/* The refused one is counted until it leaves, as it is connected. */
	client_leaves(&g, &b);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), LIMIT_ADDRESS);
	client_leaves(&g, &c);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), NONE);
	client_leaves(&g, &a);
	gate_close(&g);
}

static void test_ipv6_is_counted_by_its_network(void **state)
{
	struct gate g;
	struct client a;
	(void)state;

	open_listen(&g, "max_connections_per_ip = 1\n");
	a = client_from(&g, "2001:db8::1");
	expect_reason(enters(&g, &a), NONE);
	expect_reason(
		entered_from(&g, "2001:db8::ffff:0:0:1", NOW), LIMIT_ADDRESS);
	expect_reason(entered_from(&g, "2001:db8:0:1::1", NOW), NONE);
	/* The first bytes of the two are the same. */
	expect_reason(entered_from(&g, "32.1.13.184", NOW), NONE);
	client_leaves(&g, &a);
	gate_close(&g);
}

static void test_unix_peers_and_proxies_have_no_address(void **state)
{
	static const char *const uncounted[] = { "unix", "10.0.0.1" };
	struct gate g;
	(void)state;

	open_listen(&g, "max_connections_per_ip = 1\nhandshake_rate = 1/h\n"
			"trusted_proxies = 10.0.0.0/8\n");
	for (size_t i = 0; i < ARRAY_SIZE(uncounted); i++) {
		struct client a = client_from(&g, uncounted[i]);

		expect_reason(enters(&g, &a), NONE);
		expect_reason(entered_from(&g, uncounted[i], NOW), NONE);
		client_leaves(&g, &a);
	}
	gate_close(&g);
}

/* A proxy's connection is its client's, and then its next client's. */
static void test_a_connection_counts_for_the_client_it_is_for(void **state)
{
	struct addr first = addr_of("192.0.2.1"), next = addr_of("192.0.2.2");
	struct gate g;
	struct client c;
	(void)state;

	open_listen(&g, "max_connections_per_ip = 1\n"
			"trusted_proxies = 10.0.0.1\n");
	c = client_from(&g, "10.0.0.1");
	expect_reason(enters(&g, &c), NONE);
	expect_reason(admission_proxied(&g.shared, &c, &first, NOW), NONE);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), LIMIT_ADDRESS);
	expect_reason(admission_set_peer(&g.shared, &c, &next, NOW), NONE);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), NONE);
	expect_reason(entered_from(&g, "192.0.2.2", NOW), LIMIT_ADDRESS);
	client_leaves(&g, &c);
	expect_reason(entered_from(&g, "192.0.2.2", NOW), NONE);
	gate_close(&g);
}

/* --- rates ----------------------------------------------------------------*/

static void test_a_handshake_too_many_is_told_when_to_come(void **state)
{
	struct gate g;
	struct client c;
	(void)state;

	open_listen(&g, "handshake_rate = 2/m\n");
	expect_reason(entered_from(&g, "192.0.2.1", NOW), NONE);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), NONE);
	c = client_from(&g, "192.0.2.1");
	expect_reason(enters(&g, &c), LIMIT_RATE);
	assert_int_equal(c.tickets.retry_ms, 30000);
	assert_false(c.tickets.flood);
	client_leaves(&g, &c);
	expect_reason(entered_from(&g, "192.0.2.2", NOW), NONE);
	expect_reason(entered_from(&g, "192.0.2.1", NOW + 30000), NONE);
	expect_reason(entered_from(&g, "192.0.2.1", NOW + 30000), LIMIT_RATE);
	gate_close(&g);
}

static void test_a_client_that_goes_on_is_a_flood(void **state)
{
	struct gate g;
	struct client c;
	(void)state;

	open_listen(&g, "handshake_rate = 1/m\n");
	expect_reason(entered_from(&g, "192.0.2.1", NOW), NONE);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), LIMIT_RATE);
	c = client_from(&g, "192.0.2.1");
	expect_reason(enters(&g, &c), LIMIT_RATE);
	assert_true(c.tickets.flood);
	assert_int_equal(c.tickets.retry_ms, 0);
	client_leaves(&g, &c);
	gate_close(&g);
}

static void test_each_listener_has_its_own_rates(void **state)
{
	struct gate g;
	struct client c;
	(void)state;

	open_listen(&g, "handshake_rate = 1/h\nauth_failures = 1/h\n"
			"[listen other]\naddress = 127.0.0.1:1\n"
			"handshake_rate = 1/h\nauth_failures = 1/h\n");
	for (size_t i = 0; i < 2; i++) {
		c = client_from(&g, "192.0.2.1");
		c.listen = &g.conf->listens[i];
		expect_reason(enters(&g, &c), NONE);
		expect_reason(admission_failed(&g.shared, &c,
				      REASON_TOKEN_SIGNATURE, NOW),
			TOKEN_SIGNATURE);
		client_leaves(&g, &c);
	}
	gate_close(&g);
}

/* Both count at once: neither limit hides a client from the other. */
static void test_over_its_rate_it_is_connected_still(void **state)
{
	struct gate g;
	struct client a, b;
	(void)state;

	open_listen(&g, "handshake_rate = 1/h\nmax_connections_per_ip = 1\n");
	a = client_from(&g, "192.0.2.1");
	b = client_from(&g, "192.0.2.1");
	expect_reason(enters(&g, &a), NONE);
	client_leaves(&g, &a);
	expect_reason(enters(&g, &b), LIMIT_RATE);
	/* Enough time has passed for another one, but b is there. */
	expect_reason(
		entered_from(&g, "192.0.2.1", NOW + 3600000), LIMIT_ADDRESS);
	client_leaves(&g, &b);
	gate_close(&g);
}

/* --- failures -------------------------------------------------------------*/

static void test_guesses_are_counted_and_nothing_else(void **state)
{
	static const enum reason honest[] = { REASON_TOKEN_EXPIRED,
		REASON_TOKEN_PATH, REASON_TOKEN_MISSING, REASON_TOKEN_USED,
		REASON_TOKEN_UNKNOWN_KEY, REASON_ORIGIN };
	struct gate g;
	struct client c;
	(void)state;

	open_listen(&g, "auth_failures = 2/h\n");
	c = client_from(&g, "192.0.2.1");
	for (int n = 0; n < 3; n++)
		for (size_t i = 0; i < ARRAY_SIZE(honest); i++)
			assert_int_equal(
				admission_failed(&g.shared, &c, honest[i], NOW),
				honest[i]);
	assert_false(admission_is_failing(&g.shared, &c, NOW));
	expect_reason(
		admission_failed(&g.shared, &c, REASON_TOKEN_MALFORMED, NOW),
		TOKEN_MALFORMED);
	expect_reason(
		admission_failed(&g.shared, &c, REASON_TOKEN_SIGNATURE, NOW),
		TOKEN_SIGNATURE);
	assert_true(admission_is_failing(&g.shared, &c, NOW));
	for (int n = 0; n < 5; n++) {
		expect_reason(admission_failed(&g.shared, &c,
				      REASON_TOKEN_SIGNATURE, NOW),
			LIMIT_FAILURES);
		assert_in_range(c.tickets.retry_ms, 1, 1800000);
	}
	expect_reason(
		admission_failed(&g.shared, &c, REASON_TOKEN_EXPIRED, NOW),
		TOKEN_EXPIRED);
	/* One comes back in the time of one. */
	assert_false(admission_is_failing(&g.shared, &c, NOW + 1800000));
	expect_reason(admission_failed(&g.shared, &c, REASON_TOKEN_SIGNATURE,
			      NOW + 1800000),
		TOKEN_SIGNATURE);
	expect_reason(admission_failed(&g.shared, &c, REASON_TOKEN_SIGNATURE,
			      NOW + 1800000),
		LIMIT_FAILURES);
	client_leaves(&g, &c);
	gate_close(&g);
}

static void test_a_proxy_does_not_guess(void **state)
{
	static const char *const exempt[] = { "unix", "10.0.0.1" };
	struct gate g;
	(void)state;

	open_listen(&g, "auth_failures = 1/h\ntrusted_proxies = 10.0.0.1\n");
	for (size_t i = 0; i < ARRAY_SIZE(exempt); i++) {
		struct client c = client_from(&g, exempt[i]);

		for (int n = 0; n < 3; n++)
			expect_reason(admission_failed(&g.shared, &c,
					      REASON_TOKEN_MALFORMED, NOW),
				TOKEN_MALFORMED);
		assert_false(admission_is_failing(&g.shared, &c, NOW));
		client_leaves(&g, &c);
	}
	gate_close(&g);
}

/* --- routes and subjects --------------------------------------------------*/

static void test_each_route_has_its_own_limit(void **state)
{
	struct gate g;
	struct client a, b;
	(void)state;

	open_route(&g, "max_connections = 1\n"
		       "[route s]\npath = /s\nbackend = echo:\nauth = none\n");
	a = client_from(&g, "unix");
	b = client_from(&g, "unix");
	a.route = b.route = &g.conf->routes[0];
	expect_reason(admission_enter_route(&a), NONE);
	expect_reason(admission_enter_route(&b), LIMIT_CONNECTIONS);
	admission_give_back(&g.shared, &b);
	b.route = &g.conf->routes[1];
	expect_reason(admission_enter_route(&b), NONE);
	client_leaves(&g, &b);
	client_leaves(&g, &a);
	gate_close(&g);
}

static enum reason enters_as(struct gate *g, struct client *c, const char *who)
{
	enum reason reason;

	*c = client_from(g, "unix");
	c->route = &g->conf->routes[0];
	c->verdict.identity = who ? strdup(who) : NULL;
	reason = admission_enter_route(c);
	expect_reason(reason, NONE);
	reason = admission_enter_subject(c);
	if (reason != REASON_NONE)
		admission_give_back(&g->shared, c);
	return reason;
}

static void test_so_many_connections_of_a_subject(void **state)
{
	struct gate g;
	struct client first, second, c;
	(void)state;

	gate_open(
		&g, load_good("[listen main]\n[key lab]\nsecret_file = secret\n"
			      "[route r]\npath = /r\nbackend = echo:\n"
			      "max_connections_per_subject = 2\n"));
	expect_reason(enters_as(&g, &first, ALICE), NONE);
	expect_reason(enters_as(&g, &second, ALICE), NONE);
	expect_reason(enters_as(&g, &c, ALICE), LIMIT_SUBJECT);
	client_leaves(&g, &c);
	/* Another key's alice is another; without a subject none is counted. */
	expect_reason(enters_as(&g, &c, "door/alice"), NONE);
	client_leaves(&g, &c);
	expect_reason(enters_as(&g, &c, NULL), NONE);
	client_leaves(&g, &c);
	client_leaves(&g, &first);
	expect_reason(enters_as(&g, &c, ALICE), NONE);
	client_leaves(&g, &c);
	client_leaves(&g, &second);
	gate_close(&g);
}

static void test_processes_are_counted_when_they_start(void **state)
{
	const struct conf_route *r;
	struct gate g;
	(void)state;

	gate_open(&g, load_warned("[listen main]\n[route r]\npath = /r\n"
				  "backend = exec:/bin/cat\nframing = line\n"
				  "auth = none\nmax_processes = 2\n"));
	r = &g.conf->routes[0];
	expect_reason(admission_enter_process(r), NONE);
	expect_reason(admission_enter_process(r), NONE);
	for (int i = 0; i < 3; i++)
		expect_reason(admission_enter_process(r), LIMIT_PROCESSES);
	admission_leave_process(r);
	expect_reason(admission_enter_process(r), NONE);
	expect_reason(admission_enter_process(r), LIMIT_PROCESSES);
	gate_close(&g);
}

static void test_requests_that_wait_are_counted_by_listener(void **state)
{
	struct gate g;
	struct client a, b;
	(void)state;

	open_listen(&g, "[listen other]\naddress = 127.0.0.1:1\n");
	a = client_from(&g, "unix");
	b = client_from(&g, "unix");
	b.listen = &g.conf->listens[1];
	assert_int_equal(admission_pending(&a, 1), 1);
	assert_int_equal(admission_pending(&a, 1), 2);
	assert_int_equal(admission_pending(&b, 1), 1);
	assert_int_equal(admission_pending(&a, -1), 1);
	client_leaves(&g, &a);
	client_leaves(&g, &b);
	gate_close(&g);
}

/* --- used tokens ----------------------------------------------------------*/

struct token {
	uint32_t number;
	const char *key;
	int64_t exp_ms, now_ms;
};

static enum reason reserves(
	struct gate *g, struct client *c, const struct token *t)
{
	uint8_t id[USED_TOKENS_ID] = { 0 };

	memcpy(id, &t->number, sizeof(t->number));
	return admission_reserve_token(&g->shared, c,
		&(struct admission_token){ .id = id,
			.key = t->key ? t->key : "lab",
			.exp_ms = t->exp_ms,
			.now_ms = t->now_ms });
}

/* Used up by a client that has come and gone. */
static enum reason uses(struct gate *g, const struct token *t)
{
	struct client c = client_from(g, "unix");
	enum reason reason = reserves(g, &c, t);

	admission_use_token(&c);
	client_leaves(g, &c);
	return reason;
}

static void test_a_reserved_token_is_given_back_unless_used(void **state)
{
	static const struct token t = { 7, NULL, NOW + 1000, NOW };
	struct gate g;
	struct client a, b;
	(void)state;

	open_listen(&g, "");
	a = client_from(&g, "unix");
	b = client_from(&g, "unix");
	expect_reason(reserves(&g, &a, &t), NONE);
	expect_reason(reserves(&g, &b, &t), TOKEN_USED);
	/* It is the first one's: that the second leaves frees nothing. */
	client_leaves(&g, &b);
	expect_reason(uses(&g, &t), TOKEN_USED);
	client_leaves(&g, &a);
	expect_reason(uses(&g, &t), NONE);
	expect_reason(uses(&g, &t), TOKEN_USED);
	gate_close(&g);
}

static void test_a_token_is_remembered_until_it_expires(void **state)
{
	static const struct token t = { 7, NULL, NOW + 1000, NOW };
	static const struct token late = { 7, NULL, NOW + 1000, NOW + 1000 };
	static const struct token over = { 7, NULL, NOW + 1000, NOW + 1001 };
	struct gate g;
	(void)state;

	open_listen(&g, "");
	expect_reason(uses(&g, &t), NONE);
	expect_reason(uses(&g, &late), TOKEN_USED);
	expect_reason(uses(&g, &over), NONE);
	/* Also behind many that have expired before it. */
	for (uint32_t i = 10; i < 20; i++)
		expect_reason(
			uses(&g, &(struct token){ i, NULL, NOW + i, NOW }),
			NONE);
	expect_reason(
		uses(&g, &(struct token){ 19, NULL, NOW + 2000, NOW + 30 }),
		NONE);
	gate_close(&g);
}

/* Tokens of one key that fill its part keep out no token of another. */
static void test_each_key_has_room_for_so_many(void **state)
{
	struct token t = { 0, NULL, NOW + 1000, NOW };
	struct gate g;
	(void)state;

	open_listen(&g, "");
	for (t.number = 0; t.number < USED_TOKENS_MAX; t.number++)
		if (uses(&g, &t) != REASON_NONE)
			fail_msg("token %u", (unsigned)t.number);
	expect_reason(uses(&g, &t), TOKEN_STORE);
	t.key = "door";
	expect_reason(uses(&g, &t), NONE);
	/* Room again, when the first have expired. */
	t.key = NULL;
	t.number++;
	t.now_ms = NOW + 1001;
	t.exp_ms = NOW + 2000;
	expect_reason(uses(&g, &t), NONE);
	gate_close(&g);
}

/* --- no memory ------------------------------------------------------------*/

static void test_there_is_no_admission_without_memory(void **state)
{
	struct admission *a;
	unsigned n = 0;
	bool failed;
	(void)state;

	do {
		no_memory_at(++n);
		a = admission_new();
		failed = no_memory_was();
		assert_int_equal(a == NULL, failed);
		admission_free(a);
	} while (failed);
	assert_in_range(n, 5, 1000);
}

static void test_what_could_not_be_counted_is_not_given_back(void **state)
{
	static const struct token t = { 7, NULL, NOW + 1000, NOW };
	struct gate g;
	struct client a, b;
	enum reason r;
	unsigned n;
	(void)state;

	open_listen(&g, "max_connections_per_ip = 1\n");
	a = client_from(&g, "192.0.2.1");
	b = client_from(&g, "192.0.2.1");
	no_memory_at(1);
	r = enters(&g, &b);
	assert_true(no_memory_was());
	expect_reason(r, INTERNAL);
	expect_reason(enters(&g, &a), NONE);
	client_leaves(&g, &b);
	expect_reason(entered_from(&g, "192.0.2.1", NOW), LIMIT_ADDRESS);
	for (n = 1;; n++) {
		no_memory_at(n);
		r = reserves(&g, &a, &t);
		if (!no_memory_was())
			break;
		expect_reason(r, INTERNAL);
		admission_give_back(&g.shared, &a);
	}
	assert_in_range(n, 2, 100);
	expect_reason(r, NONE);
	expect_reason(uses(&g, &t), TOKEN_USED);
	client_leaves(&g, &a);
	gate_close(&g);
}

/* --- threads --------------------------------------------------------------*/

struct race {
	struct gate *g;
	pthread_t thread;
	unsigned won;
};

static void *race(void *arg)
{
	struct race *r = arg;

	for (uint32_t i = 0; i < 500; i++) {
		const struct token t = { i, NULL, NOW + 1000, NOW };
		struct client c = client_from(r->g, "192.0.2.1");

		expect_reason(admission_enter(&r->g->shared, &c, NOW), NONE);
		if (reserves(r->g, &c, &t) == REASON_NONE) {
			admission_use_token(&c);
			r->won++;
		}
		client_leaves(r->g, &c);
	}
	return NULL;
}

static void test_of_many_at_once_one_wins(void **state)
{
	struct race v[4] = { { 0 } };
	struct gate g;
	unsigned won = 0;
	(void)state;

	open_listen(&g, "max_connections_per_ip = 4\n");
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		v[i].g = &g;
		assert_int_equal(
			pthread_create(&v[i].thread, NULL, race, &v[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		pthread_join(v[i].thread, NULL);
		won += v[i].won;
	}
	assert_int_equal(won, 500);
	gate_close(&g);
}

/* --- one that only looks --------------------------------------------------*/

/* What a client would be told, and that asking it leaves nothing behind. */
static enum reason looks(struct gate *g, const char *who)
{
	struct client c = client_from(g, "192.0.2.1");
	enum reason reason;

	c.tickets.look = true;
	c.route = &g->conf->routes[0];
	c.verdict.identity = strdup(who);
	reason = admission_enter(&g->shared, &c, NOW);
	if (reason == REASON_NONE)
		reason = admission_enter_route(&c);
	if (reason == REASON_NONE)
		reason = admission_enter_subject(&c);
	if (reason == REASON_NONE)
		reason = admission_failed(
			&g->shared, &c, REASON_TOKEN_SIGNATURE, NOW);
	assert_false(c.tickets.entered || c.tickets.address ||
		     c.tickets.route || c.tickets.subject);
	client_free(&c);
	return reason == REASON_TOKEN_SIGNATURE ? REASON_NONE : reason;
}

static void test_who_looks_is_told_and_not_counted(void **state)
{
	static const struct {
		const char *server, *listen, *route;
		enum reason reason;
	} cases[] = {
		{ "max_connections = 1", "", "", REASON_LIMIT_CONNECTIONS },
		{ "", "max_connections_per_ip = 1", "", REASON_LIMIT_ADDRESS },
		{ "", "handshake_rate = 1/h", "", REASON_LIMIT_RATE },
		{ "", "", "max_connections = 1", REASON_LIMIT_CONNECTIONS },
		{ "", "", "max_connections_per_subject = 1",
			REASON_LIMIT_SUBJECT },
		{ "", "auth_failures = 1/h", "", REASON_LIMIT_FAILURES },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[300];
		struct gate g;
		struct client c;

		snprintf(text, sizeof(text),
			"[server]\n%s\n[listen main]\n%s\n[key lab]\n"
			"secret_file = secret\n[route r]\npath = /r\n"
			"backend = echo:\n%s\n",
			cases[i].server, cases[i].listen, cases[i].route);
		gate_open(&g, load_good(text));
		for (int n = 0; n < 5; n++)
			expect_reason(looks(&g, ALICE), NONE);
		c = client_from(&g, "192.0.2.1");
		c.route = &g.conf->routes[0];
		c.verdict.identity = strdup(ALICE);
		expect_reason(enters(&g, &c), NONE);
		expect_reason(admission_enter_route(&c), NONE);
		expect_reason(admission_enter_subject(&c), NONE);
		expect_reason(admission_failed(&g.shared, &c,
				      REASON_TOKEN_SIGNATURE, NOW),
			TOKEN_SIGNATURE);
		for (int n = 0; n < 3; n++)
			assert_int_equal(looks(&g, ALICE), cases[i].reason);
		client_leaves(&g, &c);
		gate_close(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_so_many_connections_in_all),
		cmocka_unit_test(test_leaving_twice_gives_back_once),
		cmocka_unit_test(test_so_many_connections_of_an_address),
		cmocka_unit_test(test_ipv6_is_counted_by_its_network),
		cmocka_unit_test(test_unix_peers_and_proxies_have_no_address),
		cmocka_unit_test(
			test_a_connection_counts_for_the_client_it_is_for),
		cmocka_unit_test(
			test_a_handshake_too_many_is_told_when_to_come),
		cmocka_unit_test(test_a_client_that_goes_on_is_a_flood),
		cmocka_unit_test(test_each_listener_has_its_own_rates),
		cmocka_unit_test(test_over_its_rate_it_is_connected_still),
		cmocka_unit_test(test_guesses_are_counted_and_nothing_else),
		cmocka_unit_test(test_a_proxy_does_not_guess),
		cmocka_unit_test(test_each_route_has_its_own_limit),
		cmocka_unit_test(test_so_many_connections_of_a_subject),
		cmocka_unit_test(test_processes_are_counted_when_they_start),
		cmocka_unit_test(
			test_requests_that_wait_are_counted_by_listener),
		cmocka_unit_test(
			test_a_reserved_token_is_given_back_unless_used),
		cmocka_unit_test(test_a_token_is_remembered_until_it_expires),
		cmocka_unit_test(test_each_key_has_room_for_so_many),
		cmocka_unit_test(test_there_is_no_admission_without_memory),
		cmocka_unit_test(
			test_what_could_not_be_counted_is_not_given_back),
		cmocka_unit_test(test_of_many_at_once_one_wins),
		cmocka_unit_test(test_who_looks_is_told_and_not_counted),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
