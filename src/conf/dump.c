/*
 * The table written out: with a configuration's values (wsrelayd -T),
 * or as the reference file.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/build.h"
#include "conf/dump.h"
#include "conf/ini.h"
#include "conf/value.h"

#define WIDTH 76 /* columns of lists and comments */

/*
 * A dump says everything, also defaults: it is what the daemon does, and stays
 * that when a default changes. Relative names were made absolute when they
 * were read, and files that were included are part of it.
 */

/* --- dump ------------------------------------------------------------------ */

static int add_line(struct buf *out, const char *key, struct str value)
{
	/* Without blanks it fits, as it did where it was read. */
	bool tight = strlen(key) + 3 + value.n > INI_LINE_MAX;

	return buf_add_printf(out, "%s%s%.*s\n", key,
		tight         ? "="
		: value.n > 0 ? " = "
			      : " =",
		(int)value.n, value.p ? value.p : "");
}

/* A list: as many elements in a line as fit, or one. */
static int dump_list(
	struct buf *out, const struct key_row *row, const void *object)
{
	size_t n = value_count(row, object);
	size_t room = keys_is_split(row->type) ? WIDTH - strlen(row->name) : 0;
	struct buf line = { 0 };
	struct buf element = { 0 };
	int result = -1;

	for (size_t i = 0; i < n; i++) {
		element.n = 0;
		if (value_format(&element, row, object, i) < 0)
			goto done;
		if (line.n > 0 && line.n + 1 + element.n > room) {
			if (add_line(out, row->name, buf_str(&line)) < 0)
				goto done;
			line.n = 0;
		}
		if ((line.n > 0 && buf_add_str(&line, STR(" ")) < 0) ||
			buf_add_str(&line, buf_str(&element)) < 0)
			goto done;
	}
	result = add_line(out, row->name, buf_str(&line));
done:
	buf_free(&line);
	buf_free(&element);
	return result;
}

int dump_value(struct buf *out, const struct key_row *row, const void *object)
{
	struct buf value = { 0 };
	int result = -1;

	if (keys_is_list(row->type))
		return dump_list(out, row, object);
	if (value_format(&value, row, object, 0) == 0)
		result = add_line(out, row->name, buf_str(&value));
	buf_free(&value);
	return result;
}

static int dump_section(struct buf *out, const struct conf *c,
	enum keys_section s, size_t index)
{
	const struct keys_section_info *info = keys_section_get(s);
	/* build_object serves the builder, too, which writes. */
	const void *object = build_object(
		(struct conf *)(uintptr_t)c, s, index);
	const struct conf_section *section = object;
	size_t n;
	const struct key_row *row = keys_rows(s, &n);

	if (buf_add_printf(out, "%s[%s%s%s]\n", out->n > 0 ? "\n" : "",
		    info->name, info->named ? " " : "", section->name) < 0)
		return -1;
	for (; n > 0; n--, row++) {
		/* What it names is written below. */
		if (s == SECTION_SERVER && strcmp(row->name, "include") == 0) {
			if (add_line(out, row->name, STR_NONE) < 0)
				return -1;
		} else if (dump_value(out, row, object) < 0) {
			return -1;
		}
	}
	return 0;
}

int conf_dump_section(struct buf *out, const struct conf *c, size_t n)
{
	for (int s = 0; s < SECTION_COUNT; s++) {
		enum keys_section section = (enum keys_section)s;
		size_t count = build_count(c, section);

		if (n < count)
			return dump_section(out, c, section, n) < 0 ? -1 : 1;
		n -= count;
	}
	return 0;
}

int conf_dump(struct buf *out, const struct conf *c)
{
	for (int s = 0; s < SECTION_COUNT; s++) {
		enum keys_section section = (enum keys_section)s;

		for (size_t i = 0; i < build_count(c, section); i++)
			if (dump_section(out, c, section, i) < 0)
				return -1;
	}
	return 0;
}

