/*
 * ask.c: what a running daemon is asked: options by the table of commands
 * (codec/control.def) -> a request -> its answer as a table, or as it is.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "codec/control.h"
#include "ctl/ctl.h"
#include "ctl/call.h"
#include "ctl/record.h"
#include "ctl/rows.h"
#include "ctl/since.h"
#include "ctl/tap.h"

#define OPTIONS_MAX 16

enum { OPT_SOCKET = 1, OPT_JSON, OPT_HELP, OPT_ARGUMENT };

struct ask {
	const struct control_command *command;
	struct ctl_global global;
	bool help;
	json_t *request;
};

/* --- arguments ------------------------------------------------------------*/

static void print_argument(FILE *out, const struct control_argument *a)
{
	bool required = a->flags & CONTROL_REQUIRED;

	fputs(required ? " " : " [", out);
	if (!(a->flags & CONTROL_PLAIN))
		fprintf(out, "--%s%s", a->name, a->word ? " " : "");
	fprintf(out, "%s%s%s", a->word ? a->word : "",
		a->type == CONTROL_TEXTS ? "..." : "", required ? "" : "]");
}

static void print_usage(FILE *out, const struct control_command *c)
{
	fprintf(out, "usage: wsrelayctl [--socket PATH | -c FILE] %s [--json]",
		c->name);
	for (const struct control_argument *a = c->arguments; a->name; a++)
		print_argument(out, a);
	fprintf(out, "\n%s\n", c->help);
}

void ctl_ask_help(FILE *out)
{
	for (size_t i = 0; i < control_commands_n; i++)
		fprintf(out, "  %-9s %s\n", control_commands[i].name,
			control_commands[i].help);
}

static int add_since(
	struct ask *k, const struct control_argument *a, const char *text)
{
	int64_t ms;

	if (since_parse(&ms, text, clock_unix_ms()) < 0) {
		ctl_complain("--%s: expected " SINCE_EXPECTED, a->name);
		return -1;
	}
	return json_object_set_new(k->request, a->name, json_integer(ms));
}

static int add_time(
	struct ask *k, const struct control_argument *a, const char *text)
{
	int64_t ms;

	if (since_parse_length(&ms, text) < 0) {
		ctl_complain("--%s: expected a time such as 90s, 10m, 2h or 3d",
			a->name);
		return -1;
	}
	return json_object_set_new(k->request, a->name, json_integer(ms));
}

/* A token, as it is: never from the arguments, which all users can see. */
static int add_stdin(
	struct ask *k, const struct control_argument *a, const char *text)
{
	char bytes[CTL_TOKEN_TEXT];
	struct str token;

	if (strcmp(text, "-") != 0) {
		ctl_complain("--%s: expected -: it is read from standard "
			     "input",
			a->name);
		return -1;
	}
	if (ctl_read_token(bytes, sizeof(bytes), "token", &token) < 0)
		return -1;
	if (json_object_set_new(
		    k->request, a->name, json_stringn(token.p, token.n)) == 0)
		return 0;
	ctl_complain("standard input: it is no token");
	return -1;
}

static int add_number(
	struct ask *k, const struct control_argument *a, const char *text)
{
	char *end;
	long long n;

	if (a->flags & CONTROL_SINCE)
		return add_since(k, a, text);
	if (a->flags & CONTROL_TIME)
		return add_time(k, a, text);
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || *end || end == text || n < 0) {
		ctl_complain("--%s: expected a number, 0 or more", a->name);
		return -1;
	}
	return json_object_set_new(k->request, a->name, json_integer(n));
}

static int add_texts(
	struct ask *k, const struct control_argument *a, const char *text)
{
	json_t *list = json_object_get(k->request, a->name);

	if (!list) {
		list = json_array();
		if (json_object_set_new(k->request, a->name, list) < 0)
			return -1;
	}
	return json_array_append_new(list, json_string(text));
}

