#include "codec/proxy.h"

#include "base/compiler.h"
#include "support.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* --- reading ---------------------------------------------------------------*/

/* Text or bytes that are a header, and whom it names. */
struct good_case {
	struct str bytes;
	const char *addr; /* "unnamed", "itself", or the client's */
	bool secure;
};

static const char *name_of(const struct proxy_head *h, char text[ADDR_TEXT])
{
	switch (h->who) {
	case PROXY_CLIENT:
		return addr_format(&h->addr, text);
	case PROXY_UNNAMED:
		return "unnamed";
	case PROXY_ITSELF:
		return "itself";
	}
	return "?";
}

static ssize_t decode(struct proxy_head *h, struct str s, const char **why)
{
	uint8_t *copy = (uint8_t *)exact_copy(s.p, s.n);
	ssize_t n = proxy_decode(h, copy, s.n, why);

	free(copy);
	return n;
}

/* Every part of it is a part; what stands behind it is not looked at. */
static void check_good(const struct good_case *c)
{
	static const char *const behind[] = { "", "\n", "\r\n",
		"GET / HTTP/1.1\r\n", "\x16\x03\x01" };
	struct proxy_head h;
	char text[ADDR_TEXT];
	const char *why;

	for (size_t n = 0; n < c->bytes.n; n++)
		if (decode(&h, (struct str){ c->bytes.p, n }, &why) !=
				PROXY_PARTIAL ||
			why)
			fail_case(c->bytes.p, "%zu bytes are not a part", n);
	for (size_t i = 0; i < ARRAY_SIZE(behind); i++) {
		size_t n = c->bytes.n + strlen(behind[i]);
		char *whole = malloc(n + 1);

		assert_non_null(whole);
		memcpy(whole, c->bytes.p, c->bytes.n);
		strcpy(whole + c->bytes.n, behind[i]);
		if (decode(&h, (struct str){ whole, n }, &why) !=
			(ssize_t)c->bytes.n)
			fail_case(c->bytes.p, "is no header: %s", why);
		free(whole);
		assert_null(why);
		assert_string_equal(name_of(&h, text), c->addr);
		assert_int_equal(h.secure, c->secure);
	}
}

#define V1(text)    STR("PROXY " text "\r\n")
#define V2(rest)    STR(SIGNATURE rest)
#define FROM_TO     "\xc0\x00\x02\x07\x7f\x00\x00\x01\xdc\x04\x1f\x90"
#define EIGHT_ZEROS "\0\0\0\0\0\0\0\0"
#define FROM_V6     "\x20\x01\x0d\xb8" EIGHT_ZEROS "\0\0\0\x07"
#define TO_V6       EIGHT_ZEROS "\0\0\0\0\0\0\0\1"
#define MAPPED      EIGHT_ZEROS "\0\0\xff\xff\xc0\x00\x02\x07"
#define TEN         "0123456789"

