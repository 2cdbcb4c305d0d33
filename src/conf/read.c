/*
 *   file -> ini_read -> section: a struct with its defaults
 *                    -> pair: value_parse into it, or a complaint
 *        -> the files that it includes, the same way
 */
#include "conf/read.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/form.h"
#include "conf/ini.h"
#include "conf/value.h"

/* One file while it is read. */
struct reading {
	struct builder *b;
	const struct build_file *file;
	char *shown_directory; /* of the file, as its name is written */
	char *directory;       /* the same, absolute: for relative paths */
	int nesting;
	bool server_seen;
	bool section_seen;
	/* the section under way */
	bool known;
	enum keys_section section;
	size_t index;
};

/* --- sections -------------------------------------------------------------- */

/* One more zeroed element; NULL without memory. */
static void *append_element(void **v, size_t *n, size_t size)
{
	void *grown = value_grow(*v, *n, size);
	void *element;

	if (!grown)
		return NULL;
	*v = grown;
	element = (char *)grown + *n * size;
	memset(element, 0, size);
	(*n)++;
	return element;
}

static void *add_object(struct conf *c, enum keys_section s)
{
	void *v;
	void *object = NULL;
	size_t size = keys_section_get(s)->size;

	switch (s) {
	case SECTION_SERVER:
		return &c->server;
	case SECTION_LISTEN:
		v = c->listens;
		object = append_element(&v, &c->listens_n, size);
		c->listens = v;
		break;
	case SECTION_CERTIFICATE:
		v = c->certificates;
		object = append_element(&v, &c->certificates_n, size);
		c->certificates = v;
		break;
	case SECTION_KEY:
		v = c->keys;
		object = append_element(&v, &c->keys_n, size);
		c->keys = v;
		break;
	case SECTION_PAGE:
		v = c->pages;
		object = append_element(&v, &c->pages_n, size);
		c->pages = v;
		break;
	case SECTION_ROUTE:
		v = c->routes;
		object = append_element(&v, &c->routes_n, size);
		c->routes = v;
		break;
	case SECTION_ATTACH:
		v = c->attaches;
		object = append_element(&v, &c->attaches_n, size);
		c->attaches = v;
		break;
	case SECTION_COUNT:
		break;
	}
	return object;
}

static int set_defaults(enum keys_section s, void *object)
{
	char why[VALUE_WHY];
	size_t n;
	const struct key_row *row = keys_rows(s, &n);

	for (; n > 0; n--, row++)
		if (row->initial[0] != '\0' &&
			value_parse(row, object, str_of(row->initial), "/",
				why) < 0)
			return -1;
	return 0;
}

static int new_section(
	struct reading *r, int line, enum keys_section s, struct str name)
{
	struct conf *c = r->b->conf;
	size_t index = s == SECTION_SERVER ? 0 : build_count(c, s);
	struct conf_section *section = add_object(c, s);

	if (!section || set_defaults(s, section) < 0)
		return -1;
	section->line = line;
	section->pairs_from = r->b->pairs_n;
	section->file = str_dup(str_of(r->file->name));
	section->name = str_dup(name);
	if (!section->file || !section->name)
		return -1;
	r->known = true;
	r->section = s;
	r->index = index;
	if (s == SECTION_ROUTE)
		c->routes[index].index = index;
	if (s == SECTION_CERTIFICATE)
		c->certificates[index].index = index;
	if (s == SECTION_ATTACH)
		c->attaches[index].index = index;
	return 0;
}

/*
 * A second section of a name is read, so that its own faults are told too, but
 * the configuration is lost.
 */
static void check_duplicate(
	struct reading *r, int line, enum keys_section s, struct str name)
{
	struct conf *c = r->b->conf;

	for (size_t i = 0; i < build_count(c, s); i++) {
		const struct conf_section *other = build_section(c, s, i);

		if (!str_eq(name, str_of(other->name)))
			continue;
		build_error_line(r->b, r->file->name, line,
			"[%s %s] is there twice, expected another name: the "
			"first is at %s:%d",
			keys_section_get(s)->name, other->name, other->file,
			other->line);
		return;
	}
}

