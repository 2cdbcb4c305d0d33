/*
 * Dialling, as far as it needs no name server: addresses, localhost, Unix
 * sockets. Names are in the end-to-end tests.
 */
#include "net/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/budget.h"
#include "net/loop.h"
#include "no_memory.h"
#include "support.h"

#define FULL 4

static struct budget budget;
static struct loop *loop;
static struct timer patience;
static bool ran_out;
/* What was told. */
static unsigned told;
static enum dial_result result;
static int fd;
static struct addr to;
static char text[100];

static void done(void *owner, enum dial_result r, int f, const struct addr *a,
	const char *t)
{
	assert_ptr_equal(owner, &told);
	told++;
	result = r;
	fd = f;
	to = a ? *a : (struct addr){ .family = ADDR_NONE };
	snprintf(text, sizeof(text), "%s", t ? t : "");
	loop_stop(loop);
}

static void patience_ends(struct timer *t)
{
	(void)t;
	ran_out = true;
	loop_stop(loop);
}

static int setup(void **state)
{
	(void)state;
	budget_init(&budget, SIZE_MAX);
	loop = loop_new(&budget);
	assert_non_null(loop);
	assert_int_equal(timer_init(loop, &patience, patience_ends), 0);
	told = 0;
	fd = -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (fd >= 0)
		close(fd);
	timer_fini(loop, &patience);
	loop_free(loop);
	return 0;
}

static void run(int64_t at_most_ms)
{
	ran_out = false;
	timer_set(loop, &patience, loop_now(loop) + at_most_ms);
	loop_wake(loop); /* what was deferred outside of a turn ends no wait */
	assert_int_equal(loop_run(loop), 0);
	atomic_store(&loop->stopped, false);
}

static struct dial *start(const struct dial_params *p)
{
	struct dial_params params = *p;

	params.done = done;
	params.owner = &told;
	if (!params.timeout_ms)
		params.timeout_ms = 20000;
	return dial_start(loop, &params);
}

/* All of it: what is told is told once, and never from within the start. */
static void dial(const struct dial_params *p)
{
	assert_non_null(start(p));
	assert_int_equal(told, 0);
	run(20000);
	assert_false(ran_out);
	run(5);
	assert_int_equal(told, 1);
	assert_int_equal(fd >= 0, result == DIAL_OK);
}

/* A socket that listens, on an address; *port 0: on any. -1: cannot be. */
static int listen_on(int family, uint16_t *port, int backlog)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(*port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&in
						: (struct sockaddr *)&in6;
	socklen_t n = family == AF_INET ? sizeof(in) : sizeof(in6);
	int l = socket(family, SOCK_STREAM, 0);

	if (l < 0)
		return -1;
	if (bind(l, sa, n) < 0 || getsockname(l, sa, &n) < 0) {
		close(l);
		return -1;
	}
	if (backlog >= 0)
		assert_int_equal(listen(l, backlog), 0);
	*port = ntohs(family == AF_INET ? in.sin_port : in6.sin6_port);
	return l;
}

/* --- one address ------------------------------------------------------------*/

static void test_connects(void **state)
{
	uint16_t port = 0;
	int l = listen_on(AF_INET, &port, 5), peer;

	(void)state;
	dial(&(struct dial_params){ .host = "127.0.0.1", .port = port });
	assert_int_equal(result, DIAL_OK);
	assert_int_equal(to.port, port);
	peer = accept(l, NULL, NULL);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(recv(peer, text, 1, 0), 1);
	assert_int_equal(recv(fd, text, 1, 0), -1); /* does not block */
	close(peer);
	close(l);
}

static void test_refused(void **state)
{
	uint16_t port = 0;
	int l = listen_on(AF_INET, &port, -1); /* bound, not listening */

	(void)state;
	dial(&(struct dial_params){ .host = "127.0.0.1", .port = port });
	assert_int_equal(result, DIAL_REFUSED);
	assert_string_equal(text, "Connection refused");
	assert_int_equal(to.family, ADDR_IPV4);
	close(l);
}

static void test_no_such_port(void **state)
{
	(void)state;
	dial(&(struct dial_params){ .host = "127.0.0.1" });
	assert_int_equal(result, DIAL_REFUSED);
	assert_int_equal(to.family, ADDR_NONE);
}

static void test_forbidden(void **state)
{
	struct cidr ten;
	const struct cidr_list allow = { .v = &ten, .n = 1 };

	(void)state;
	assert_int_equal(cidr_parse(&ten, STR("10.0.0.0/8")), 0);
	dial(&(struct dial_params){
		.host = "127.0.0.1", .port = 9, .allow = &allow });
	assert_int_equal(result, DIAL_FORBIDDEN);
	told = 0;
	dial(&(struct dial_params){
		.host = "localhost", .port = 9, .allow = &allow });
	assert_int_equal(result, DIAL_FORBIDDEN);
}