/* -1: it complained, or no memory. */
static int add_argument(
	struct ask *k, const struct control_argument *a, const char *text)
{
	switch (a->type) {
	case CONTROL_TEXT:
		if (a->flags & CONTROL_STDIN)
			return add_stdin(k, a, text);
		return json_object_set_new(
			k->request, a->name, json_string(text));
	case CONTROL_NUMBER:
		return add_number(k, a, text);
	case CONTROL_FLAG:
		return json_object_set_new(k->request, a->name, json_true());
	case CONTROL_TEXTS:
		return add_texts(k, a, text);
	}
	return -1;
}

static int add_plain(struct ask *k, int argc, char **argv)
{
	const struct control_argument *a = k->command->arguments;

	for (int i = 0; i < argc; i++) {
		while (a->name && !(a->flags & CONTROL_PLAIN))
			a++;
		if (!a->name) {
			ctl_complain("%s: there is no argument '%s'",
				k->command->name, argv[i]);
			return -1;
		}
		if (add_argument(k, a, argv[i]) < 0)
			return -1;
		if (a->type != CONTROL_TEXTS)
			a++;
	}
	return 0;
}

static int check_required(const struct ask *k)
{
	for (const struct control_argument *a = k->command->arguments; a->name;
		a++)
		if ((a->flags & CONTROL_REQUIRED) &&
			!json_object_get(k->request, a->name)) {
			ctl_complain("%s: %s is missing", k->command->name,
				a->flags & CONTROL_PLAIN ? a->word : a->name);
			return -1;
		}
	return 0;
}

/* Its own options behind those of all commands. Returns how many. */
static size_t make_options(
	const struct control_command *c, struct option o[OPTIONS_MAX])
{
	static const struct option all[] = {
		{ "socket", required_argument, NULL, OPT_SOCKET },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, OPT_HELP },
	};
	size_t n = ARRAY_SIZE(all);

	memcpy(o, all, sizeof(all));
	for (const struct control_argument *a = c->arguments; a->name; a++)
		if (!(a->flags & CONTROL_PLAIN) && n + 1 < OPTIONS_MAX)
			o[n++] = (struct option){ a->name,
				a->type == CONTROL_FLAG ? no_argument
							: required_argument,
				NULL, OPT_ARGUMENT };
	o[n] = (struct option){ NULL, 0, NULL, 0 };
	return n;
}

/* argument: the option as it was written. */
static int take_option(
	struct ask *k, int c, const char *name, const char *argument)
{
	switch (c) {
	case 'c':
		k->global.file = optarg;
		return 0;
	case OPT_SOCKET:
		k->global.socket = optarg;
		return 0;
	case OPT_JSON:
		k->global.json = true;
		return 0;
	case 'h':
	case OPT_HELP:
		k->help = true;
		return 0;
	case OPT_ARGUMENT:
		return add_argument(k,
			control_find_argument(k->command, str_of(name)),
			optarg);
	case ':':
		ctl_complain("%s: its value is missing", argument);
		return -1;
	default:
		ctl_complain("%s: there is no such option; see wsrelayctl %s "
			     "--help",
			argument, k->command->name);
		return -1;
	}
}

static int read_options(struct ask *k, int argc, char **argv)
{
	struct option options[OPTIONS_MAX];
	int c, index = 0;

	make_options(k->command, options);
	if (json_object_set_new(
		    k->request, "command", json_string(k->command->name)) < 0)
		return -1;
	optind = 0; /* a new scan, with glibc */
	while ((c = getopt_long(argc, argv, ":c:h", options, &index)) != -1)
		if (take_option(k, c, options[index].name, argv[optind - 1]) <
			0)
			return -1;
	if (k->help)
		return 0;
	if (add_plain(k, argc - optind, argv + optind) < 0)
		return -1;
	return check_required(k);
}

/* --- the answer -----------------------------------------------------------*/

static enum ctl_status last_line(const json_t *line, const char *status)
{
	const char *error = json_string_value(json_object_get(line, "error"));

	if (strcmp(status, CONTROL_OK) == 0)
		return CTL_OK;
	ctl_complain("%s", error ? error : status);
	return strcmp(status, CONTROL_USAGE) == 0 ? CTL_USAGE : CTL_REFUSED;
}

