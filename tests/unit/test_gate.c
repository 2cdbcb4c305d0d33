/*
 * test_gate.c: who is let in to a route or a page, what is checked in which
 * order, and which reason is given.
 */
#include "gate_support.h"

#include "base/compiler.h"

#define SOMEBODY "198.51.100.7"
#define LISTEN   "[listen main]\nhosts = *\n"
#define KEY      "[key lab]\nsecret_file = secret\n"
#define OPEN(name, lines)                                                      \
	"[route " name "]\npath = /" name                                      \
	"\nbackend = echo:\nauth = none\n" lines
#define CLOSED(name, lines)                                                    \
	"[route " name "]\npath = /" name                                      \
	"\nbackend = echo:\nkeys = lab\n" lines

static char *mint_as(struct gate *g, const char *path, const char *sub)
{
	struct jwt_claims claims = claims_for(path);

	claims.sub = sub;
	return mint(g, claims);
}

static char *copy(const char *token)
{
	char *s = strdup(token);

	assert_non_null(s);
	return s;
}

/* --- the order ------------------------------------------------------------*/

/*
 * Everything is wrong with this client; what is told is what is checked first,
 * and each time that is put right.
 */
static void test_each_check_comes_in_its_order(void **state)
{
	struct gate g;
	struct client c, alice, bob;
	(void)state;

	gate_open(&g,
		load_warned(
			"[certificate c]\nchain_file = chain\nkey_file = key\n"
			"[listen main]\nhosts = *\ncertificates = c\n"
			"tls_client = optional\ntls_client_ca = ca\n" CLOSED(
				"door", "allow = 192.0.2.0/24\n"
					"client_subjects = CN=alice\n"
					"origins = https://app.example\n"
					"max_connections = 2\n"
					"max_connections_per_subject = 1\n")
				KEY));
	alice = client_from(&g, "192.0.2.1");
	bob = client_from(&g, "192.0.2.2");
	alice.certificate = strdup("CN=alice");
	bob.certificate = strdup("CN=alice");
	expect_reason(client_asks_with(&g, &alice, "/door",
			      mint_as(&g, "/door", "alice")),
		NONE);
	expect_reason(client_asks_with(
			      &g, &bob, "/door", mint_as(&g, "/door", "bob")),
		NONE);

	c = client_from(&g, SOMEBODY);
	expect_reason(
		client_asks(&g, &c, "/door", "Origin: null\r\n"), ADDRESS);
	c.peer = addr_of("192.0.2.3");
	expect_reason(client_asks(&g, &c, "/door", "Origin: null\r\n"),
		CLIENT_SUBJECT);
	c.certificate = strdup("CN=alice");
	expect_reason(client_asks(&g, &c, "/door", "Origin: null\r\n"),
		LIMIT_CONNECTIONS);
	client_leaves(&g, &bob);
	expect_reason(client_asks(&g, &c, "/door", "Origin: null\r\n"), ORIGIN);
	expect_reason(client_asks(&g, &c, "/door", ""), TOKEN_MISSING);
	expect_reason(client_asks_with(
			      &g, &c, "/door", mint_as(&g, "/door", "alice")),
		LIMIT_SUBJECT);
	client_leaves(&g, &alice);
	expect_reason(client_asks_with(
			      &g, &c, "/door", mint_as(&g, "/door", "alice")),
		NONE);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* A route that has room for one has it again after any refusal. */
static void test_a_refused_client_takes_no_place(void **state)
{
	struct gate g;
	struct client c, other;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("one", "max_connections = 1\n"
						     "origins = same\n") KEY));
	c = client_from(&g, SOMEBODY);
	other = client_from(&g, SOMEBODY);
	for (int i = 0; i < 3; i++) {
		expect_reason(client_asks(&g, &c, "/one", ""), TOKEN_MISSING);
		expect_reason(client_asks(&g, &c, "/one", "Origin: null\r\n"),
			ORIGIN);
	}
	expect_reason(
		client_asks_with(&g, &other, "/one", mint_for(&g, "/one")),
		NONE);
	expect_reason(client_asks_with(&g, &c, "/one", mint_for(&g, "/one")),
		LIMIT_CONNECTIONS);
	client_leaves(&g, &other);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* --- routes ---------------------------------------------------------------*/

