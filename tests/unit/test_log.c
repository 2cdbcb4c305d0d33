#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/log_format.h"

/* --- kinds ---------------------------------------------------------------*/

/* What a list hides, by the words of the table that are shown here. */
static log_kinds chosen(const char *const *words)
{
	log_kinds hidden = 0;

	for (size_t i = 0; words[i]; i++)
		assert_int_equal(
			log_kind_choose(&hidden, str_of(words[i]), i == 0), 0);
	return hidden;
}

#define CHOSEN(...) chosen((const char *const[]){ __VA_ARGS__, NULL })

static void test_kinds(void **state)
{
	log_kinds open = log_kind_find("open");
	log_kinds orderly = log_kind_find("orderly-close");
	log_kinds other = log_kind_find("other-close");
	log_kinds refuse = log_kind_find("refuse");
	log_kinds before = open;

	(void)state;
	assert_true(open && orderly && other && refuse);
	assert_int_equal(log_kind_find("close"), 0); /* its kinds are two */
	assert_int_equal(log_kind_find("start"), 0);
	assert_int_equal(CHOSEN("all"), 0);
	assert_int_equal(CHOSEN("-open", "-refuse"), open | refuse);
	assert_int_equal(CHOSEN("-close"), orderly | other);
	assert_int_equal(CHOSEN("-connections"), open | orderly | other);
	assert_int_equal(CHOSEN("-connections", "other-close"), open | orderly);
	assert_int_equal(CHOSEN("refuse"), CHOSEN("-all", "refuse"));
	assert_true(CHOSEN("refuse") & open);
	assert_false(CHOSEN("refuse") & refuse);
	assert_int_equal(log_kind_choose(&before, STR("opne"), true), -1);
	assert_int_equal(log_kind_choose(&before, STR("-"), true), -1);
	assert_int_equal(log_kind_choose(&before, STR(""), true), -1);
	assert_int_equal(before, open);
}

/* Each is part of what -t says when a word is none. */
static void test_kind_groups(void **state)
{
	static const char *const groups[] = {
		"all",
#define KIND(kind, event, group) group,
#include "base/log_kind.def"
#undef KIND
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		assert_non_null(strstr(LOG_KIND_GROUPS, groups[i]));
}

static void test_wanted(void **state)
{
	(void)state;
	log_set_hidden(CHOSEN("-open"));
	assert_false(log_wanted(LOG_INFO, "open"));
	assert_true(log_wanted(LOG_WARN, "open"));
	assert_true(log_wanted(LOG_INFO, "refuse"));
	assert_true(log_wanted(LOG_INFO, "start"));
	assert_false(log_wanted(LOG_DEBUG, "refuse"));
	log_set_hidden(0);
	assert_true(log_wanted(LOG_INFO, "open"));
}

/* --- formats --------------------------------------------------------------*/

static const struct timespec moment = { 1795211160, 123456789 };

#define TIME "2026-11-20T21:46:00.123456Z"

/* The line of one event with the field k, as a string. */
static const char *format(char line[LOG_LINE_MAX + 1], struct log_field f,
	enum log_sink sink, bool json)
{
	struct log_record r = { LOG_INFO, "open", moment, &f, 1 };
	size_t n = log_format(line, &r, sink, json);

	assert_in_range(n, 1, LOG_LINE_MAX);
	line[n] = '\0';
	return line;
}

static void test_text(void **state)
{
	const struct log_field fields[] = { F_STR("route", "sim"),
		F_INT("ms", -3), F_NONE, F_STR("none", NULL),
		F_VIEW("view", STR("ab")), F_INT("min", INT64_MIN) };
	struct log_record r = { LOG_WARN, "open", moment, fields,
		ARRAY_SIZE(fields) };
	char line[LOG_LINE_MAX + 1];

	(void)state;
	line[log_format(line, &r, LOG_STDERR, false)] = '\0';
	assert_string_equal(line, TIME " warn open route=sim ms=-3 view=ab "
				       "min=-9223372036854775808\n");
	line[log_format(line, &r, LOG_STDERR_PRIORITY, false)] = '\0';
	assert_string_equal(line, "<4>warn open route=sim ms=-3 "
				  "view=ab min=-9223372036854775808\n");
	r.n = 2;
	line[log_format(line, &r, LOG_STDERR, true)] = '\0';
	assert_string_equal(line,
		"{\"time\":\"" TIME "\",\"level\":\"warn\","
		"\"event\":\"open\",\"route\":\"sim\",\"ms\":-3}\n");
	line[log_format(line, &r, LOG_STDERR_PRIORITY, true)] = '\0';
	assert_memory_equal(line, "<4>{\"time\"", 10);
	r.n = 0;
	line[log_format(line, &r, LOG_STDERR, false)] = '\0';
	assert_string_equal(line, TIME " warn open\n");
}

static void test_priorities(void **state)
{
	static const char expected[] = "3467";
	char line[LOG_LINE_MAX];

	(void)state;
	for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
		struct log_record r = { (enum log_level)level, "x", moment,
			NULL, 0 };

		log_format(line, &r, LOG_STDERR_PRIORITY, false);
		assert_int_equal(line[1], expected[level]);
	}
}

