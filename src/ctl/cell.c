#include "ctl/cell.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/str.h"

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcmp(name + n - k, end) == 0;
}

static void format_at(char *out, size_t size, int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
		strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, size, "%" PRId64, ms);
}

/* Two units at the most: "3d 4h", "12m 5s", "480ms". */
static void format_ms(char *out, size_t size, int64_t ms)
{
	int64_t s = ms / 1000;

	if (s >= 86400)
		snprintf(out, size, "%" PRId64 "d%" PRId64 "h", s / 86400,
			s / 3600 % 24);
	else if (s >= 3600)
		snprintf(out, size, "%" PRId64 "h%02" PRId64 "m", s / 3600,
			s / 60 % 60);
	else if (s >= 60)
		snprintf(out, size, "%" PRId64 "m%02" PRId64 "s", s / 60,
			s % 60);
	else if (s >= 10)
		snprintf(out, size, "%" PRId64 "s", s);
	else if (s >= 1)
		snprintf(out, size, "%" PRId64 ".%" PRId64 "s", s,
			ms % 1000 / 100);
	else
		snprintf(out, size, "%" PRId64 "ms", ms);
}

static void format_bytes(char *out, size_t size, int64_t n)
{
	static const char units[] = "KMGTP";
	double value = (double)n / 1024;
	size_t i = 0;

	if (n < 10000) {
		snprintf(out, size, "%" PRId64, n);
		return;
	}
	while (value >= 1000 && units[i + 1]) {
		value /= 1024;
		i++;
	}
	snprintf(out, size, value < 10 ? "%.1f%c" : "%.0f%c", value, units[i]);
}

/* What a terminal might act on is shown, not done. */
size_t cell_text(char *out, size_t size, struct str text)
{
	struct str s = text;
	size_t n = 0;

	while (s.n > 0 && n + 8 < size) {
		size_t length = str_character(s);
		unsigned char c = (unsigned char)s.p[0];

		if (length == 0 || c < 0x20 || c == 0x7f ||
			(c == 0xc2 && (unsigned char)s.p[1] < 0xa0)) {
			length = length == 0 ? 1 : length;
			n += (size_t)snprintf(out + n, size - n, "\\x%02x",
				length == 2 ? (unsigned char)s.p[1] : c);
		} else {
			memcpy(out + n, s.p, length);
			n += length;
		}
		s.p += length;
		s.n -= length;
	}
	out[n] = '\0';
	return text.n - s.n;
}

const char *cell_format(
	char out[CELL_MAX], const char *name, const json_t *value)
{
	int64_t n = json_integer_value(value);

	if (json_is_string(value))
		(void)cell_text(
			out, CELL_MAX, str_of(json_string_value(value)));
	else if (!json_is_integer(value))
		snprintf(out, CELL_MAX, "-");
	else if (ends_in(name, "_at"))
		format_at(out, CELL_MAX, n);
	else if (ends_in(name, "_ms"))
		format_ms(out, CELL_MAX, n);
	else if (ends_in(name, "_bytes"))
		format_bytes(out, CELL_MAX, n);
	else
		snprintf(out, CELL_MAX, "%" PRId64, n);
	return out;
}

/* Of its name: "queued_bytes" is "queued". */
const char *cell_heading(char out[CELL_MAX], const char *name)
{
	size_t n = strlen(name);

	if (ends_in(name, "_at") || ends_in(name, "_ms"))
		n -= 3;
	snprintf(out, CELL_MAX, "%.*s", (int)n, name);
	for (char *p = out; *p; p++)
		if (*p == '_')
			*p = ' ';
	return out;
}

size_t cell_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void cell_pad(size_t n)
{
	while (n-- > 0)
		putchar(' ');
}
