/*
 * build.c: complaints, and how they find their line. A check knows a section
 * and a key; the pairs that were read know the file and the line. A key that is
 * not set has its default, so that the section's header is to blame.
 */
#include "conf/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- sections -------------------------------------------------------------- */

void *build_object(struct conf *c, enum keys_section s, size_t index)
{
	switch (s) {
	case SECTION_SERVER:
		return &c->server;
	case SECTION_LISTEN:
		return &c->listens[index];
	case SECTION_CERTIFICATE:
		return &c->certificates[index];
	case SECTION_KEY:
		return &c->keys[index];
	case SECTION_PAGE:
		return &c->pages[index];
	case SECTION_ROUTE:
		return &c->routes[index];
	case SECTION_ATTACH:
		return &c->attaches[index];
	case SECTION_COUNT:
		break;
	}
	return NULL;
}

size_t build_count(const struct conf *c, enum keys_section s)
{
	switch (s) {
	case SECTION_SERVER:
		return 1;
	case SECTION_LISTEN:
		return c->listens_n;
	case SECTION_CERTIFICATE:
		return c->certificates_n;
	case SECTION_KEY:
		return c->keys_n;
	case SECTION_PAGE:
		return c->pages_n;
	case SECTION_ROUTE:
		return c->routes_n;
	case SECTION_ATTACH:
		return c->attaches_n;
	case SECTION_COUNT:
		break;
	}
	return 0;
}

size_t build_number(const struct conf *c, enum keys_section s, size_t index)
{
	for (int before = 0; before < (int)s; before++)
		index += build_count(c, (enum keys_section)before);
	return index;
}

struct conf_section *build_section(
	struct conf *c, enum keys_section s, size_t index)
{
	/* Every struct begins with it. */
	return build_object(c, s, index);
}

/* --- where a key was set --------------------------------------------------- */

/*
 * The next pair that is of this key, behind the one before (NULL: of all); NULL:
 * there is none. Those of a section are adjacent, but for [server]'s.
 */
static const struct build_pair *next_pair(const struct builder *b,
	struct build_at at, const struct build_pair *before)
{
	const struct conf_section *s = build_section(
		b->conf, at.section, at.index);
	size_t i = before ? (size_t)(before - b->pairs) + 1 : s->pairs_from;

	for (; at.key && i < b->pairs_n; i++) {
		const struct build_pair *p = &b->pairs[i];

		if (p->row->section == at.section && p->index == at.index) {
			if (strcmp(p->row->name, at.key) == 0)
				return p;
		} else if (at.section != SECTION_SERVER) {
			break;
		}
	}
	return NULL;
}

const struct build_pair *build_find(const struct builder *b, struct build_at at)
{
	const struct build_pair *p = NULL, *found = NULL;

	while ((p = next_pair(b, at, p))) {
		found = p;
		if (keys_is_list(p->row->type) && at.element < p->until)
			break;
	}
	return found;
}

bool build_is_bad(const struct builder *b, struct build_at at)
{
	const struct build_pair *p = NULL;

	while ((p = next_pair(b, at, p)))
		if (p->bad)
			return true;
	return false;
}

/* --- complaints ------------------------------------------------------------ */

static void add_line(struct builder *b, const char *file, int line,
	const char *label, const char *what)
{
	int r;

	if (line > 0)
		r = buf_add_printf(
			b->out, "%s:%d: %s%s\n", file, line, label, what);
	else
		r = buf_add_printf(b->out, "%s: %s%s\n", file, label, what);
	if (r < 0)
		b->no_memory = true;
}

/*
 * Every complaint is counted, only the first ones are shown: one missing ]
 * can make hundreds, and the terminal should still show what came first.
 */
static void add_error(struct builder *b, const char *file, int line,
	const char *label, const char *what)
{
	b->errors++;
	if (b->errors > BUILD_ERRORS_MAX)
		return;
	b->before_last = b->out->n;
	add_line(b, file, line, label, what);
}

/* "[route sim] backend: " */
static void make_label(char *label, size_t size, const struct conf_section *s,
	struct build_at at, const char *in_front)
{
	const char *kind = keys_section_get(at.section)->name;

	snprintf(label, size, "%s[%s%s%s]%s%s: ", in_front, kind,
		s->name && s->name[0] ? " " : "", s->name ? s->name : "",
		at.key ? " " : "", at.key ? at.key : "");
}

static void find_place(const struct builder *b, struct build_at at,
	const struct conf_section *s, const char **file, int *line)
{
	const struct build_pair *p = build_find(b, at);

	*file = p ? p->file : s->file;
	*line = p ? p->line : s->line;
	if (!*file)
		*file = b->files_n > 0 ? b->files[0]->name : "configuration";
}

void build_error(struct builder *b, struct build_at at, const char *format, ...)
{
	const struct conf_section *s = build_section(
		b->conf, at.section, at.index);
	char label[160];
	char what[512];
	const char *file;
	int line;
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	if (b->faulty)
		b->faulty[build_number(b->conf, at.section, at.index)] = true;
	make_label(label, sizeof(label), s, at, "");
	find_place(b, at, s, &file, &line);
	add_error(b, file, line, label, what);
}

void build_warn(struct builder *b, struct build_at at, const char *format, ...)
{
	const struct conf_section *s = build_section(
		b->conf, at.section, at.index);
	char label[160];
	char what[512];
	const char *file;
	int line;
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	make_label(label, sizeof(label), s, at, "warning: ");
	find_place(b, at, s, &file, &line);
	/* Errors hide no warning, and the cap is of both. */
	if (b->errors <= BUILD_ERRORS_MAX)
		add_line(b, file, line, label, what);
}

void build_error_line(
	struct builder *b, const char *file, int line, const char *format, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	add_error(b, file, line, "", what);
}

void build_no_memory(struct builder *b)
{
	if (!b->no_memory)
		add_error(b, "configuration", 0, "", "out of memory");
	b->no_memory = true;
}

void build_finish(struct builder *b)
{
	if (b->errors <= BUILD_ERRORS_MAX)
		return;
	/* The summary is a line, too: it takes the place of the last one. */
	b->out->n = b->before_last;
	if (buf_add_printf(b->out, "and %zu more errors\n",
		    b->errors - (BUILD_ERRORS_MAX - 1)) < 0)
		b->no_memory = true;
}
