#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/redact.h"

char json_short_escape(char c)
{
	static const char from[] = "\n\r\t\"\\", to[] = "nrt\"\\";
	const char *found = memchr(from, c, sizeof(from) - 1);

	return found ? to[found - from] : 0;
}

size_t json_escape(char out[JSON_ESCAPED_MAX], struct str s, size_t *used)
{
	size_t length = str_character(s);
	unsigned int c = (unsigned char)s.p[0];

	*used = length > 0 ? length : 1;
	if (length > 0 && c >= 0x20 && c != 0x7f &&
		!json_short_escape(s.p[0])) {
		memcpy(out, s.p, length);
		return length;
	}
	if (json_short_escape(s.p[0]))
		return (size_t)snprintf(out, JSON_ESCAPED_MAX, "\\%c",
			json_short_escape(s.p[0]));
	return (size_t)snprintf(
		out, JSON_ESCAPED_MAX, "\\u%04x", length == 0 ? 0xfffdu : c);
}

/* How many bytes at the beginning of s are written as they are. */
static size_t plain(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= 0x20 && s.p[n] < 0x7f && s.p[n] != '"' &&
		s.p[n] != '\\')
		n++;
	return n;
}

int json_add_characters(struct buf *out, struct str *left, size_t most)
{
	size_t end = out->n +
		     (most < SIZE_MAX - out->n ? most : SIZE_MAX - out->n);

	while (left->n > 0 && out->n < end) {
		size_t room = end - out->n;
		size_t used = plain((struct str){
			left->p, left->n < room ? left->n : room });
		char escaped[JSON_ESCAPED_MAX];
		struct str as = { left->p, used };

		if (used == 0) {
			as.n = json_escape(escaped, *left, &used);
			as.p = escaped;
		}
		if (buf_add_str(out, as) < 0)
			return -1;
		left->p += used;
		left->n -= used;
	}
	return 0;
}

/* The value's beginning of at most JSON_VALUE_MAX bytes, characters whole. */
static struct str cut(struct str s)
{
	size_t n = JSON_VALUE_MAX;

	if (s.n <= JSON_VALUE_MAX)
		return s;
	while (n > JSON_VALUE_MAX - 4 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return (struct str){ s.p, n };
}

static int add_text(struct buf *out, struct str s)
{
	/* One byte more than a value may have says that it is to be cut. */
	char shown[JSON_VALUE_MAX + 1];
	struct str left;
	bool whole;

	s = redact_tokens(s, shown, sizeof(shown));
	left = cut(s);
	whole = left.n == s.n;
	if (buf_add_str(out, STR("\"")) < 0 ||
		json_add_characters(out, &left, SIZE_MAX) < 0)
		return -1;
	return buf_add_str(out, whole ? STR("\"") : STR("...\""));
}

static int add_field(struct buf *out, const struct log_field *f, bool first)
{
	if (buf_add_printf(out, "%s\"%s\":", first ? "" : ",", f->key) < 0)
		return -1;
	if (f->type == LOG_FIELD_INT)
		return buf_add_printf(out, "%" PRId64, f->number);
	return add_text(out, f->str);
}

/* -1: *out has a part of it. */
static int add_object(struct buf *out, const struct log_field *fields, size_t n)
{
	bool first = true;

	if (buf_add_str(out, STR("{")) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct log_field *f = &fields[i];

		if (f->type == LOG_FIELD_NONE ||
			(f->type == LOG_FIELD_STR && !f->str.p))
			continue;
		if (add_field(out, f, first) < 0)
			return -1;
		first = false;
	}
	return buf_add_str(out, STR("}\n"));
}

int json_add_line(struct buf *out, const struct log_field *fields, size_t n)
{
	size_t before = out->n;

	if (add_object(out, fields, n) == 0)
		return 0;
	out->n = before;
	return -1;
}
