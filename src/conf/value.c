/*
 * value.c: a row's type decides how a value is read, kept, written, freed.
 * Types differ in what they accept (form.h, number.h); there are only eight
 * ways of keeping a value, and all of them are here.
 */
#include "conf/value.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/form.h"
#include "conf/ini.h"
#include "conf/number.h"

/* The bound cuts a complaint, never the value it is about. */
int value_fail(char why[VALUE_WHY], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, VALUE_WHY, format, ap);
	va_end(ap);
	return -1;
}

static int fail_memory(char why[VALUE_WHY])
{
	return value_fail(why, "out of memory");
}

static void *member(const struct key_row *row, void *object)
{
	return (char *)object + row->offset;
}

static const void *member_const(const struct key_row *row, const void *object)
{
	return (const char *)object + row->offset;
}

void *value_grow(void *v, size_t n, size_t size)
{
	/* Doubles: memory is full exactly when n is a power of two. */
	if (n > 0 && (n & (n - 1)) != 0)
		return v;
	return reallocarray(v, n > 0 ? 2 * n : 1, size);
}

/* --- words ----------------------------------------------------------------- */

/* Takes the next of "a|b|c". */
static bool next_word(struct str *words, struct str *word)
{
	const char *bar;

	if (!words->p || words->n == 0)
		return false;
	bar = memchr(words->p, '|', words->n);
	word->p = words->p;
	word->n = bar ? (size_t)(bar - words->p) : words->n;
	words->p += bar ? word->n + 1 : word->n;
	words->n -= bar ? word->n + 1 : word->n;
	return true;
}

/* "raw, line or len32" */
static void list_words(char *out, size_t size, const struct key_row *row)
{
	struct str words = str_of(row->min);
	struct str word;
	size_t n = 0;

	out[0] = '\0';
	while (next_word(&words, &word)) {
		if (str_eq(word, STR("-")))
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s%.*s",
			n == 0         ? ""
			: words.n == 0 ? " or "
				       : ", ",
			(int)word.n, word.p);
		assert(n < size);
	}
}

static int set_enum(
	const struct key_row *row, int *out, struct str s, char why[VALUE_WHY])
{
	struct str words = str_of(row->min);
	struct str word;
	char all[128];

	if (s.n == 0 && row->initial[0] == '\0') {
		*out = 0;
		return 0;
	}
	for (int i = 0; next_word(&words, &word); i++)
		if (str_eq(word, s) && !str_eq(s, STR("-"))) {
			*out = i;
			return 0;
		}
	list_words(all, sizeof(all), row);
	return value_fail(why, "\"%.*s\" is not known here, expected %s",
		(int)s.n, s.p, all);
}

static int format_enum(struct buf *out, const struct key_row *row, int v)
{
	struct str words = str_of(row->min);
	struct str word;

	for (int i = 0; next_word(&words, &word); i++)
		if (i == v && !str_eq(word, STR("-")))
			return buf_add_str(out, word);
	return 0;
}

static int set_bool(bool *out, struct str s, char why[VALUE_WHY])
{
	if (!str_eq(s, STR("yes")) && !str_eq(s, STR("no")))
		return value_fail(why,
			"\"%.*s\" is not understood, expected yes or no",
			(int)s.n, s.p);
	*out = str_eq(s, STR("yes"));
	return 0;
}

/* --- strings --------------------------------------------------------------- */

static int check_form(
	const struct key_row *row, struct str s, char why[VALUE_WHY])
{
	const char *expected = NULL;

	if (form_check(row->type, s, &expected) < 0)
		return value_fail(why,
			"\"%.*s\" is not well-formed, expected %s", (int)s.n,
			s.p, expected);
	return 0;
}