static void test_good_v1(void **state)
{
	static const struct good_case cases[] = {
		{ V1("TCP4 192.0.2.7 127.0.0.1 56324 8080"), "192.0.2.7:56324",
			false },
		{ V1("TCP4 255.255.255.255 255.255.255.255 65535 65535"),
			"255.255.255.255:65535", false },
		{ V1("TCP4 192.0.2.7 127.0.0.1 0 0"), "192.0.2.7", false },
		{ V1("TCP6 2001:db8::7 ::1 56324 8080"), "[2001:db8::7]:56324",
			false },
		{ V1("TCP6 2001:DB8::7 ::1 1 2"), "[2001:db8::7]:1", false },
		/* Mapped is IPv4. */
		{ V1("TCP6 ::ffff:192.0.2.7 ::ffff:127.0.0.1 1 2"),
			"192.0.2.7:1", false },
		{ V1("TCP6 ::ffff:c000:207 ::1 1 2"), "192.0.2.7:1", false },
		{ V1("TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535"),
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
			false },
		{ V1("UNKNOWN"), "unnamed", false },
		{ V1("UNKNOWN "), "unnamed", false },
		{ V1("UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535"),
			"unnamed", false },
		/* The longest there is: 107 bytes. */
		{ V1("UNKNOWN " TEN TEN TEN TEN TEN TEN TEN TEN "01234567890"),
			"unnamed", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_good(&cases[i]);
	assert_int_equal(cases[ARRAY_SIZE(cases) - 1].bytes.n, PROXY_V1_MAX);
}

static void test_good_v2(void **state)
{
	static const struct good_case cases[] = {
		{ V2("\x21\x11\x00\x0c" FROM_TO), "192.0.2.7:56324", false },
		{ V2("\x21\x12\x00\x0c" FROM_TO), "192.0.2.7:56324", false },
		{ V2("\x21\x21\x00\x24" FROM_V6 TO_V6 "\xdc\x04\x1f\x90"),
			"[2001:db8::7]:56324", false },
		{ V2("\x21\x22\x00\x24" FROM_V6 TO_V6 "\xdc\x04\x1f\x90"),
			"[2001:db8::7]:56324", false },
		{ V2("\x21\x21\x00\x24" MAPPED TO_V6 "\xdc\x04\x1f\x90"),
			"192.0.2.7:56324", false },
		/* TLVs: NOOP, ALPN, one that nobody knows, an empty one. */
		{ V2("\x21\x11\x00\x1d" FROM_TO "\x04\x00\x01\x00"
		     "\x01\x00\x02h2"
		     "\xee\x00\x02xx"
		     "\x05\x00\x00"),
			"192.0.2.7:56324", false },
		/* SSL: over TLS, with TLVs of its own; not over TLS. */
		{ V2("\x21\x11\x00\x14" FROM_TO "\x20\x00\x05\x01\0\0\0\0"),
			"192.0.2.7:56324", true },
		{ V2("\x21\x11\x00\x1e" FROM_TO "\x20\x00\x0f\x07\0\0\0\0"
		     "\x21\x00\x07TLSv1.3"),
			"192.0.2.7:56324", true },
		{ V2("\x21\x11\x00\x14" FROM_TO "\x20\x00\x05\x06\0\0\0\0"),
			"192.0.2.7:56324", false },
		/* Nobody; whatever else it says is skipped. */
		{ V2("\x20\x00\x00\x00"), "itself", false },
		{ V2("\x20\x11\x00\x0c" FROM_TO), "itself", false },
		{ V2("\x20\xff\x00\x05\x20\xff\xff\xff\xff"), "itself", false },
		/* Somebody. */
		{ V2("\x21\x00\x00\x00"), "unnamed", false },
		{ V2("\x21\x00\x00\x05\x20\xff\xff\xff\xff"), "unnamed",
			false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_good(&cases[i]);
}

/* Of a proxy's Unix socket: there is no address; what follows counts. */
static void test_unix(void **state)
{
	char bytes[16 + 216 + 8] = SIGNATURE "\x21\x31\x00\xe0";
	struct good_case c = { { bytes, sizeof(bytes) }, "unnamed", true };

	(void)state;
	memset(bytes + 16, 'x', 216);
	memcpy(bytes + 16 + 216, "\x20\x00\x05\x01\0\0\0\0", 8);
	check_good(&c);
	bytes[13] = 0x32;
	check_good(&c);
}

/* As HAProxy 2.6 sends it: send-proxy-v2 with crc32c and unique-id. */
static void test_checksum(void **state)
{
	char bytes[] = SIGNATURE "\x21\x11\x00\x16"
				 "\x7f\x00\x00\x01\x7f\x00\x00\x01"
				 "\x30\x39\x46\xaa"
				 "\x03\x00\x04\xbd\xd8\x90\x9e"
				 "\x05\x00\x00";
	struct good_case c = { { bytes, sizeof(bytes) - 1 }, "127.0.0.1:12345",
		false };
	struct proxy_head h;
	const char *why;

	(void)state;
	check_good(&c);
	/* The addresses, and the checksum itself. */
	for (size_t i = 16; i < 16 + 12; i++) {
		bytes[i] ^= 1;
		assert_int_equal(decode(&h, c.bytes, &why), PROXY_BAD);
		assert_string_equal(why, "its checksum is wrong");
		bytes[i] ^= 1;
	}
	for (size_t i = 31; i < 35; i++) {
		bytes[i] ^= 0x40;
		assert_int_equal(decode(&h, c.bytes, &why), PROXY_BAD);
		bytes[i] ^= 0x40;
	}
}

/* The longest: filled up with NOOPs. */
static void test_length(void **state)
{
	static uint8_t bytes[PROXY_READ_MAX] = SIGNATURE "\x21\x11\x0f\xf0";
	size_t noop = PROXY_READ_MAX - 16 - 12 - 3;
	struct proxy_head h;
	const char *why;

	(void)state;
	memcpy(bytes + 16, FROM_TO, 12);
	bytes[28] = 0x04;
	bytes[29] = (uint8_t)(noop >> 8);
	bytes[30] = (uint8_t)noop;
	for (size_t n = 0; n < sizeof(bytes); n++)
		assert_int_equal(
			proxy_decode(&h, bytes, n, &why), PROXY_PARTIAL);
	assert_int_equal(
		proxy_decode(&h, bytes, sizeof(bytes), &why), PROXY_READ_MAX);
	bytes[15]++; /* one more: refused as soon as it is known */
	assert_int_equal(proxy_decode(&h, bytes, 16, &why), PROXY_BAD);
}

/* Refused, with a word, no later than at its end. */
static void test_bad(void **state)
{
	static const struct str cases[] = {
		STR("G"),
		STR("\x16\x03\x01\x02\x00"),
		STR("PRIXY"),
		STR("proxy TCP4"),
		STR("PROXY\t"),
		STR("\n"),
		STR("\r\r"),
		STR("\r\n\r\n\1"),
		V1(""),
		V1(" "),
		V1("TCP4"),
		V1("TCP5 192.0.2.7 127.0.0.1 1 2"),
		V1("UDP4 192.0.2.7 127.0.0.1 1 2"),
		V1("tcp4 192.0.2.7 127.0.0.1 1 2"),
		V1("unknown"),
		V1("UNKNOWNS"),
		V1("TCP4 192.0.2.7 127.0.0.1 1"),
		V1("TCP4 192.0.2.7 127.0.0.1 1 "),
		V1("TCP4 192.0.2.7 127.0.0.1 1 2 "),
		V1("TCP4 192.0.2.7 127.0.0.1 1 2 3"),
		V1("TCP4  192.0.2.7 127.0.0.1 1 2"),
		V1("TCP4 192.0.2.7  127.0.0.1 1 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 1\t2"),
		V1("TCP4 192.0.2.7:1 127.0.0.1 1 2"),
		V1("TCP4 192.0.2 127.0.0.1 1 2"),
		V1("TCP4 192.0.2.07 127.0.0.1 1 2"),
		V1("TCP4 192.0.2.256 127.0.0.1 1 2"),
		V1("TCP4 192.0.2.7 localhost 1 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 65536 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 1 65536"),
		V1("TCP4 192.0.2.7 127.0.0.1 01 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 00 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 -1 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 +1 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 0x1 2"),
		V1("TCP4 192.0.2.7 127.0.0.1 111111 2"),
		V1("TCP4 2001:db8::7 ::1 1 2"),
		V1("TCP4 ::ffff:192.0.2.7 127.0.0.1 1 2"),
		V1("TCP6 192.0.2.7 127.0.0.1 1 2"),
		V1("TCP6 192.0.2.7:1 ::1 1 2"),
		V1("TCP6 [2001:db8::7] ::1 1 2"),
		V1("TCP6 2001:db8::7 127.0.0.1 1 2"),
		V1("TCP6 fe80::1%lo ::1 1 2"),
		V1("TCP6 2001:db8::7\0 ::1 1 2"),
		STR("PROXY UNKNOWN\n"),
		STR("PROXY UNKNOWN\r\r\n"),
		STR("PROXY UNKNOWN \rx\r\n"),
		STR("PROXY TCP4 192.0.2.7 127.0.0.1 1 2\n"),
		V1("UNKNOWN " TEN TEN TEN TEN TEN TEN TEN TEN "012345678901"),
		/* Version 2: the version, the command, the family, lengths. */
		V2("\x11"),
		V2("\x22"),
		V2("\x2f"),
		V2("\x01"),
		V2("\x21\x10\x00\x00"),
		V2("\x21\x01\x00\x00"),
		V2("\x21\x13\x00\x0c" FROM_TO),
		V2("\x21\x41\x00\x0c" FROM_TO),
		V2("\x21\x11\x00\x00"),
		V2("\x21\x11\x00\x0b" FROM_TO),
		V2("\x21\x21\x00\x0c" FROM_TO),
		V2("\x21\x31\x00\x0c" FROM_TO),
		V2("\x21\x11\xff\xff" FROM_TO),
		V2("\x20\x00\x10\x00" FROM_TO),
		/* TLVs. */
		V2("\x21\x11\x00\x0d" FROM_TO "\x04"),
		V2("\x21\x11\x00\x0e" FROM_TO "\x04\x00"),
		V2("\x21\x11\x00\x0f" FROM_TO "\x04\x00\x01"),
		V2("\x21\x11\x00\x11" FROM_TO "\x04\xff\xff\x00\x00"),
		V2("\x21\x11\x00\x12" FROM_TO "\x03\x00\x03\x00\x00\x00"),
		V2("\x21\x11\x00\x13" FROM_TO "\x03\x00\x04\x00\x00\x00\x00"),
		V2("\x21\x11\x00\x0f" FROM_TO "\x03\x00\x00"),
		V2("\x21\x11\x00\x13" FROM_TO "\x20\x00\x04\x01\0\0\0"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ssize_t result = PROXY_PARTIAL;
		struct proxy_head h;
		const char *why = NULL;
		size_t n = 0;

		while (result == PROXY_PARTIAL && n < cases[i].n)
			result = decode(
				&h, (struct str){ cases[i].p, ++n }, &why);
		if (result != PROXY_BAD || !why || !*why)
			fail_case(cases[i].p, "case %zu: %zd after %zu bytes",
				i, result, n);
		/* And it stays bad, whatever follows. */
		assert_int_equal(decode(&h, cases[i], &why), PROXY_BAD);
	}
}

/* What we write we read. */
static void test_both_ways(void **state)
{
	static const char *const addrs[] = { "192.0.2.7:1", "0.0.0.0",
		"[2001:db8::7]:65535", "[::1]:80" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
		for (int v = PROXY_V1; v <= PROXY_V2; v++) {
			struct addr a;
			uint8_t out[PROXY_HEAD_MAX];
			struct proxy_head h;
			const char *why;
			size_t n;

			assert_int_equal(addr_parse(&a, str_of(addrs[i])), 0);
			n = proxy_encode(out, (enum proxy_version)v, &a, &a);
			assert_int_equal(
				proxy_decode(&h, out, n, &why), (ssize_t)n);
			assert_int_equal(h.who, PROXY_CLIENT);
			assert_true(addr_same_ip(&h.addr, &a));
			assert_int_equal(h.addr.port, a.port);
		}
}

static struct addr address(const char *text)
{
	struct addr a = { .family = ADDR_UNIX };

	if (strcmp(text, "unix") != 0)
		assert_int_equal(addr_parse(&a, str_of(text)), 0);
	return a;
}

/* --- writing ---------------------------------------------------------------*/

static void check_encode(enum proxy_version version, const char *src,
	const char *dst, struct str expected)
{
	struct addr s = address(src), d = address(dst);
	uint8_t out[PROXY_HEAD_MAX];

	assert_int_equal(proxy_encode(out, version, &s, &d), expected.n);
	assert_memory_equal(out, expected.p, expected.n);
}

static void test_encode_v1(void **state)
{
	(void)state;
	check_encode(PROXY_NO, "1.2.3.4:5", "1.2.3.5:6", STR(""));
	check_encode(PROXY_V1, "192.168.0.1:56324", "192.168.0.11:443",
		STR("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"));
	check_encode(PROXY_V1, "[2001:db8::1]:56324", "[::1]:443",
		STR("PROXY TCP6 2001:db8::1 ::1 56324 443\r\n"));
	check_encode(PROXY_V1, "unix", "1.2.3.4:5", STR("PROXY UNKNOWN\r\n"));
	check_encode(PROXY_V1, "unix", "unix", STR("PROXY UNKNOWN\r\n"));
	/* One of them is IPv6: so are both. No destination is any. */
	check_encode(PROXY_V1, "[::1]:1", "1.2.3.4:5",
		STR("PROXY TCP6 ::1 ::ffff:1.2.3.4 1 5\r\n"));
	check_encode(PROXY_V1, "1.2.3.4:5", "[::1]:1",
		STR("PROXY TCP6 ::ffff:1.2.3.4 ::1 5 1\r\n"));
	check_encode(PROXY_V1, "1.2.3.4:5", "unix",
		STR("PROXY TCP4 1.2.3.4 0.0.0.0 5 0\r\n"));
	check_encode(
		PROXY_V1, "[::1]:5", "unix", STR("PROXY TCP6 ::1 :: 5 0\r\n"));
	/* The longest, of 104 bytes (the specification: 107 at most). */
	check_encode(PROXY_V1,
		"[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0]:65535",
		STR("PROXY TCP6 1111:2222:3333:4444:5555:6666:7777:8888 "
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0 65535 65535"
		    "\r\n"));
}

static void test_encode_v2(void **state)
{
	(void)state;
	check_encode(PROXY_V2, "192.168.0.1:56324", "192.168.0.11:443",
		STR(SIGNATURE
			"\x21\x11\x00\x0c"
			"\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb"));
	check_encode(PROXY_V2, "[2001:db8::1]:56324", "[::1]:443",
		STR(SIGNATURE "\x21\x21\x00\x24"
			      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
			      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
			      "\xdc\x04\x01\xbb"));
	check_encode(PROXY_V2, "unix", "unix", STR(SIGNATURE "\x20\0\0\0"));
	check_encode(PROXY_V2, "1.2.3.4:5", "[::1]:1",
		STR(SIGNATURE "\x21\x21\x00\x24"
			      "\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04"
			      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
			      "\x00\x05\x00\x01"));
	check_encode(PROXY_V2, "1.2.3.4:5", "unix",
		STR(SIGNATURE "\x21\x11\x00\x0c"
			      "\x01\x02\x03\x04\0\0\0\0\x00\x05\x00\x00"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_v1),
		cmocka_unit_test(test_good_v2),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_encode_v1),
		cmocka_unit_test(test_encode_v2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
