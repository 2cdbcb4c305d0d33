/*
 * check_backend.c: a backend = value, taken apart. Its parts are templates:
 * they are split before captures are filled in, so that no capture can grow
 * beyond its part.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/http/uri.h"
#include "codec/pattern.h"
#include "conf/check.h"
#include "conf/hidden.h"
#include "conf/ini.h"
#include "conf/program.h"
#include "conf/value.h"

#define SOCKET_PATH_MAX 107 /* sockaddr_un less its NUL */

static struct build_at at_backend(const struct conf_route *r)
{
	return check_at_route(r, "backend");
}

/* An owned copy of one part; NULL after a complaint. */
static char *copy_part(struct builder *b, struct str s)
{
	char *copy = str_dup(s);

	if (!copy)
		build_no_memory(b);
	return copy;
}

/* Whether braces pair and name captures of the path. */
static int check_captures(struct builder *b, const struct conf_route *r,
	const char *part, bool rest_allowed)
{
	const char *why = NULL;

	/* Without a pattern there was a complaint about the path. */
	if (!r->pattern)
		return -1;
	if (template_check(part, r->pattern, rest_allowed, &why) == 0)
		return 0;
	build_error(b, at_backend(r),
		"\"%s\": %s, expected captures of the "
		"path %s%s",
		part, why, r->path,
		rest_allowed ? ""
			     : " (and {*} only in the path of a ws or "
			       "wss backend)");
	return -1;
}

/*
 * A value that the template could become: every capture is one character.
 * out has room for the template's length and a NUL.
 */
static void sample(char *out, const char *template, char capture)
{
	for (; *template; template ++) {
		if (*template == '{') {
			*out++ = capture;
			template += strcspn(template, "}");
		} else {
			*out++ = *template;
		}
		if (!*template)
			break;
	}
	*out = '\0';
}

/* --- tcp and ws ------------------------------------------------------------ */

static int check_host(struct builder *b, const struct conf_route *r,
	const char *host, bool brackets)
{
	char text[INI_LINE_MAX + 3];
	struct uri_authority a;
	size_t n = brackets ? 1 : 0;

	if (check_captures(b, r, host, false) < 0)
		return -1;
	text[0] = '[';
	sample(text + n, host, 'x');
	if (brackets)
		strcat(text, "]");
	if (uri_parse_authority(&a, str_of(text)) == 0 && a.port == 0 &&
		a.host.n == strlen(text))
		return 0;
	build_error(b, at_backend(r),
		"\"%s\" is no host, expected a name, an "
		"address, or [IPv6]",
		host);
	return -1;
}

static int check_port(
	struct builder *b, const struct conf_route *r, const char *port)
{
	char text[INI_LINE_MAX + 1];
	long number;

	if (check_captures(b, r, port, false) < 0)
		return -1;
	sample(text, port, '1');
	number = strtol(text, NULL, 10);
	if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text) &&
		strlen(text) <= 5 && number >= 1 && number <= 65535)
		return 0;
	build_error(b, at_backend(r), "\"%s\" is no port, expected 1 to 65535",
		port);
	return -1;
}

struct authority {
	struct str host; /* without brackets */
	struct str port; /* STR_NONE: there is no ':' */
	bool brackets;
};

/* "host:port" or "[host]:port"; -1: brackets that do not pair. */
static int split_authority(struct authority *a, struct str s)
{
	const char *end;

	a->brackets = s.n > 0 && s.p[0] == '[';
	end = memchr(s.p, a->brackets ? ']' : ':', s.n);
	a->host = (struct str){ s.p, end ? (size_t)(end - s.p) : s.n };
	a->port = STR_NONE;
	if (a->brackets) {
		if (!end)
			return -1;
		a->host.p++;
		a->host.n--;
		end++;
	}
	if (!end || end == s.p + s.n)
		return 0;
	a->port.p = end + 1;
	a->port.n = s.n - (size_t)(a->port.p - s.p);
	return *end == ':' ? 0 : -1;
}

/* Takes the authority up to a '/' off *s. */
static int parse_authority(struct builder *b, struct conf_route *r,
	struct str *s, const char *default_port)
{
	const char *slash = memchr(s->p, '/', s->n);
	struct str text = { s->p, slash ? (size_t)(slash - s->p) : s->n };
	struct authority a;

	s->p += text.n;
	s->n -= text.n;
	if (split_authority(&a, text) < 0) {
		build_error(b, at_backend(r),
			"\"%.*s\" is not understood, "
			"expected HOST:PORT or [IPv6]:PORT",
			(int)text.n, text.p);
		return -1;
	}
	r->to.host = copy_part(b, a.host);
	r->to.port = copy_part(b, a.port.p ? a.port : str_of(default_port));
	if (!r->to.host || !r->to.port ||
		check_host(b, r, r->to.host, a.brackets) < 0)
		return -1;
	return check_port(b, r, r->to.port);
}