/* Made absolute, so that wsrelayd -T can be kept anywhere. */
static char *absolute_path(struct str s, const char *directory)
{
	char *path = NULL;
	const char *slash = "/";

	if (s.p[0] == '/')
		return str_dup(s);
	if (directory[0] != '\0' && directory[strlen(directory) - 1] == '/')
		slash = "";
	if (asprintf(&path, "%s%s%.*s", directory, slash, (int)s.n, s.p) < 0)
		return NULL;
	return path;
}

static bool is_none(const struct key_row *row, struct str s)
{
	return (row->flags & KEY_NONE) && str_eq(s, STR("none"));
}

static bool is_path(const struct key_row *row)
{
	return row->type == TYPE_PATH || row->type == TYPE_PATHS;
}

/* As it is kept; s is not empty. */
static int make_string(const struct key_row *row, char **out, struct str s,
	const char *directory, char why[VALUE_WHY])
{
	char *copy;

	if (check_form(row, s, why) < 0)
		return -1;
	copy = is_path(row) && !is_none(row, s) ? absolute_path(s, directory)
						: str_dup(s);
	if (!copy)
		return fail_memory(why);
	if (strlen(row->name) + 1 + strlen(copy) > INI_LINE_MAX) {
		free(copy);
		return value_fail(why,
			"a name that is too long as an "
			"absolute path, expected at most %zu bytes",
			INI_LINE_MAX - 1 - strlen(row->name));
	}
	*out = copy;
	return 0;
}

static int set_string(const struct key_row *row, char **out, struct str s,
	const char *directory, char why[VALUE_WHY])
{
	char *copy = NULL;

	if (s.n > 0 && make_string(row, &copy, s, directory, why) < 0)
		return -1;
	free(*out);
	*out = copy;
	return 0;
}

/*
 * A repeated element is a typing error, or in the place of the one that was
 * meant.
 */
static int add_string(const struct key_row *row, struct conf_strings *list,
	struct str s, const char *directory, char why[VALUE_WHY])
{
	char **v, *copy = NULL;

	if (make_string(row, &copy, s, directory, why) < 0)
		return -1;
	assert(copy); /* s is not empty */
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(copy, list->v[i]) == 0) {
			free(copy);
			return value_fail(why,
				"\"%.*s\" is there twice, "
				"expected it once",
				(int)s.n, s.p);
		}
	v = value_grow(list->v, list->n, sizeof(*v));
	if (!v) {
		free(copy);
		return fail_memory(why);
	}
	list->v = v;
	v[list->n++] = copy;
	return 0;
}

/* --- networks and addresses ------------------------------------------------ */

/* Bits behind the prefix: 10.0.0.1/8 may have meant one host. */
static int add_cidr(const struct key_row *row, struct cidr_list *list,
	struct str s, char why[VALUE_WHY])
{
	struct cidr c;
	struct cidr *v;
	bool unix_ok = row->flags & KEY_UNIX;

	if (cidr_parse(&c, s) < 0 || (c.net.family == ADDR_UNIX && !unix_ok))
		return value_fail(why,
			"\"%.*s\" is not a network, expected an "
			"address such as 192.0.2.7 or a network such as "
			"10.0.0.0/8, 2001:db8::/32 (no bits behind the prefix)"
			"%s",
			(int)s.n, s.p, unix_ok ? ", or unix" : "");
	v = value_grow(list->v, list->n, sizeof(*v));
	if (!v)
		return fail_memory(why);
	list->v = v;
	v[list->n++] = c;
	return 0;
}

static int format_cidr(struct buf *out, const struct cidr *c)
{
	char text[ADDR_TEXT];
	unsigned full = c->net.family == ADDR_IPV4 ? 32 : 128;

	addr_format_ip(&c->net, text);
	if (c->net.family == ADDR_UNIX || c->bits == full)
		return buf_add_printf(out, "%s", text);
	return buf_add_printf(out, "%s/%u", text, (unsigned)c->bits);
}

