/*
 * test_conf.c: every key of the table with a good and a bad value, the dump,
 * the reference file, and the questions that a configuration answers.
 *
 * UPDATE=1 writes conf/wsrelayd.ini anew instead of comparing it.
 */
#include "conf_support.h"

#include <errno.h>

#include "base/compiler.h"
#include "base/log.h"
#include "conf/keys.h"

/* --- every key ------------------------------------------------------------- */

/* The least that each section needs; a case's own lines take their place. */
#define LONG_PATH                                                              \
	"/0123456789012345678901234567890123456789012345678901234567890123456" \
	"789012345678901234567890123456789012345678"

static const struct {
	enum keys_section section;
	const char *key, *value;
} least[] = {
	{ SECTION_CERTIFICATE, "chain_file", "chain" },
	{ SECTION_CERTIFICATE, "key_file", "key" },
	{ SECTION_KEY, "secret_file", "secret" },
	{ SECTION_PAGE, "root", "dir" },
	{ SECTION_ROUTE, "path", "/r" },
	{ SECTION_ROUTE, "backend", "tcp://127.0.0.1:7000" },
	{ SECTION_ROUTE, "framing", "raw" },
	{ SECTION_ATTACH, "path", "/at" },
};

static const char *const headers[SECTION_COUNT] = {
	[SECTION_SERVER] = "[server]",
	[SECTION_LISTEN] = "[listen l]",
	[SECTION_CERTIFICATE] = "[certificate c]",
	[SECTION_KEY] = "[key k]",
	[SECTION_PAGE] = "[page p]",
	[SECTION_ROUTE] = "[route r]",
	[SECTION_ATTACH] = "[attach a]",
};

/* What a section cannot do without, in front of it. */
static const char *const companions[SECTION_COUNT] = {
	[SECTION_ATTACH] = "[route ar]\npath = /ar\nbackend = attach:a\n"
			   "mode = hub\nqueue_limit = 16M\n",
};

#define NO_WORDS   "\"x\" is not known here, expected "
#define NOT_FORMED "\"x y\" is not well-formed, expected "
#define NO_NETWORK                                                             \
	"\"10.0.0.1/8\" is not a network, expected an address such as "        \
	"192.0.2.7 or a network such as 10.0.0.0/8, 2001:db8::/32 (no bits "   \
	"behind the prefix)"
#define NO_UNIT(v)         "\"" v "\" has no unit, expected ms, s, m or h behind it"
#define NO_RANGE(v, range) "\"" v "\" is out of range, expected " range

/*
 * good is shown by the dump as it is here; bad is refused with why. with:
 * lines that the key needs beside it.
 */
