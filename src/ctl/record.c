/*
 * A row of the daemon -> its time since the first message -> an item of the file
 * (codec/recording.h). The file is made when the daemon has begun, its head is
 * written with the first message.
 */
#include "ctl/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/base64.h"
#include "base/clock.h"
#include "codec/recording.h"
#include "ctl/call.h"
#include "ctl/tap.h"

/* A row with the longest message, of which each byte may be escaped. */
#define LINE_MAX_N ((size_t)6 * RECORDING_MESSAGE_MAX + 65536)

struct record {
	const char *name;
	FILE *file;      /* NULL: not made yet */
	json_t *head;    /* the daemon's first row */
	int64_t zero_us; /* Unix time of its beginning; 0: not begun */
	int64_t at_us;   /* of the last item, since then */
	int64_t messages, dropped;
	bool failed; /* what is wrong was complained about */
};

static void complain(struct record *r, const char *what)
{
	if (!r->failed)
		ctl_complain("%s: %s", r->name, what);
	r->failed = true;
}

/* --- the file -------------------------------------------------------------*/

static void make_file(struct record *r)
{
	int fd = -1;

	if (strcmp(r->name, "-") == 0) {
		r->file = stdout;
		return;
	}
	/* Only its owner may read it, and no file is overwritten. */
	fd = open(r->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		r->file = fdopen(fd, "w");
	if (!r->file)
		complain(r, strerror(errno));
	if (!r->file && fd >= 0)
		close(fd);
}

static void write_field(struct record *r, const char *name)
{
	const char *value = json_string_value(json_object_get(r->head, name));

	if (value)
		fprintf(r->file, "%s %s\n", name, value);
}

static void write_head(struct record *r, int64_t now_us)
{
	time_t seconds = (time_t)(now_us / 1000000);
	char text[40] = "";
	struct tm tm;

	r->zero_us = now_us;
	if (gmtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fputs(recording_version, r->file);
	fprintf(r->file, "began %s.%06dZ\n", text, (int)(now_us % 1000000));
	write_field(r, "route");
	write_field(r, "path");
	write_field(r, "framing");
	fputc('\n', r->file);
}

/* at_us: Unix time. The clock may have been set back meanwhile. */
static void write_line(
	struct record *r, enum recording_kind kind, int64_t at_us, uint64_t n)
{
	char line[RECORDING_LINE_MAX];
	size_t length;

	if (!r->zero_us)
		write_head(r, at_us);
	if (at_us - r->zero_us > r->at_us)
		r->at_us = at_us - r->zero_us;
	length = recording_line(line, kind, r->at_us, n);
	fwrite(line, 1, length, r->file);
}

static void write_message(
	struct record *r, const json_t *row, const void *p, size_t n)
{
	bool text = json_object_get(row, "text") != NULL;

	write_line(r, text ? RECORDING_TEXT : RECORDING_BINARY,
		json_integer_value(json_object_get(row, "at_us")), n);
	if (n > 0)
		fwrite(p, 1, n, r->file);
	fputc('\n', r->file);
	r->messages++;
}

static void write_binary(struct record *r, const json_t *row)
{
	const json_t *value = json_object_get(row, "base64");
	size_t n = json_string_length(value);
	uint8_t *bytes = malloc(n / 4 * 3 + 2);
	ssize_t length = -1;

	if (bytes)
		length = base64_decode(bytes, json_string_value(value), n);
	if (length >= 0)
		write_message(r, row, bytes, (size_t)length);
	else
		complain(r, bytes ? "the daemon's answer is no base64"
				  : "no memory");
	free(bytes);
}

/* Ends it, whatever has happened: what it has is good. */
static void end_file(struct record *r)
{
	if (!r->file)
		return;
	write_line(r, RECORDING_END, clock_unix_us(), 0);
	if (fflush(r->file) != 0 || ferror(r->file))
		complain(r, strerror(errno));
	if (r->file != stdout && fclose(r->file) != 0)
		complain(r, strerror(errno));
}

/* --- rows -----------------------------------------------------------------*/

static void take_row(struct record *r, json_t *row)
{
	int64_t dropped = json_integer_value(json_object_get(row, "dropped"));
	const json_t *text = json_object_get(row, "text");

	if (!r->head)
		r->head = json_incref(row);
	else if (!r->file)
		make_file(r); /* it has begun */
	else if (dropped > 0)
		write_line(r, RECORDING_DROPPED,
			r->zero_us ? r->zero_us + r->at_us : clock_unix_us(),
			(uint64_t)dropped);
	else if (text)
		write_message(r, row, json_string_value(text),
			json_string_length(text));
	else if (json_object_get(row, "base64"))
		write_binary(r, row);
	r->dropped += dropped;
	if (r->file && ferror(r->file))
		complain(r, strerror(errno));
}

static void take_line(struct record *r, struct str line)
{
	json_t *row = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);

	if (row)
		take_row(r, row);
	else
		complain(r, "the daemon's answer is no JSON");
	json_decref(row);
}

static void tell(const struct record *r, bool json)
{
	if (json)
		fprintf(stderr,
			"{\"messages\":%" PRId64 ",\"dropped\":%" PRId64
			",\"age_us\":%" PRId64 "}\n",
			r->messages, r->dropped, r->at_us);
	else
		fprintf(stderr,
			"%" PRId64 " messages, %" PRId64 " dropped, %.1f s\n",
			r->messages, r->dropped, (double)r->at_us / 1e6);
}

enum ctl_status record_write(struct call *c, const char *file, bool json)
{
	struct record r = { .name = file };
	enum ctl_status status = CTL_OK;
	struct str line;

	c->line_max = LINE_MAX_N;
	tap_catch_signals(c);
	while (!r.failed && tap_line(c, &line, &status)) {
		take_line(&r, line);
		if (r.file && !call_has_line(c) && fflush(r.file) != 0)
			complain(&r, strerror(errno));
	}
	end_file(&r);
	if (r.file)
		tell(&r, json);
	json_decref(r.head);
	return r.failed && status == CTL_OK ? CTL_REFUSED : status;
}