static const struct {
	struct str in;
	const char *text, *json;
} escapes[] = {
	{ STR(""), "\"\"", "\"\"" },
	{ STR("a/b?c:d"), "a/b?c:d", "\"a/b?c:d\"" },
	{ STR("a b"), "\"a b\"", "\"a b\"" },
	{ STR("a=b"), "\"a=b\"", "\"a=b\"" },
	{ STR("a\"b"), "\"a\\\"b\"", "\"a\\\"b\"" },
	{ STR("a\\b"), "\"a\\\\b\"", "\"a\\\\b\"" },
	{ STR("a\nb"), "\"a\\nb\"", "\"a\\nb\"" },
	{ STR("\r\t"), "\"\\r\\t\"", "\"\\r\\t\"" },
	{ STR("a\0b"), "\"a\\x00b\"", "\"a\\u0000b\"" },
	{ STR("\x1b[31m"), "\"\\x1b[31m\"", "\"\\u001b[31m\"" },
	{ STR("\x7f"), "\"\\x7f\"", "\"\\u007f\"" },
	{ STR("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f",
		"\"gr\xc3\xbc\xc3\x9f\"" },
	{ STR("\xe2\x82\xac\xf0\x9f\x98\x80"), "\xe2\x82\xac\xf0\x9f\x98\x80",
		"\"\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	/* CSI of the C1 set: a terminal obeys it. */
	{ STR("\xc2\x9b"
	      "1m"),
		"\"\\xc2\\x9b1m\"", NULL },
	{ STR("\xff"), "\"\\xff\"", "\"\\ufffd\"" },
	{ STR("a\xc3"), "\"a\\xc3\"", "\"a\\ufffd\"" },
	{ STR("\xc0\xaf"), "\"\\xc0\\xaf\"", "\"\\ufffd\\ufffd\"" },
	{ STR("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"",
		"\"\\ufffd\\ufffd\\ufffd\"" },
	{ STR("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\"",
		"\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
};

static void test_escapes(void **state)
{
	char line[LOG_LINE_MAX + 1], expected[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++) {
		/* A block of its own, for ASan. */
		char *in = malloc(escapes[i].in.n + 1);
		struct str value = { in, escapes[i].in.n };

		in = realloc(in, value.n + (value.n == 0));
		value.p = in;
		memcpy(in, escapes[i].in.p, value.n);
		snprintf(expected, sizeof(expected), TIME " info open k=%s\n",
			escapes[i].text);
		assert_string_equal(
			format(line, F_VIEW("k", value), LOG_STDERR, false),
			expected);
		format(line, F_VIEW("k", value), LOG_STDERR, true);
		if (escapes[i].json)
			assert_non_null(strstr(line, escapes[i].json));
		free(in);
	}
}

/* Whatever bytes come in, the JSON is JSON and the text is one line. */
/* The least of each part. */
#define PART_16 "eyJhbGciOiJIUzI1"
#define PART_40 "0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZab"
#define TOKEN   PART_16 "." PART_16 "." PART_40

static void test_tokens_are_not_shown(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ TOKEN, "(token)" },
		{ "/sim/" TOKEN, "/sim/(token)" },
		{ "/sim/" TOKEN "/x", "/sim/(token)/x" },
		{ "/" TOKEN "/" TOKEN "x", "/(token)/(token)" },
		{ "no route has " TOKEN "!", "\"no route has (token)!\"" },
		{ "/x" TOKEN, "/(token)" },
		/* more parts: encrypted, or two that touch */
		{ TOKEN ".abc", "(token).abc" },
		{ "a." TOKEN, "a.(token)" },
		{ "/" PART_16 "." TOKEN, "/" PART_16 ".(token)" },
		/* what has three parts, and is none */
		{ "/jquery.min.js", "/jquery.min.js" },
		{ "relay.example.org", "relay.example.org" },
		{ PART_16 "." PART_16, PART_16 "." PART_16 },
		{ PART_16 ".." PART_40, PART_16 ".." PART_40 },
		{ "/" PART_16 "." PART_16 ".0123456789",
			"/" PART_16 "." PART_16 ".0123456789" },
	};
	char line[LOG_LINE_MAX + 1], expected[200];
	char *in;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		in = str_dup(str_of(cases[i].in));
		assert_non_null(in);
		snprintf(expected, sizeof(expected), TIME " info open k=%s\n",
			cases[i].out);
		assert_string_equal(
			format(line, F_STR("k", in), LOG_STDERR, false),
			expected);
		format(line, F_STR("k", in), LOG_STDERR, true);
		assert_true(strstr(line, PART_40) == NULL ||
			    strstr(cases[i].out, PART_40));
		format(line, F_STR("k", in), LOG_JOURNAL, false);
		assert_true(strstr(line, PART_40) == NULL ||
			    strstr(cases[i].out, PART_40));
		free(in);
	}
	/* At the end of what is shown of a long value, and behind it. */
	for (size_t n = LOG_VALUE_MAX - 120; n < LOG_VALUE_MAX + 10; n++) {
		in = malloc(n + sizeof(TOKEN));
		assert_non_null(in);
		memset(in, '/', n);
		memcpy(in + n, TOKEN, sizeof(TOKEN));
		format(line, F_STR("k", in), LOG_STDERR, false);
		assert_null(strstr(line, "ey"));
		assert_int_equal(
			n + 7 > LOG_VALUE_MAX, strstr(line, "...") != NULL);
		free(in);
	}
}

static void test_random_values(void **state)
{
	char line[LOG_LINE_MAX + 1], value[40];

	(void)state;
	srand(3);
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)rand() % sizeof(value);
		struct log_field f = F_VIEW("k", ((struct str){ value, n }));
		json_t *json;

		for (size_t i = 0; i < n; i++)
			value[i] = (char)rand();
		format(line, f, LOG_STDERR, false);
		assert_ptr_equal(
			strpbrk(line, "\n\r\x1b"), line + strlen(line) - 1);
		format(line, f, LOG_STDERR, true);
		json = json_loads(
			line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		assert_non_null(json);
		assert_string_equal(
			json_string_value(json_object_get(json, "event")),
			"open");
		json_decref(json);
	}
}

static void test_long(void **state)
{
	char line[LOG_LINE_MAX + 1], value[5000];
	struct log_field many[12];
	struct log_record r = { LOG_INFO, "open", moment, many,
		ARRAY_SIZE(many) };
	json_t *json;

	(void)state;
	/* Cut between characters, at 1024 or just before. */
	memset(value, 'x', sizeof(value));
	memcpy(value + 1022, "\xe2\x82\xac", 3);
	format(line, F_VIEW("k", ((struct str){ value, sizeof(value) })),
		LOG_STDERR, false);
	assert_int_equal(
		strlen(line), strlen(TIME " info open k=\"\"\n") + 1022 + 3);
	assert_non_null(strstr(line, "xxx...\"\n"));
	/* What does not fit is left out; what comes behind may fit. */
	memset(value, '\1', sizeof(value));
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct log_field)F_VIEW(
			"k", ((struct str){ value, 400 }));
	many[11] = (struct log_field)F_INT("last", 11);
	for (int json_too = 0; json_too < 2; json_too++) {
		size_t n = log_format(line, &r, LOG_STDERR, json_too);

		assert_in_range(n, 2000, LOG_LINE_MAX);
		line[n] = '\0';
		assert_non_null(strstr(line, "last"));
		assert_int_equal(line[n - 1], '\n');
	}
	json = json_loads(line, 0, NULL);
	assert_non_null(json);
	json_decref(json);
	/* Every length around the limit ends as a line. */
	for (size_t n = 0; n < 600; n++) {
		many[0] = (struct log_field)F_VIEW(
			"k", ((struct str){ value, n }));
		line[log_format(line, &r, LOG_STDERR, true)] = '\0';
		json = json_loads(line, 0, NULL);
		assert_non_null(json);
		json_decref(json);
	}
}