static void test_the_first_route_that_fits_is_taken(void **state)
{
	struct gate g;
	struct client c;
	(void)state;

	gate_open(
		&g, load_warned("[listen main]\nhosts = *\n"
				"[listen inner]\naddress = 127.0.0.1:1\n"
				"[route there]\npath = /{any}\nlisten = inner\n"
				"backend = echo:\nauth = none\n"
				"[route hosted]\npath = /{any}\n"
				"host = other.example\nbackend = echo:\n"
				"auth = none\n"
				"[route named]\npath = /a\nbackend = echo:\n"
				"host = Relay.Example\nauth = none\n"
				"[route rest]\npath = /{any}\nbackend = echo:\n"
				"auth = none\n"));
	c = client_from(&g, SOMEBODY);
	expect_reason(client_asks(&g, &c, "/a", ""), NONE);
	assert_string_equal(c.route->section.name, "named");
	admission_give_back(&g.shared, &c);
	expect_reason(client_asks(&g, &c, "/b", ""), NONE);
	assert_string_equal(c.route->section.name, "rest");
	admission_give_back(&g.shared, &c);
	expect_reason(client_asks(&g, &c, "/a/b", ""), NOT_FOUND);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* --- addresses ------------------------------------------------------------*/

static void test_lists_are_about_the_client_s_address(void **state)
{
	static const struct {
		const char *address;
		bool enters;
	} cases[] = { { "192.0.2.1", true }, { "192.0.2.128", false },
		{ "198.51.100.1", false }, { "2001:db8::1", true },
		{ "2001:db9::1", false }, { "unix", false } };
	struct gate g;
	(void)state;

	gate_open(&g, load_good(LISTEN OPEN("r",
			      "allow = 192.0.2.0/24 2001:db8::/32\n"
			      "deny = 192.0.2.128/25\n")));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum reason r = asked_from(&g, cases[i].address, "/r", "");

		if ((r == REASON_NONE) != cases[i].enters ||
			(r != REASON_NONE && r != REASON_ADDRESS))
			fail_case(cases[i].address, "%s", reason_get(r)->word);
	}
	gate_close(&g);
}

/* --- origins --------------------------------------------------------------*/

/* What is the same and what a list means is tested in test_origin.c. */
static void test_each_kind_of_origins_has_its_own_rule(void **state)
{
	static const struct {
		const char *path, *origin; /* NULL: no Origin is sent */
		bool enters;
	} cases[] = {
		{ "/same", NULL, true },
		{ "/same", "http://relay.example", true },
		{ "/same", "https://relay.example", false },
		{ "/same", "http://relay.example:8080", false },
		{ "/same", "http://relay.example.evil.example", false },
		{ "/same", "null", false },
		{ "/same", "", false },
		{ "/any", NULL, true },
		{ "/any", "null", true },
		{ "/any", "http://evil.example", true },
		{ "/list", NULL, true },
		{ "/list", "https://app.example", true },
		{ "/list", "HTTPS://App.Example:443", true },
		{ "/list", "http://app.example", false },
		{ "/list", "https://a.lab.example:8443", true },
		{ "/list", "https://lab.example:8443", false },
		{ "/list", "https://evil.example/https://app.example", false },
		{ "/list", "http://relay.example", false },
		{ "/list", "null", false },
		{ "/both", "https://app.example", true },
		{ "/both", "http://relay.example", true },
		{ "/both", "https://relay.example", false },
		{ "/both", "same", false },
		{ "/null", "null", true },
		{ "/null", "http://relay.example", false },
	};
	struct gate g;
	(void)state;

	gate_open(&g, load_good(LISTEN OPEN("same", "") OPEN(
			      "any", "origins = any\n") OPEN("list",
			      "origins = https://app.example "
			      "https://*.lab.example:8443\n") OPEN("both",
			      "origins = same "
			      "https://app.example\n")
				      OPEN("null", "origins = null\n")));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *origin = cases[i].origin;
		char field[100] = "";
		enum reason r;

		if (origin)
			snprintf(
				field, sizeof(field), "Origin: %s\r\n", origin);
		r = asked_from(&g, SOMEBODY, cases[i].path, field);
		if ((r == REASON_NONE) != cases[i].enters ||
			(r != REASON_NONE && r != REASON_ORIGIN))
			fail_case(origin ? origin : "none", "%s: %s",
				cases[i].path, reason_get(r)->word);
	}
	gate_close(&g);
}