/* [server]: once in every file, and all of them are one section. */
static void take_server(struct reading *r, int line, struct str name)
{
	if (name.n > 0)
		build_error_line(r->b, r->file->name, line,
			"[server %.*s] has a name, expected [server]",
			(int)name.n, name.p);
	else if (r->server_seen)
		build_error_line(r->b, r->file->name, line,
			"[server] is there twice, expected it once in a file");
	r->server_seen = true;
	r->known = true;
	r->section = SECTION_SERVER;
	r->index = 0;
	if (!r->b->conf->server.section.file) {
		r->b->conf->server.section.line = line;
		r->b->conf->server.section.file = str_dup(
			str_of(r->file->name));
	}
}

static void take_named(
	struct reading *r, int line, enum keys_section s, struct str name)
{
	const char *kind = keys_section_get(s)->name;

	if (!form_is_name(name)) {
		build_error_line(r->b, r->file->name, line,
			"[%s %.*s] is not well-formed, expected [%s NAME], the "
			"name of at most %d letters, digits, _ . -",
			kind, (int)name.n, name.p, kind, FORM_NAME_MAX);
		r->b->bad_header = true;
		return;
	}
	if (build_count(r->b->conf, s) >= BUILD_SECTIONS_MAX) {
		build_error_line(r->b, r->file->name, line,
			"too many [%s] sections, expected at most %d", kind,
			BUILD_SECTIONS_MAX);
		return;
	}
	check_duplicate(r, line, s, name);
	if (new_section(r, line, s, name) < 0)
		build_no_memory(r->b);
}

static void take_section(void *data, int line, const char *text)
{
	struct reading *r = data;
	struct str kind = { text, 0 };
	struct str name;
	const char *near;
	int s;

	r->known = false;
	r->section_seen = true;
	if (!text) {
		r->b->bad_header = true;
		return;
	}
	kind.n = strcspn(text, " \t");
	name = str_trim(str_of(text + kind.n));
	s = keys_section_find(kind);
	if (s == SECTION_SERVER) {
		take_server(r, line, name);
	} else if (s >= 0) {
		take_named(r, line, (enum keys_section)s, name);
	} else {
		near = keys_section_nearest(kind);
		build_error_line(r->b, r->file->name, line,
			"[%s] is not known, expected %s%s%s", text,
			near ? "["
			     : "[server], [listen NAME], [certificate NAME], "
			       "[key NAME], [page NAME] or [route NAME]",
			near ? near : "", near ? "]" : "");
		r->b->bad_header = true;
	}
}

/* --- pairs ----------------------------------------------------------------- */

/* The line of the same section that set this key before. */
static const struct build_pair *find_earlier(
	const struct builder *b, const struct key_row *row, size_t index)
{
	for (size_t i = b->pairs_n; i > 0; i--) {
		const struct build_pair *p = &b->pairs[i - 1];

		if (p->row == row && p->index == index)
			return p;
		/* Its pairs are adjacent, but for [server]'s. */
		if (row->section != SECTION_SERVER &&
			(p->row->section != row->section || p->index != index))
			return NULL;
	}
	return NULL;
}

static struct build_pair *add_pair(
	struct reading *r, int line, const struct key_row *row)
{
	struct builder *b = r->b;
	struct build_pair *v = value_grow(b->pairs, b->pairs_n, sizeof(*v));

	if (!v) {
		build_no_memory(b);
		return NULL;
	}
	b->pairs = v;
	v += b->pairs_n++;
	*v = (struct build_pair){ row, r->index, r->file->name, line, 0,
		false };
	return v;
}

/* A typing error, a key of another kind of section, or neither. */
static void unknown_key(struct reading *r, int line, const char *key)
{
	const struct conf_section *s = build_section(
		r->b->conf, r->section, r->index);
	const char *near = keys_nearest(r->section, str_of(key));
	const char *kind = keys_section_get(r->section)->name;
	const char *blank = s->name && s->name[0] ? " " : "";
	const char *name = s->name ? s->name : "";

	if (near) {
		build_error_line(r->b, r->file->name, line,
			"[%s%s%s] %s: is not known, expected %s", kind, blank,
			name, key, near);
		return;
	}
	for (int i = 0; i < SECTION_COUNT; i++)
		if (keys_find((enum keys_section)i, str_of(key))) {
			build_error_line(r->b, r->file->name, line,
				"[%s%s%s] %s: is a key of [%s], expected one "
				"of [%s]",
				kind, blank, name, key,
				keys_section_get((enum keys_section)i)->name,
				kind);
			return;
		}
	build_error_line(r->b, r->file->name, line,
		"[%s%s%s] %s: is not known, expected a key of [%s]", kind,
		blank, name, key, kind);
}