static void test_levels(void **state)
{
	(void)state;
	assert_int_equal(log_level_parse(STR("error")), LOG_ERROR);
	assert_int_equal(log_level_parse(STR("debug")), LOG_DEBUG);
	assert_int_equal(log_level_parse(STR("Debug")), -1);
	assert_int_equal(log_level_parse(STR("")), -1);
	assert_string_equal(log_level_name(LOG_WARN), "warn");
	log_set_level(LOG_WARN);
	assert_true(log_enabled(LOG_ERROR));
	assert_true(log_enabled(LOG_WARN));
	assert_false(log_enabled(LOG_INFO));
	log_set_level(LOG_INFO);
}

/* --- the writer -----------------------------------------------------------*/

/* Standard error while a test looks at it. */
struct capture {
	int saved;
	int in; /* where what was written can be read */
	pthread_t thread;
	struct buf text; /* the reader's until finish_reading */
	atomic_size_t bytes;
};

static struct capture capture;

static int begin_capture(void **state)
{
	int ends[2];

	(void)state;
	memset(&capture, 0, sizeof(capture));
	capture.saved = dup(STDERR_FILENO);
	if (pipe(ends) < 0)
		return -1;
	capture.in = ends[0];
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	return 0;
}

static int end_capture(void **state)
{
	(void)state;
	log_stop();
	dup2(capture.saved, STDERR_FILENO);
	close(capture.saved);
	close(capture.in);
	buf_free(&capture.text);
	return 0;
}