/* --- several addresses ------------------------------------------------------*/

/* localhost is 127.0.0.1, then ::1; only the second listens. */
static void test_the_second_address(void **state)
{
	uint16_t port = 0;
	int l = listen_on(AF_INET6, &port, 5);

	(void)state;
	if (l < 0)
		skip(); /* no IPv6 here */
	dial(&(struct dial_params){ .host = "LocalHost", .port = port });
	assert_int_equal(result, DIAL_OK);
	assert_int_equal(to.family, ADDR_IPV6);
	close(l);
}

static void test_all_refuse(void **state)
{
	uint16_t port = 0;
	int l = listen_on(AF_INET, &port, -1);

	(void)state;
	dial(&(struct dial_params){ .host = "localhost", .port = port });
	assert_int_equal(result, DIAL_REFUSED);
	close(l);
}

/* Nothing is accepted, and no more fits: connects are not answered. */
static void fill(uint16_t port, int fds[FULL])
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	for (int i = 0; i < FULL; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&in, sizeof(in));
	}
	usleep(20000);
}

static void empty(int l, const int fds[FULL])
{
	for (int i = 0; i < FULL; i++)
		close(fds[i]);
	close(l);
}

static void test_time_out(void **state)
{
	uint16_t port = 0;
	int l = listen_on(AF_INET, &port, 0), fds[FULL];

	(void)state;
	fill(port, fds);
	dial(&(struct dial_params){
		.host = "127.0.0.1", .port = port, .timeout_ms = 50 });
	assert_int_equal(result, DIAL_TIMEOUT);
	assert_string_equal(text, "timed out");
	empty(l, fds);
}

/* A silent address does not use up what the next one needs. */
static void test_a_silent_address(void **state)
{
	uint16_t port = 0;
	int l6 = listen_on(AF_INET6, &port, 5), l, fds[FULL];

	(void)state;
	l = l6 < 0 ? -1 : listen_on(AF_INET, &port, 0);
	if (l < 0) {
		close(l6);
		skip();
	}
	fill(port, fds);
	dial(&(struct dial_params){
		.host = "localhost", .port = port, .timeout_ms = 400 });
	assert_int_equal(result, DIAL_OK);
	assert_int_equal(to.family, ADDR_IPV6);
	empty(l, fds);
	close(l6);
}

/* --- Unix sockets -----------------------------------------------------------*/

static void test_unix_socket(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char path[] = "/tmp/test_dial.XXXXXX";
	int l = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/socket", path);
	assert_int_equal(bind(l, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(l, 1), 0);
	dial(&(struct dial_params){ .path = un.sun_path });
	assert_int_equal(result, DIAL_OK);
	assert_int_equal(to.family, ADDR_UNIX);
	close(l);
	unlink(un.sun_path);
	rmdir(path);
}

static void test_no_unix_socket(void **state)
{
	(void)state;
	dial(&(struct dial_params){ .path = "/nonexistent/socket" });
	assert_int_equal(result, DIAL_REFUSED);
	assert_string_equal(text, "No such file or directory");
}

static void test_a_path_too_long(void **state)
{
	char path[200];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	dial(&(struct dial_params){ .path = path });
	assert_int_equal(result, DIAL_REFUSED);
	assert_string_equal(text, "File name too long");
}

/* --- cancelled, and what is short -------------------------------------------*/

static void test_cancelled(void **state)
{
	uint16_t port = 0;
	int l = listen_on(AF_INET, &port, 5);

	(void)state;
	/* Connected already, as this is the same machine, but not told. */
	dial_cancel(start(
		&(struct dial_params){ .host = "127.0.0.1", .port = port }));
	dial_cancel(start(&(struct dial_params){ .path = "/nonexistent" }));
	run(20);
	assert_int_equal(told, 0);
	dial_cancel(NULL);
	close(l);
}

static void test_no_memory(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 2; n++) {
		no_memory_at(n);
		assert_null(start(&(struct dial_params){
			.host = "127.0.0.1", .port = 9 }));
		assert_true(no_memory_was());
	}
}

static void test_no_descriptors(void **state)
{
	struct rlimit limit, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	dial(&(struct dial_params){ .host = "127.0.0.1", .port = 9 });
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(result, DIAL_INTERNAL);
	assert_string_equal(text, "Too many open files");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_connects),
		TEST(test_refused),
		TEST(test_no_such_port),
		TEST(test_forbidden),
		TEST(test_the_second_address),
		TEST(test_all_refuse),
		TEST(test_time_out),
		TEST(test_a_silent_address),
		TEST(test_unix_socket),
		TEST(test_no_unix_socket),
		TEST(test_a_path_too_long),
		TEST(test_cancelled),
		TEST(test_no_memory),
		TEST(test_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