/*
 * A value that is refused is noted as well: later checks then know that the
 * key is not missing.
 */
static void take_value(struct reading *r, int line, const struct key_row *row,
	const char *value)
{
	struct builder *b = r->b;
	void *object = build_object(b->conf, r->section, r->index);
	const struct build_pair *earlier = find_earlier(b, row, r->index);
	char why[VALUE_WHY];
	struct build_pair *pair;

	if (earlier && !keys_is_list(row->type)) {
		build_error_line(b, r->file->name, line,
			"[%s%s%s] %s: is set "
			"twice, expected it once: the first is at %s:%d",
			keys_section_get(r->section)->name,
			r->section == SECTION_SERVER ? "" : " ",
			build_section(b->conf, r->section, r->index)->name,
			row->name, earlier->file, earlier->line);
		return;
	}
	if (!earlier && keys_is_list(row->type))
		value_free(row, object); /* replaces the default */
	pair = add_pair(r, line, row);
	if (!pair)
		return;
	if (value_parse(row, object, str_of(value), r->directory, why) < 0)
		pair->bad = true;
	pair->until = value_count(row, object);
	if (pair->bad)
		build_error_line(b, r->file->name, line, "[%s%s%s] %s: %s",
			keys_section_get(r->section)->name,
			r->section == SECTION_SERVER ? "" : " ",
			build_section(b->conf, r->section, r->index)->name,
			row->name, why);
}

static void take_pair(void *data, int line, const char *key, const char *value)
{
	struct reading *r = data;
	const struct key_row *row;

	if (!r->section_seen)
		build_error_line(r->b, r->file->name, line,
			"%s: is in front "
			"of the first section, expected [section] before it",
			key);
	if (!r->known)
		return;
	row = keys_find(r->section, str_of(key));
	if (row)
		take_value(r, line, row, value);
	else
		unknown_key(r, line, key);
}

static void take_error(void *data, int line, const char *what)
{
	struct reading *r = data;

	build_error_line(r->b, r->file->name, line, "%s", what);
}

/* --- files ----------------------------------------------------------------- */

static void read_includes(struct reading *r, size_t first, size_t until);

/* Text of one file, and then of those that it includes. */
static void read_text(struct builder *b, const struct build_file *file,
	struct str text, int nesting)
{
	struct reading r = { .b = b, .file = file, .nesting = nesting };
	struct ini_handler h = { take_section, take_pair, take_error, &r };
	size_t includes = b->conf->server.include.n;
	char *copy = str_dup(str_of(file->name));

	if (copy)
		r.shown_directory = str_dup(str_of(dirname(copy)));
	free(copy);
	if (!r.shown_directory) {
		build_no_memory(b);
		return;
	}
	r.directory = realpath(r.shown_directory, NULL);
	if (!r.directory)
		r.directory = str_dup(str_of(r.shown_directory));
	if (r.directory) {
		ini_read(text, &h);
		read_includes(&r, includes, b->conf->server.include.n);
	} else {
		build_no_memory(b);
	}
	free(r.directory);
	free(r.shown_directory);
}

/* The builder keeps the names: pairs and complaints point at them. */
static struct build_file *add_file(struct builder *b, const char *name)
{
	struct build_file **v = value_grow(b->files, b->files_n, sizeof(*v));
	struct build_file *f;

	if (!v)
		goto fail;
	b->files = v;
	f = calloc(1, sizeof(*f));
	if (!f)
		goto fail;
	f->name = str_dup(str_of(name));
	if (!f->name) {
		free(f);
		goto fail;
	}
	v[b->files_n++] = f;
	return f;
fail:
	build_no_memory(b);
	return NULL;
}

/*
 * Reads what a regular file holds, at most max bytes. -1 and errno: EFBIG, or
 * EINVAL for what is no regular file (a pipe could make us wait).
 */