static void *read_all(void *arg)
{
	char bytes[4096];
	ssize_t n;

	(void)arg;
	while ((n = read(capture.in, bytes, sizeof(bytes))) > 0) {
		if (buf_add(&capture.text, bytes, (size_t)n, SIZE_MAX) < 0)
			abort();
		atomic_fetch_add(&capture.bytes, (size_t)n);
	}
	return NULL;
}

static void start_reading(void)
{
	assert_int_equal(
		pthread_create(&capture.thread, NULL, read_all, NULL), 0);
}

/* Closes the writing end, so that the reader comes to its end. */
static char *finish_reading(void)
{
	dup2(capture.saved, STDERR_FILENO);
	pthread_join(capture.thread, NULL);
	assert_int_equal(buf_add(&capture.text, "", 1, SIZE_MAX), 0);
	return (char *)capture.text.p;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct log_options plain = { LOG_INFO, LOG_STDERR, false, 0 };

static void test_write(void **state)
{
	const char *text;

	(void)state;
	start_reading();
	LOG(LOG_INFO, "before", F_INT("n", 1));
	assert_int_equal(log_start(&plain), 0);
	LOG(LOG_INFO, "during", F_INT("n", 2));
	LOG(LOG_DEBUG, "silent", F_INT("n", 3));
	log_set_level(LOG_DEBUG);
	LOG(LOG_DEBUG, "loud", F_NONE);
	log_stop();
	LOG(LOG_WARN, "after", F_INT("n", 4));
	log_stop(); /* once more is no harm */
	text = finish_reading();
	assert_non_null(strstr(text, " info before n=1\n"));
	assert_non_null(strstr(text, " info during n=2\n"));
	assert_non_null(strstr(text, " debug loud\n"));
	assert_non_null(strstr(text, " warn after n=4\n"));
	assert_null(strstr(text, "silent"));
	assert_true(strstr(text, "before") < strstr(text, "during"));
	assert_true(strstr(text, "loud") < strstr(text, "after"));
}

/* Threads of this process, the caller aside, that would take a SIGTERM. */
static int count_takers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int takers = 0;

	assert_non_null(tasks);
	while ((entry = readdir(tasks))) {
		char path[300], line[100];
		FILE *status;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			entry->d_name);
		status = fopen(path, "r");
		while (status && fgets(line, sizeof(line), status))
			if (strncmp(line, "SigBlk:", 7) == 0)
				takers += !(strtoull(line + 7, NULL, 16) >>
						    (SIGTERM - 1) &
					    1);
		if (status)
			fclose(status);
	}
	closedir(tasks);
	return takers;
}

static void test_signals_blocked(void **state)
{
	int before = count_takers();
	sigset_t mask;

	(void)state;
	assert_int_equal(log_start(&plain), 0);
	assert_int_equal(count_takers(), before);
	/* The caller's own mask is as it was. */
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_false(sigismember(&mask, SIGTERM));
	log_stop();
}

#define FLOOD 30000
/* What a call that hangs would take longer than, and a busy machine never. */
#define PATIENCE 30

/* Lines of about 100 bytes: more than the ring holds. */
static void flood(int from, int to)
{
	for (int i = from; i < to; i++)
		LOG(LOG_INFO, "flood", F_INT("i", i),
			F_STR("pad", "0123456789012345678901234567890123456"));
}