static void test_the_same_origin_is_https_over_tls(void **state)
{
	struct gate g;
	(void)state;

	gate_open(&g, load_good(LISTEN OPEN("r", "")));
	g.secure = true;
	expect_reason(asked_from(&g, SOMEBODY, "/r",
			      "Origin: https://relay.example\r\n"),
		NONE);
	expect_reason(asked_from(&g, SOMEBODY, "/r",
			      "Origin: http://relay.example\r\n"),
		ORIGIN);
	gate_close(&g);
}

static void test_the_log_is_told_which_origin_it_was(void **state)
{
	struct gate g;
	(void)state;

	gate_open(&g, load_good(LISTEN OPEN("r", "")));
	expect_reason(
		asked_from(&g, SOMEBODY, "/r", "Origin: http://a.example\r\n"),
		ORIGIN);
	assert_string_equal(g.detail.text, "http://a.example");
	expect_reason(asked_from(&g, SOMEBODY, "/r", ""), NONE);
	assert_null(g.detail.text);
	gate_close(&g);
}

/* --- where a token is -----------------------------------------------------*/

/* Asks for /r with fields that may have a token in them, as "%s". */
static enum reason asked_with(
	struct gate *g, const char *target, const char *fields)
{
	struct client c = client_from(g, SOMEBODY);
	char *token = mint_for(g, "/r");
	struct buf full[2] = { 0 };
	const char *formats[2] = { target, fields };
	enum reason reason;
	char *text[2];

	for (int i = 0; i < 2; i++) {
		const char *rest = formats[i], *at;

		for (; (at = strstr(rest, "TOKEN")); rest = at + 5)
			assert_int_equal(buf_add_printf(&full[i], "%.*s%s",
						 (int)(at - rest), rest, token),
				0);
		assert_int_equal(buf_add_printf(&full[i], "%s", rest), 0);
		text[i] = take_text(&full[i]);
	}
	reason = client_asks(g, &c, text[0], text[1]);
	client_leaves(g, &c);
	free(text[0]);
	free(text[1]);
	free(token);
	return reason;
}

