/*
 * test_conf_exposure.c: warnings about who gets in, or stays out, though the
 * author of the file may not mean it.
 */
#include "conf_support.h"

#include "base/compiler.h"

#define LOCAL "[listen l]\naddress = unix:/run/x.sock\n"
#define MODE  "socket_mode = 0660\n"
#define NOT_SET                                                                \
	"t.ini:1: warning: [listen l] socket_mode: is not set: only the user " \
	"and the group of the daemon can connect to unix:/run/x.sock (write "  \
	"socket_mode = 0660, or 0666 for everybody)\n"
#define KEEPS_OUT                                                              \
	"keeps out all that comes through unix:/run/x.sock of [listen l] "     \
	"(add unix to let it in)\n"
#define PAGE  "[page p]\nroot = dir\n"
#define ROUTE "[route r]\npath = /r\nauth = none\nbackend = echo:\n"

struct exposure_case {
	const char *text, *want;
};

static void expect_warnings(const struct exposure_case *v, size_t n)
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

static void test_socket_mode(void **state)
{
	static const struct exposure_case cases[] = {
		{ LOCAL, NOT_SET },
		{ LOCAL MODE, "" },
		{ LOCAL "socket_mode = 666\n", "" },
		{ "[listen l]\nsocket_mode = 0660\n", "" },
		{ "[listen l]\naddress = 127.0.0.1:1\n"
		  "address = unix:/run/x.sock\n",
			NOT_SET },
	};
	struct conf *c;

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
	expect_errors("[listen l]\nsocket_mode = 0600\n",
		"t.ini:2: [listen l] socket_mode: means nothing without a "
		"unix: address, expected one beside it\n");
	c = load_good(LOCAL "socket_mode = 0606\n");
	assert_int_equal(c->listens[0].socket_mode, 0606);
	conf_unref(c);
}

static void test_lists_without_unix(void **state)
{
	static const struct exposure_case cases[] = {
		{ LOCAL MODE "allow = 10.0.0.0/8\n",
			"t.ini:4: warning: [listen l] allow: " KEEPS_OUT },
		{ LOCAL MODE "allow = 10.0.0.0/8 unix\n", "" },
		{ LOCAL MODE "deny = 10.0.0.0/8\n", "" },
		{ LOCAL MODE PAGE "allow = 10.0.0.0/8\n",
			"t.ini:6: warning: [page p] allow: " KEEPS_OUT },
		{ LOCAL MODE ROUTE "allow = 10.0.0.0/8\n",
			"t.ini:8: warning: [route r] allow: " KEEPS_OUT },
		{ LOCAL MODE ROUTE "listen = l\nallow = 10.0.0.0/8\n",
			"t.ini:9: warning: [route r] allow: " KEEPS_OUT },
		/* it is not on that listener */
		{ LOCAL MODE "[listen m]\n" ROUTE
			     "listen = m\nallow = 10.0.0.0/8\n",
			"" },
		/* a proxy names its clients */
		{ LOCAL MODE "trusted_proxies = unix\n" ROUTE
			     "allow = 10.0.0.0/8\n",
			"" },
		{ LOCAL MODE "deny = unix\n", "" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
	expect_errors(LOCAL MODE "allow = unix\ndeny = unix\n",
		"t.ini:4: [listen l] allow: unix is in deny, too, which wins, "
		"expected it in one of them\n");
}

#define ANY_NAME(line, address)                                                \
	"t.ini:" line ": warning: [listen l] hosts: is not set: " address      \
	" answers to any name, also to those that foreign pages point at it "  \
	"(name the hosts, or write hosts = * if that is meant)\n"

static void test_any_name(void **state)
{
	static const struct exposure_case cases[] = {
		{ "[listen l]\naddress = 0.0.0.0:80\n",
			ANY_NAME("1", "0.0.0.0:80") },
		{ "[listen l]\naddress = 127.0.0.1:80\n"
		  "address = [2001:db8::7]:80\naddress = 192.0.2.7:80\n",
			ANY_NAME("1", "[2001:db8::7]:80") },
		{ "[listen l]\naddress = 0.0.0.0:80\nhosts = *\n", "" },
		{ "[listen l]\naddress = 0.0.0.0:80\nhosts = a.example\n", "" },
		{ "[listen l]\naddress = 127.0.0.2:80\naddress = [::1]:80\n",
			"" },
		{ "[listen l]\naddress = fd:x\n", "" },
		{ "[listen l]\naddress = 0.0.0.0:443\ncertificates = c\n"
		  "[certificate c]\nchain_file = chain\nkey_file = key\n",
			"" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
}

static void test_programs_for_everybody(void **state)
{
#define EXEC "[listen l]\n[route r]\npath = /r\nbackend = exec:/bin/cat\n"
	static const struct exposure_case cases[] = {
		{ EXEC "auth = none\n",
			"t.ini:5: warning: [route r] auth: is none for an exec "
			"backend: everybody who reaches the listener starts "
			"programs\n" },
		{ EXEC "[key k]\nsecret_file = secret\n", "" },
		{ "[listen l]\n" ROUTE, "" },
	};

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
}

static void test_whose_invitations(void **state)
{
#define TWO                                                                    \
	"[listen l]\n[key k]\nsecret_file = secret\n"                          \
	"[key j]\nsecret_file = secret\n"                                      \
	"[page p]\nroot = dir\nauth = token\ntoken_key = j\n"
	static const struct exposure_case cases[] = {
		{ TWO, "t.ini:6: warning: [page p] keys: is not set: only "
		       "invitations of [key j], the token_key, open the page "
		       "(write keys = j, or name others)\n" },
		{ TWO "keys = j\n", "" },
		{ TWO "keys = k, j\n", "" },
		{ "[listen l]\n[key j]\nsecret_file = secret\n"
		  "[page p]\nroot = dir\nauth = token\ntoken_key = j\n",
			"" },
		{ "[listen l]\n[key j]\nsecret_file = secret\n"
		  "[page p]\nroot = dir\nkeys = j\n",
			"t.ini:6: warning: [page p] keys: no token is looked "
			"at, because auth is none\n" },
	};

	struct conf *c = load_good(TWO "template = yes\nkeys = k\n");

	(void)state;
	expect_warnings(cases, ARRAY_SIZE(cases));
	/* Only where it may have to name the other in sub_key. */
	assert_true(c->keys[1].mints && !c->keys[0].mints);
	conf_unref(c);
	c = load_good(TWO "keys = k\n");
	assert_false(c->keys[0].mints || c->keys[1].mints);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket_mode),
		cmocka_unit_test(test_lists_without_unix),
		cmocka_unit_test(test_any_name),
		cmocka_unit_test(test_programs_for_everybody),
		cmocka_unit_test(test_whose_invitations),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
