/*
 * The journal, played by a socket of our own: log.c is built into this test
 * with another address.
 */
#define LOG_JOURNAL_SOCKET "journal.socket"
#include "base/log.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static char directory[] = "/tmp/wsrelayd-journal-XXXXXX";
static const struct log_options journal = { LOG_INFO, LOG_JOURNAL, false, 0 };

static int play_journal(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX,
		.sun_path = LOG_JOURNAL_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	unlink(LOG_JOURNAL_SOCKET);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

/* Receives one entry; waits for it at most 5 seconds. */
static ssize_t receive(int fd, char *out, size_t room)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	ssize_t n;

	assert_int_equal(poll(&poll_fd, 1, 5000), 1);
	n = recv(fd, out, room - 1, 0);
	assert_true(n > 0);
	out[n] = '\0';
	return n;
}

static void test_no_journal(void **state)
{
	(void)state;
	assert_int_equal(log_start(&journal), -1);
	assert_int_equal(errno, ENOENT);
}

/* systemd's "Journal Native Protocol". */
static void test_entry(void **state)
{
	static const char begin[] =
		"SYSLOG_IDENTIFIER=wsrelayd\nPRIORITY=4\nWSRELAY_TIME=20";
	static const char rest[] =
		"WSRELAY_EVENT=open\n"
		"MESSAGE=open route-name=\"a\\nb\" ms=3\n"
		"WSRELAY_ROUTE_NAME\n\x03\0\0\0\0\0\0\0a\nb\n"
		"WSRELAY_MS=3\n";
	char entry[LOG_LINE_MAX + 1], *event;
	int fd = play_journal();
	ssize_t n;

	(void)state;
	assert_int_equal(log_start(&journal), 0);
	LOG(LOG_WARN, "open", F_STR("route-name", "a\nb"), F_INT("ms", 3));
	n = receive(fd, entry, sizeof(entry));
	assert_memory_equal(entry, begin, sizeof(begin) - 1);
	event = strstr(entry, "WSRELAY_EVENT");
	assert_non_null(event);
	assert_int_equal(entry + n - event, sizeof(rest) - 1);
	assert_memory_equal(event, rest, sizeof(rest) - 1);
	log_stop();
	close(fd);
}

/* Fields that do not fit leave an entry that can be read. */
static void test_long_entry(void **state)
{
	char value[1000], entry[LOG_LINE_MAX + 1];
	struct str s = { value, sizeof(value) };
	int fd = play_journal();
	ssize_t n;

	(void)state;
	memset(value, 'v', sizeof(value));
	assert_int_equal(log_start(&journal), 0);
	LOG(LOG_INFO, "long", F_VIEW("a", s), F_VIEW("b", s), F_VIEW("c", s),
		F_VIEW("d", s), F_VIEW("e", s));
	n = receive(fd, entry, sizeof(entry));
	assert_int_equal(entry[n - 1], '\n');
	assert_non_null(strstr(entry, "\nMESSAGE=long a=vvv"));
	assert_null(strstr(entry, "WSRELAY_E="));
	log_stop();
	close(fd);
}

/* systemctl restart systemd-journald: the socket is another one. */
static void test_restart(void **state)
{
	char entry[LOG_LINE_MAX + 1];
	uint64_t before = log_dropped();
	int fd = play_journal();

	(void)state;
	assert_int_equal(log_start(&journal), 0);
	LOG(LOG_INFO, "one", F_NONE);
	receive(fd, entry, sizeof(entry));
	close(fd);
	fd = play_journal();
	LOG(LOG_INFO, "two", F_NONE);
	receive(fd, entry, sizeof(entry));
	assert_non_null(strstr(entry, "MESSAGE=two\n"));
	assert_int_equal(log_dropped(), before);
	close(fd);
	unlink(LOG_JOURNAL_SOCKET);
	LOG(LOG_INFO, "three", F_NONE);
	log_stop();
	assert_int_equal(log_dropped(), before + 1);
}

/* A journal that does not read: as with stderr, nobody waits. */
static void test_blocked(void **state)
{
	uint64_t before = log_dropped();
	int fd = play_journal();

	(void)state;
	assert_int_equal(log_start(&journal), 0);
	for (int i = 0; i < 20000; i++)
		LOG(LOG_INFO, "flood", F_INT("i", i));
	assert_true(log_dropped() - before > 1000);
	log_stop();
	close(fd);
}

static int enter_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(LOG_JOURNAL_SOCKET);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_journal),
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_long_entry),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_blocked),
	};

	return cmocka_run_group_tests(tests, enter_directory, remove_directory);
}
