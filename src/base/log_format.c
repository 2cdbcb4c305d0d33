#include "base/log_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/redact.h"

/* What is being written; full says that the last addition did not fit. */
struct line {
	char *p;
	size_t n;
	size_t max;
	bool full;
};

/* How a value is written. */
typedef void add_value(struct line *l, struct str s);

static void line_add(struct line *l, const void *p, size_t n)
{
	if (l->full || n > l->max - l->n) {
		l->full = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void add_text(struct line *l, const char *text)
{
	line_add(l, text, strlen(text));
}

static void add_number(struct line *l, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, number);
	add_text(l, text);
}

static void add_time(struct line *l, const struct timespec *time)
{
	char text[64];
	struct tm tm;
	size_t n;

	gmtime_r(&time->tv_sec, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%06ldZ", time->tv_nsec / 1000);
	add_text(l, text);
}

/* --- escaping -------------------------------------------------------------*/

/* C0, DEL and C1: a terminal may act on them. */
static bool is_control(struct str s, size_t length)
{
	unsigned char c = (unsigned char)s.p[0];

	return (length == 1 && (c < 0x20 || c == 0x7f)) ||
	       (length == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0);
}

/* Whether a text value can be written without quotes. */
static bool is_plain(struct str s)
{
	if (s.n == 0)
		return false;
	while (s.n > 0) {
		size_t length = str_character(s);

		if (length == 0 || is_control(s, length) ||
			memchr(" \"\\=", s.p[0], 4))
			return false;
		s.p += length;
		s.n -= length;
	}
	return true;
}

/* One character, or one byte that is none, for text. Returns its bytes. */
static size_t escape_text(struct line *l, struct str s)
{
	size_t length = str_character(s);
	char escaped[8];

	if (length > 0 && !is_control(s, length) &&
		!json_short_escape(s.p[0])) {
		line_add(l, s.p, length);
		return length;
	}
	if (json_short_escape(s.p[0]))
		snprintf(escaped, sizeof(escaped), "\\%c",
			json_short_escape(s.p[0]));
	else
		snprintf(escaped, sizeof(escaped), "\\x%02x",
			(unsigned int)(unsigned char)s.p[0]);
	add_text(l, escaped);
	return 1;
}

/* The same for JSON. */
static size_t escape_json(struct line *l, struct str s)
{
	char escaped[JSON_ESCAPED_MAX];
	size_t used, n = json_escape(escaped, s, &used);

	line_add(l, escaped, n);
	return used;
}

/* The value's beginning of at most LOG_VALUE_MAX bytes, characters whole. */
static struct str cut(struct str s)
{
	size_t n = LOG_VALUE_MAX;

	if (s.n <= LOG_VALUE_MAX)
		return s;
	while (n > LOG_VALUE_MAX - 4 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return (struct str){ s.p, n };
}

static void add_quoted(struct line *l, struct str s,
	size_t (*escape)(struct line *l, struct str s))
{
	struct str kept = cut(s);
	bool is_cut = kept.n < s.n;

	add_text(l, "\"");
	while (kept.n > 0 && !l->full) {
		size_t used = escape(l, kept);

		kept.p += used;
		kept.n -= used;
	}
	add_text(l, is_cut ? "...\"" : "\"");
}

static void add_value_text(struct line *l, struct str s)
{
	if (s.n <= LOG_VALUE_MAX && is_plain(s))
		line_add(l, s.p, s.n);
	else
		add_quoted(l, s, escape_text);
}

static void add_value_json(struct line *l, struct str s)
{
	add_quoted(l, s, escape_json);
}

/* --- fields ---------------------------------------------------------------*/

/* Whether there is something to write. */
static bool field_is_set(const struct log_field *f)
{
	switch (f->type) {
	case LOG_FIELD_INT:
		return true;
	case LOG_FIELD_STR:
		return f->str.p != NULL;
	case LOG_FIELD_NONE:
		return false;
	}
	return false;
}

static void field_add_value(
	struct line *l, const struct log_field *f, add_value *add_str)
{
	/* One byte more than a value may have says that it is to be cut. */
	char shown[LOG_VALUE_MAX + 1];

	if (f->type == LOG_FIELD_INT)
		add_number(l, f->number);
	else
		add_str(l, redact_tokens(f->str, shown, sizeof(shown)));
}

static void field_text(struct line *l, const struct log_field *f)
{
	add_text(l, " ");
	add_text(l, f->key);
	add_text(l, "=");
	field_add_value(l, f, add_value_text);
}

static void field_json(struct line *l, const struct log_field *f)
{
	add_text(l, ",\"");
	add_text(l, f->key);
	add_text(l, "\":");
	field_add_value(l, f, add_value_json);
}

/*
 * A journal field with any bytes in it: the name, LF, 64 bits of length
 * (little endian), the value, LF.
 */
static void add_journal_bytes(struct line *l, struct str s)
{
	unsigned char length[8];
	struct str kept = cut(s);

	for (size_t i = 0; i < sizeof(length); i++)
		length[i] = (unsigned char)((uint64_t)kept.n >> 8 * i);
	add_text(l, "\n");
	line_add(l, length, sizeof(length));
	line_add(l, kept.p, kept.n);
}

static void field_journal(struct line *l, const struct log_field *f)
{
	add_text(l, "WSRELAY_");
	for (const char *p = f->key; *p; p++) {
		char c = *p;

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		else if (c == '-')
			c = '_';
		line_add(l, &c, 1);
	}
	if (f->type == LOG_FIELD_INT)
		add_text(l, "=");
	field_add_value(l, f, add_journal_bytes);
	add_text(l, "\n");
}

/* Writes the fields; one that does not fit is taken back as a whole. */
static void add_fields(struct line *l, const struct log_record *record,
	void (*add_field)(struct line *l, const struct log_field *f))
{
	for (size_t i = 0; i < record->n; i++) {
		size_t before = l->n;

		if (!field_is_set(&record->fields[i]))
			continue;
		add_field(l, &record->fields[i]);
		if (l->full)
			l->n = before;
		l->full = false;
	}
}

/* --- lines ----------------------------------------------------------------*/

/* The levels of sd-daemon(3) and syslog(3). */
static char priority_of(enum log_level level)
{
	switch (level) {
	case LOG_ERROR:
		return '3';
	case LOG_WARN:
		return '4';
	case LOG_INFO:
		return '6';
	case LOG_DEBUG:
		return '7';
	}
	return '6';
}

/* The journal has a time of its own beside each line. */
static void line_text(
	struct line *l, const struct log_record *record, enum log_sink sink)
{
	if (sink == LOG_STDERR) {
		add_time(l, &record->time);
		add_text(l, " ");
	}
	add_text(l, log_level_name(record->level));
	add_text(l, " ");
	add_text(l, record->event);
	add_fields(l, record, field_text);
}

static void line_json(struct line *l, const struct log_record *record)
{
	add_text(l, "{\"time\":\"");
	add_time(l, &record->time);
	add_text(l, "\",\"level\":\"");
	add_text(l, log_level_name(record->level));
	add_text(l, "\",\"event\":\"");
	add_text(l, record->event);
	add_text(l, "\"");
	add_fields(l, record, field_json);
	l->max++; /* of the two bytes that log_format reserved */
	add_text(l, "}");
}

/* The message comes first: what people read matters more than the fields. */
static void line_journal(struct line *l, const struct log_record *record)
{
	char priority = priority_of(record->level);

	add_text(l, "SYSLOG_IDENTIFIER=wsrelayd\nPRIORITY=");
	line_add(l, &priority, 1);
	add_text(l, "\nWSRELAY_TIME=");
	add_time(l, &record->time);
	add_text(l, "\nWSRELAY_EVENT=");
	add_text(l, record->event);
	add_text(l, "\nMESSAGE=");
	add_text(l, record->event);
	add_fields(l, record, field_text);
	l->max++; /* of the two bytes that log_format reserved */
	add_text(l, "\n");
	add_fields(l, record, field_journal);
}

size_t log_format(char out[LOG_LINE_MAX], const struct log_record *record,
	enum log_sink sink, bool json)
{
	struct line l = { .p = out, .max = LOG_LINE_MAX - 2 };
	char priority[3] = { '<', priority_of(record->level), '>' };

	if (sink == LOG_JOURNAL) {
		line_journal(&l, record);
		return l.n;
	}
	if (sink == LOG_STDERR_PRIORITY)
		line_add(&l, priority, sizeof(priority));
	if (json)
		line_json(&l, record);
	else
		line_text(&l, record, sink);
	l.max = LOG_LINE_MAX;
	add_text(&l, "\n");
	return l.n;
}