static const struct key_case {
	enum keys_section section;
	const char *key, *good, *bad, *why, *with;
} cases[] = {
	{ SECTION_SERVER, "user", "root", "no such user",
		"there is no user \"no such user\", expected a name known to "
		"this system",
		NULL },
	{ SECTION_SERVER, "workers", "4", "0", NO_RANGE("0", "1 to 256"),
		NULL },
	{ SECTION_SERVER, "max_connections", "5", "1000001",
		NO_RANGE("1000001", "1 to 1000000"), NULL },
	{ SECTION_SERVER, "max_memory", "3M", "1KB",
		"\"1KB\" is not understood, expected a size such as 4096, "
		"16K, 1M, 1G",
		NULL },
	{ SECTION_SERVER, "drain_delay", "5s", "10", NO_UNIT("10"), NULL },
	{ SECTION_SERVER, "drain_timeout", "90s", "10", NO_UNIT("10"), NULL },
	{ SECTION_SERVER, "log_target", "journal", "x",
		NO_WORDS "stderr or journal", NULL },
	{ SECTION_SERVER, "log_level", "debug", "x",
		NO_WORDS "error, warn, info or debug", NULL },
	{ SECTION_SERVER, "log_format", "json", "x", NO_WORDS "text or json",
		NULL },
	{ SECTION_SERVER, "log_events", "-open -orderly-close", "-opne",
		"\"-opne\" is not well-formed, expected " LOG_KIND_GROUPS
		", or an event that may be left out, such as open; or one of "
		"them with - in front",
		NULL },
	{ SECTION_SERVER, "control", "/run/x/control.sock", LONG_PATH,
		"is too long for the path of a socket, expected at most 107 "
		"bytes",
		NULL },
	{ SECTION_SERVER, "control", "none", NULL, NULL, NULL },
	{ SECTION_SERVER, "state_directory", "/var/lib/x", NULL, NULL, NULL },
	{ SECTION_SERVER, "control_readonly", "/run/x/read.sock", "/run/x",
		"is the path of control, too, expected another one",
		"control = /run/x\n" },
	{ SECTION_SERVER, "include", NULL, "none.ini",
		"none.ini: no such file, expected one (or a pattern such as "
		"conf.d/*.ini, which may match none)",
		NULL },

	{ SECTION_LISTEN, "address", "[::1]:81", "localhos:80",
		"\"localhos:80\" is not understood, expected 192.0.2.7:PORT, "
		"[2001:db8::7]:PORT, localhost:PORT, *:PORT, unix:/PATH or "
		"fd:NAME",
		NULL },
	{ SECTION_LISTEN, "role", "admin", "x", NO_WORDS "public or admin",
		NULL },
	{ SECTION_LISTEN, "socket_mode", "0600", "8",
		"\"8\" is not understood, expected three octal digits such as "
		"0660",
		"address = unix:/x\n" },
	{ SECTION_LISTEN, "hosts", "a.example [::1] *", "a.example:80",
		"\"a.example:80\" is not well-formed, expected a host name or "
		"address without a port, or *",
		NULL },
	{ SECTION_LISTEN, "handshake_timeout", "1500ms", "0",
		NO_RANGE("0", "100ms to 10m"), NULL },
	{ SECTION_LISTEN, "keepalive_timeout", "2m", "2h",
		NO_RANGE("2h", "100ms to 1h"), NULL },
	{ SECTION_LISTEN, "max_header", "8K", "1023",
		NO_RANGE("1023", "1K to 256K"), NULL },
	{ SECTION_LISTEN, "max_pending", "7", "-1",
		"\"-1\" is not understood, expected a whole number", NULL },
	{ SECTION_LISTEN, "max_connections_per_ip", "9", "9s",
		"\"9s\" is not understood, expected a whole number", NULL },
	{ SECTION_LISTEN, "handshake_rate", "20/m", "20",
		"\"20\" names no time, expected /s, /m or /h behind it", NULL },
	{ SECTION_LISTEN, "auth_failures", "100/h", "20/d",
		"\"20/d\" names no time, expected /s, /m or /h behind it",
		NULL },
	{ SECTION_LISTEN, "trusted_proxies", "unix 10.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },
	{ SECTION_LISTEN, "proxy_protocol", "yes", "v2",
		"\"v2\" is not understood, expected yes or no",
		"trusted_proxies = 10.0.0.1\n" },
	{ SECTION_LISTEN, "allow", "192.0.2.7 2001:db8::/32 unix", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },
	{ SECTION_LISTEN, "deny", "10.0.0.0/8 unix", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },

	{ SECTION_LISTEN, "certificates", "c", "d",
		"there is no [certificate d], expected names of certificates",
		NULL },
	{ SECTION_LISTEN, "tls_min", "1.2", "x", NO_WORDS "1.2 or 1.3",
		"certificates = c\n" },
	{ SECTION_LISTEN, "tls_client", "required", "x",
		NO_WORDS "none, optional or required",
		"certificates = c\ntls_client_ca = ca\n" },
	{ SECTION_LISTEN, "tls_client_ca", NULL, "none", NULL,
		"certificates = c\ntls_client = optional\n" },
	{ SECTION_LISTEN, "tls_client_crl", NULL, "none", NULL,
		"certificates = c\ntls_client = optional\n"
		"tls_client_ca = ca\n" },

	{ SECTION_CERTIFICATE, "chain_file", NULL, "none", NULL, NULL },
	{ SECTION_CERTIFICATE, "key_file", NULL, "none", NULL, NULL },

	{ SECTION_KEY, "algorithm", "HS256", "x",
		NO_WORDS "HS256, RS256 or ES256", NULL },
	{ SECTION_KEY, "secret_file", NULL, "none", NULL, NULL },
	{ SECTION_KEY, "public_key_file", NULL, "none", NULL,
		"algorithm = ES256\nsecret_file =\n" },
	{ SECTION_KEY, "jwks_file", NULL, "none", NULL,
		"algorithm = RS256\nsecret_file =\n" },
	{ SECTION_KEY, "issuer", "lab", NULL, NULL, NULL },
	{ SECTION_KEY, "audience", "relay", NULL, NULL, NULL },
	{ SECTION_KEY, "max_ttl", "2h", "500ms",
		NO_RANGE("500ms", "1s to 8760h"), NULL },
	{ SECTION_KEY, "leeway", "0", "11m", NO_RANGE("11m", "0 to 10m"),
		NULL },
	{ SECTION_KEY, "require_path", "yes", "maybe",
		"\"maybe\" is not understood, expected yes or no", NULL },

	{ SECTION_PAGE, "path", "/v/{id}", "v",
		"\"v\": a path begins with '/', expected a path such as "
		"/viewer",
		NULL },
	{ SECTION_PAGE, "root", NULL, "none", NULL, NULL },
	{ SECTION_PAGE, "listen", "l", "m",
		"there is no [listen m], expected names of listeners", NULL },
	{ SECTION_PAGE, "auth", "token", "x", NO_WORDS "token or none", NULL },
	{ SECTION_PAGE, "template", "yes", "true",
		"\"true\" is not understood, expected yes or no", NULL },
	{ SECTION_PAGE, "keys", "k", "j",
		"there is no [key j], expected names of keys",
		"auth = token\n" },
	{ SECTION_PAGE, "token_key", "k", "j",
		"there is no [key j], expected the name of a key", NULL },
	{ SECTION_PAGE, "token_ttl", "5m", "5", NO_UNIT("5"), NULL },
	{ SECTION_PAGE, "token_perm", "rw", "x", NO_WORDS "r, w or rw", NULL },
	{ SECTION_PAGE, "token_subject", "alice", NULL, NULL, NULL },
	{ SECTION_PAGE, "public_url", "wss://relay.example.org:444",
		"wss://relay.example.org/",
		"\"wss://relay.example.org/\" is not well-formed, expected "
		"wss://HOST[:PORT] (or ws, https, http) without a path",
		NULL },
	{ SECTION_PAGE, "frame_ancestors", "https://a.example", "self;x",
		"\"self;x\" is not well-formed, expected self, none or "
		"origins, without ; and ,",
		NULL },
	{ SECTION_PAGE, "header", "X-A: b, c", "Date: x",
		"\"Date: x\" is not well-formed, expected a field that the "
		"relay does not send itself",
		NULL },
	{ SECTION_PAGE, "allow", "10.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },
	{ SECTION_PAGE, "deny", "10.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },

	{ SECTION_ROUTE, "path", "/s/{id}", "/s/{id}x", NULL, NULL },
	{ SECTION_ROUTE, "host", "a.example", "x y",
		NOT_FORMED "a host name or address without a port", NULL },
	{ SECTION_ROUTE, "listen", "l", "m",
		"there is no [listen m], expected names of listeners", NULL },
	{ SECTION_ROUTE, "backend", "unix:/run/s", "http://x",
		"\"http://x\" is not understood, expected tcp://HOST:PORT, "
		"tls://HOST:PORT, unix:/PATH, ws://HOST[:PORT][/PATH], "
		"wss://HOST[:PORT][/PATH], exec:/PROGRAM ARGUMENTS, "
		"attach:NAME or echo:",
		NULL },
	{ SECTION_ROUTE, "framing", "len32", "x", NO_WORDS "raw, line or len32",
		NULL },
	{ SECTION_ROUTE, "backend_host", "a.example:81", "x y",
		NOT_FORMED "backend, client, or a host, perhaps with its port",
		"backend = ws://127.0.0.1\nframing =\n" },
	{ SECTION_ROUTE, "backend_allow", "127.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK, NULL },
	{ SECTION_ROUTE, "backend_ca", NULL, "none", NULL,
		"backend = wss://a.example\nframing =\n" },
	{ SECTION_ROUTE, "backend_certificate", "c", "d",
		"there is no [certificate d], expected the name of a "
		"certificate",
		"backend = wss://a.example\nframing =\nbackend_ca = ca\n" },
	{ SECTION_ROUTE, "backend_token_file", NULL, "token",
		"means nothing to tcp backends, expected it only for ws and "
		"wss backends",
		NULL },
	{ SECTION_ROUTE, "backend_verify", "yes", "x",
		"\"x\" is not understood, expected yes or no",
		"backend = wss://a.example\nframing =\nbackend_ca = ca\n" },
	{ SECTION_ROUTE, "exec_env", "A=b c", "1A=b",
		"\"1A=b\" is not well-formed, expected NAME=VALUE, the name "
		"of letters, digits and _",
		"backend = exec:/bin/sh\nframing =\n" },
	{ SECTION_ROUTE, "exec_dir", NULL, "none", NULL,
		"backend = exec:/bin/sh\nframing =\n" },
	{ SECTION_ROUTE, "exec_memory", "512M", "512K",
		NO_RANGE("512K", "0, or 1M to 1024G"),
		"backend = exec:/bin/sh\nframing =\n" },
	{ SECTION_ROUTE, "exec_cpu", "150", "150%",
		"\"150%\" is not understood, expected a whole number",
		"backend = exec:/bin/sh\nframing =\n" },
	{ SECTION_ROUTE, "exec_processes", "20", "-1",
		"\"-1\" is not understood, expected a whole number",
		"backend = exec:/bin/sh\nframing =\n" },
	{ SECTION_ROUTE, "max_processes", "3", "0",
		NO_RANGE("0", "1 to 100000"), NULL },
	{ SECTION_ROUTE, "auth", "none", "x", NO_WORDS "token or none", NULL },
	{ SECTION_ROUTE, "keys", "k", "j",
		"there is no [key j], expected names of keys", NULL },
	{ SECTION_ROUTE, "token_param", "t", "a&b",
		"\"a&b\" is not well-formed, expected letters, digits, "
		"_ . ~ -",
		NULL },
	{ SECTION_ROUTE, "token_cookie", "__Host-t", "a b",
		"\"a b\" is not well-formed, expected letters, digits, "
		"_ . ~ -",
		"origins = https://a.example\n" },
	{ SECTION_ROUTE, "single_use", "yes", "1",
		"\"1\" is not understood, expected yes or no", NULL },
	{ SECTION_ROUTE, "origins", "https://*.example.org:444 null", "x", NULL,
		NULL },
	{ SECTION_ROUTE, "client_subjects", NULL, "alice",
		"\"alice\" is not well-formed, expected a certificate's "
		"subject, as in CN=alice, O=lab",
		NULL },
	{ SECTION_ROUTE, "subprotocols", "v1.sim v2.sim", "a/b",
		"\"a/b\" is not well-formed, expected a token as in "
		"Sec-WebSocket-Protocol",
		NULL },
	{ SECTION_ROUTE, "reject", "close", "x", NO_WORDS "auto, http or close",
		NULL },
	{ SECTION_ROUTE, "max_message", "125", "124",
		NO_RANGE("124", "125 to 1G"), "framing = line\n" },
	{ SECTION_ROUTE, "max_backend_message", "1G", "2G",
		NO_RANGE("2G", "125 to 1G"), NULL },
	{ SECTION_ROUTE, "queue_limit", "4K", "999999999999999999999G",
		"\"999999999999999999999G\" is not understood, expected a "
		"size such as 4096, 16K, 1M, 1G",
		NULL },
	{ SECTION_ROUTE, "max_connections", "2", "1.5",
		"\"1.5\" is not understood, expected a whole number", NULL },
	{ SECTION_ROUTE, "max_connections_per_subject", "2", "1000001",
		NO_RANGE("1000001", "0 to 1000000"), NULL },
	{ SECTION_ROUTE, "message_rate", "60", "",
		"\"\" is not understood, expected a whole number", NULL },
	{ SECTION_ROUTE, "byte_rate", "64K", "x",
		"\"x\" is not understood, expected a size such as 4096, 16K, "
		"1M, 1G",
		NULL },
	{ SECTION_ROUTE, "connect_timeout", "10ms", "9ms",
		NO_RANGE("9ms", "10ms to 10m"), NULL },
	{ SECTION_ROUTE, "idle_timeout", "100ms", "99ms",
		NO_RANGE("99ms", "0, or 100ms to 8760h"), NULL },
	{ SECTION_ROUTE, "backend_idle_timeout", "1m", "60", NO_UNIT("60"),
		NULL },
	{ SECTION_ROUTE, "max_session", "8h", "8d",
		"\"8d\" is not understood, expected a time with its unit such "
		"as 500ms, 10s, 5m, 1h",
		NULL },
	{ SECTION_ROUTE, "ping_interval", "1s", "0",
		NO_RANGE("0", "100ms to 24h"), NULL },
	{ SECTION_ROUTE, "ping_timeout", "1s", "0",
		NO_RANGE("0", "100ms to 1h"), NULL },
	{ SECTION_ROUTE, "close_timeout", "1s", "0",
		NO_RANGE("0", "10ms to 10m"), NULL },
	{ SECTION_ROUTE, "send_proxy", "v2", "x", NO_WORDS "no, v1 or v2",
		NULL },
	{ SECTION_ROUTE, "mode", "hub", "x", NO_WORDS "pair or hub",
		"framing = line\nqueue_limit = 16M\n" },
	{ SECTION_ROUTE, "trunk", "always", "x", NO_WORDS "on-demand or always",
		"mode = hub\nframing = line\nqueue_limit = 16M\n" },
	{ SECTION_ROUTE, "linger", "10m", "25h", NO_RANGE("25h", "0 to 24h"),
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "input", "driver", "x", NO_WORDS "all or driver",
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "denied_input", "close", "x", NO_WORDS "drop or close",
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "addressing", "tagged", "x", NO_WORDS "none or tagged",
		"mode = hub\nframing = line\nqueue_limit = 16M\n" },
	{ SECTION_ROUTE, "replay", "10000", "10001",
		NO_RANGE("10001", "0 to 10000"),
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "replay_bytes", "1K", "1023",
		NO_RANGE("1023", "1K to 1G"), "mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "slow", "latest", "x",
		NO_WORDS "close, drop-old or latest",
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "slow_text", "drop-old", "x",
		NO_WORDS "close, drop-old or latest",
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "slow_binary", "close", "x",
		NO_WORDS "close, drop-old or latest",
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "max_rate", "60", "1000001",
		NO_RANGE("1000001", "0 to 1000000"),
		"mode = hub\nframing = line\nqueue_limit = 16M\n" },
	{ SECTION_ROUTE, "on_key_loss", "close", "x", NO_WORDS "keep or close",
		NULL },
	{ SECTION_ROUTE, "on_backend_loss", "hold", "x",
		NO_WORDS "close or hold",
		"backend = exec:/bin/cat\nmode = hub\nframing = line\n"
		"queue_limit = 16M\n" },
	{ SECTION_ROUTE, "hold_timeout", "100ms", "99ms",
		NO_RANGE("99ms", "100ms to 24h"),
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "max_hubs", "1", "0", NO_RANGE("0", "1 to 100000"),
		"mode = hub\nframing = line\n" },
	{ SECTION_ROUTE, "tap", "no", "1",
		"\"1\" is not understood, expected yes or no", NULL },
	{ SECTION_ROUTE, "allow", "10.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },
	{ SECTION_ROUTE, "deny", "10.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },

	{ SECTION_ATTACH, "path", "/at", "/at/{id}x", NULL, NULL },
	{ SECTION_ATTACH, "host", "a.example", "x y",
		NOT_FORMED "a host name or address without a port", NULL },
	{ SECTION_ATTACH, "listen", "l", "m",
		"there is no [listen m], expected names of listeners", NULL },
	{ SECTION_ATTACH, "keys", "k", "j",
		"there is no [key j], expected names of keys", NULL },
	{ SECTION_ATTACH, "client_subjects", NULL, "alice",
		"\"alice\" is not well-formed, expected a certificate's "
		"subject, as in CN=alice, O=lab",
		NULL },
	{ SECTION_ATTACH, "max_connections", "2", "1.5", NULL, NULL },
	{ SECTION_ATTACH, "max_connections_per_subject", "2", "1000001",
		NO_RANGE("1000001", "0 to 1000000"), NULL },
	{ SECTION_ATTACH, "max_session", "8h", "99ms", NULL, NULL },
	{ SECTION_ATTACH, "on_key_loss", "close", "x", NO_WORDS "keep or close",
		NULL },
	{ SECTION_ATTACH, "attach_conflict", "replace", "x",
		NO_WORDS "same, refuse or replace", NULL },
	{ SECTION_ATTACH, "watch_at", "https://a.example/v", "a.example",
		"\"a.example\" is no address, expected https://HOST/PATH",
		NULL },
	{ SECTION_ATTACH, "allow", "10.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },
	{ SECTION_ATTACH, "deny", "10.0.0.0/8", "10.0.0.1/8",
		NO_NETWORK ", or unix", NULL },
};

static bool is_given(
	const struct key_case *c, enum keys_section s, const char *key)
{
	char line[64];

	if (c->section != s)
		return false;
	snprintf(line, sizeof(line), "%s =", key);
	return strcmp(c->key, key) == 0 || (c->with && strstr(c->with, line));
}

/* A configuration around one line; returns the line's number. */
static int make_text(
	char *text, size_t size, const struct key_case *c, const char *value)
{
	int line = 0;
	size_t n = 0;

	for (int s = 0; s < SECTION_COUNT; s++) {
		enum keys_section section = (enum keys_section)s;

		n += (size_t)snprintf(text + n, size - n, "%s%s\n",
			companions[s] ? companions[s] : "", headers[s]);
		if (c->section == section) {
			n += (size_t)snprintf(text + n, size - n, "%s = %s\n%s",
				c->key, value, c->with ? c->with : "");
			/* The line stands right behind its header. */
			for (size_t i = 0; i < n; i++)
				line += text[i] == '\n';
			for (const char *p = c->with; p && *p; p++)
				line -= *p == '\n';
		}
		for (size_t i = 0; i < ARRAY_SIZE(least); i++)
			if (least[i].section == section &&
				!is_given(c, section, least[i].key))
				n += (size_t)snprintf(text + n, size - n,
					"%s = %s\n", least[i].key,
					least[i].value);
	}
	assert_true(n < size);
	return line;
}

static const struct key_case *find_case(const struct key_row *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cases[i].section == row->section &&
			strcmp(cases[i].key, row->name) == 0)
			return &cases[i];
	return NULL;
}

static void test_every_key_has_a_case(void **state)
{
	(void)state;
	for (int s = 0; s < SECTION_COUNT; s++) {
		size_t n;
		const struct key_row *row = keys_rows((enum keys_section)s, &n);

		assert_true(n > 0);
		for (; n > 0; n--, row++)
			if (!find_case(row))
				fail_case(row->name, "is in no test");
	}
}

/* Whether the dump has this line in this section. */
static bool has_line(const char *text, const char *header, const char *line)
{
	const char *section = strstr(text, header);
	const char *end = section ? strstr(section, "\n\n") : NULL;
	const char *found = section ? strstr(section, line) : NULL;

	return found && found[-1] == '\n' && (!end || found < end);
}

static void test_good_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct key_case *k = &cases[i];
		char text[1024], line[128];
		struct conf *c;
		char *shown;

		if (!k->good)
			continue;
		make_text(text, sizeof(text), k, k->good);
		c = load_good(text);
		shown = dump(c);
		snprintf(line, sizeof(line), "%s = %s\n", k->key, k->good);
		if (!has_line(shown, headers[k->section], line))
			fail_case(line, "is not in %s", shown);
		free(shown);
		conf_unref(c);
	}
}

static void test_bad_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct key_case *k = &cases[i];
		char text[1024], want[512];
		const char *header = headers[k->section];
		int line;

		if (!k->why)
			continue;
		line = make_text(text, sizeof(text), k, k->bad);
		snprintf(want, sizeof(want), "t.ini:%d: %s %s: %s\n", line,
			header, k->key, k->why);
		expect_errors(text, want);
	}
}

/* Those whose words hold the scratch directory, or another codec's. */
static void test_bad_values_with_names(void **state)
{
	static const struct {
		const char *key, *want;
	} more[] = {
		{ "secret_file", "t.ini:7: [key k] secret_file: %s/none: No "
				 "such file or directory, expected a readable "
				 "file\n" },
		{ "public_key_file",
			"t.ini:7: [key k] public_key_file: %s/none: No such "
			"file or directory, expected a readable file\n" },
		{ "jwks_file", "t.ini:7: [key k] jwks_file: %s/none: No such "
			       "file or directory, expected a readable "
			       "file\n" },
		{ "root", "t.ini:9: [page p] root: %s/none: No such file or "
			  "directory, expected a directory\n" },
		{ "chain_file",
			"t.ini:4: [certificate c] chain_file: %s/none: No such "
			"file or directory, expected a readable file\n" },
		{ "key_file",
			"t.ini:4: [certificate c] key_file: %s/none: No such "
			"file or directory, expected a readable file\n" },
		{ "tls_client_ca",
			"t.ini:3: [listen l] tls_client_ca: %s/none: No such "
			"file or directory, expected a readable file\n" },
		{ "backend_ca",
			"t.ini:11: [route r] backend_ca: %s/none: No such "
			"file or directory, expected a readable file\n" },
		{ "exec_dir", "t.ini:11: [route r] exec_dir: %s/none: No such "
			      "file or directory, expected a directory\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
			char text[1024], want[512];

			if (strcmp(cases[k].key, more[i].key) != 0)
				continue;
			make_text(text, sizeof(text), &cases[k], cases[k].bad);
			/* the table's words hold one %s, the directory */
			snprintf(want, sizeof(want), "%.*s%s%s",
				(int)(strstr(more[i].want, "%s") -
					more[i].want),
				more[i].want, scratch,
				strstr(more[i].want, "%s") + 2);
			expect_errors(text, want);
		}
}

/* Those whose words are a codec's: only the place and the key are ours. */
static void test_bad_values_of_codecs(void **state)
{
	static const char *const keys[] = { "path", "origins" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct key_case *k = &cases[i];
		struct buf errors = { 0 };
		char text[1024], want[128];
		char *said;
		int line;

		if (k->section != SECTION_ROUTE ||
			(strcmp(k->key, keys[0]) != 0 &&
				strcmp(k->key, keys[1]) != 0))
			continue;
		line = make_text(text, sizeof(text), k, k->bad);
		assert_null(conf_load_text("t.ini", str_of(text), &errors));
		said = take_text(&errors);
		snprintf(want, sizeof(want), "t.ini:%d: [route r] %s: \"%s\"",
			line, k->key, k->bad);
		assert_memory_equal(said, want, strlen(want));
		assert_non_null(strstr(said, ", expected "));
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
		free(said);
	}
}

/* --- the snapshot ---------------------------------------------------------- */

static const char whole[] = "[server]\n"
			    "workers = 2\n"
			    "[listen a]\n"
			    "address = 127.0.0.1:8080\n"
			    "address = [2001:db8::7]:443\n"
			    "hosts = *\n"
			    "[listen b]\n"
			    "address = unix:/run/x.sock\n"
			    "address = fd:http\n"
			    "socket_mode = 0666\n"
			    "[key k]\n"
			    "secret_file = secret\n"
			    "issuer = lab\n"
			    "[key j]\n"
			    "secret_file = secret\n"
			    "[page p]\n"
			    "root = dir\n"
			    "listen = b\n"
			    "template = yes\n"
			    "token_key = j\n"
			    "header = A: b, c\n"
			    "header = D: e\n"
			    "[route ws]\n"
			    "path = /w/{id}/{*}\n"
			    "backend = ws://[::1]:81{id}/x/{*}\n"
			    "backend_allow = ::1, 127.0.0.0/8\n"
			    "backend_host = client\n"
			    "keys = j\n"
			    "origins = https://a.example\n"
			    "origins = null\n"
			    "[route exec]\n"
			    "path = /e/{id}\n"
			    "backend = exec:/bin/sh -c  x-{id}\n"
			    "exec_env = A=b\n"
			    "exec_env = B=\n"
			    "idle_timeout = 1500ms\n";

static void test_members(void **state)
{
	struct conf *c = load_good(whole);
	const struct conf_route *r = &c->routes[0];

	(void)state;
	assert_int_equal(c->server.workers, 2);
	assert_int_equal(c->server.log_level, LOG_INFO);
	assert_int_equal(c->server.max_memory, 512 << 20);
	assert_null(c->server.user);
	assert_int_equal(c->listens_n, 2);
	assert_int_equal(c->listens[0].address.n, 2);
	assert_int_equal(c->listens[0].address.v[1].addr.port, 443);
	assert_int_equal(c->listens[1].address.v[0].kind, LISTEN_UNIX);
	assert_string_equal(c->listens[1].address.v[0].path, "/run/x.sock");
	assert_int_equal(c->listens[1].address.v[1].kind, LISTEN_FD);
	assert_string_equal(c->listens[1].address.v[1].path, "http");
	assert_string_equal(c->listens[1].address.v[1].text, "fd:http");
	assert_int_equal(c->pages[0].use_keys.n, 0);
	assert_false(c->keys[0].mints || c->keys[1].mints);
	assert_string_equal(c->keys[0].jwt.name, "k");
	assert_string_equal(c->keys[0].jwt.issuer, "lab");
	assert_null(c->keys[0].jwt.audience);
	assert_int_equal(c->keys[0].jwt.algorithm, JWT_HS256);
	assert_int_equal(c->keys[0].jwt.max_ttl_ms, 3600000);
	assert_int_equal(c->keys[0].jwt.leeway_ms, 5000);
	assert_int_equal(c->keys[0].jwt.secret_n, 32);
	assert_memory_equal(c->keys[0].jwt.secret, SECRET, 32);
	assert_ptr_equal(c->pages[0].key, &c->keys[1]);
	assert_int_equal(c->pages[0].listens.n, 1);
	assert_ptr_equal(c->pages[0].listens.v[0], &c->listens[1]);
	assert_int_equal(c->pages[0].token_perm, JWT_READ);
	assert_int_equal(c->pages[0].auth, CONF_AUTH_NONE);

	assert_int_equal(r->to.kind, BACKEND_WS);
	assert_string_equal(r->to.host, "::1");
	assert_string_equal(r->to.port, "81{id}");
	assert_string_equal(r->to.path, "/x/{*}");
	assert_int_equal(r->framing, FRAMING_NONE);
	assert_int_equal(r->backend_host_kind, CONF_HOST_CLIENT);
	assert_int_equal(r->use_keys.n, 1);
	assert_ptr_equal(r->use_keys.v[0], &c->keys[1]);
	assert_int_equal(r->origins_kind, CONF_ORIGINS_LIST);
	assert_int_equal(r->origins.n, 2);
	assert_int_equal(r->listens.n, 0);
	assert_int_equal(r->auth, CONF_AUTH_TOKEN);
	assert_int_equal(r->section.line, 23);
	assert_string_equal(r->section.file, "t.ini");

	r = &c->routes[1];
	assert_int_equal(r->index, 1);
	assert_int_equal(r->to.kind, BACKEND_EXEC);
	assert_int_equal(r->to.argc, 3);
	assert_string_equal(r->to.argv[0], "/bin/sh");
	assert_string_equal(r->to.argv[2], "x-{id}");
	assert_null(r->to.argv[3]);
	assert_int_equal(r->framing, FRAMING_LINE);
	assert_int_equal(r->use_keys.n, 2);
	assert_int_equal(r->idle_timeout, 1500);
	assert_int_equal(r->send_proxy, PROXY_NO);
	conf_unref(c);
}

static void test_references(void **state)
{
	struct conf *c = load_good(whole);

	(void)state;
	assert_ptr_equal(conf_ref(c), c);
	conf_unref(c);
	assert_ptr_equal(conf_find_key(c, STR("j")), &c->keys[1]);
	assert_null(conf_find_key(c, STR("J")));
	conf_unref(c);
	conf_unref(NULL);
}

static void expect_stable(const char *text)
{
	struct conf *c = load_good(text);
	char *first = dump(c);
	struct conf *again = load_good(first);
	char *second = dump(again);

	assert_string_equal(first, second);
	assert_null(strstr(first, SECRET));
	free(first);
	free(second);
	conf_unref(c);
	conf_unref(again);
}

static void test_dump_is_stable(void **state)
{
	/* Lists that need several lines, and values as long as a line. */
	char text[8192] = "[listen l]\n[route r]\npath = /r\nauth = none\n"
			  "backend = echo:\n";
	size_t n = strlen(text);

	(void)state;
	expect_stable(whole);
	for (int i = 0; i < 40; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
			"origins = https://host-%d.example.org:%d\n", i,
			8000 + i);
	snprintf(text + n, sizeof(text) - n,
		"[key k]\nsecret_file = secret\nissuer=%0192d\n", 7);
	expect_stable(text);
}

/* --- reference ------------------------------------------------------------- */

static char *read_whole(const char *name)
{
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(name, "r");

	assert_non_null(text);
	if (!f)
		fail_case(name, "%s", strerror(errno));
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

static void test_reference(void **state)
{
	struct buf out = { 0 };
	char name[4096];
	char *made, *kept;

	(void)state;
	assert_int_equal(conf_reference(&out), 0);
	made = take_text(&out);
	snprintf(name, sizeof(name), "%s/conf/wsrelayd.ini", top);
	if (getenv("UPDATE"))
		put_text(name, made);
	kept = read_whole(name);
	if (strcmp(made, kept) != 0)
		fail_case(name, "differs from the table: make it anew with "
				"UPDATE=1 and look at the difference");
	for (const char *line = kept; line; line = strchr(line + 1, '\n'))
		assert_true(strcspn(line + 1, "\n") <= 80);
	expect_stable(kept);
	free(kept);
	free(made);
}

/* The reference with its keys switched on, but not in sections that are off. */
static char *switch_on(const char *text)
{
	struct buf out = { 0 };
	bool on = false;

	while (*text) {
		size_t n = strcspn(text, "\n") + 1;

		if (*text == '[' || strncmp(text, ";[", 2) == 0)
			on = *text == '[';
		if (on && *text == ';' && text[1] >= 'a' && text[1] <= 'z')
			text++, n--;
		assert_int_equal(buf_add_str(&out, (struct str){ text, n }), 0);
		text += n;
	}
	return take_text(&out);
}

static void test_reference_defaults(void **state)
{
	struct buf out = { 0 };
	struct conf *c, *all;
	char *text, *text_on, *first, *second;

	(void)state;
	assert_int_equal(conf_reference(&out), 0);
	text = take_text(&out);
	text_on = switch_on(text);
	assert_non_null(strstr(text_on, "\nmax_message = 1M\n"));
	c = load_good(text);
	all = load_good(text_on);
	first = dump(c);
	second = dump(all);
	assert_string_equal(first, second);
	free(text);
	free(text_on);
	free(first);
	free(second);
	conf_unref(c);
	conf_unref(all);
}

/* --- questions ------------------------------------------------------------- */

struct answer_case {
	const char *address, *hosts, *host;
	bool answers;
};

static void expect_answer(const char *more, const struct answer_case *k)
{
	char text[256];
	struct conf *c;

	snprintf(text, sizeof(text), "[listen l]\naddress = %s\nhosts = %s\n%s",
		k->address, k->hosts, more);
	c = load_warned(text);
	if (conf_listen_answers(&c->listens[0], &c->listens[0].address.v[0],
		    str_of(k->host)) != k->answers)
		fail_case(text, "host %s", k->host);
	conf_unref(c);
}

static void test_answers(void **state)
{
	static const struct answer_case of_public[] = {
		{ "127.0.0.1:80", "", "localhost", true },
		{ "127.0.0.1:80", "", "LocalHost.", true },
		{ "127.0.0.1:80", "", "127.0.0.1", true },
		{ "127.0.0.1:80", "", "[::1]", true },
		{ "127.0.0.1:80", "", "[0:0::1]", true },
		{ "127.0.0.1:80", "", "evil.example", false },
		{ "127.0.0.1:80", "", "127.0.0.2", false },
		{ "127.0.0.1:80", "", "", false },
		{ "[::1]:80", "", "localhost", true },
		{ "[::1]:80", "", "a.example", false },
		{ "unix:/x", "", "localhost", true },
		{ "unix:/x", "", "a.example", true },
		{ "0.0.0.0:80", "", "a.example", true },
		{ "192.0.2.7:80", "", "a.example", true },
		{ "fd:x", "", "a.example", true },
		{ "127.0.0.1:80", "*", "a.example", true },
		{ "127.0.0.1:80", "a.example", "A.Example", true },
		{ "127.0.0.1:80", "a.example.", "a.example", true },
		{ "127.0.0.1:80", "a.example", "localhost", false },
		{ "0.0.0.0:80", "a.example b.example", "b.example", true },
		{ "0.0.0.0:80", "a.example", "x.a.example", false },
		{ "0.0.0.0:80", "[2001:db8::1]", "[2001:DB8:0::1]", true },
		{ "0.0.0.0:80", "192.0.2.7", "192.0.2.8", false },
	}, of_admin[] = {
		{ "127.0.0.1:80", "", "localhost", true },
		{ "127.0.0.1:80", "", "127.0.0.2", true },
		{ "0.0.0.0:80", "", "192.0.2.7", true },
		{ "0.0.0.0:80", "", "[2001:db8::1]", true },
		{ "0.0.0.0:80", "", "localhost", true },
		{ "0.0.0.0:80", "", "a.example", false },
		{ "fd:x", "", "192.0.2.7.a.example", false },
		{ "unix:/x", "", "a.example", true },
		{ "0.0.0.0:80", "a.example", "a.example", true },
		{ "0.0.0.0:80", "a.example", "192.0.2.7", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(of_public); i++)
		expect_answer("", &of_public[i]);
	for (size_t i = 0; i < ARRAY_SIZE(of_admin); i++)
		expect_answer(
			"role = admin\nallow = 0.0.0.0/0\n", &of_admin[i]);
}

static void test_admits(void **state)
{
	static const struct {
		const char *allow, *deny, *address;
		bool admitted;
	} asked[] = {
		{ "", "", "192.0.2.7", true },
		{ "", "192.0.2.0/24", "192.0.2.7", false },
		{ "", "192.0.2.0/24", "192.0.3.7", true },
		{ "10.0.0.0/8", "", "10.1.1.1", true },
		{ "10.0.0.0/8", "", "11.1.1.1", false },
		{ "10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", false },
		{ "10.0.0.0/8", "10.1.0.0/16", "10.2.1.1", true },
		{ "10.0.0.0/8", "", "2001:db8::1", false },
		{ "2001:db8::/32", "", "2001:db8::1", true },
		{ "", "", "unix", true },
		{ "", "10.0.0.0/8", "unix", true },
		{ "", "unix", "unix", false },
		{ "", "unix", "10.1.1.1", true },
		{ "10.0.0.0/8", "", "unix", false },
		{ "0.0.0.0/0 ::/0", "", "unix", false },
		{ "10.0.0.0/8 unix", "", "unix", true },
		{ "unix", "", "unix", true },
		{ "unix", "", "10.1.1.1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		char text[256];
		struct addr a = { .family = ADDR_UNIX };
		struct conf *c;

		snprintf(text, sizeof(text),
			"[listen l]\nallow = %s\ndeny = %s\n", asked[i].allow,
			asked[i].deny);
		c = load_good(text);
		if (strcmp(asked[i].address, "unix") != 0)
			assert_int_equal(
				addr_parse(&a, str_of(asked[i].address)), 0);
		if (conf_admits(&c->listens[0].allow, &c->listens[0].deny,
			    &a) != asked[i].admitted)
			fail_case(text, "address %s", asked[i].address);
		conf_unref(c);
	}
}

/* The table itself: help, and names that point the right way. */
static void test_nearest(void **state)
{
	(void)state;
	assert_string_equal(
		keys_nearest(SECTION_ROUTE, STR("backendd")), "backend");
	assert_string_equal(
		keys_nearest(SECTION_ROUTE, STR("max_mesage")), "max_message");
	assert_string_equal(
		keys_nearest(SECTION_LISTEN, STR("adress")), "address");
	assert_null(keys_nearest(SECTION_LISTEN, STR("zebra")));
	assert_string_equal(keys_section_nearest(STR("routes")), "route");
	assert_null(keys_section_nearest(STR("x")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key_has_a_case),
		cmocka_unit_test(test_good_values),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_bad_values_with_names),
		cmocka_unit_test(test_bad_values_of_codecs),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_dump_is_stable),
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_reference_defaults),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_admits),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