static void parse_tcp(struct builder *b, struct conf_route *r, struct str s)
{
	r->to.kind = BACKEND_TCP;
	if (parse_authority(b, r, &s, "") < 0)
		return;
	if (s.n > 0)
		build_error(b, at_backend(r),
			"\"%.*s\" behind the port, "
			"expected %s://HOST:PORT",
			(int)s.n, s.p, r->to.tls ? "tls" : "tcp");
}

static void parse_ws(struct builder *b, struct conf_route *r, struct str s)
{
	char path[INI_LINE_MAX + 1];
	char normal[INI_LINE_MAX + 1];

	r->to.kind = BACKEND_WS;
	if (parse_authority(b, r, &s, r->to.tls ? "443" : "80") < 0)
		return;
	r->to.path = copy_part(b, s.n > 0 ? s : STR("/"));
	if (!r->to.path || check_captures(b, r, r->to.path, true) < 0)
		return;
	if (strpbrk(r->to.path, "?#")) {
		build_error(b, at_backend(r),
			"a ? or # in the path, expected "
			"none: the client's query is passed on");
		return;
	}
	sample(path, r->to.path, 'x');
	if (uri_normalise_path(normal, str_of(path)) < 0)
		build_error(b, at_backend(r),
			"\"%s\" is no path, expected "
			"one of RFC 3986 without empty segments",
			r->to.path);
}

/* --- unix and exec --------------------------------------------------------- */

static void parse_unix(struct builder *b, struct conf_route *r, struct str s)
{
	r->to.kind = BACKEND_UNIX;
	if (s.n == 0 || s.p[0] != '/' || s.n > SOCKET_PATH_MAX) {
		build_error(b, at_backend(r),
			"\"%.*s\" is no socket's path, "
			"expected unix:/PATH of at most %d bytes",
			(int)s.n, s.p, SOCKET_PATH_MAX);
		return;
	}
	r->to.path = copy_part(b, s);
	if (r->to.path)
		check_captures(b, r, r->to.path, false);
}

/* Splits by white space; argv ends in NULL. */
static int split_arguments(
	struct builder *b, struct conf_backend *to, struct str s)
{
	char **v = calloc(s.n / 2 + 2, sizeof(*v));

	if (!v) {
		build_no_memory(b);
		return -1;
	}
	to->argv = v;
	for (s = str_trim(s); s.n > 0; s = str_trim(s)) {
		struct str word = { s.p, 0 };

		while (word.n < s.n && s.p[word.n] != ' ' &&
			s.p[word.n] != '\t')
			word.n++;
		v[to->argc] = copy_part(b, word);
		if (!v[to->argc])
			return -1;
		to->argc++;
		s.p += word.n;
		s.n -= word.n;
	}
	return 0;
}

/*
 * A name is made a path, as relative names are made absolute: what wsrelayd -T
 * prints, and what a reload compares, is the file that was found.
 */
static int find_program(struct builder *b, struct conf_route *r)
{
	struct str name = str_of(r->to.argv[0]);
	char *found = program_find(name), *backend = NULL;
	const char *behind = strstr(r->backend + strlen("exec:"), name.p) +
			     name.n;

	if (!found) {
		build_error(b, at_backend(r),
			"there is no program \"%s\" in PATH (%s), expected "
			"one, or exec:/PROGRAM",
			name.p, program_path());
		return -1;
	}
	if (asprintf(&backend, "exec:%s%s", found, behind) < 0) {
		free(found);
		build_no_memory(b);
		return -1;
	}
	if (strlen("backend=") + strlen(backend) > INI_LINE_MAX)
		build_error(b, at_backend(r),
			"\"%s\" is %s, which makes a line of more than %d "
			"bytes, expected a shorter one",
			name.p, found, INI_LINE_MAX);
	r->to.searched = r->to.argv[0];
	r->to.argv[0] = found;
	free(r->backend);
	r->backend = backend;
	return 0;
}