/* Until the last line. */
static enum ctl_status show(struct call *c, struct rows *rows)
{
	enum ctl_status result;
	struct str line;

	for (;;) {
		json_t *row;
		const char *status;

		if (call_line(c, &line) < 0)
			return CTL_UNREACHABLE;
		row = json_loadb(line.p, line.n, 0, NULL);
		status = json_string_value(json_object_get(row, "status"));
		if (!rows)
			fwrite(line.p, 1, line.n, stdout);
		if (status) {
			if (rows)
				rows_flush(rows);
			result = last_line(row, status);
			json_decref(row);
			return result;
		}
		if (!rows || !row) {
			json_decref(row);
		} else if (rows_add(rows, row) < 0) {
			ctl_complain("no memory");
			return CTL_REFUSED;
		}
	}
}

/* rows NULL: as lines of JSON. */
static enum ctl_status show_answer(
	const struct ask *k, struct call *c, struct rows *rows)
{
	const char *file = json_string_value(
		json_object_get(k->request, "file"));

	if (file)
		return record_write(c, file, !rows);
	return k->command->flags & CONTROL_ENDLESS ? tap_show(c, !rows)
						   : show(c, rows);
}

static enum rows_kind kind_of(const struct control_command *c)
{
	if (c->flags & CONTROL_SHEET)
		return ROWS_SHEET;
	return c->flags & CONTROL_BY_TIME ? ROWS_BY_TIME : ROWS_TABLE;
}

char *ctl_ask_socket(const struct ctl_global *g)
{
	char *path = g->file && !g->socket ? conf_read_control(g->file) : NULL;

	if (path && strcmp(path, "none") != 0)
		return path;
	if (path) {
		ctl_complain("%s: control = none: the daemon has no socket",
			g->file);
		free(path);
		return NULL;
	}
	/* A command of the service itself, such as ExecReload=, has its own. */
	if (g->socket || conf_default_control(&path) < 0 || !path)
		path = str_dup(
			str_of(g->socket ? g->socket : CALL_DEFAULT_SOCKET));
	if (!path)
		ctl_complain("no memory");
	return path;
}

static enum ctl_status ask(struct ask *k)
{
	char *path = ctl_ask_socket(&k->global);
	struct rows *rows = k->global.json ? NULL
					   : rows_new(kind_of(k->command));
	struct call call = { .fd = -1 };
	enum ctl_status status = CTL_UNREACHABLE;

	if (!k->global.json && !rows)
		ctl_complain("no memory");
	else if (path && call_open(&call, path) == 0 &&
		 call_ask(&call, k->request) == 0)
		status = show_answer(k, &call, rows);
	rows_free(rows);
	call_close(&call);
	free(path);
	return status;
}

static bool is(const struct ask *k, const char *command)
{
	return strcmp(k->command->name, command) == 0;
}

static enum ctl_status run(struct ask *k)
{
	const struct ctl_global *g = &k->global;
	enum ctl_status status;

	/* It needs no daemon; -c of others says where one listens. */
	if (is(k, "explain") && g->file && !g->socket)
		return ctl_explain_file(g->file, k->request, g->json);
	status = ask(k);
	if (status == CTL_UNREACHABLE && is(k, "reload") && !g->socket &&
		!json_is_true(json_object_get(k->request, "dry-run")) &&
		ctl_reload_can_signal())
		return ctl_reload_by_signal(g->file);
	return status;
}

enum ctl_status ctl_ask_run(
	const struct ctl_global *global, int argc, char **argv)
{
	struct ask k = { .command = control_find(str_of(argv[0])),
		.global = *global,
		.request = json_object() };
	enum ctl_status status = CTL_USAGE;

	if (!k.request) {
		ctl_complain("no memory");
	} else if (read_options(&k, argc, argv) == 0) {
		if (k.help)
			print_usage(stdout, k.command);
		status = k.help ? CTL_OK : run(&k);
	}
	json_decref(k.request);
	return status;
}

bool ctl_ask_knows(const char *name)
{
	return control_find(str_of(name)) != NULL;
}
