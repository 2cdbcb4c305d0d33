/*
 * top.c: wsrelayctl top: routes, hubs or clients, live in the terminal.
 *
 *   ask status and the view's command -> a sample -> rates, sorted -> the screen
 *      ^                                                                |
 *      '------------- a key, or the interval is over <------------------'
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "ctl/call.h"
#include "ctl/cell.h"
#include "ctl/ctl.h"
#include "ctl/sample.h"

#define INTERVAL_S     2
#define INTERVAL_MAX_S 3600
/* An answer that takes long is not asked for all the time. */
#define REST_FACTOR 4

/* Keys that sort are none of q, r, h, c. */
static const struct sample_view views[] = {
	{ 'r', "routes", { "route", NULL },
		{ { "ROUTE", 'n', "route" }, { "CLIENTS", 'm', "clients" },
			{ "HUBS", 'u', "hubs" },
			{ "PROGRAMS", 'p', "programs" },
			{ "IN/S", 'i', "+client_messages" },
			{ "OUT/S", 'o', "+backend_messages" },
			{ "IN BYTES/S", 'b', "+client_bytes" },
			{ "OUT BYTES/S", 'd', "+backend_bytes" },
			{ "PATH", 0, "path" } } },
	{ 'h', "hubs", { "route", "path" },
		{ { "PATH", 'n', "path" }, { "ROUTE", 't', "route" },
			{ "STATE", 's', "state" },
			{ "MEMBERS", 'm', "members" },
			{ "IN/S", 'i', "+member_messages" },
			{ "OUT/S", 'o', "+backend_messages" },
			{ "QUEUED", 'w', "queued_bytes" },
			{ "LAST", 'l', "message_ms" },
			{ "AGE", 'a', "age_ms" } } },
	{ 'c', "clients", { "id", NULL },
		{ { "ID", 'n', "id" }, { "ROUTE", 't', "route" },
			{ "SUBJECT", 's', "subject" },
			{ "IN/S", 'i', "+client_messages" },
			{ "OUT/S", 'o', "+backend_messages" },
			{ "IN BYTES/S", 'b', "+client_bytes" },
			{ "OUT BYTES/S", 'd', "+backend_bytes" },
			{ "QUEUED", 'w', "queued_bytes" },
			{ "LOST", 'x', "lost" }, { "AGE", 'a', "age_ms" },
			{ "PEER", 'p', "peer" } } },
};

/* Asked with each screen. */
static const struct sample_view status_view = { 0, "status", { "pid", NULL },
	{ { .heading = NULL } } };

struct top {
	struct call call;
	const struct sample_view *view;
	const struct sample_column *by[ARRAY_SIZE(views)]; /* sorted, by view */
	struct sample *sample, *status; /* the newest; NULL: none yet */
	int interval_ms;
	int64_t took_ms; /* the last answer */
	struct termios before;
};

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* --- the screen -----------------------------------------------------------*/

static struct winsize screen_size(void)
{
	struct winsize w = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row < 5 ||
		w.ws_col < 20)
		w = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	return w;
}

/* As much of a line as fits; the rest of the screen's line is cleared. */
static void put_line(const char *text, size_t width, const char *style)
{
	size_t columns = 0, n = 0;

	while (text[n]) {
		size_t length = 1;

		while (((unsigned char)text[n + length] & 0xc0) == 0x80)
			length++;
		if (++columns > width)
			break;
		n += length;
	}
	printf("%s%.*s\033[0m\033[K\r\n", style, (int)n, text);
}

static const struct sample_column **by_of(struct top *t)
{
	return &t->by[t->view - views];
}

