#include "ctl/tap.h"

#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <jansson.h>

#include "base/base64.h"
#include "codec/control.h"
#include "ctl/call.h"
#include "ctl/cell.h"

/* Of a row with 1 MiB of text, of which each byte may be escaped. */
#define LINE_MAX_N (8u << 20)
/* Of a message, in one line. */
#define TEXT_SHOWN   400
#define BINARY_SHOWN 33 /* in groups of 3, as base64 has them */

/* --- until the user has had enough ----------------------------------------*/

static volatile sig_atomic_t stopped;
static int stopped_fd;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
	/* A recv that has just begun would go on waiting. */
	shutdown(stopped_fd, SHUT_RDWR);
}

void tap_catch_signals(struct call *c)
{
	struct sigaction act = { .sa_handler = stop };

	stopped_fd = c->fd;
	c->stop = &stopped;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
}

/* Of the daemon's last line. */
static enum ctl_status status_of(struct str line)
{
	json_t *last = json_loadb(line.p, line.n, 0, NULL);
	const char *status = json_string_value(json_object_get(last, "status"));
	const char *error = json_string_value(json_object_get(last, "error"));
	enum ctl_status result = CTL_REFUSED;

	if (status && strcmp(status, CONTROL_OK) == 0)
		result = CTL_OK;
	else if (status && strcmp(status, CONTROL_USAGE) == 0)
		result = CTL_USAGE;
	if (result != CTL_OK)
		ctl_complain("%s", error ? error : "no status");
	json_decref(last);
	return result;
}

bool tap_line(struct call *c, struct str *line, enum ctl_status *status)
{
	/* What was written is to be seen while nothing more comes. */
	if (!call_has_line(c))
		fflush(stdout);
	if (call_line(c, line) < 0) {
		*line = STR_NONE;
		*status = stopped ? CTL_OK : CTL_UNREACHABLE;
		return false;
	}
	/* No row begins like that. */
	if (!str_starts(*line, STR("{\"status\":")))
		return true;
	*status = status_of(*line);
	return false;
}

/* --- rows for people ------------------------------------------------------*/

static const char *text_of(const json_t *row, const char *name)
{
	return json_string_value(json_object_get(row, name));
}

static int64_t number_of(const json_t *row, const char *name)
{
	return json_integer_value(json_object_get(row, name));
}

static void put_time(int64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	char text[16] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%06d", text, (int)(us % 1000000));
}

static void put_cell(const char *text)
{
	char cell[CELL_MAX];

	(void)cell_text(cell, sizeof(cell), str_of(text));
	printf("  %s", cell);
}

/* Both return how many bytes of the message are shown. */
static size_t put_text(const json_t *text)
{
	/* Each byte may become four. */
	char shown[4 * TEXT_SHOWN + 16];
	struct str s = { json_string_value(text), json_string_length(text) };
	size_t n;

	if (s.n > TEXT_SHOWN) {
		s.n = TEXT_SHOWN;
		while (((unsigned char)s.p[s.n] & 0xc0) == 0x80)
			s.n--;
	}
	n = cell_text(shown, sizeof(shown), s);
	fputs(shown, stdout);
	return n;
}

static size_t put_binary(const char *base64)
{
	uint8_t bytes[BINARY_SHOWN + 2];
	size_t n = strlen(base64);
	ssize_t shown;

	if (n > BASE64_LENGTH(BINARY_SHOWN))
		n = BASE64_LENGTH(BINARY_SHOWN);
	shown = base64_decode(bytes, base64, n);
	for (ssize_t i = 0; i < shown; i++)
		printf("%02x", bytes[i]);
	return shown > 0 ? (size_t)shown : 0;
}

static void put_message(const json_t *row)
{
	const json_t *text = json_object_get(row, "text");
	const char *base64 = text_of(row, "base64");
	const char *hub = text_of(row, "hub"), *id = text_of(row, "id");
	int64_t size = number_of(row, "size_bytes");
	size_t shown = 0;

	put_time(number_of(row, "at_us"));
	put_cell(hub ? hub : text_of(row, "route"));
	put_cell(id ? id : "*");
	put_cell(text_of(row, "direction"));
	put_cell(text_of(row, "opcode"));
	printf("  %" PRId64 "  ", size);
	if (text)
		shown = put_text(text);
	else if (base64)
		shown = put_binary(base64);
	if ((int64_t)shown < size)
		printf(" ... (%" PRId64 " bytes more)", size - (int64_t)shown);
	putchar('\n');
}

struct seen {
	int64_t messages, dropped;
};

static void put_row(struct seen *seen, struct str line)
{
	json_t *row = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
	int64_t dropped = number_of(row, "dropped");
	const char *left_out = text_of(row, "left_out");

	if (dropped > 0) {
		seen->dropped += dropped;
		printf("-- %" PRId64
		       " dropped: they came faster than they were "
		       "read\n",
			dropped);
	} else if (left_out) {
		ctl_complain("left out, for they have tap = no: %s", left_out);
	} else if (row && !json_object_get(row, "began_us")) {
		seen->messages++;
		put_message(row);
	}
	json_decref(row);
}

enum ctl_status tap_show(struct call *c, bool json)
{
	struct seen seen = { 0 };
	enum ctl_status status;
	struct str line;

	c->line_max = LINE_MAX_N;
	tap_catch_signals(c);
	while (tap_line(c, &line, &status))
		if (json)
			fwrite(line.p, 1, line.n, stdout);
		else
			put_row(&seen, line);
	if (json && line.p)
		fwrite(line.p, 1, line.n, stdout);
	else if (!json && status == CTL_OK)
		fprintf(stderr, "%" PRId64 " messages, %" PRId64 " dropped\n",
			seen.messages, seen.dropped);
	return status;
}