/* Nobody reads: callers go on, lines are counted, stopping takes its second. */
static void test_blocked(void **state)
{
	uint64_t before = log_dropped();
	double start;

	(void)state;
	assert_int_equal(log_start(&plain), 0);
	start = now();
	flood(0, FLOOD);
	assert_true(now() - start < PATIENCE);
	assert_true(log_dropped() - before > 1000);
	assert_true(log_dropped() - before < FLOOD);
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	start = now();
	log_stop();
	assert_true(now() - start < PATIENCE);
	assert_true(now() - start > 0.9);
	/* Nor does what is said after that hang. */
	start = now();
	LOG(LOG_INFO, "late", F_NONE);
	assert_true(now() - start < PATIENCE);
}

/* Each line is either there or counted, and the count stands in its place. */
static void test_dropped_reported(void **state)
{
	uint64_t before = log_dropped(), dropped, reported = 0, lines = 0;
	int last = -1;
	char *text;

	(void)state;
	assert_int_equal(log_start(&plain), 0);
	flood(0, FLOOD);
	dropped = log_dropped() - before;
	assert_true(dropped > 1000);
	start_reading();
	log_stop();
	text = finish_reading();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *count = strstr(line, "log-dropped count=");
		char *i = strstr(line, "i=");

		if (count) {
			assert_non_null(strstr(line, " warn log-dropped"));
			reported += strtoull(count + 18, NULL, 10);
			continue;
		}
		assert_non_null(i);
		/* Gaps are where lines were dropped, nothing is turned. */
		assert_true(atoi(i + 2) > last);
		last = atoi(i + 2);
		lines++;
	}
	assert_int_equal(log_dropped() - before, dropped);
	assert_int_equal(reported, dropped);
	assert_int_equal(lines + dropped, FLOOD);
}

/*
 * Five times what the ring holds, in portions that fit: nothing is dropped,
 * and a line that goes over the ring's end is whole.
 */
static void test_wrap(void **state)
{
	uint64_t before = log_dropped();
	size_t expected = 0;
	char pad[1001], *text;
	int next = 0;

	(void)state;
	memset(pad, 'p', 1000);
	pad[1000] = '\0';
	start_reading();
	assert_int_equal(log_start(&plain), 0);
	while (next < 5000) {
		double deadline = now() + 10;

		for (int i = 0; i < 500; i++, next++) {
			LOG(LOG_INFO, "wrap", F_INT("i", next),
				F_STR("pad", pad));
			expected += strlen(TIME " info wrap i= pad=\n") + 1000 +
				    (size_t)snprintf(NULL, 0, "%d", next);
		}
		while (atomic_load(&capture.bytes) < expected &&
			now() < deadline)
			sched_yield();
	}
	log_stop();
	text = finish_reading();
	next = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char rest[1100];

		snprintf(rest, sizeof(rest), " info wrap i=%d pad=%s", next++,
			pad);
		assert_string_equal(line + strlen(TIME), rest);
	}
	assert_int_equal(next, 5000);
	assert_int_equal(log_dropped(), before);
}

/* A reader that went away costs lines, not the process. */
static void test_broken(void **state)
{
	uint64_t before = log_dropped();

	(void)state;
	close(capture.in);
	capture.in = -1;
	assert_int_equal(log_start(&plain), 0);
	flood(0, 10);
	log_stop();
	assert_int_equal(log_dropped() - before, 10);
}

#define THREADS 4
#define EACH    2000

static void *log_many(void *arg)
{
	int thread = *(int *)arg;

	for (int i = 0; i < EACH; i++)
		LOG(LOG_INFO, "many", F_INT("thread", thread), F_INT("i", i));
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	int numbers[THREADS], next[THREADS] = { 0 };
	char *text;

	(void)state;
	start_reading();
	assert_int_equal(log_start(&plain), 0);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, log_many,
					 &numbers[i]),
			0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_stop();
	text = finish_reading();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		int thread, i;

		assert_int_equal(sscanf(line, "%*s info many thread=%d i=%d",
					 &thread, &i),
			2);
		assert_in_range(thread, 0, THREADS - 1);
		assert_int_equal(i, next[thread]++);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(next[i], EACH);
}

#define WRITER_TEST(f)                                                         \
	cmocka_unit_test_setup_teardown(f, begin_capture, end_capture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_kind_groups),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_tokens_are_not_shown),
		cmocka_unit_test(test_random_values),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_levels),
		WRITER_TEST(test_write),
		WRITER_TEST(test_signals_blocked),
		WRITER_TEST(test_dropped_reported),
		WRITER_TEST(test_wrap),
		WRITER_TEST(test_broken),
		WRITER_TEST(test_threads),
		/* Leaves a count that the next log-dropped line would add. */
		WRITER_TEST(test_blocked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
