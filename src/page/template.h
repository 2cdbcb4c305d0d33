/*
 * template.h: placeholders in the files of a page.
 *
 *   {{wsuri /sim/42}}       a whole wsuri with a fresh token
 *   {{wspath /sim/{id}}}    the same without scheme and host
 *
 * Blanks may be behind "{{" and before "}}", one or more between word and path.
 * {id} is a capture of the page's own path. What is not written like this is
 * text and left alone: another word, a capture that the page has not, a path
 * that is not in its normal form (codec/http/uri.h), is longer than
 * TEMPLATE_PATH_MAX or ends in an asterisk behind a slash: in a token that
 * would be everything below.
 *
 * Of these, what begins with two braces and "ws" is hardly meant as text: it is
 * told of.
 *
 * Pure; what replaces a placeholder is page/wsuri.h's.
 */
#ifndef PAGE_TEMPLATE_H
#define PAGE_TEMPLATE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "codec/pattern.h"

#define TEMPLATE_PATH_MAX 1024 /* bytes, before and after the captures */

/* What a file is, as far as placeholders in it go. */
enum template_kind {
	TEMPLATE_NONE, /* they mean nothing */
	TEMPLATE_HTML,
	TEMPLATE_SVG,
	TEMPLATE_SCRIPT, /* JavaScript and JSON */
};

enum template_word { TEMPLATE_END, TEMPLATE_WSURI, TEMPLATE_WSPATH };

struct template_piece {
	struct str text; /* in front of the placeholder; borrowed */
	struct str odd;  /* the beginning of what in it looks like a placeholder
			   and is none, the first; STR_NONE: nothing does */
	enum template_word word;          /* TEMPLATE_END: there was none */
	char path[TEMPLATE_PATH_MAX + 1]; /* captures filled in, normalised */
};

/*
 * Takes text and the placeholder behind it, or all the rest, off a template.
 * -1 without memory.
 */
MUST_CHECK int template_next(struct str *rest, const struct captures *captures,
	struct template_piece *piece);
/*
 * Appends s so that it is read as itself: in a text or an attribute of HTML and
 * SVG, in a string of JavaScript (whatever its quotes) and JSON, there also
 * when the script is inside of HTML. -1 without memory.
 */
MUST_CHECK int template_escape(
	struct buf *out, enum template_kind kind, struct str s);

#endif
