/*
 * test_conf_intent.c: warnings of what is taken as it is written, and hardly
 * ever meant so.
 */
#include "conf_support.h"

#include "base/compiler.h"

#define HEAD "[listen l]\n[route r]\npath = /r/{id}\nauth = none\n"
#define ECHO HEAD "backend = echo:\n"
#define HUB  HEAD "mode = hub\nbackend = echo:\n"
/* An exec backend without tokens has a warning of its own. */
#define KEYS "[listen l]\n[key k]\nsecret_file = secret\n"
#define EXEC KEYS "[route r]\npath = /r/{id}\nbackend = exec:/bin/true"

#define PAIR(key)                                                              \
	"t.ini:6: warning: [route r] " key ": means nothing to mode = pair, "  \
	"in which each client has a backend of its own (write mode = hub, or " \
	"leave " key " out)\n"
#define BACKEND "t.ini:6: warning: [route r] backend: "

struct intent_case {
	const char *text, *want;
};

static void expect_warnings(const struct intent_case *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf errors = { 0 };
		struct conf *c = conf_load_text(
			"t.ini", str_of(v[i].text), &errors);
		char *said = take_text(&errors);

		if (!c || strcmp(said, v[i].want) != 0)
			fail_case(v[i].text, "said \"%s\"\nwant \"%s\"", said,
				v[i].want);
		free(said);
		conf_unref(c);
	}
}

static void test_hub_keys(void **state)
{
	static const struct intent_case cases[] = {
		{ ECHO "input = driver\n", PAIR("input") },
		{ ECHO "linger = 5m\n", PAIR("linger") },
		{ ECHO "replay = 1\n", PAIR("replay") },
		{ ECHO "slow_binary = latest\n", PAIR("slow_binary") },
		/* as -T writes them */
		{ ECHO "input = all\nlinger = 10s\nslow_text =\n", "" },
		{ HUB "input = driver\nlinger = 5m\n", "" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
}

static void test_slash(void **state)
{
	static const struct intent_case cases[] = {
		{ "[listen l]\n[route r]\npath = /sim/\nauth = none\n"
		  "backend = echo:\n",
			"t.ini:3: warning: [route r] path: ends in a slash, "
			"and so is not the path \"/sim\" (write path = /sim, "
			"if wsuris have no slash there)\n" },
		{ "[listen l]\n[route r]\npath = /\nauth = none\n"
		  "backend = echo:\n",
			"" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
}

static void test_no_shell(void **state)
{
	static const struct intent_case cases[] = {
		{ EXEC " --size 10 {id} a|b <\n",
			BACKEND "< is passed on as an argument, because there "
				"is no shell (write a script that has the "
				"whole command)\n" },
		{ EXEC " | cat\n",
			BACKEND "| is passed on as an argument, because there "
				"is no shell (write a script that has the "
				"whole command)\n" },
		{ EXEC " 'hello\n",
			BACKEND "'hello has quotes, which are passed on: "
				"arguments are split at blanks (write it "
				"without quotes, or a script that has the "
				"whole command)\n" },
		{ EXEC " --title=\"x\"\n",
			BACKEND "--title=\"x\" has quotes, which are passed "
				"on: arguments are split at blanks (write it "
				"without quotes, or a script that has the "
				"whole command)\n" },
		{ EXEC " $HOME/x\n",
			BACKEND "$HOME/x is passed on as it is, because there "
				"is no shell (write what it means, or a "
				"script that has the whole command)\n" },
		{ EXEC " $ a$ ~ x=~/y http://a/?b=1&c=2 ^a|b$\n", "" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
}

static void test_placeholders(void **state)
{
	static const struct intent_case cases[] = {
		{ EXEC " --for=<user>\n",
			BACKEND "<user> is passed on as it is (a capture of "
				"the path /r/{id} is written {user})\n" },
		{ HEAD "backend = unix:/run/<id>.sock\nframing = line\n",
			"t.ini:5: warning: [route r] backend: <id> is passed "
			"on as it is (a capture of the path /r/{id} is "
			"written {id})\n" },
		{ EXEC "\nexec_env = A={id}\n",
			"t.ini:7: warning: [route r] exec_env: {id} is passed "
			"on as it is: captures are filled in in arguments "
			"(write it in backend = exec:/PROGRAM {id})\n" },
		{ EXEC " {id}\nexec_env = A={x}\nexec_env = B={\n", "" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
}

#define QUEUE                                                                  \
	"t.ini:7: warning: [route r] queue_limit: is less than "               \
	"max_backend_message: a waiting message may be over the limit by "     \
	"itself (write queue_limit as large as max_backend_message)\n"

static void test_queue(void **state)
{
	static const struct intent_case cases[] = {
		{ HUB, "" },
		{ HUB "queue_limit = 2M\n", QUEUE },
		{ HUB "queue_limit = 1M\n", QUEUE },
		{ HUB "queue_limit = 16M\n", "" },
		{ HUB "max_backend_message = 2M\n",
			"t.ini:7: warning: [route r] max_backend_message: is "
			"more than queue_limit: a waiting message may be over "
			"the limit by itself (write queue_limit as large as "
			"max_backend_message)\n" },
		{ HUB "max_backend_message = 1M\n", "" },
		/* as -T writes them */
		{ HUB "queue_limit = 1M\nmax_backend_message = 16M\n", "" },
		{ ECHO "queue_limit = 2M\n", "" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
}

/* What -T prints of a file without warnings has none. */
static void test_dump(void **state)
{
	struct conf *c = load_good(
		"[listen l]\n[route r]\npath = /r\nauth = none\n"
		"backend = echo:\n[route h]\npath = /h\nauth = none\n"
		"mode = hub\nbackend = echo:\n");
	struct buf dump = { 0 }, errors = { 0 };
	struct conf *again;

	(void)state;
	assert_int_equal(conf_dump(&dump, c), 0);
	again = conf_load_text("t.ini", buf_str(&dump), &errors);
	assert_non_null(again);
	assert_int_equal(errors.n, 0);
	conf_unref(again);
	conf_unref(c);
	buf_free(&dump);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hub_keys),
		cmocka_unit_test(test_slash),
		cmocka_unit_test(test_no_shell),
		cmocka_unit_test(test_placeholders),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_dump),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