static void test_a_token_may_be_in_four_places_but_in_one_only(void **state)
{
	static const struct {
		const char *target, *fields;
		enum reason reason;
	} cases[] = {
		{ "/r?a&key=TOKEN&b", "", REASON_NONE },
		{ "/r?k%65y=TOKEN", "", REASON_NONE },
		{ "/r", "Authorization: Bearer TOKEN\r\n", REASON_NONE },
		{ "/r", "Authorization: bearer  TOKEN\r\n", REASON_NONE },
		{ "/r", "Cookie: a=b; session=TOKEN\r\n", REASON_NONE },
		{ "/r", "Sec-WebSocket-Protocol: wsuri, wsuri.bearer.TOKEN\r\n",
			REASON_NONE },
		{ "/r",
			"Sec-WebSocket-Protocol: wsuri.bearer.TOKEN\r\n"
			"Sec-WebSocket-Protocol: chat\r\n",
			REASON_NONE },
		{ "/r?token=TOKEN", "", REASON_TOKEN_MISSING },
		{ "/r", "Authorization: Basic TOKEN\r\n",
			REASON_TOKEN_MISSING },
		{ "/r", "Cookie: token=TOKEN\r\n", REASON_TOKEN_MISSING },
		{ "/r", "Sec-WebSocket-Protocol: wsuri.bearer.TOKEN\r\n",
			REASON_SUBPROTOCOL },
		{ "/r?key=TOKEN&key=", "", REASON_TOKEN_TWICE },
		{ "/r?key=TOKEN", "Authorization: Bearer TOKEN\r\n",
			REASON_TOKEN_TWICE },
		{ "/r?key=TOKEN", "Cookie: session=TOKEN\r\n",
			REASON_TOKEN_TWICE },
		{ "/r?key=TOKEN",
			"Sec-WebSocket-Protocol: wsuri, wsuri.bearer.TOKEN\r\n",
			REASON_TOKEN_TWICE },
		{ "/r",
			"Sec-WebSocket-Protocol: wsuri.bearer.TOKEN, "
			"wsuri.bearer.x.y.z, wsuri\r\n",
			REASON_TOKEN_TWICE },
		{ "/r",
			"Sec-WebSocket-Protocol: wsuri, wsuri.bearer.TOKEN\r\n"
			"Authorization: Bearer TOKEN\r\n",
			REASON_TOKEN_TWICE },
		{ "/r",
			"Authorization: Bearer TOKEN\r\n"
			"Authorization: Bearer TOKEN\r\n",
			REASON_TOKEN_TWICE },
		{ "/r", "Cookie: session=\"TOKEN\r\n", REASON_TOKEN_MALFORMED },
	};
	struct gate g;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r",
			      "token_param = key\n"
			      "token_cookie = session\n"
			      "origins = https://a.example\n") KEY));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum reason r = asked_with(
			&g, cases[i].target, cases[i].fields);

		if (r != cases[i].reason)
			fail_case(cases[i].fields, "%s: %s", cases[i].target,
				reason_get(r)->word);
	}
	gate_close(&g);
}

/* --- what a token says ----------------------------------------------------*/

static void test_the_verdict_is_what_the_token_says(void **state)
{
	struct gate g;
	struct client c;
	struct jwt_claims claims;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "") KEY));
	c = client_from(&g, SOMEBODY);
	claims = claims_for("/*");
	claims.sub = "alice";
	claims.perm = JWT_READ;
	claims.expire_at_ms = claims.exp_ms + 1000;
	expect_reason(client_asks_with(&g, &c, "/r", mint(&g, claims)), NONE);
	assert_string_equal(client_subject(&c), "alice");
	assert_string_equal(c.verdict.identity, "lab/alice");
	assert_int_equal(c.verdict.perm, JWT_READ);
	assert_int_equal(c.verdict.token_exp, claims.exp_ms);
	assert_int_equal(c.verdict.expire_at, claims.expire_at_ms);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* Requests on one connection: what the last one said of a subject is over. */
static void test_a_verdict_is_forgotten_before_the_next(void **state)
{
	struct gate g;
	struct client c;
	struct jwt_claims claims;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "") OPEN("o", "") KEY));
	c = client_from(&g, SOMEBODY);
	claims = claims_for("/r");
	claims.sub = "alice";
	claims.perm = JWT_READ;
	claims.expire_at_ms = claims.exp_ms;
	expect_reason(client_asks_with(&g, &c, "/r", mint(&g, claims)), NONE);
	admission_give_back(&g.shared, &c);
	expect_reason(client_asks(&g, &c, "/o", ""), NONE);
	assert_null(client_subject(&c));
	assert_int_equal(c.verdict.perm, JWT_READ_WRITE);
	assert_int_equal(c.verdict.expire_at, JWT_NEVER);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* One claim of a good token is changed at a time; the rest is test_jwt.c's. */
