/*
 *   "uri: '{{wsuri /sim/{id}}}';"
 *    text   ^      ^ path      ^
 *           placeholder_parse, placeholder_fill
 *
 * A placeholder is tried wherever there are two braces; what fails is text from
 * its first brace on, so "{{{wsuri /a}}" is a brace and a placeholder.
 */
#include "page/template.h"

#include <string.h>
#include <sys/types.h>

#include "codec/http/uri.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_text(struct str *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

static size_t skip_blanks(struct str *s)
{
	size_t n = 0;

	while (n < s->n && is_blank(s->p[n]))
		n++;
	skip_text(s, n);
	return n;
}

static enum template_word word_parse(struct str *s)
{
	static const struct {
		struct str text;
		enum template_word word;
	} words[] = {
		{ { "wsuri", 5 }, TEMPLATE_WSURI },
		{ { "wspath", 6 }, TEMPLATE_WSPATH },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_starts(*s, words[i].text)) {
			skip_text(s, words[i].text.n);
			return words[i].word;
		}
	return TEMPLATE_END;
}

/*
 * The length of the path with its {captures} at the beginning of s, 0 when it
 * is none: a brace that opens must close and name a capture of the page.
 */
static size_t path_parse(struct str s, const struct captures *captures)
{
	size_t i = 0;

	while (i < s.n && i <= TEMPLATE_PATH_MAX && s.p[i] != '}' &&
		!is_blank(s.p[i])) {
		struct str name = { s.p + i + 1, 0 };

		if (s.p[i++] != '{')
			continue;
		while (i < s.n && name.n <= PATTERN_CAPTURE_MAX &&
			s.p[i] != '}') {
			name.n++;
			i++;
		}
		if (i == s.n || s.p[i] != '}' ||
			!pattern_has_capture(captures->pattern, name))
			return 0;
		i++;
	}
	return i <= TEMPLATE_PATH_MAX ? i : 0;
}

/*
 * Fills in the captures. 1: piece->path is there; 0: it is no path that a
 * token could be for; -1: no memory.
 */
static int path_fill(struct template_piece *piece, struct str template,
	const struct captures *captures)
{
	struct buf filled = { 0 };
	int r = -1;
	ssize_t n;

	/* path_parse knows the captures: only memory can be missing. */
	if (template_expand(&filled, template, captures) < 0)
		goto done;
	r = 0;
	if (filled.n == 0 || filled.n > TEMPLATE_PATH_MAX)
		goto done;
	n = uri_normalise_path(piece->path, buf_str(&filled));
	if (n != (ssize_t)filled.n || memcmp(piece->path, filled.p, filled.n))
		goto done;
	piece->path[n] = '\0';
	/* RFC 3986 lets an asterisk be a segment; as a claim it is a prefix. */
	if (n >= 2 && strcmp(piece->path + n - 2, "/*") == 0)
		goto done;
	r = 1;
done:
	buf_free(&filled);
	return r;
}

/*
 * A placeholder at the beginning of *s is taken off. 1, 0: there is none,
 * -1: no memory.
 */
static int placeholder_parse(struct str *s, const struct captures *captures,
	struct template_piece *piece)
{
	struct str rest = { s->p + 2, s->n - 2 };
	struct str path;
	enum template_word word;
	int r;

	skip_blanks(&rest);
	word = word_parse(&rest);
	if (word == TEMPLATE_END || skip_blanks(&rest) == 0)
		return 0;
	path = (struct str){ rest.p, path_parse(rest, captures) };
	skip_text(&rest, path.n);
	skip_blanks(&rest);
	if (path.n == 0 || !str_starts(rest, STR("}}")))
		return 0;
	r = path_fill(piece, path, captures);
	if (r == 1) {
		skip_text(&rest, 2);
		piece->word = word;
		*s = rest;
	}
	return r;
}

#define ODD_SHOWN 60

/* "{{wsurl /sim/42}}", "{{ws}}": all of it, or its beginning. */
static struct str odd_placeholder(struct str s)
{
	struct str rest = { s.p + 2, s.n - 2 };
	size_t n = 2;

	skip_blanks(&rest);
	if (!str_starts(rest, STR("ws")))
		return STR_NONE;
	while (n < s.n && n < ODD_SHOWN && (unsigned char)s.p[n] >= ' ' &&
		!str_starts((struct str){ s.p + n, s.n - n }, STR("}}")))
		n++;
	if (str_starts((struct str){ s.p + n, s.n - n }, STR("}}")))
		n += 2;
	return (struct str){ s.p, n };
}

int template_next(struct str *rest, const struct captures *captures,
	struct template_piece *piece)
{
	struct str s = *rest;

	piece->word = TEMPLATE_END;
	piece->text = *rest;
	piece->odd = STR_NONE;
	while (s.n >= 2) {
		const char *brace = memchr(s.p, '{', s.n - 1);
		int r = 0;

		if (!brace)
			break;
		skip_text(&s, (size_t)(brace - s.p));
		if (brace[1] == '{')
			r = placeholder_parse(&s, captures, piece);
		if (r < 0)
			return -1;
		if (r == 1) {
			piece->text.n = (size_t)(brace - piece->text.p);
			*rest = s;
			return 0;
		}
		if (brace[1] == '{' && !piece->odd.p)
			piece->odd = odd_placeholder(s);
		skip_text(&s, 1);
	}
	rest->p += rest->n;
	rest->n = 0;
	return 0;
}

/* --- escaping --- */

static const char *markup_entity(unsigned char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

/*
 * \u00XX is the one escape that JSON, and JavaScript in each kind of string,
 * read alike. '<' and '>' end no script element, '`' and '$' no template.
 */
static bool is_special_in_script(unsigned char c)
{
	return c < 0x20 || c == 0x7f || memchr("\"'\\<>&`$", c, 8);
}

int template_escape(struct buf *out, enum template_kind kind, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		const char *entity = markup_entity(c);
		int r;

		if (kind == TEMPLATE_SCRIPT && is_special_in_script(c))
			r = buf_add_printf(out, "\\u%04x", c);
		else if (kind != TEMPLATE_SCRIPT && entity)
			r = buf_add_str(out, str_of(entity));
		else
			r = buf_add_str(out, (struct str){ s.p + i, 1 });
		if (r < 0)
			return -1;
	}
	return 0;
}