static void put_status(const struct top *t, size_t width)
{
	const json_t *row = t->status->n > 0 ? t->status->rows[0] : NULL;
	char line[512], age[CELL_MAX], queued[CELL_MAX];

	if (!row)
		return;
	snprintf(line, sizeof(line),
		"wsrelayd %s, %s for %s, %lld clients of %lld, %lld programs, "
		"%s waiting",
		json_string_value(json_object_get(row, "version")),
		json_string_value(json_object_get(row, "state")),
		cell_format(age, "age_ms", json_object_get(row, "age_ms")),
		(long long)json_integer_value(
			json_object_get(row, "connections")),
		(long long)json_integer_value(
			json_object_get(row, "max_connections")),
		(long long)json_integer_value(json_object_get(row, "programs")),
		cell_format(queued, "queued_bytes",
			json_object_get(row, "queued_bytes")));
	put_line(line, width, "");
}

static void put_keys(const struct top *t, size_t width)
{
	char line[512];
	size_t n = (size_t)snprintf(line, sizeof(line),
		"q quit  r routes  h hubs  c clients  sort:");

	for (const struct sample_column *c = t->view->columns; c->heading; c++)
		if (c->key && n < sizeof(line))
			n += (size_t)snprintf(line + n, sizeof(line) - n,
				"  %c %s", c->key, c->heading);
	put_line(line, width, "\033[2m");
}

/* In columns as wide as their widest cell on the screen. */
static size_t add_cell(
	char *line, size_t n, const char *cell, size_t width, bool right)
{
	size_t gap = width > cell_width(cell) ? width - cell_width(cell) : 0;

	return n + (size_t)snprintf(line + n, 4096 - n, "%*s%s%*s  ",
			   right ? (int)gap : 0, "", cell, right ? 0 : (int)gap,
			   "");
}

static void put_table(struct top *t, size_t rows, size_t width)
{
	const struct sample *s = t->sample;
	const struct sample_column *columns = t->view->columns;
	size_t widths[SAMPLE_COLUMNS] = { 0 }, n = s->n < rows ? s->n : rows;
	bool right[SAMPLE_COLUMNS] = { false };
	char cell[CELL_MAX], line[4096];
	size_t at = 0;

	for (size_t k = 0; columns[k].heading; k++) {
		widths[k] = strlen(columns[k].heading) + 1;
		for (size_t i = 0; i < n; i++) {
			size_t w = cell_width(
				sample_text(s, &columns[k], s->rows[i], cell));

			widths[k] = w > widths[k] ? w : widths[k];
			right[k] = right[k] || columns[k].member[0] == '+' ||
				   json_is_integer(json_object_get(
					   s->rows[i], columns[k].member));
		}
	}
	line[0] = '\0';
	for (size_t k = 0; columns[k].heading && at < 2048; k++) {
		snprintf(cell, sizeof(cell), "%s%s", columns[k].heading,
			&columns[k] == *by_of(t) ? "*" : "");
		at = add_cell(line, at, cell, widths[k], right[k]);
	}
	put_line(line, width, "\033[7m");
	for (size_t i = 0; i < n; i++) {
		at = 0;
		for (size_t k = 0; columns[k].heading && at < 2048; k++)
			at = add_cell(line, at,
				sample_text(s, &columns[k], s->rows[i], cell),
				widths[k], right[k]);
		put_line(line, width, "");
	}
}