static void test_each_claim_has_its_reason(void **state)
{
	struct gate g;
	struct client c;
	struct jwt_claims good, t;
	(void)state;

	gate_open(
		&g, load_good(LISTEN CLOSED("r", "") KEY "issuer = https://i\n"
							 "audience = relay\n"
							 "leeway = 0\n"
							 "max_ttl = 2m\n"));
	c = client_from(&g, SOMEBODY);
	good = claims_for("/r");
	good.issuer = "https://i";
	good.audience = "relay";
#define EXPECT(claim, value, reason)                                           \
	do {                                                                   \
		t = good;                                                      \
		t.claim = (value);                                             \
		expect_reason(                                                 \
			client_asks_with(&g, &c, "/r", mint(&g, t)), reason);  \
		admission_give_back(&g.shared, &c);                            \
	} while (0)
	EXPECT(path, "/r", NONE);
	EXPECT(path, "/other", TOKEN_PATH);
	assert_string_equal(g.detail.text, "the token is for /other");
	EXPECT(issuer, "https://other", TOKEN_UNKNOWN_KEY);
	EXPECT(audience, "other", TOKEN_AUDIENCE);
	EXPECT(exp_ms, good.iat_ms - 1000, TOKEN_EXPIRED);
	EXPECT(expire_at_ms, good.iat_ms - 1000, TOKEN_EXPIRED);
	EXPECT(iat_ms, good.iat_ms + 30000, TOKEN_TOO_EARLY);
	EXPECT(exp_ms, good.iat_ms + 180000, TOKEN_TTL);
	EXPECT(origin, "https://app.example", ORIGIN);
	assert_string_equal(
		g.detail.text, "the token is for https://app.example");
#undef EXPECT
	client_leaves(&g, &c);
	gate_close(&g);
}

static void test_what_is_no_token_of_ours_says_why(void **state)
{
	struct gate g;
	struct client c;
	char *token, *p;

	(void)state;
	gate_open(&g, load_warned(LISTEN CLOSED("r", "") OPEN("x", "") KEY
			      "[key other]\nsecret_file = door\n"));
	c = client_from(&g, SOMEBODY);
	expect_reason(
		client_asks_with(&g, &c, "/r", strdup("x.y")), TOKEN_MALFORMED);
	assert_non_null(g.detail.text);
	token = mint_for(&g, "/r");
	p = token + strlen(token) - 10; /* of the signature, and still base64 */
	*p = *p == 'A' ? 'B' : 'A';
	expect_reason(client_asks_with(&g, &c, "/r", token), TOKEN_SIGNATURE);
	client_leaves(&g, &c);
	gate_close(&g);
}

static void test_every_character_of_a_token_counts(void **state)
{
	struct gate g;
	struct client c;
	char *token;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "") KEY));
	c = client_from(&g, SOMEBODY);
	token = mint_for(&g, "/r");
	for (size_t i = 0; token[i]; i++) {
		char was = token[i];
		enum reason r;

		token[i] = was == 'A' ? 'B' : 'A';
		r = client_asks_with(&g, &c, "/r", copy(token));
		if (r != REASON_TOKEN_MALFORMED &&
			r != REASON_TOKEN_SIGNATURE &&
			r != REASON_TOKEN_UNKNOWN_KEY)
			fail_case(token, "%zu: %s", i, reason_get(r)->word);
		token[i] = was;
	}
	expect_reason(client_asks_with(&g, &c, "/r", token), NONE);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* Only the key of pages with invitations may say whose its subject is. */
static void test_a_subject_is_its_key_s(void **state)
{
	struct gate g;
	struct client c;
	struct jwt_claims claims;
	(void)state;

	gate_open(
		&g, load_warned(LISTEN CLOSED("r", "keys = door\n") KEY
			    "[key door]\nsecret_file = door\n"
			    "[page p]\npath = /p\nroot = dir\nauth = token\n"
			    "keys = door\ntemplate = yes\ntoken_key = lab\n"));
	c = client_from(&g, SOMEBODY);
	claims = claims_for("/r");
	claims.sub = "alice";
	claims.sub_key = "door";
	expect_reason(client_asks_with(&g, &c, "/r", mint(&g, claims)), NONE);
	assert_string_equal(c.verdict.identity, "door/alice");
	admission_give_back(&g.shared, &c);
	claims.sub_key = "lab";
	expect_reason(
		client_asks_with(&g, &c, "/r", mint_by(&g, "door", claims)),
		NONE);
	assert_string_equal(c.verdict.identity, "door/alice");
	admission_give_back(&g.shared, &c);
	claims.sub_key = "none";
	expect_reason(client_asks_with(&g, &c, "/r", mint(&g, claims)),
		TOKEN_UNKNOWN_KEY);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* --- single use -----------------------------------------------------------*/

static void test_a_token_of_single_use_opens_once(void **state)
{
	struct gate g;
	struct client first, second;
	char *token;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "single_use = yes\n") KEY));
	token = mint_for(&g, "/r");
	first = client_from(&g, SOMEBODY);
	second = client_from(&g, SOMEBODY);
	expect_reason(client_asks_with(&g, &first, "/r", copy(token)), NONE);
	/* While its backend opens, and when it is open. */
	expect_reason(
		client_asks_with(&g, &second, "/r", copy(token)), TOKEN_USED);
	admission_use_token(&first);
	client_leaves(&g, &first);
	expect_reason(
		client_asks_with(&g, &second, "/r", copy(token)), TOKEN_USED);
	client_leaves(&g, &second);
	free(token);
	gate_close(&g);
}