/* Whether the text of an address ends in :PORT; port 0 is "any free one". */
static bool names_port(struct str s)
{
	size_t colons = 0;
	size_t i = s.n;

	while (i > 0 && s.p[i - 1] >= '0' && s.p[i - 1] <= '9')
		i--;
	if (i == 0 || i == s.n || s.p[i - 1] != ':')
		return false;
	for (size_t k = 0; k < s.n; k++)
		colons += s.p[k] == ':';
	return colons == 1 || (i >= 2 && s.p[i - 2] == ']');
}

#define UNIX_PATH_MAX 107 /* sockaddr_un less its NUL */
#define FD_NAME_MAX   255 /* sd_listen_fds_with_names(3) */

static int parse_address(
	struct conf_address *a, struct str s, char why[VALUE_WHY])
{
	struct str rest = { s.p + 5, s.n > 5 ? s.n - 5 : 0 };

	if (str_starts(s, STR("unix:"))) {
		a->kind = LISTEN_UNIX;
		if (rest.n == 0 || rest.p[0] != '/' || rest.n > UNIX_PATH_MAX)
			return value_fail(why,
				"\"%.*s\" is not understood, expected "
				"unix:/PATH of at most %d bytes",
				(int)s.n, s.p, UNIX_PATH_MAX);
	} else if (str_starts(s, STR("fd:"))) {
		a->kind = LISTEN_FD;
		rest = (struct str){ s.p + 3, s.n - 3 };
		if (rest.n == 0 || rest.n > FD_NAME_MAX ||
			memchr(rest.p, ':', rest.n))
			return value_fail(why,
				"\"%.*s\" is not understood, expected "
				"fd:NAME, a FileDescriptorName",
				(int)s.n, s.p);
	} else if (addr_parse(&a->addr, s) < 0 || !names_port(s)) {
		return value_fail(why,
			"\"%.*s\" is not understood, expected "
			"192.0.2.7:PORT, [2001:db8::7]:PORT, localhost:PORT, "
			"*:PORT, unix:/PATH or fd:NAME",
			(int)s.n, s.p);
	} else {
		a->kind = LISTEN_TCP;
		return 0;
	}
	a->path = str_dup(rest);
	return a->path ? 0 : fail_memory(why);
}

static void free_address(struct conf_address *a)
{
	free(a->path);
	free(a->text);
}

static int append_address(struct conf_addresses *list, struct str s,
	bool if_ipv6, char why[VALUE_WHY])
{
	struct conf_address a = { .if_ipv6 = if_ipv6 };
	struct conf_address *v;

	if (parse_address(&a, s, why) < 0)
		return -1;
	v = value_grow(list->v, list->n, sizeof(*v));
	if (v)
		list->v = v;
	a.text = str_dup(s);
	if (!v || !a.text) {
		free_address(&a);
		return fail_memory(why);
	}
	v[list->n++] = a;
	return 0;
}

/*
 * A word is an address of each family, with sockets of their own: so none
 * depends on how the system maps one onto the other.
 */
static const struct {
	struct str word;
	const char *ipv4, *ipv6;
} both_families[] = {
	{ { "localhost:", 10 }, "127.0.0.1", "[::1]" },
	{ { "*:", 2 }, "0.0.0.0", "[::]" },
	{ { ":", 1 }, "0.0.0.0", "[::]" },
};