static void draw(struct top *t)
{
	struct winsize w = screen_size();
	char line[128];

	sample_sort(t->sample, *by_of(t));
	fputs("\033[H", stdout);
	put_status(t, w.ws_col);
	snprintf(line, sizeof(line), "%zu %s", t->sample->n, t->view->command);
	put_line(line, w.ws_col, "\033[1m");
	put_table(t, w.ws_row - 5u, w.ws_col);
	put_keys(t, w.ws_col);
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* --- asking ---------------------------------------------------------------*/

/* The newest takes the place of the one before. -1: it complained. */
static int renew(
	struct sample **s, struct call *c, const struct sample_view *view)
{
	struct sample *next = malloc(sizeof(*next));
	struct sample *before = *s;

	if (!next) {
		ctl_complain("no memory");
		return -1;
	}
	*s = next; /* which takes before */
	return sample_take(next, c, view, before);
}

static int ask(struct top *t)
{
	int64_t begun = clock_monotonic_us() / 1000;
	int result = renew(&t->status, &t->call, &status_view);

	if (result == 0)
		result = renew(&t->sample, &t->call, t->view);
	t->took_ms = clock_monotonic_us() / 1000 - begun;
	return result;
}

/* --- keys -----------------------------------------------------------------*/

/* Whether the view is another one now, and must be asked for. */
static bool take_key(struct top *t, char key)
{
	for (const struct sample_column *c = t->view->columns; c->heading; c++)
		if (c->key == key)
			*by_of(t) = c;
	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		if (views[i].key == key && t->view != &views[i]) {
			t->view = &views[i];
			return true;
		}
	return false;
}

/* 1: it is time to ask again, 0: to draw again, -1: to end. */
static int wait_for_key(struct top *t)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	int64_t rest = REST_FACTOR * t->took_ms;
	int wait = rest > t->interval_ms ? (int)rest : t->interval_ms;
	char key;
	int n = poll(&p, 1, wait);

	if (stopped)
		return -1;
	if (n < 0) /* the window has another size */
		return errno == EINTR ? 0 : -1;
	if (n == 0)
		return 1;
	if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 3)
		return -1;
	return take_key(t, key) ? 1 : 0;
}

/* --- life -----------------------------------------------------------------*/

static int terminal_begin(struct top *t)
{
	struct sigaction act = { .sa_handler = stop };
	struct termios raw;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
		tcgetattr(STDIN_FILENO, &t->before) < 0) {
		ctl_complain("top: needs a terminal; status, routes, hubs and "
			     "clients say the same once");
		return -1;
	}
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	raw = t->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	/* The other screen, without a cursor. */
	fputs("\033[?1049h\033[?25l", stdout);
	return 0;
}

static void terminal_end(const struct top *t)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
}

/* Until a key, a signal, or the daemon's end. */
static int show(struct top *t)
{
	int next = 1;

	while (next >= 0) {
		if (next > 0 && ask(t) < 0)
			return -1;
		draw(t);
		next = wait_for_key(t);
	}
	return 0;
}

static int read_options(
	struct top *t, struct ctl_global *g, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "socket", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int c, n = INTERVAL_S;
	char *end = "";

	optind = 0; /* a new scan, with glibc */
	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		if (c == 'i')
			n = (int)strtol(optarg, &end, 10);
		else if (c == 's')
			g->socket = optarg;
		else if (c == 'c')
			g->file = optarg;
		else
			return -1;
	}
	if (*end || n < 1 || n > INTERVAL_MAX_S) {
		ctl_complain("--interval: expected seconds, 1 to %d",
			INTERVAL_MAX_S);
		return -1;
	}
	if (optind < argc) {
		ctl_complain("top: there is no argument '%s'", argv[optind]);
		return -1;
	}
	t->interval_ms = n * 1000;
	return 0;
}

enum ctl_status ctl_top_run(
	const struct ctl_global *global, int argc, char **argv)
{
	struct ctl_global g = *global;
	struct top t = { .call = { .fd = -1 } };
	enum ctl_status status = CTL_UNREACHABLE;
	char *path;

	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		t.view = &views[i];
		(void)take_key(&t, 'i'); /* the busiest first */
	}
	t.view = &views[0];
	if (read_options(&t, &g, argc, argv) < 0)
		return CTL_USAGE;
	path = ctl_ask_socket(&g);
	if (path && call_open(&t.call, path) == 0) {
		status = CTL_USAGE;
		if (terminal_begin(&t) == 0) {
			status = show(&t) < 0 ? CTL_UNREACHABLE : CTL_OK;
			terminal_end(&t);
			/* What was said is gone with the other screen. */
			if (status != CTL_OK)
				ctl_complain(
					"the daemon has ended, or does not "
					"answer");
		}
	}
	sample_free(t.sample);
	sample_free(t.status);
	call_close(&t.call);
	free(path);
	return status;
}