static void test_a_token_that_opened_nothing_is_good_again(void **state)
{
	struct gate g;
	struct client c;
	char *token;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "single_use = yes\n") KEY));
	token = mint_for(&g, "/r");
	c = client_from(&g, SOMEBODY);
	expect_reason(client_asks_with(&g, &c, "/r", copy(token)), NONE);
	admission_give_back(&g.shared, &c); /* its backend is dead */
	expect_reason(client_asks_with(&g, &c, "/r", copy(token)), NONE);
	client_leaves(&g, &c);
	c = client_from(&g, SOMEBODY);
	expect_reason(client_asks_with(&g, &c, "/r", token), NONE);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* By its jti, which its key has chosen, not by how it is written. */
static void test_a_token_is_known_by_its_name(void **state)
{
	struct gate g;
	struct client c, other;
	struct jwt_claims claims;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "single_use = yes\n") KEY));
	c = client_from(&g, SOMEBODY);
	other = client_from(&g, SOMEBODY);
	claims = claims_for("/r");
	claims.jti = "n";
	expect_reason(client_asks_with(&g, &c, "/r", mint(&g, claims)), NONE);
	claims.sub = "x";
	expect_reason(client_asks_with(&g, &other, "/r", mint(&g, claims)),
		TOKEN_USED);
	claims.jti = "m";
	expect_reason(
		client_asks_with(&g, &other, "/r", mint(&g, claims)), NONE);
	client_leaves(&g, &other);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* As often as it likes, before and behind the client that uses it. */
static void test_who_looks_uses_no_token_up(void **state)
{
	struct gate g;
	struct client looks, uses;
	char *token;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "single_use = yes\n") KEY));
	token = mint_for(&g, "/r");
	looks = client_from(&g, SOMEBODY);
	looks.tickets.look = true;
	uses = client_from(&g, SOMEBODY);
	for (int i = 0; i < 2; i++)
		expect_reason(
			client_asks_with(&g, &looks, "/r", copy(token)), NONE);
	expect_reason(client_asks_with(&g, &uses, "/r", copy(token)), NONE);
	admission_use_token(&uses);
	client_leaves(&g, &uses);
	expect_reason(
		client_asks_with(&g, &looks, "/r", copy(token)), TOKEN_USED);
	client_leaves(&g, &looks);
	free(token);
	gate_close(&g);
}

/* It may have been used before; leeway is how far its clock may be ahead. */
static void test_a_token_from_before_the_start_counts_as_used(void **state)
{
	struct gate g;
	struct client c;
	struct jwt_claims claims;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r", "single_use = yes\n") KEY
			      "leeway = 5s\n"));
	c = client_from(&g, SOMEBODY);
	claims = claims_for("/r");
	g.shared.used_since_ms = claims.iat_ms - 4999;
	expect_reason(
		client_asks_with(&g, &c, "/r", mint(&g, claims)), TOKEN_USED);
	assert_non_null(strstr(g.detail.text, "leeway"));
	g.shared.used_since_ms = claims.iat_ms - 5000;
	expect_reason(client_asks_with(&g, &c, "/r", mint(&g, claims)), NONE);
	client_leaves(&g, &c);
	gate_close(&g);
}

