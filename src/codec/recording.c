#include "codec/recording.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "codec/utf8.h"

#define US 1000000

const char recording_version[] = "wsrelayd-recording 1\n";

/* By enum recording_kind. */
static const char *const words[] = {
	[RECORDING_TEXT] = "text",
	[RECORDING_BINARY] = "binary",
	[RECORDING_DROPPED] = "dropped",
	[RECORDING_END] = "end",
};

size_t recording_line(char out[RECORDING_LINE_MAX], enum recording_kind kind,
	int64_t at_us, uint64_t n)
{
	int length = snprintf(out, RECORDING_LINE_MAX, "%" PRId64 ".%06d %s",
		at_us / US, (int)(at_us % US), words[kind]);

	if (kind != RECORDING_END)
		length += snprintf(out + length,
			RECORDING_LINE_MAX - (size_t)length, " %" PRIu64, n);
	out[length] = '\n';
	return (size_t)length + 1;
}

/* --- the head -------------------------------------------------------------*/

static int read_framing(struct recording_item *item, struct str value)
{
	for (enum framing_id i = FRAMING_RAW; i <= FRAMING_LEN32; i++)
		if (str_eq(value, str_of(framing_get(i)->name))) {
			item->framing = i;
			return 0;
		}
	return -1;
}

/* NULL, or what is wrong. */
static const char *read_field(struct recording_item *item, struct str line)
{
	struct str name = str_cut(&line, ' ');

	if (name.n == 0 || line.n == 0)
		return "expected a name and a value, or an empty line";
	if (str_eq(name, STR("framing")) && read_framing(item, line) < 0)
		return "framing: expected raw, line or len32";
	return NULL;
}

static const char *check_version(struct str line)
{
	struct str name = str_cut(&line, ' ');

	if (!str_eq(name, STR("wsrelayd-recording")))
		return "this is no recording of wsrelayd";
	return str_eq(line, STR("1")) ? NULL
				      : "a recording of another version: this "
					"one reads 1";
}

/* All lines are there, up to the empty one, which is not in text. */
static const char *read_lines(struct recording_item *item, struct str text)
{
	const char *why = check_version(str_cut(&text, '\n'));

	while (!why && text.n > 0)
		why = read_field(item, str_cut(&text, '\n'));
	return why;
}

static ssize_t read_head(struct recording *r, uint8_t *p, size_t n,
	struct recording_item *item, const char **why)
{
	size_t some = strlen("wsrelayd-recording ");
	size_t most = n < RECORDING_HEAD_MAX ? n : RECORDING_HEAD_MAX;
	uint8_t *end;

	if (memcmp(p, recording_version, most < some ? most : some) != 0) {
		*why = "this is no recording of wsrelayd";
		return -1;
	}
	end = memmem(p, most, "\n\n", 2);
	if (!end && n < RECORDING_HEAD_MAX)
		return 0;
	*item = (struct recording_item){ .kind = RECORDING_HEAD };
	*why = end ? read_lines(
			     item, (struct str){ (char *)p, (size_t)(end - p) })
		   : "the lines at its beginning have no end";
	r->headed = true;
	return *why ? -1 : (ssize_t)(end - p) + 2;
}

/* --- items ----------------------------------------------------------------*/

/* "12", "12.5": six digits behind the point at the most. */
static int read_time(struct str s, int64_t *us)
{
	struct str fraction = s;
	struct str seconds = str_cut(&fraction, '.');
	bool pointed = seconds.n < s.n;
	uint64_t whole, part = 0;

	if (str_decimal(seconds, RECORDING_TIME_MAX / US - 1, &whole) < 0 ||
		(pointed && (fraction.n > 6 ||
				    str_decimal(fraction, US, &part) < 0)))
		return -1;
	for (size_t i = fraction.n; pointed && i < 6; i++)
		part *= 10;
	*us = (int64_t)(whole * US + part);
	return 0;
}

static int read_kind(struct str word, enum recording_kind *kind)
{
	for (int i = RECORDING_TEXT; i <= RECORDING_END; i++)
		if (str_eq(word, str_of(words[i]))) {
			*kind = (enum recording_kind)i;
			return 0;
		}
	return -1;
}

/* NULL, or what is wrong. */
static const char *read_line(struct recording_item *item, struct str line)
{
	struct str time = str_cut(&line, ' ');
	struct str word = str_cut(&line, ' ');
	uint64_t max = UINT64_MAX;

	if (read_time(time, &item->at_us) < 0)
		return "expected a time in seconds";
	if (read_kind(word, &item->kind) < 0)
		return "expected text, binary, dropped or end behind the time";
	if (item->kind == RECORDING_END)
		return line.n == 0 ? NULL : "expected nothing behind end";
	if (item->kind != RECORDING_DROPPED)
		max = RECORDING_MESSAGE_MAX;
	if (str_decimal(line, max, &item->n) == 0)
		return NULL;
	return item->kind == RECORDING_DROPPED
		       ? "expected how many messages were dropped"
		       : "expected how many bytes the message has, 16777216 "
			 "at most";
}

/* Behind its line, of line_n bytes. Returns 0, the bytes used, or -1. */
static ssize_t read_payload(struct recording_item *item, size_t line_n,
	uint8_t *p, size_t n, const char **why)
{
	size_t all = line_n + (size_t)item->n + 1;

	if (n < all)
		return 0;
	item->data = p + line_n;
	if (p[all - 1] != '\n')
		*why = "there is no line feed behind the message";
	else if (item->kind == RECORDING_TEXT &&
		 !utf8_valid(item->data, (size_t)item->n))
		*why = "a text that is not UTF-8";
	else
		return (ssize_t)all;
	return -1;
}

ssize_t recording_read(struct recording *r, uint8_t *p, size_t n,
	struct recording_item *item, const char **why)
{
	size_t most = n < RECORDING_LINE_MAX ? n : RECORDING_LINE_MAX;
	uint8_t *end;
	ssize_t used;

	if (n == 0)
		return 0;
	if (!r->headed)
		return read_head(r, p, n, item, why);
	*item = (struct recording_item){ .kind = RECORDING_END };
	end = memchr(p, '\n', most);
	if (!end && most < RECORDING_LINE_MAX)
		return 0;
	*why = r->ended ? "there is more behind its end"
	       : end    ? read_line(item,
				  (struct str){ (char *)p, (size_t)(end - p) })
			: "a line longer than 64 bytes";
	if (!*why && item->at_us < r->at_us)
		*why = "the time goes back";
	if (*why)
		return -1;
	used = end - p + 1;
	if (item->kind == RECORDING_TEXT || item->kind == RECORDING_BINARY)
		used = read_payload(item, (size_t)used, p, n, why);
	if (used <= 0)
		return used;
	r->at_us = item->at_us;
	r->ended = item->kind == RECORDING_END;
	return used;
}