static int append_both(struct conf_addresses *list, const char *ipv4,
	const char *ipv6, struct str port, char why[VALUE_WHY])
{
	const char *const hosts[] = { ipv4, ipv6 };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct buf text = { 0 };
		int r = buf_add_printf(
			&text, "%s:%.*s", hosts[i], (int)port.n, port.p);

		r = r < 0 ? fail_memory(why)
			  : append_address(list, buf_str(&text), i > 0, why);
		buf_free(&text);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int add_address(
	struct conf_addresses *list, struct str s, char why[VALUE_WHY])
{
	for (size_t i = 0; i < ARRAY_SIZE(both_families); i++) {
		struct str port = { s.p + both_families[i].word.n,
			s.n - both_families[i].word.n };

		if (str_starts(s, both_families[i].word) && port.n > 0 &&
			port.p[0] >= '0' && port.p[0] <= '9')
			return append_both(list, both_families[i].ipv4,
				both_families[i].ipv6, port, why);
	}
	return append_address(list, s, false, why);
}

/* --- lists ----------------------------------------------------------------- */

size_t value_count(const struct key_row *row, const void *object)
{
	const void *p = member_const(row, object);

	switch (keys_storage(row->type)) {
	case STORE_STRINGS:
		return ((const struct conf_strings *)p)->n;
	case STORE_CIDRS:
		return ((const struct cidr_list *)p)->n;
	case STORE_ADDRESSES:
		return ((const struct conf_addresses *)p)->n;
	case STORE_STRING:
	case STORE_BOOL:
	case STORE_NUMBER:
	case STORE_RATE:
	case STORE_ENUM:
		break;
	}
	return 0;
}

static int add_element(const struct key_row *row, void *object, struct str s,
	const char *directory, char why[VALUE_WHY])
{
	void *p = member(row, object);

	if (value_count(row, object) >= VALUE_LIST_MAX)
		return value_fail(why, "too many values, expected at most %d",
			VALUE_LIST_MAX);
	if (keys_storage(row->type) == STORE_CIDRS)
		return add_cidr(row, p, s, why);
	if (keys_storage(row->type) == STORE_ADDRESSES)
		return add_address(p, s, why);
	return add_string(row, p, s, directory, why);
}

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

static int add_elements(const struct key_row *row, void *object, struct str s,
	const char *directory, char why[VALUE_WHY])
{
	while (s.n > 0) {
		struct str e = { s.p, 0 };

		while (e.n < s.n && !is_separator(s.p[e.n]))
			e.n++;
		if (e.n > 0 && add_element(row, object, e, directory, why) < 0)
			return -1;
		if (e.n < s.n)
			e.n++; /* the separator */
		s.p += e.n;
		s.n -= e.n;
	}
	return 0;
}

/* --- all ------------------------------------------------------------------- */

int value_parse(const struct key_row *row, void *object, struct str text,
	const char *directory, char why[VALUE_WHY])
{
	void *p = member(row, object);

	if (keys_is_split(row->type))
		return add_elements(row, object, text, directory, why);
	switch (keys_storage(row->type)) {
	case STORE_STRING:
		return set_string(row, p, text, directory, why);
	case STORE_BOOL:
		return set_bool(p, text, why);
	case STORE_NUMBER:
		return row->type == TYPE_MODE ? number_parse_mode(p, text, why)
					      : number_parse(row, p, text, why);
	case STORE_RATE:
		return number_parse_rate(p, text, why);
	case STORE_ENUM:
		return set_enum(row, p, text, why);
	case STORE_STRINGS:
	case STORE_CIDRS:
	case STORE_ADDRESSES:
		break;
	}
	return text.n > 0 ? add_element(row, object, text, directory, why) : 0;
}

bool value_is_empty(const struct key_row *row, const void *object)
{
	if (keys_is_list(row->type))
		return value_count(row, object) == 0;
	if (keys_storage(row->type) == STORE_STRING)
		return *(char *const *)member_const(row, object) == NULL;
	return false;
}

int value_format(struct buf *out, const struct key_row *row, const void *object,
	size_t i)
{
	const void *p = member_const(row, object);

	switch (keys_storage(row->type)) {
	case STORE_STRING:
		return buf_add_str(out, str_of(*(char *const *)p));
	case STORE_BOOL:
		return buf_add_str(
			out, *(const bool *)p ? STR("yes") : STR("no"));
	case STORE_NUMBER:
		return row->type == TYPE_MODE
			       ? number_format_mode(out, *(const int64_t *)p)
			       : number_format(out, row, *(const int64_t *)p);
	case STORE_RATE:
		return number_format_rate(out, p);
	case STORE_ENUM:
		return format_enum(out, row, *(const int *)p);
	case STORE_STRINGS:
		return buf_add_str(
			out, str_of(((const struct conf_strings *)p)->v[i]));
	case STORE_CIDRS:
		return format_cidr(out, &((const struct cidr_list *)p)->v[i]);
	case STORE_ADDRESSES:
		break;
	}
	return buf_add_str(
		out, str_of(((const struct conf_addresses *)p)->v[i].text));
}

void value_free(const struct key_row *row, void *object)
{
	size_t n = value_count(row, object);
	void *p = member(row, object);

	switch (keys_storage(row->type)) {
	case STORE_STRING:
		free(*(char **)p);
		*(char **)p = NULL;
		break;
	case STORE_BOOL:
	case STORE_NUMBER:
	case STORE_RATE:
	case STORE_ENUM:
		break;
	case STORE_STRINGS:
		for (size_t i = 0; i < n; i++)
			free(((struct conf_strings *)p)->v[i]);
		free(((struct conf_strings *)p)->v);
		*(struct conf_strings *)p = (struct conf_strings){ 0 };
		break;
	case STORE_CIDRS:
		free(((struct cidr_list *)p)->v);
		*(struct cidr_list *)p = (struct cidr_list){ 0 };
		break;
	case STORE_ADDRESSES:
		for (size_t i = 0; i < n; i++)
			free_address(&((struct conf_addresses *)p)->v[i]);
		free(((struct conf_addresses *)p)->v);
		*(struct conf_addresses *)p = (struct conf_addresses){ 0 };
		break;
	}
}

/* What the reference says of the types that have no range. */
static const char *describe_type(enum keys_type t)
{
	switch (t) {
	case TYPE_PATH:
	case TYPE_PATHS:
		return "A file name, relative to this file.";
	case TYPE_NAME:
		return "The name of a section.";
	case TYPE_HOST:
	case TYPE_AUTHORITY:
		return "A host.";
	case TYPE_URL:
		return "A URL without a path.";
	case TYPE_BOOL:
		return "yes or no.";
	case TYPE_RATE:
		return "A rate such as 5/s, 20/m or 100/h; 0 is no limit.";
	case TYPE_MODE:
		return "Three octal digits.";
	case TYPE_NAMES:
	case TYPE_HOSTS:
	case TYPE_TOKENS:
	case TYPE_EVENTS:
	case TYPE_ORIGINS:
	case TYPE_CIDRS:
		return "A list; may be repeated.";
	case TYPE_STRING:
	case TYPE_PARAMETER:
	case TYPE_SUBJECT:
	case TYPE_ANCESTORS:
	case TYPE_SIZE:
	case TYPE_TIME:
	case TYPE_COUNT:
	case TYPE_ENUM:
	case TYPE_STRINGS:
	case TYPE_HEADERS:
	case TYPE_ENVIRONMENT:
	case TYPE_ADDRESSES:
	case TYPE_SUBJECTS:
		break;
	}
	return "";
}

static int describe_values(struct buf *out, const struct key_row *row)
{
	char words[128];

	if (keys_storage(row->type) == STORE_NUMBER && row->min)
		return buf_add_printf(out, "%s%s%s to %s.",
			row->flags & KEY_AUTO ? "auto, or " : "",
			row->flags & KEY_ZERO ? "0, or " : "", row->min,
			row->max);
	if (row->type == TYPE_ENUM) {
		list_words(words, sizeof(words), row);
		return buf_add_printf(out, "%s.", words);
	}
	return buf_add_printf(out, "%s", describe_type(row->type));
}

int value_describe(struct buf *out, const struct key_row *row)
{
	if (describe_values(out, row) < 0)
		return -1;
	if (row->flags & KEY_LIVE)
		return buf_add_str(out, STR(" Reload: at once."));
	if (row->flags & KEY_START)
		return buf_add_str(out, STR(" Reload: not before a start."));
	return 0;
}