/* --- reference ------------------------------------------------------------- */

/* What a newcomer finds switched on: a listener, and a route to try it. */
static const struct {
	enum keys_section section;
	const char *name; /* of the section in the reference */
	const char *key, *value;
} active[] = {
	{ SECTION_SERVER, "", NULL, NULL },
	{ SECTION_LISTEN, "public", "address", "127.0.0.1:8080" },
	{ SECTION_ROUTE, "echo", "path", "/echo" },
	{ SECTION_ROUTE, "echo", "backend", "echo:" },
	{ SECTION_ROUTE, "echo", "auth", "none" },
};

static const char head[] =
	"; wsrelayd.ini: the configuration of wsrelayd(8), see "
	"wsrelayd.ini(5).\n"
	";\n"
	"; Every key is here, switched off and with its default. What is "
	"switched\n"
	"; on makes a relay on this machine that returns what it is sent:\n"
	"; ws://127.0.0.1:8080/echo.\n"
	";\n"
	"; A comment begins with ; (in front of a line, or behind white "
	"space). A\n"
	"; list has blanks or commas between its elements, and its key may be\n"
	"; repeated. wsrelayd -t checks a file, wsrelayd -T prints what is in\n"
	"; effect.\n";

static const char *active_value(enum keys_section s, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(active); i++)
		if (active[i].section == s && active[i].key &&
			strcmp(active[i].key, key) == 0)
			return active[i].value;
	return NULL;
}

/* The name of a section that is switched on; NULL = it is not. */
static const char *active_name(enum keys_section s)
{
	for (size_t i = 0; i < ARRAY_SIZE(active); i++)
		if (active[i].section == s)
			return active[i].name;
	return NULL;
}

/* Text as comment lines of at most WIDTH columns. */
static int add_wrapped(struct buf *out, struct str text)
{
	while (text.n > 0) {
		size_t n = text.n;

		if (n > WIDTH - 2) {
			n = WIDTH - 2;
			while (n > 0 && text.p[n] != ' ')
				n--;
			if (n == 0)
				n = WIDTH - 2;
		}
		if (buf_add_printf(out, "; %.*s\n", (int)n, text.p) < 0)
			return -1;
		text.p += n;
		text.n -= n;
		text = str_trim(text);
	}
	return 0;
}

static int reference_key(struct buf *out, const struct key_row *row)
{
	const char *value = active_value(row->section, row->name);
	struct buf text = { 0 };
	int result = -1;

	if (buf_add_printf(&text, "%s ", row->help) < 0 ||
		value_describe(&text, row) < 0 ||
		buf_add_str(out, STR("\n")) < 0 ||
		add_wrapped(out, str_trim(buf_str(&text))) < 0)
		goto done;
	result = buf_add_printf(out, "%s%s =%s%s\n", value ? "" : ";",
		row->name, value || row->initial[0] ? " " : "",
		value ? value : row->initial);
done:
	buf_free(&text);
	return result;
}

static int reference_section(struct buf *out, enum keys_section s)
{
	const struct keys_section_info *info = keys_section_get(s);
	const char *name = active_name(s);
	size_t n;
	const struct key_row *row = keys_rows(s, &n);

	if (buf_add_str(out, STR("\n\n")) < 0 ||
		add_wrapped(out, str_of(info->help)) < 0)
		return -1;
	if (buf_add_printf(out, "%s[%s%s%s]\n", name ? "" : ";", info->name,
		    info->named ? " " : "", name ? name : "NAME") < 0)
		return -1;
	for (; n > 0; n--, row++)
		if (reference_key(out, row) < 0)
			return -1;
	return 0;
}

int conf_reference(struct buf *out)
{
	if (buf_add(out, head, sizeof(head) - 1, SIZE_MAX) < 0)
		return -1;
	for (int s = 0; s < SECTION_COUNT; s++)
		if (reference_section(out, (enum keys_section)s) < 0)
			return -1;
	return 0;
}
