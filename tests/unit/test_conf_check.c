/*
 * test_conf_check.c: what one key alone cannot know, and how it is said.
 */
#include "conf_support.h"

#include "base/compiler.h"

/* Lines in front of each case; so the case begins at line 6. */
#define FRONT                                                                  \
	"[listen a]\naddress = 127.0.0.1:81\n"                                 \
	"[listen b]\naddress = 127.0.0.1:82\n\n"
/* A route whose path is on line 7; and one with a {capture}. */
#define ROUTE   "[route r]\npath = /r\nauth = none\n"
#define CAPTURE "[route r]\npath = /r/{id}/{*}\nauth = none\n"
#define KEYS    "[key k]\nsecret_file = secret\n"

struct check_case {
	const char *text, *want;
};

static void expect_cases(const struct check_case *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf text = { 0 };
		char *whole;

		assert_int_equal(
			buf_add_printf(&text, FRONT "%s", v[i].text), 0);
		whole = take_text(&text);
		if (v[i].want)
			expect_errors(whole, v[i].want);
		else
			conf_unref(load_good(whole));
		free(whole);
	}
}

static void test_sections(void **state)
{
	static const struct check_case cases[] = {
		{ "[server]\n[server]\n", "t.ini:7: [server] is there twice, "
					  "expected it once in a file\n" },
		{ "[server x]\n",
			"t.ini:6: [server x] has a name, expected [server]\n" },
		{ "[routes x]\nfoo = bar\n", "t.ini:6: [routes x] is not "
					     "known, expected [route]\n" },
		{ "[foo]\n", "t.ini:6: [foo] is not known, expected [server], "
			     "[listen NAME], [certificate NAME], [key "
			     "NAME], [page NAME] or [route NAME]\n" },
		{ "[route]\n",
			"t.ini:6: [route ] is not well-formed, expected [route "
			"NAME], the name of at most 40 letters, digits, _ . "
			"-\n" },
		{ "[route a b]\n",
			"t.ini:6: [route a b] is not well-formed, expected "
			"[route NAME], the name of at most 40 letters, digits, "
			"_ . -\n" },
		{ "[route r\npath = /x\n",
			"t.ini:6: a section header without its ], expected "
			"[section] or [section NAME]\n" },
		{ "[server]\nmax_mem = 1\nworkers = 1\nworkers = 1\n"
		  "backend = x\nzebra = 1\n",
			"t.ini:7: [server] max_mem: is not known, expected "
			"max_memory\n"
			"t.ini:9: [server] workers: is set twice, expected it "
			"once: the first is at t.ini:8\n"
			"t.ini:10: [server] backend: is a key of [route], "
			"expected one of [server]\n"
			"t.ini:11: [server] zebra: is not known, expected a "
			"key of [server]\n" },
		{ ROUTE "max_mesage = 1M\nbackend = echo:\n",
			"t.ini:9: [route r] max_mesage: is not known, expected "
			"max_message\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
	expect_errors("[listen a]\n[listen a]\naddress = 127.0.0.1:9\n",
		"t.ini:2: [listen a] is there twice, expected another name: "
		"the first is at t.ini:1\n");
	expect_errors("", "t.ini: there is no listener, expected a section "
			  "[listen NAME]\n");
	expect_errors("x = y\n[listen a]\n",
		"t.ini:1: x: is in front of the first section, expected "
		"[section] before it\n");
	/* One complaint of the file, and none of what it hides. */
	expect_errors("\xEF\xBB\xBF[listen l]\n" ROUTE "backend = echo:\n",
		"t.ini:1: a byte order mark, expected UTF-8 without one\n");
	expect_errors("\xFF\xFE[", "t.ini:1: UTF-16 text, expected UTF-8: "
				   "save the file as UTF-8 without a byte "
				   "order mark\n");
}

static void test_missing(void **state)
{
	static const struct check_case cases[] = {
		{ "[route r]\nauth = none\nbackend = echo:\n",
			"t.ini:6: [route r] path: is missing, expected a "
			"value: Literal segments, {captures} of one segment, "
			"{*} last for the rest\n" },
		{ "[page p]\n", "t.ini:6: [page p] root: is missing, expected "
				"a value: The directory of the files; "
				"index.html answers for a directory\n" },
		{ "[key k]\n",
			"t.ini:6: [key k] secret_file: is missing, expected a "
			"file with the secret (wsrelayctl key makes one)\n" },
		{ ROUTE "backend = echo:\ntoken_param =\n",
			"t.ini:10: [route r] token_param: is empty, expected a "
			"value: The query parameter that carries the "
			"token\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_listeners(void **state)
{
	static const struct check_case cases[] = {
		{ "[listen c]\naddress = 127.0.0.1:82\n",
			"t.ini:7: [listen c] address: 127.0.0.1:82 is there "
			"twice, expected it once: [listen b] has it\n" },
		{ "[listen c]\naddress = unix:/x\naddress = fd:x\n"
		  "address = fd:x\naddress = unix:/x\n",
			"t.ini:9: [listen c] address: fd:x is there twice, "
			"expected it once: [listen c] has it\n"
			"t.ini:10: [listen c] address: unix:/x is there twice, "
			"expected it once: [listen c] has it\n" },
		/* A word is two addresses. */
		{ "[listen c]\naddress = [::1]:80\naddress = localhost:80\n",
			"t.ini:8: [listen c] address: [::1]:80 is there "
			"twice, expected it once: [listen c] has it\n" },
		{ "[listen c]\naddress = localhost:\naddress = *:x\n"
		  "address = :65536\n",
			"t.ini:7: [listen c] address: \"localhost:\" is not "
			"understood, expected 192.0.2.7:PORT, "
			"[2001:db8::7]:PORT, localhost:PORT, *:PORT, "
			"unix:/PATH or fd:NAME\n"
			"t.ini:8: [listen c] address: \"*:x\" is not "
			"understood, expected 192.0.2.7:PORT, "
			"[2001:db8::7]:PORT, localhost:PORT, *:PORT, "
			"unix:/PATH or fd:NAME\n"
			"t.ini:9: [listen c] address: \"0.0.0.0:65536\" is "
			"not understood, expected 192.0.2.7:PORT, "
			"[2001:db8::7]:PORT, localhost:PORT, *:PORT, "
			"unix:/PATH or fd:NAME\n" },
		/* Any free port, twice, is two ports. */
		{ "[listen c]\naddress = [::1]:0\naddress = [::1]:0\n", NULL },
		{ "[listen c]\naddress = ::1\naddress = 127.0.0.1\n",
			"t.ini:7: [listen c] address: \"::1\" is not "
			"understood, expected 192.0.2.7:PORT, "
			"[2001:db8::7]:PORT, localhost:PORT, *:PORT, "
			"unix:/PATH or fd:NAME\n"
			"t.ini:8: [listen c] address: \"127.0.0.1\" is not "
			"understood, expected 192.0.2.7:PORT, "
			"[2001:db8::7]:PORT, localhost:PORT, *:PORT, "
			"unix:/PATH or fd:NAME\n" },
		{ "[listen c]\naddress = unix:x\naddress = fd:\n",
			"t.ini:7: [listen c] address: \"unix:x\" is not "
			"understood, expected unix:/PATH of at most 107 "
			"bytes\n"
			"t.ini:8: [listen c] address: \"fd:\" is not "
			"understood, expected fd:NAME, a "
			"FileDescriptorName\n" },
		{ "[listen c]\naddress =\n",
			"t.ini:7: [listen c] address: is empty, expected a "
			"value: Where connections are accepted: IPv4:PORT, "
			"[IPv6]:PORT, localhost:PORT, *:PORT (all addresses), "
			"unix:/PATH, or fd:NAME for a socket that the service "
			"manager passes\n" },
		{ "[listen c]\nallow = 10.1.0.0/16 192.0.2.7\n"
		  "deny = 10.0.0.0/8\n",
			"t.ini:7: [listen c] allow: 10.1.0.0/16 is covered by "
			"deny, which wins, expected that some of it is let "
			"in\n" },
		{ "[listen c]\nallow = 10.0.0.0/8\ndeny = 10.1.0.0/16\n",
			NULL },
		{ "[listen c]\ndeny = 0.0.0.0/0, ::/0\n",
			"t.ini:7: [listen c] deny: covers every address, "
			"expected that some are let in\n" },
		{ "[listen c]\nproxy_protocol = yes\n",
			"t.ini:7: [listen c] proxy_protocol: yes refuses "
			"every peer, expected trusted_proxies beside it\n" },
		{ "[listen c]\nproxy_protocol = yes\ntrusted_proxies = x\n",
			"t.ini:8: [listen c] trusted_proxies: \"x\" is not a "
			"network, expected an address such as 192.0.2.7 or a "
			"network such as 10.0.0.0/8, 2001:db8::/32 (no bits "
			"behind the prefix), or unix\n" },
		{ "[listen c]\nproxy_protocol = yes\ntrusted_proxies = unix\n",
			NULL },
		{ "[listen c]\nhosts = a b\nhosts = a\n",
			"t.ini:8: [listen c] hosts: \"a\" is there twice, "
			"expected it once\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_admin(void **state)
{
#define ADMIN "[listen c]\nrole = admin\naddress = "
#define OPEN(address)                                                          \
	"t.ini:7: [listen c] role: is admin, and " address                     \
	" may be reached from elsewhere, expected loopback or unix: "          \
	"addresses, or allow or tls_client = required beside it\n"
	static const struct check_case cases[] = {
		{ ADMIN "127.0.0.1:83\naddress = [::1]:83\n"
			"address = unix:/x\nsocket_mode = 0660\n",
			NULL },
		{ ADMIN "127.9.9.9:83\naddress = 192.0.2.1:83\n",
			OPEN("192.0.2.1:83") },
		{ ADMIN "0.0.0.0:83\ndeny = 10.0.0.0/8\n", OPEN("0.0.0.0:83") },
		{ ADMIN "fd:x\n", OPEN("fd:x") },
		{ ADMIN "0.0.0.0:83\nallow = 10.0.0.0/8\n", NULL },
		/* One fault is one line. */
		{ ADMIN "0.0.0.0:83\nallow = x\n",
			"t.ini:9: [listen c] allow: \"x\" is not a network, "
			"expected an address such as 192.0.2.7 or a network "
			"such as 10.0.0.0/8, 2001:db8::/32 (no bits behind "
			"the prefix), or unix\n" },
		{ ADMIN "127.0.0.1:83\n" ROUTE "backend = echo:\nlisten = c\n",
			"t.ini:13: [route r] listen: [listen c] has role = "
			"admin, and so neither pages nor routes, expected "
			"public ones\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
#undef ADMIN
#undef OPEN
}

static void test_rates(void **state)
{
#define RATE(value)                                                            \
	"[listen c]\naddress = 127.0.0.1:83\nhandshake_rate = " value
#define WRONG(value)                                                           \
	"t.ini:8: [listen c] handshake_rate: \"" value                         \
	"\" is not understood, "                                               \
	"expected a rate such as 5/s, 20/m, 100/h, or 0\n"
#define RANGE(value)                                                           \
	"t.ini:8: [listen c] handshake_rate: \"" value "\" is out of range, "  \
	"expected 0, or 1 to 100000 in a time\n"
#define TIME(value)                                                            \
	"t.ini:8: [listen c] handshake_rate: \"" value "\" names no time, "    \
	"expected /s, /m or /h behind it\n"
	static const struct check_case cases[] = {
		{ RATE("0\n"), NULL },
		{ RATE("1/s\n"), NULL },
		{ RATE("100000/s\n"), NULL },
		{ RATE("60/m\n"), NULL },
		{ RATE("100000/h\n"), NULL },
		{ RATE("\n"), WRONG("") },
		{ RATE("x\n"), WRONG("x") },
		{ RATE("/s\n"), WRONG("/s") },
		{ RATE("-1/s\n"), WRONG("-1/s") },
		{ RATE("5 /s\n"), WRONG("5 /s") },
		{ RATE("1.5/s\n"), WRONG("1.5/s") },
		{ RATE("99999999999999999999/s\n"),
			WRONG("99999999999999999999/s") },
		{ RATE("0/s\n"), RANGE("0/s") },
		{ RATE("100001/s\n"), RANGE("100001/s") },
		{ RATE("20\n"), TIME("20") },
		{ RATE("20/\n"), TIME("20/") },
		{ RATE("20/d\n"), TIME("20/d") },
		{ RATE("20/s/s\n"), TIME("20/s/s") },
		{ RATE("20/ms\n"), TIME("20/ms") },
	};
	struct conf *c = load_good(RATE("7/m\n"));

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
	assert_int_equal(c->listens[0].handshake_rate.n, 7);
	assert_int_equal(c->listens[0].handshake_rate.ms, 60000);
	conf_unref(c);
}

static void test_backends(void **state)
{
	static const struct check_case good[] = {
		{ CAPTURE "framing = raw\nbackend = tcp://a-{id}.example:7000\n"
			  "backend_allow = 10.0.0.0/8\n",
			NULL },
		{ ROUTE "framing = line\nbackend = tcp://[::1]:65535\n", NULL },
		{ CAPTURE "framing = len32\nbackend = unix:/run/{id}.sock\n",
			NULL },
		{ CAPTURE "backend = ws://127.0.0.1/x/{id}/{*}\n", NULL },
		{ ROUTE "backend = ws://a.example:81\n", NULL },
		{ KEYS "[route r]\npath = /r/{id}\n"
		       "backend = exec:/bin/sh -c x={id}\n",
			NULL },
		{ KEYS "[route r]\npath = /r\n"
		       "backend = exec:/bin/sh\nframing = raw\n",
			NULL },
		{ ROUTE "backend = echo:\nsubprotocols = a b\n", NULL },
	};

	(void)state;
	expect_cases(good, ARRAY_SIZE(good));
}

/* A backend on line 9 that is refused, and what is said behind its label. */
static void expect_backend(const char *backend, const char *want)
{
	char text[512], whole[512];

	snprintf(text, sizeof(text), FRONT CAPTURE "backend = %s\n", backend);
	snprintf(
		whole, sizeof(whole), "t.ini:9: [route r] backend: %s\n", want);
	expect_errors(text, whole);
}

/* The same where the framing is named behind it. */
static void expect_framed(const char *backend, const char *want)
{
	char both[256];

	snprintf(both, sizeof(both),
		"%s\nframing = raw\n"
		"backend_allow = 10.0.0.0/8",
		backend);
	expect_backend(both, want);
}

static void expect_program(const char *backend, const char *want)
{
	char text[512];
	struct buf dump = { 0 };
	struct conf *c, *again;

	snprintf(text, sizeof(text),
		FRONT KEYS "[route r]\npath = /r\nbackend = exec:%s\n",
		backend);
	c = load_good(text);
	assert_string_equal(c->routes[0].to.argv[0], want);
	assert_string_equal(c->routes[0].to.searched, "sh");
	/* Wherever it is kept, it is this file. */
	assert_int_equal(conf_dump(&dump, c), 0);
	assert_int_equal(buf_add(&dump, "", 1, SIZE_MAX), 0);
	again = load_good((const char *)dump.p);
	assert_string_equal(again->routes[0].to.argv[0], want);
	assert_null(again->routes[0].to.searched);
	assert_int_equal(again->routes[0].to.argc, c->routes[0].to.argc);
	buf_free(&dump);
	conf_unref(again);
	conf_unref(c);
}

static void test_programs_in_path(void **state)
{
	char *before = str_dup(str_of(getenv("PATH")));
	char path[512], want[256], where[200];
	(void)state;

	assert_non_null(getcwd(where, sizeof(where)));
	assert_int_equal(mkdir("no", 0700) + mkdir("no/sh", 0700), 0);
	assert_int_equal(mkdir("yes", 0700), 0);
	put_text("yes/sh", "#!/bin/true\n");
	/* A directory, a file that is not executable, relative names. */
	snprintf(path, sizeof(path), "yes::%s/no:%s/yes:/bin", where, where);
	setenv("PATH", path, 1);
	expect_program("sh -c", "/bin/sh");
	assert_int_equal(chmod("yes/sh", 0700), 0);
	snprintf(want, sizeof(want), "%s/yes/sh", where);
	expect_program("sh sh --x=y", want);
	expect_program("sh", want);
	setenv("PATH", "yes:/none", 1);
	expect_backend("exec:sh x", "there is no program \"sh\" in PATH "
				    "(yes:/none), expected one, or "
				    "exec:/PROGRAM");
	setenv("PATH", before, 1);
	free(before);
}

static void test_bad_backends(void **state)
{
	(void)state;
	expect_backend("echo:x", "\"x\" behind echo:, expected echo:");
	expect_backend("exec:", "no program, expected exec:/PROGRAM "
				"ARGUMENTS");
	expect_backend("exec:./sh", "\"./sh\" is no absolute path, expected "
				    "exec:/PROGRAM, or a name that is in PATH");
	expect_backend("exec:/bin/{id}", "a capture in the program's name, "
					 "expected one only in its arguments");
	expect_backend("exec:/none/x", "/none/x: No such file or directory, "
				       "expected a program");
	expect_backend("exec:/etc/passwd", "/etc/passwd cannot be executed, "
					   "expected a program");
	expect_backend("exec:/tmp", "/tmp cannot be executed, expected a "
				    "program");
	expect_backend("exec:/bin/sh {*}",
		"\"{*}\": {*} is not allowed here, expected captures of the "
		"path "
		"/r/{id}/{*} (and {*} only in the path of a ws or wss "
		"backend)");
	expect_backend("exec:/bin/sh {no}",
		"\"{no}\": a capture that the path does not have, expected "
		"captures of the path /r/{id}/{*} (and {*} only in the path of "
		"a ws or wss backend)");
	/* Split before anything is filled in. */
	expect_backend("exec:/bin/sh { id }",
		"\"{\": braces that do not pair, expected captures of the path "
		"/r/{id}/{*} (and {*} only in the path of a ws or wss "
		"backend)");
	expect_backend("ws://a.example/x?y", "a ? or # in the path, expected "
					     "none: the client's query is "
					     "passed on");
	expect_backend("ws://a.example/x//y", "\"/x//y\" is no path, expected "
					      "one of RFC 3986 without empty "
					      "segments");
	expect_backend("ws://a.example/x/../y", "\"/x/../y\" is no path, "
						"expected one of RFC 3986 "
						"without empty segments");
	expect_backend("ws://a.example/{no}",
		"\"/{no}\": a capture that the path does not have, expected "
		"captures of the path /r/{id}/{*}");
	expect_backend("ws://", "\"\" is no host, expected a name, an address, "
				"or [IPv6]");
	expect_backend("ws://u@a.example", "\"u@a.example\" is no host, "
					   "expected a name, an address, or "
					   "[IPv6]");
	expect_backend("ws://[::1", "\"[::1\" is not understood, expected "
				    "HOST:PORT or [IPv6]:PORT");
	expect_backend("ws://[::1]x", "\"[::1]x\" is not understood, expected "
				      "HOST:PORT or [IPv6]:PORT");
	expect_backend("ws://[a.example]", "\"a.example\" is no host, expected "
					   "a name, an address, or [IPv6]");
	expect_framed("tcp://127.0.0.1", "\"\" is no port, expected 1 to "
					 "65535");
	expect_framed("tcp://a:0", "\"0\" is no port, expected 1 to 65535");
	expect_framed("tcp://a:65536", "\"65536\" is no port, expected 1 to "
				       "65535");
	expect_framed("tcp://a:7x", "\"7x\" is no port, expected 1 to 65535");
	expect_framed("tcp://a:70000{id}", "\"70000{id}\" is no port, expected "
					   "1 to 65535");
	expect_framed("tcp://a:1/x", "\"/x\" behind the port, expected "
				     "tcp://HOST:PORT");
	expect_framed("tcp://{*}:1",
		"\"{*}\": {*} is not allowed here, expected captures of the "
		"path "
		"/r/{id}/{*} (and {*} only in the path of a ws or wss "
		"backend)");
}

static void test_framing(void **state)
{
	static const struct check_case cases[] = {
		{ ROUTE "backend = tcp://127.0.0.1:1\n",
			"t.ini:6: [route r] framing: is missing, expected raw, "
			"line or len32 for tcp backends\n" },
		{ ROUTE "backend = unix:/x\n",
			"t.ini:6: [route r] framing: is missing, expected raw, "
			"line or len32 for unix backends\n" },
		{ ROUTE "backend = ws://a\nframing = raw\n",
			"t.ini:10: [route r] framing: ws backends have "
			"messages of their own, expected no framing\n" },
		{ ROUTE "backend = echo:\nframing = line\n",
			"t.ini:10: [route r] framing: echo backends have "
			"messages of their own, expected no framing\n" },
		/* One thing at a time: a bad word is no missing one. */
		{ ROUTE "backend = unix:/x\nframing = lines\n",
			"t.ini:10: [route r] framing: \"lines\" is not known "
			"here, expected raw, line or len32\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_meaning(void **state)
{
	static const struct check_case cases[] = {
		{ CAPTURE "backend = ws://{id}.example\n",
			"t.ini:6: [route r] backend_allow: is missing, "
			"expected networks, because a capture is in the "
			"backend's host or port\n" },
		{ CAPTURE "backend = ws://127.0.0.1:80{id}\n",
			"t.ini:6: [route r] backend_allow: is missing, "
			"expected networks, because a capture is in the "
			"backend's host or port\n" },
		{ ROUTE "backend = ws://a\nsubprotocols = a\n",
			"t.ini:10: [route r] subprotocols: means nothing to "
			"ws backends, expected it only for backends that are "
			"not ws or wss, which choose themselves\n" },
		{ ROUTE "backend = echo:\nsend_proxy = v1\nexec_dir = dir\n"
			"exec_env = A=b\nbackend_allow = ::1\n"
			"backend_host = client\n",
			"t.ini:13: [route r] backend_allow: means nothing to "
			"echo backends, expected it only for tcp, tls, ws and "
			"wss backends\n"
			"t.ini:12: [route r] exec_env: means nothing to echo "
			"backends, expected it only for exec backends\n"
			"t.ini:11: [route r] exec_dir: means nothing to echo "
			"backends, expected it only for exec backends\n"
			"t.ini:10: [route r] send_proxy: means nothing to "
			"echo backends, expected it only for tcp, tls and unix "
			"backends\n"
			"t.ini:14: [route r] backend_host: means nothing to "
			"echo backends, expected it only for ws and wss "
			"backends\n" },
		{ ROUTE "backend = exec:/bin/sh\nexec_env = A=1\n"
			"exec_env = AB=1\nexec_env = A=2\n",
			"t.ini:12: [route r] exec_env: A is set twice, "
			"expected it once\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_hub_keys(void **state)
{
	static const struct check_case cases[] = {
		{ ROUTE "backend = echo:\nmax_rate = 1\n",
			"t.ini:10: [route r] max_rate: means nothing to mode = "
			"pair, expected it only for mode = hub\n" },
		{ ROUTE "backend = echo:\ntrunk = always\n",
			"t.ini:10: [route r] trunk: means nothing to mode = "
			"pair, expected it only for mode = hub\n" },
		{ CAPTURE "backend = room:\nmode = hub\ntrunk = always\n"
			  "queue_limit = 16M\n",
			"t.ini:11: [route r] trunk: is always, expected "
			"on-demand: it is not known which captures to open at "
			"the "
			"start\n" },
		{ ROUTE "backend = ws://h\non_backend_loss = hold\n",
			"t.ini:10: [route r] on_backend_loss: means nothing to "
			"mode = pair, expected it only for mode = hub\n" },
		{ ROUTE "backend = room:\nmode = hub\nqueue_limit = 16M\n"
			"on_backend_loss = hold\n",
			"t.ini:12: [route r] on_backend_loss: is hold, "
			"expected "
			"close: what is built in is never lost\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

static void test_auth(void **state)
{
	static const struct check_case cases[] = {
		{ "[route r]\npath = /r\nbackend = echo:\n",
			"t.ini:6: [route r] auth: token needs a key, expected "
			"a section [key NAME] (or auth = none)\n" },
		{ ROUTE "backend = echo:\nsingle_use = yes\n",
			"t.ini:10: [route r] single_use: yes means nothing "
			"without tokens, expected auth = token\n" },
		{ ROUTE "backend = echo:\nmax_connections_per_subject = 2\n",
			"t.ini:10: [route r] max_connections_per_subject: "
			"means nothing without tokens, which name subjects, "
			"expected auth = token\n" },
		{ ROUTE "backend = echo:\norigins = https://a\norigins = any\n",
			"t.ini:11: [route r] origins: any beside others, "
			"expected any alone, or a list of origins\n" },
		{ ROUTE "backend = echo:\ntoken_cookie = t\n"
			"origins = https://a\n",
			"t.ini:10: [route r] token_cookie: means nothing "
			"without tokens, expected auth = token\n" },
		{ KEYS "[route r]\npath = /r\nbackend = echo:\n"
		       "token_cookie = t\n",
			"t.ini:11: [route r] token_cookie: needs a list of "
			"origins, expected one instead of same\n" },
		{ KEYS "[route r]\npath = /r\nbackend = echo:\n"
		       "token_cookie = t\norigins = same https://a\n",
			"t.ini:11: [route r] token_cookie: needs a list of "
			"origins, expected one instead of same\n" },
		{ KEYS "[route r]\npath = /r\nbackend = echo:\n"
		       "token_cookie = t\norigins = any\n",
			"t.ini:11: [route r] token_cookie: needs a list of "
			"origins, expected one instead of any\n" },
		{ KEYS "[route r]\npath = /r\nbackend = echo:\n"
		       "token_cookie = t\norigins = https://a null\n",
			"t.ini:11: [route r] token_cookie: is used with the "
			"origin null, which every page can take on, expected "
			"a list without it\n" },
		{ KEYS "[route r]\npath = /r\nbackend = echo:\n"
		       "token_cookie = t\norigins = https://*.a.example\n",
			NULL },
		{ KEYS "[route r]\npath = /r\nbackend = echo:\nkeys = k\n"
		       "keys = j\n",
			"t.ini:12: [route r] keys: there is no [key j], "
			"expected names of keys\n" },
		{ "[page p]\nroot = dir\nauth = token\n",
			"t.ini:8: [page p] auth: token needs a key, expected a "
			"section [key NAME]\n" },
		{ KEYS "[page p]\nroot = dir\nauth = token\n", NULL },
		{ KEYS "[key j]\nsecret_file = secret\n[page p]\nroot = dir\n"
		       "auth = token\ntoken_key = j\nkeys = j\n",
			NULL },
		{ KEYS "[key j]\nsecret_file = secret\n[page p]\nroot = dir\n"
		       "auth = token\n",
			"t.ini:10: [page p] keys: is missing, expected names "
			"of "
			"keys, because there are 2 whose invitations it could "
			"take, and no token_key\n" },
		{ KEYS "[key j]\nsecret_file = secret\nrequire_path = no\n"
		       "issuer = i\naudience = a\n"
		       "[page p]\nroot = dir\nauth = token\nkeys = k j\n",
			"t.ini:16: [page p] keys: [key j] has require_path = "
			"no, expected keys whose tokens have a path\n" },
		{ KEYS "[key j]\nsecret_file = secret\nrequire_path = no\n"
		       "issuer = i\naudience = a\n"
		       "[page p]\nroot = dir\nauth = token\ntoken_key = j\n",
			"t.ini:13: [page p] keys: is missing, expected names "
			"of "
			"keys, because [key j], the token_key, has "
			"require_path = no\n" },
		{ "[page p]\nroot = dir\ntemplate = yes\n",
			"t.ini:6: [page p] token_key: is missing, expected the "
			"name of a key with a secret, because template is yes "
			"and there are 0 keys\n" },
		{ KEYS "[page p]\nroot = dir\ntemplate = yes\n", NULL },
		{ KEYS "[key j]\nsecret_file = secret\n[page p]\nroot = dir\n"
		       "template = yes\n",
			"t.ini:10: [page p] token_key: is missing, expected "
			"the name of a key with a secret, because template is "
			"yes and there are 2 keys\n" },
		{ KEYS "[page p]\nroot = dir\ntemplate = yes\ntoken_ttl = 2h\n",
			"t.ini:11: [page p] token_ttl: is longer than max_ttl "
			"of [key k], which would refuse the tokens, expected "
			"at most 3600000 ms\n" },
		{ KEYS "[page p]\nroot = dir\ntoken_ttl = 2h\n", NULL },
		{ "[page p]\nroot = dir\npath = /p/{*}\n",
			"t.ini:8: [page p] path: \"/p/{*}\" ends in {*}, "
			"expected a prefix: a page has all that is below\n" },
	};
	char want[256];

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
	snprintf(want, sizeof(want),
		"t.ini:7: [page p] root: %s/secret is no directory, expected "
		"one\n",
		scratch);
	expect_errors(FRONT "[page p]\nroot = secret\n", want);
}

#define R(name, lines) "[route " name "]\nauth = none\nbackend = echo:\n" lines
#define P(name, lines) "[page " name "]\nroot = dir\n" lines
#define NEVER(place, label, by)                                                \
	"t.ini:" place ": [" label "] path: can never match, expected a path " \
	"that [" by "] at t.ini:9 does not cover\n"

static void test_covered(void **state)
{
	static const struct check_case cases[] = {
		{ R("x", "path = /a/{id}\n") R("y", "path = /a/b\n"),
			NEVER("13", "route y", "route x") },
		{ R("x", "path = /a/b\n") R("y", "path = /a/{id}\n"), NULL },
		{ R("x", "path = /{*}\n") R("y", "path = /a/b\n"),
			NEVER("13", "route y", "route x") },
		{ R("x", "path = /{*}\nhost = a.example\n")
				R("y", "path = /a\n"),
			NULL },
		{ R("x", "path = /{*}\nhost = a.example\n")
				R("y", "host = A.EXAMPLE\npath = /a\n"),
			NEVER("15", "route y", "route x") },
		{ R("x", "path = /{*}\nlisten = a\n") R("y", "path = /a\n"),
			NULL },
		{ R("x", "path = /{*}\nlisten = a\n")
				R("y", "path = /a\nlisten = b\n"),
			NULL },
		{ R("x", "path = /{*}\nlisten = a b\n") R("y", "path = /a\n"),
			NEVER("14", "route y", "route x") },
		{ R("x", "path = /{*}\nlisten = a, b\n")
				R("y", "path = /a\nlisten = b\n"),
			NEVER("14", "route y", "route x") },
		{ R("x", "path = /{*}\n") P("p", "path = /a\n"),
			NEVER("12", "page p", "route x") },
		{ R("x", "path = /a/{*}\n") P("p", "path = /a/b\n"),
			NEVER("12", "page p", "route x") },
		{ P("p", "\npath = /a\n") P("q", "path = /a/\n"),
			NEVER("12", "page q", "page p") },
		{ P("p", "\npath = /a/{x}\n") P("q", "path = /a/{y}\n"),
			NEVER("12", "page q", "page p") },
		{ P("p", "listen = a\npath = /\n")
				P("q", "path = /\nlisten = b\n"),
			NULL },
		{ P("p", "path = /a\n") P("q", "path = /a/b\n"), NULL },
		/* A name that there is not says so, and nothing else. */
		{ R("x", "path = /{*}\nlisten = c\n") R("y", "path = /a\n"),
			"t.ini:10: [route x] listen: there is no [listen c], "
			"expected names of listeners\n" },
	};

	(void)state;
	expect_cases(cases, ARRAY_SIZE(cases));
}

#define HIDES(place, file, by)                                                 \
	"t.ini:" place ": warning: [route x] path: hides %s/dir" file          \
	" of [page p] at t.ini:" by ", because routes are looked at before "   \
	"pages (give it another path, such as /ws"

/* A route that takes the paths of some of a page's files, but not of all. */
static void test_hidden(void **state)
{
	static const struct check_case cases[] = {
		{ R("x", "path = /a/{id}\n") P("p", "path = /a\n"),
			HIDES("9", "/...", "12") "/a/{id})\n" },
		{ R("x", "path = /{a}/{b}\n") P("p", ""),
			HIDES("9", "/...", "10") "/{a}/{b})\n" },
		{ R("x", "path = /a\n") P("p", "path = /a/\n"),
			HIDES("9", "", "12") "/a)\n" },
		{ R("x", "path = /a\nhost = h\n") P("p", "path = /a/\n"),
			HIDES("9", "", "13") "/a)\n" },
		/* The page's own path is left. */
		{ R("x", "path = /{*}\n") P("p", ""),
			HIDES("9", "/...", "10") "/{*})\n" },
		{ R("x", "path = /a/{*}\nhost = h\n") P("p", "path = /a/b\n"),
			HIDES("9", "/...", "13") "/a/{*})\n" },
		/* Behind names of its own: where there are such files. */
		{ R("x", "path = /sub/{id}\n") P("p", ""),
			HIDES("9", "/sub/...", "10") "/sub/{id})\n" },
		{ R("x", "path = /sub/file\n") P("p", ""),
			HIDES("9", "/sub/file", "10") "/sub/file)\n" },
		{ R("x", "path = /sub/none\n") P("p", ""), "" },
		{ R("x", "path = /none/{id}\n") P("p", ""), "" },
		{ R("x", "path = /b/{id}\n") P("p", "path = /a\n"), "" },
		{ R("x", "path = /a/{id}\nlisten = a\n")
				P("p", "path = /a\nlisten = b\n"),
			"" },
	};

	(void)state;
	assert_int_equal(mkdir("dir/sub", 0700), 0);
	put_text("dir/sub/file", "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf text = { 0 }, errors = { 0 };
		char want[512], *whole, *said;
		struct conf *c;

		assert_int_equal(
			buf_add_printf(&text, FRONT "%s", cases[i].text), 0);
		whole = take_text(&text);
		c = conf_load_text("t.ini", str_of(whole), &errors);
		assert_non_null(c);
		said = take_text(&errors);
		snprintf(want, sizeof(want), cases[i].want, scratch);
		assert_string_equal(said, want);
		free(said);
		free(whole);
		conf_unref(c);
	}
}

/* All that is wrong, in one run, each with its own line. */
static void test_all_in_one_run(void **state)
{
	(void)state;
	expect_errors("[server]\n"
		      "workers = 0\n"
		      "log_level = loud\n"
		      " indented = 1\n"
		      "[listen a]\n"
		      "address = nowhere\n"
		      "max_headr = 4K\n"
		      "[route r]\n"
		      "path = r\n"
		      "backend = tcp://127.0.0.1:1\n"
		      "ping_interval = 30\n"
		      "auth = none\n",
		"t.ini:2: [server] workers: \"0\" is out of range, expected 1 "
		"to 256\n"
		"t.ini:3: [server] log_level: \"loud\" is not known here, "
		"expected error, warn, info or debug\n"
		"t.ini:4: white space in front, expected \"key = value\" at "
		"the beginning of the line (values do not go on in a second "
		"line; a list's key may be repeated)\n"
		"t.ini:6: [listen a] address: \"nowhere\" is not understood, "
		"expected 192.0.2.7:PORT, [2001:db8::7]:PORT, localhost:PORT, "
		"*:PORT, unix:/PATH or fd:NAME\n"
		"t.ini:7: [listen a] max_headr: is not known, expected "
		"max_header\n"
		"t.ini:11: [route r] ping_interval: \"30\" has no unit, "
		"expected ms, s, m or h behind it\n"
		"t.ini:9: [route r] path: \"r\": a path begins with '/', "
		"expected a path such as /sim/{id}\n"
		"t.ini:8: [route r] framing: is missing, expected raw, line or "
		"len32 for tcp backends\n");
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void test_cap(void **state)
{
	static const struct {
		size_t wrong, lines;
		const char *last;
	} cases[] = {
		{ 100, 100,
			"t.ini:102: [server] k: is not known, expected a "
			"key of [server]\n" },
		{ 101, 100, "and 2 more errors\n" },
		{ 5000, 100, "and 4901 more errors\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf text = { 0 }, errors = { 0 };
		char *said;

		assert_int_equal(
			buf_add_str(&text, STR("[listen l]\n[server]\n")), 0);
		for (size_t k = 0; k < cases[i].wrong; k++)
			assert_int_equal(buf_add_str(&text, STR("k = 1\n")), 0);
		assert_null(conf_load_text("t.ini", buf_str(&text), &errors));
		said = take_text(&errors);
		assert_int_equal(count_lines(said), cases[i].lines);
		assert_string_equal(said + strlen(said) - strlen(cases[i].last),
			cases[i].last);
		free(said);
		buf_free(&text);
	}
}

static void test_bounds(void **state)
{
	struct buf text = { 0 }, errors = { 0 };
	char *said;

	(void)state;
	assert_int_equal(buf_add_str(&text, STR("[listen l]\n")), 0);
	for (int i = 0; i < 1001; i++)
		assert_int_equal(buf_add_printf(&text, "hosts = h%d\n", i), 0);
	for (int i = 0; i < 1001; i++)
		assert_int_equal(
			buf_add_printf(&text,
				"[route r%d]\n"
				"path = /%d\nauth = none\nbackend = echo:\n",
				i, i),
			0);
	assert_null(conf_load_text("t.ini", buf_str(&text), &errors));
	said = take_text(&errors);
	assert_string_equal(said,
		"t.ini:1002: [listen l] hosts: too many values, expected at "
		"most 1000\n"
		"t.ini:5003: too many [route] sections, expected at most "
		"1000\n");
	free(said);
	buf_free(&text);
}

/* Warnings leave the configuration good. */
static void expect_warning(const char *text, const char *want)
{
	struct buf errors = { 0 };
	struct conf *c = conf_load_text("t.ini", str_of(text), &errors);
	char *said = take_text(&errors);

	assert_non_null(c);
	assert_string_equal(said, want);
	free(said);
	conf_unref(c);
}

static void test_warnings(void **state)
{
	(void)state;
	expect_warning(FRONT KEYS ROUTE "keys = k\nbackend = echo:\n",
		"t.ini:11: warning: [route r] keys: no token is looked at, "
		"because auth is none\n");
	expect_warning(FRONT ROUTE "backend = tcp://127.0.0.1:1\n"
				   "framing = raw\nmax_message = 4K\n",
		"t.ini:11: warning: [route r] max_message: means nothing to "
		"framing = raw, which knows no messages: a longer one passes "
		"in pieces\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_programs_in_path),
		cmocka_unit_test(test_bad_backends),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_meaning),
		cmocka_unit_test(test_hub_keys),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_covered),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_all_in_one_run),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