static int read_file(
	const char *name, size_t max, struct buf *out, struct stat *st)
{
	char chunk[8192];
	ssize_t n = -1;
	int error;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) < 0)
		goto done;
	if (!S_ISREG(st->st_mode)) {
		errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
		goto done;
	}
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (buf_add(out, chunk, (size_t)n, max) < 0) {
			errno = out->n + (size_t)n > max ? EFBIG : ENOMEM;
			n = -1;
			break;
		}
done:
	error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

/* By what it is, not by its name: links would read it twice. */
static bool was_read(const struct builder *b, const struct stat *st)
{
	for (size_t i = 0; i < b->files_n; i++)
		if (b->files[i]->device == st->st_dev &&
			b->files[i]->inode == st->st_ino)
			return true;
	return false;
}

/* at: the include line; NULL for the first file. */
static void read_one_file(struct builder *b, const char *name, int nesting,
	const struct build_at *at)
{
	struct buf text = { 0 };
	struct stat st = { 0 };
	struct build_file *file;
	const char *why = NULL;

	if (read_file(name, INI_FILE_MAX, &text, &st) < 0)
		why = errno == EFBIG    ? "is longer than 1 MiB"
		      : errno == EINVAL ? "is not a regular file"
					: strerror(errno);
	else if (at && was_read(b, &st))
		why = "is read already, expected every file once";
	if (why && at)
		build_error(b, *at, "%s: %s", name, why);
	else if (why)
		build_error_line(b, name, 0, "%s", why);
	if (!why) {
		file = add_file(b, name);
		if (file) {
			file->device = st.st_dev;
			file->inode = st.st_ino;
			read_text(b, file, buf_str(&text), nesting);
		}
	}
	buf_free(&text);
}

/* The directory's own special characters mean themselves. */
static int make_pattern(
	struct buf *out, const char *directory, const char *include)
{
	if (include[0] != '/' && strcmp(directory, ".") != 0) {
		for (const char *p = directory; *p; p++)
			if ((strchr("*?[\\", *p) &&
				    buf_add_str(out, STR("\\")) < 0) ||
				buf_add_str(out, (struct str){ p, 1 }) < 0)
				return -1;
		if (buf_add_str(out, STR("/")) < 0)
			return -1;
	}
	return buf_add(out, include, strlen(include) + 1, SIZE_MAX);
}

/* glob sorts by name, so 10-a.ini is read before 20-b.ini. */
static void read_include(
	struct reading *r, const char *include, struct build_at at)
{
	struct buf pattern = { 0 };
	glob_t found = { 0 };
	int result;

	if (r->nesting >= BUILD_NESTING_MAX) {
		build_error(r->b, at,
			"includes are nested too deeply, "
			"expected at most %d levels",
			BUILD_NESTING_MAX);
		return;
	}
	if (make_pattern(&pattern, r->shown_directory, include) < 0) {
		build_no_memory(r->b);
		goto done;
	}
	/* GLOB_NOCHECK is left out: GLOB_NOMATCH is told from a match. */
	result = glob((const char *)pattern.p, 0, NULL, &found);
	if (result == GLOB_NOMATCH && !strpbrk(include, "*?["))
		build_error(r->b, at,
			"%s: no such file, expected one (or a "
			"pattern such as conf.d/*.ini, which may match none)",
			include);
	else if (result != 0 && result != GLOB_NOMATCH)
		build_error(r->b, at,
			"%s: cannot be looked up, expected a "
			"file or a pattern",
			include);
	for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
		read_one_file(r->b, found.gl_pathv[i], r->nesting + 1, &at);
	globfree(&found);
done:
	buf_free(&pattern);
}

static void read_includes(struct reading *r, size_t first, size_t until)
{
	for (size_t i = first; i < until; i++) {
		struct build_at at = { SECTION_SERVER, 0, "include", i };

		read_include(r, r->b->conf->server.include.v[i], at);
	}
}

/* --- the way in ------------------------------------------------------------ */

int read_begin(struct builder *b)
{
	b->conf->server.section.name = str_dup(STR(""));
	if (b->conf->server.section.name &&
		set_defaults(SECTION_SERVER, &b->conf->server) == 0)
		return 0;
	build_no_memory(b);
	return -1;
}

void read_from_file(struct builder *b, const char *name)
{
	read_one_file(b, name, 0, NULL);
}

void read_from_text(struct builder *b, const char *name, struct str text)
{
	const struct build_file *file = add_file(b, name);

	if (file)
		read_text(b, file, text, 0);
}
