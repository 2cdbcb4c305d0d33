#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

static void test_parse_format(void **state)
{
	static const struct {
		const char *in, *out, *ip;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1", "192.0.2.1" },
		{ "192.0.2.1:80", "192.0.2.1:80", "192.0.2.1" },
		{ "192.0.2.1:0", "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0:65535", "0.0.0.0:65535", "0.0.0.0" },
		{ "2001:DB8::1", "2001:db8::1", "2001:db8::1" },
		{ "[2001:db8::1]", "2001:db8::1", "2001:db8::1" },
		{ "[::1]:8080", "[::1]:8080", "::1" },
		{ "::", "::", "::" },
		{ "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1" },
		{ "[::ffff:192.0.2.1]:80", "192.0.2.1:80", "192.0.2.1" },
		{ "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
			"[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
			"2001:db8:1111:2222:3333:4444:5555:6666" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct addr a;
		char text[ADDR_TEXT];

		assert_int_equal(addr_parse(&a, str_of(good[i].in)), 0);
		assert_string_equal(addr_format(&a, text), good[i].out);
		assert_string_equal(addr_format_ip(&a, text), good[i].ip);
	}
}

static void test_parse_refused(void **state)
{
	static const char *bad[] = { "", ":", ":80", "1.2.3", "1.2.3.4.5",
		"1.2.3.256", "01.2.3.4", "1.2.3.4:", "1.2.3.4:65536",
		"1.2.3.4:000080", "1.2.3.4:8o", "1.2.3.4:-1", "1.2.3.4 ",
		" 1.2.3.4", "[]", "[", "[1.2.3.4]", "[1.2.3.4]:80", "[::1",
		"[::1]80", "[::1]:", "[::1]:65536", "::1]", "::1%lo",
		"fe80::1%1", "[fe80::1%1]:80", ":::", "1::2::3",
		"12345::", "unix", "localhost",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb" };
	struct addr a = { .port = 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(addr_parse(&a, str_of(bad[i])), -1);
	assert_int_equal(addr_parse(&a, STR("1.2.3.4\0")), -1);
	assert_int_equal(addr_parse(&a, STR("1.2.3.4\0:80")), -1);
	assert_int_equal(addr_parse(&a, STR_NONE), -1);
	assert_int_equal(a.port, 7); /* untouched */
}

static void test_sockaddr(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(1234) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(99) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct addr a, b;
	char text[ADDR_TEXT];

	(void)state;
	inet_pton(AF_INET, "198.51.100.7", &in.sin_addr);
	addr_from_sockaddr(&a, (struct sockaddr *)&in);
	assert_string_equal(addr_format(&a, text), "198.51.100.7:1234");
	inet_pton(AF_INET6, "::ffff:198.51.100.7", &in6.sin6_addr);
	addr_from_sockaddr(&b, (struct sockaddr *)&in6);
	assert_string_equal(addr_format(&b, text), "198.51.100.7:99");
	assert_true(addr_same_ip(&a, &b));
	inet_pton(AF_INET6, "2001:db8::7", &in6.sin6_addr);
	addr_from_sockaddr(&b, (struct sockaddr *)&in6);
	assert_string_equal(addr_format(&b, text), "[2001:db8::7]:99");
	assert_false(addr_same_ip(&a, &b));
	addr_from_sockaddr(&a, (struct sockaddr *)&un);
	assert_string_equal(addr_format(&a, text), "unix");
	addr_from_sockaddr(&b, &none);
	assert_string_equal(addr_format(&b, text), "-");
	assert_false(addr_same_ip(&a, &b));
}

static void test_loopback(void **state)
{
	static const struct {
		const char *ip;
		bool loopback;
	} cases[] = { { "127.0.0.1", true }, { "127.9.8.7", true },
		{ "::1", true }, { "::ffff:127.0.0.1", true },
		{ "128.0.0.1", false }, { "::2", false }, { "0.0.0.0", false },
		{ "::", false }, { "7f00::1", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct addr a;

		assert_int_equal(addr_parse(&a, str_of(cases[i].ip)), 0);
		assert_int_equal(addr_is_loopback(&a), cases[i].loopback);
	}
}

static void test_cidr_parse(void **state)
{
	static const char *good[] = { "0.0.0.0/0", "10.0.0.0/8", "10.0.0.1",
		"10.0.0.1/32", "10.128.0.0/9", "::/0", "2001:db8::/32", "::1",
		"::1/128", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "unix" };
	static const char *bad[] = { "", "/", "10.0.0.0/", "10.0.0.1/8",
		"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.128.0.0/8",
		"2001:db8::/129", "2001:db8::1/64", "[::1]/128", "[::1]",
		"10/8", "10.0.0.0/8 ", "10.0.0.1:80", "::ffff:10.0.0.0/95",
		"::ffff:10.0.0.1/104", "unix:", "any", "10.0.0.0/000008" };
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(cidr_parse(&c, str_of(good[i])), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cidr_parse(&c, str_of(bad[i])), -1);
	assert_int_equal(cidr_parse(&c, STR_NONE), -1);
}

static struct cidr network(const char *text)
{
	struct cidr c;

	assert_int_equal(cidr_parse(&c, str_of(text)), 0);
	return c;
}

static void test_cidr_contains(void **state)
{
	static const struct {
		const char *net, *ip;
		bool in;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.128.0.0/9", "10.127.255.255", false },
		{ "10.128.0.0/9", "10.200.0.0", true },
		{ "192.0.2.5", "192.0.2.5", true },
		{ "192.0.2.5", "192.0.2.4", false },
		{ "0.0.0.0/0", "255.1.2.3", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "1.2.3.4", false },
		{ "::/0", "::ffff:1.2.3.4", false }, /* it is IPv4 */
		{ "::ffff:10.0.0.0/104", "10.1.2.3", true },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "unix", "127.0.0.1", false },
	};
	struct addr unix_peer = { .family = ADDR_UNIX };
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct addr a;

		c = network(cases[i].net);
		assert_int_equal(addr_parse(&a, str_of(cases[i].ip)), 0);
		assert_int_equal(cidr_contains(&c, &a), cases[i].in);
	}
	c = network("unix");
	assert_true(cidr_contains(&c, &unix_peer));
	c = network("0.0.0.0/0");
	assert_false(cidr_contains(&c, &unix_peer));
}

static void test_cidr_covers(void **state)
{
	static const struct {
		const char *a, *b;
		bool covers;
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", true },
		{ "10.0.0.0/8", "10.1.0.0/16", true },
		{ "10.1.0.0/16", "10.0.0.0/8", false },
		{ "10.0.0.0/8", "11.0.0.0/16", false },
		{ "10.0.0.0/16", "10.0.0.0/8", false },
		{ "0.0.0.0/0", "::/0", false },
		{ "::/0", "2001:db8::1", true },
		{ "unix", "unix", true },
		{ "unix", "0.0.0.0/0", false },
		{ "0.0.0.0/0", "unix", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cidr a = network(cases[i].a), b = network(cases[i].b);

		assert_int_equal(cidr_covers(&a, &b), cases[i].covers);
	}
}

static void test_cidr_list(void **state)
{
	struct cidr nets[] = { network("10.0.0.0/8"), network("::1") };
	struct cidr_list list = { nets, 2 }, empty = { NULL, 0 };
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse(&a, STR("::1")), 0);
	assert_true(cidr_list_contains(&list, &a));
	assert_false(cidr_list_contains(&empty, &a));
	assert_int_equal(addr_parse(&a, STR("192.0.2.1")), 0);
	assert_false(cidr_list_contains(&list, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_format),
		cmocka_unit_test(test_parse_refused),
		cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_cidr_parse),
		cmocka_unit_test(test_cidr_contains),
		cmocka_unit_test(test_cidr_covers),
		cmocka_unit_test(test_cidr_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