/* --- no memory ------------------------------------------------------------*/

/* Whichever allocation fails, it is said, and the token is good afterwards. */
static void test_without_memory_a_request_is_refused(void **state)
{
	struct gate g;
	struct client c;
	struct jwt_claims claims;
	char *token;
	unsigned n = 0;
	(void)state;

	gate_open(&g, load_good(LISTEN CLOSED("r",
			      "single_use = yes\n"
			      "max_connections_per_subject = 1\n") KEY));
	claims = claims_for("/r");
	claims.sub = "alice";
	claims.jti = "n";
	token = mint(&g, claims);
	do {
		enum reason r;

		g.fail_at = ++n;
		c = client_from(&g, SOMEBODY);
		r = client_asks_with(&g, &c, "/r", copy(token));
		if (g.failed ? r != REASON_INTERNAL : r != REASON_NONE)
			fail_msg("allocation %u: %s", n, reason_get(r)->word);
		client_leaves(&g, &c);
	} while (g.failed);
	assert_in_range(n, 5, 1000);
	free(token);
	gate_close(&g);
}

/* --- pages ----------------------------------------------------------------*/

static void test_a_page_has_addresses_and_invitations(void **state)
{
	struct gate g;
	struct client c;
	struct request r = { 0 };
	struct conf_page *page;
	struct gate_check check = { .shared = &g.shared,
		.request = &r,
		.client = &c,
		.detail = &g.detail };
	(void)state;

	gate_open(&g, load_good(LISTEN KEY "[page p]\npath = /p\nroot = dir\n"
					   "auth = token\nkeys = lab\n"
					   "allow = 192.0.2.0/24\n"));
	check.page = page = &g.conf->pages[0];
	c = client_from(&g, SOMEBODY);
	expect_reason(gate_pass(GATE_PAGE, &check), ADDRESS);
	c.peer = addr_of("192.0.2.1");
	expect_reason(gate_pass(GATE_PAGE, &check), TOKEN_MISSING);
	page->auth = CONF_AUTH_NONE;
	expect_reason(gate_pass(GATE_PAGE, &check), NONE);
	client_leaves(&g, &c);
	gate_close(&g);
}

static int setup(void **state)
{
	if (scratch_setup(state) < 0)
		return -1;
	put_text("door", "fedcba9876543210fedcba9876543210");
	return chmod("door", 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_check_comes_in_its_order),
		cmocka_unit_test(test_a_refused_client_takes_no_place),
		cmocka_unit_test(test_the_first_route_that_fits_is_taken),
		cmocka_unit_test(test_lists_are_about_the_client_s_address),
		cmocka_unit_test(test_each_kind_of_origins_has_its_own_rule),
		cmocka_unit_test(test_the_same_origin_is_https_over_tls),
		cmocka_unit_test(test_the_log_is_told_which_origin_it_was),
		cmocka_unit_test(
			test_a_token_may_be_in_four_places_but_in_one_only),
		cmocka_unit_test(test_the_verdict_is_what_the_token_says),
		cmocka_unit_test(test_a_verdict_is_forgotten_before_the_next),
		cmocka_unit_test(test_each_claim_has_its_reason),
		cmocka_unit_test(test_what_is_no_token_of_ours_says_why),
		cmocka_unit_test(test_every_character_of_a_token_counts),
		cmocka_unit_test(test_a_subject_is_its_key_s),
		cmocka_unit_test(test_a_token_of_single_use_opens_once),
		cmocka_unit_test(
			test_a_token_that_opened_nothing_is_good_again),
		cmocka_unit_test(test_a_token_is_known_by_its_name),
		cmocka_unit_test(test_who_looks_uses_no_token_up),
		cmocka_unit_test(
			test_a_token_from_before_the_start_counts_as_used),
		cmocka_unit_test(test_without_memory_a_request_is_refused),
		cmocka_unit_test(test_a_page_has_addresses_and_invitations),
	};

	return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
