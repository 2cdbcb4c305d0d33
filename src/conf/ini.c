/*
 *   text -> physical line -> checks -> inih -> pair
 *                              |`-> section (inih tells nothing of them)
 *                              `-> error, and inih sees an empty line
 */
#include "conf/ini.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Its ini_handler is a type; our struct tag is in another name space. */
#include <ini.h>

#include "codec/utf8.h"

struct reader {
	struct str rest;
	int line;  /* of what was read last, from 1 */
	bool full; /* that line filled inih's buffer */
	const struct ini_handler *h;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void complain(const struct reader *r, const char *what)
{
	r->h->error(r->h->data, r->line, what);
}

/* Takes a line without its end off the text; CR LF ends one like LF. */
static struct str take_line(struct reader *r)
{
	const char *lf = memchr(r->rest.p, '\n', r->rest.n);
	size_t n = lf ? (size_t)(lf - r->rest.p) : r->rest.n;
	struct str s = { r->rest.p, n };

	r->rest.p += lf ? n + 1 : n;
	r->rest.n -= lf ? n + 1 : n;
	r->line++;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

/* What no line may have, comments included. */
static bool bytes_are_fine(const struct reader *r, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= ' ' && c != 0x7f) || c == '\t')
			continue;
		if (c == '\0')
			complain(r, "a NUL byte, expected text");
		else if (c == '\r')
			complain(r, "a carriage return inside of a line, "
				    "expected LF or CR LF at its end");
		else
			complain(r, "a control character, expected text");
		return false;
	}
	return true;
}

/*
 * What is before a comment, trimmed at its end. inih would do the same, but a
 * comment is then no part of the line's length.
 */
static struct str without_comment(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ';' && (i == 0 || is_blank(s.p[i - 1])))
			s.n = i;
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* "[section]": told at once, because inih skips it when it has no keys. */
static bool header_is_fine(const struct reader *r, struct str s)
{
	char name[INI_LINE_MAX + 1];
	const char *close = memchr(s.p, ']', s.n);
	struct str inner;

	if (!close) {
		complain(r, "a section header without its ], "
			    "expected [section] or [section NAME]");
		return false;
	}
	if (close != s.p + s.n - 1) {
		complain(r, "text behind the ] of a section header, "
			    "expected the end of the line");
		return false;
	}
	inner = str_trim((struct str){ s.p + 1, s.n - 2 });
	if (inner.n > INI_SECTION_MAX) {
		complain(r, "a section header that is too long, "
			    "expected at most 49 bytes in the brackets");
		return false;
	}
	memcpy(name, inner.p, inner.n);
	name[inner.n] = '\0';
	r->h->section(r->h->data, r->line, name);
	return true;
}

/* A '#' that a reader of the file would take for a comment. */
static bool has_hash_comment(struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '#' && (i == 0 || is_blank(value.p[i - 1])))
			return true;
	return false;
}

static bool pair_is_fine(const struct reader *r, struct str s)
{
	const char *equals = memchr(s.p, '=', s.n);
	const char *colon = memchr(s.p, ':', s.n);
	struct str value;

	if (is_blank(s.p[0])) {
		/* inih takes it for a further value of the key above */
		complain(r,
			"white space in front, expected \"key = value\" at "
			"the beginning of the line (values do not go on in a "
			"second line; a list's key may be repeated)");
		return false;
	}
	if (!equals || equals == s.p || (colon && colon < equals)) {
		complain(r,
			"no \"key =\" in this line, "
			"expected \"key = value\", \"[section]\" or a comment");
		return false;
	}
	value.p = equals + 1;
	value.n = s.n - (size_t)(value.p - s.p);
	if (has_hash_comment(value)) {
		complain(r, "a # in a value, which begins no comment there, "
			    "expected ; for a comment (or no white space "
			    "before #)");
		return false;
	}
	if (value.n > 0 && value.p[0] == ';') {
		/* with a blank before it, it would be a comment */
		complain(r, "a value that begins with ;, "
			    "expected white space before a comment");
		return false;
	}
	return true;
}

/* Checks a line and keeps what inih shall see of it. */
static bool line_is_fine(const struct reader *r, struct str *s)
{
	struct str start = str_trim(*s);
	bool header = start.n > 0 && start.p[0] == '[';
	bool fine = false;

	if (!bytes_are_fine(r, *s))
		goto done;
	if (start.n == 0 || start.p[0] == ';' || start.p[0] == '#')
		return false;
	*s = without_comment(*s);
	if (!utf8_valid(s->p, s->n))
		complain(r, "bytes that are not UTF-8, expected UTF-8");
	else if (s->n > INI_LINE_MAX)
		complain(r, "a line that is too long, expected at most 199 "
			    "bytes (a list's key may be repeated)");
	else if (header && is_blank(s->p[0]))
		complain(r, "white space in front, "
			    "expected [ at the beginning of the line");
	else if (header)
		fine = header_is_fine(r, *s);
	else
		fine = pair_is_fine(r, *s);
done:
	if (header && !fine)
		r->h->section(r->h->data, r->line, NULL);
	return fine;
}

/*
 * inih's reader: fgets of the next line. Newer ones take a line that fills
 * their buffer for a cut one and ask for its rest with a smaller buffer: ours
 * have none.
 */
static char *read_line(char *out, int size, void *stream)
{
	struct reader *r = stream;
	struct str s;

	assert(size > INI_LINE_MAX || r->full);
	if (r->rest.n == 0 || size <= INI_LINE_MAX)
		return NULL;
	s = take_line(r);
	if (!line_is_fine(r, &s))
		s.n = 0;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	r->full = s.n + 1 == (size_t)size;
	return out;
}

static int take_pair(
	void *user, const char *section, const char *name, const char *value)
{
	const struct reader *r = user;

	(void)section; /* cut at 49 bytes, and missing where it is empty */
	r->h->pair(r->h->data, r->line, name, value);
	return 1;
}

/* By its byte order mark, or as an ASCII letter looks in it. */
static bool is_utf16(struct str text)
{
	return str_starts(text, STR("\xFF\xFE")) ||
	       str_starts(text, STR("\xFE\xFF")) ||
	       (text.n >= 2 && (text.p[0] == '\0') != (text.p[1] == '\0'));
}

/*
 * What editors of another system write, told once: each of the lines would be
 * wrong for it. False: there is no more to read.
 */
static bool encoding_is_fine(struct reader *r)
{
	static const struct str mark = { "\xEF\xBB\xBF", 3 };

	r->line = 1;
	if (is_utf16(r->rest)) {
		complain(r, "UTF-16 text, expected UTF-8: save the file as "
			    "UTF-8 without a byte order mark");
		r->h->section(r->h->data, r->line, NULL);
		return false;
	}
	if (str_starts(r->rest, mark)) {
		complain(r, "a byte order mark, expected UTF-8 without one");
		r->rest.p += mark.n;
		r->rest.n -= mark.n;
	}
	r->line = 0;
	return true;
}

void ini_read(struct str text, const struct ini_handler *h)
{
	struct reader r = { .rest = text, .h = h };
	int line;

	if (!encoding_is_fine(&r))
		return;
	line = ini_parse_stream(read_line, &r, take_pair, &r);
	/* The checks above leave nothing for it to refuse. */
	if (line != 0)
		h->error(h->data, line > 0 ? line : 1,
			"not understood, expected \"key = value\"");
}