static void check_program(struct builder *b, struct conf_route *r)
{
	const char *program = r->to.argv[0];
	struct stat st;

	assert(program); /* argc is not 0 */
	if (!strpbrk(program, "/{}") && find_program(b, r) < 0)
		return;
	program = r->to.argv[0];
	if (program[0] != '/')
		build_error(b, at_backend(r),
			"\"%s\" is no absolute path, "
			"expected exec:/PROGRAM, or a name that is in PATH",
			program);
	else if (template_has_captures(str_of(program)))
		build_error(b, at_backend(r),
			"a capture in the program's "
			"name, expected one only in its arguments");
	else if (stat(program, &st) < 0)
		build_error(b, at_backend(r), "%s: %s%s, expected a program",
			program, strerror(errno), hidden_note(program, errno));
	else if (!S_ISREG(st.st_mode) || access(program, X_OK) < 0)
		build_error(b, at_backend(r),
			"%s cannot be executed, expected "
			"a program",
			program);
}

/*
 * A script is often an argument of its interpreter. Only what cannot be reached:
 * an argument may also name a file that the program is to make.
 */
static void warn_hidden(
	struct builder *b, const struct conf_route *r, const char *argument)
{
	struct stat st;
	const char *note;

	if (template_has_captures(str_of(argument)) ||
		stat(argument, &st) == 0 || errno != EACCES)
		return;
	note = hidden_note(argument, errno);
	if (*note)
		build_warn(b, at_backend(r), "%s: %s%s", argument,
			strerror(errno), note);
}

static void parse_exec(struct builder *b, struct conf_route *r, struct str s)
{
	r->to.kind = BACKEND_EXEC;
	if (split_arguments(b, &r->to, s) < 0)
		return;
	if (r->to.argc == 0) {
		build_error(b, at_backend(r),
			"no program, expected "
			"exec:/PROGRAM ARGUMENTS");
		return;
	}
	check_program(b, r);
	for (size_t i = 1; i < r->to.argc; i++) {
		if (check_captures(b, r, r->to.argv[i], false) < 0)
			return;
		warn_hidden(b, r, r->to.argv[i]);
	}
}

/* --- all ------------------------------------------------------------------- */

static void parse_echo(struct builder *b, struct conf_route *r, struct str s)
{
	r->to.kind = BACKEND_ECHO;
	if (s.n > 0)
		build_error(b, at_backend(r),
			"\"%.*s\" behind echo:, expected "
			"echo:",
			(int)s.n, s.p);
}

static void parse_room(struct builder *b, struct conf_route *r, struct str s)
{
	r->to.kind = BACKEND_ROOM;
	if (s.n > 0)
		build_error(b, at_backend(r),
			"\"%.*s\" behind room:, expected "
			"room:",
			(int)s.n, s.p);
}

static void find_attach(struct builder *b, struct conf_route *r, struct str s)
{
	r->to.attach = conf_find_attach(b->conf, s);
	if (!r->to.attach)
		build_error(b, at_backend(r),
			"there is no [attach %.*s], expected the name of such "
			"a section",
			(int)s.n, s.p);
}

static void parse_attach(struct builder *b, struct conf_route *r, struct str s)
{
	r->to.kind = BACKEND_ATTACH;
	find_attach(b, r, s);
}

static void parse_attached(
	struct builder *b, struct conf_route *r, struct str s)
{
	r->to.kind = BACKEND_ATTACHED;
	find_attach(b, r, s);
	/* Another one would be equal to none of a run. */
	if (r->to.attach)
		check_captures_are_of(b, r, r->to.attach);
}

static const struct {
	struct str prefix;
	void (*parse)(struct builder *b, struct conf_route *r, struct str s);
	bool tls;
} kinds[] = {
	{ { "tcp://", 6 }, parse_tcp, false },
	{ { "tls://", 6 }, parse_tcp, true },
	{ { "unix:", 5 }, parse_unix, false },
	{ { "ws://", 5 }, parse_ws, false },
	{ { "wss://", 6 }, parse_ws, true },
	{ { "exec:", 5 }, parse_exec, false },
	{ { "echo:", 5 }, parse_echo, false },
	{ { "room:", 5 }, parse_room, false },
	{ { "attach:", 7 }, parse_attach, false },
	{ { "attached:", 9 }, parse_attached, false },
};

int check_backend(struct builder *b, struct conf_route *r)
{
	struct str s = str_of(r->backend);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct str prefix = kinds[i].prefix;

		if (!str_starts(s, prefix))
			continue;
		s.p += prefix.n;
		s.n -= prefix.n;
		r->to.tls = kinds[i].tls;
		kinds[i].parse(b, r, s);
		return 0;
	}
	build_error(b, at_backend(r),
		"\"%s\" is not understood, expected tcp://HOST:PORT, "
		"tls://HOST:PORT, unix:/PATH, ws://HOST[:PORT][/PATH], "
		"wss://HOST[:PORT][/PATH], exec:/PROGRAM ARGUMENTS, "
		"attach:NAME or echo:",
		r->backend);
	return -1;
}
