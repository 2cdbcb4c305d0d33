#include "codec/control.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "codec/token/jwt_json.h"

static const struct control_argument none[] = { { .name = NULL } };

/* Which clients: what daemon/filter.h reads. */
#define FILTER                                                                 \
	{ "route", CONTROL_TEXT, 0, "NAME" },                                  \
		{ "sub", CONTROL_TEXT, 0, "SUBJECT" },                         \
		{ "key", CONTROL_TEXT, 0, "NAME" },                            \
	{                                                                      \
		"ip", CONTROL_TEXT, 0, "NETWORK"                               \
	}

/* Of those that are connected. */
#define FILTER_CLIENTS                                                         \
	FILTER,                                                                \
	{                                                                      \
		"kid", CONTROL_TEXT, 0, "KID"                                  \
	}

/* Which tokens: what daemon/revoking.h reads. */
#define TOKENS                                                                 \
	{ "sub", CONTROL_TEXT, 0, "SUBJECT" },                                 \
		{ "key", CONTROL_TEXT, 0, "NAME" },                            \
		{ "kid", CONTROL_TEXT, 0, "KID" },                             \
		{ "jti", CONTROL_TEXT, 0, "JTI" },                             \
		{ "hash", CONTROL_TEXT, 0, "HEX" },                            \
	{                                                                      \
		"token", CONTROL_TEXT, CONTROL_SECRET | CONTROL_STDIN, "-"     \
	}

static const struct control_argument clients[] = {
	FILTER_CLIENTS,
	{ "slow", CONTROL_FLAG, 0, NULL },
	{ .name = NULL },
};

static const struct control_argument level[] = {
	{ "level", CONTROL_TEXT, CONTROL_PLAIN, "LEVEL" },
	{ .name = NULL },
};

static const struct control_argument hubs[] = {
	{ "route", CONTROL_TEXT, 0, "NAME" },
	{ .name = NULL },
};

static const struct control_argument closed[] = {
	FILTER,
	{ "reason", CONTROL_TEXT, 0, "REASON" },
	{ "since", CONTROL_NUMBER, CONTROL_SINCE, "TIME" },
	{ .name = NULL },
};

static const struct control_argument one_id[] = {
	{ "id", CONTROL_TEXT, CONTROL_REQUIRED | CONTROL_PLAIN, "ID" },
	{ .name = NULL },
};

static const struct control_argument one_route[] = {
	{ "route", CONTROL_TEXT, CONTROL_REQUIRED | CONTROL_PLAIN, "ROUTE" },
	{ .name = NULL },
};

static const struct control_argument drained[] = {
	{ "route", CONTROL_TEXT, CONTROL_PLAIN, "ROUTE" },
	{ "soft", CONTROL_FLAG, 0, NULL },
	{ .name = NULL },
};

static const struct control_argument resumed[] = {
	{ "route", CONTROL_TEXT, CONTROL_PLAIN, "ROUTE" },
	{ .name = NULL },
};

static const struct control_argument killed[] = {
	{ "id", CONTROL_TEXTS, CONTROL_PLAIN, "ID" },
	FILTER_CLIENTS,
	{ "code", CONTROL_NUMBER, 0, "CODE" },
	{ "reason", CONTROL_TEXT, 0, "TEXT" },
	{ .name = NULL },
};

static const struct control_argument revoked[] = {
	{ "id", CONTROL_TEXTS, CONTROL_PLAIN, "ID" },
	TOKENS,
	{ "for", CONTROL_NUMBER, CONTROL_TIME, "TIME" },
	{ .name = NULL },
};

static const struct control_argument unrevoked[] = {
	TOKENS,
	{ .name = NULL },
};

/* How long one of CONTROL_ENDLESS goes on. */
#define UNTIL                                                                  \
	{ "limit", CONTROL_NUMBER, 0, "N" },                                   \
	{                                                                      \
		"for", CONTROL_NUMBER, CONTROL_TIME, "TIME"                    \
	}

static const struct control_argument tapped[] = {
	{ "route", CONTROL_TEXT, 0, "NAME" },
	{ "client", CONTROL_TEXT, 0, "ID" },
	{ "direction", CONTROL_TEXT, 0, "from_client|to_client" },
	{ "match", CONTROL_TEXT, CONTROL_SECRET, "TEXT" },
	UNTIL,
	{ .name = NULL },
};

static const struct control_argument recorded[] = {
	{ "path", CONTROL_TEXT, CONTROL_REQUIRED | CONTROL_PLAIN, "PATH" },
	/* Where the caller writes it: for the log. */
	{ "file", CONTROL_TEXT, CONTROL_REQUIRED | CONTROL_PLAIN, "FILE" },
	{ "route", CONTROL_TEXT, 0, "NAME" },
	UNTIL,
	{ .name = NULL },
};

static const struct control_argument explained[] = {
	{ "path", CONTROL_TEXT, CONTROL_REQUIRED | CONTROL_PLAIN, "PATH" },
	{ "host", CONTROL_TEXT, 0, "HOST" },
	{ "origin", CONTROL_TEXT, 0, "ORIGIN" },
	{ "from", CONTROL_TEXT, 0, "ADDRESS" },
	{ "protocol", CONTROL_TEXT, 0, "PROTOCOL" },
	{ "token", CONTROL_TEXT, CONTROL_SECRET | CONTROL_STDIN, "-" },
	{ "certificate", CONTROL_TEXT, 0, "SUBJECT" },
	{ "listen", CONTROL_TEXT, 0, "NAME" },
	{ .name = NULL },
};

static const struct control_argument reload[] = {
	{ "dry-run", CONTROL_FLAG, 0, NULL },
	{ .name = NULL },
};

const struct control_command control_commands[] = {
#define COMMAND(name, flags, arguments, help) { #name, flags, arguments, help },
#include "codec/control.def"
#undef COMMAND
};
const size_t control_commands_n = ARRAY_SIZE(control_commands);

const struct control_command *control_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(control_commands); i++)
		if (str_eq(name, str_of(control_commands[i].name)))
			return &control_commands[i];
	return NULL;
}

const struct control_argument *control_find_argument(
	const struct control_command *c, struct str name)
{
	for (const struct control_argument *a = c->arguments; a->name; a++)
		if (str_eq(name, str_of(a->name)))
			return a;
	return NULL;
}

/* --- a request ------------------------------------------------------------*/

static bool is_texts(const json_t *value)
{
	if (!json_is_array(value) || json_array_size(value) == 0)
		return false;
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!json_is_string(json_array_get(value, i)))
			return false;
	return true;
}

/* NULL: it is; else what was expected. */
static const char *fits(const json_t *value, enum control_type type)
{
	switch (type) {
	case CONTROL_TEXT:
		return json_is_string(value) ? NULL : "a string";
	case CONTROL_NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= 0
			       ? NULL
			       : "an integer, 0 or more";
	case CONTROL_FLAG:
		return json_is_boolean(value) ? NULL : "true or false";
	case CONTROL_TEXTS:
		return is_texts(value) ? NULL : "an array of strings";
	}
	return "nothing";
}

static int check_uid(struct control_request *r, const json_t *value, char *why)
{
	if (fits(value, CONTROL_NUMBER)) {
		snprintf(why, CONTROL_WHY, "uid: expected %s",
			fits(value, CONTROL_NUMBER));
		return -1;
	}
	r->uid = json_integer_value(value);
	return 0;
}

static int check_member(struct control_request *r, const char *name,
	const json_t *value, char *why)
{
	const struct control_argument *a;
	const char *expected;

	if (strcmp(name, "command") == 0)
		return 0;
	if (strcmp(name, "uid") == 0)
		return check_uid(r, value, why);
	a = control_find_argument(r->command, str_of(name));
	if (!a) {
		snprintf(why, CONTROL_WHY, "%s: there is no argument '%.100s'",
			r->command->name, name);
		return -1;
	}
	expected = fits(value, a->type);
	if (!expected)
		return 0;
	snprintf(why, CONTROL_WHY, "%s: expected %s", name, expected);
	return -1;
}

static int check_required(const struct control_request *r, char *why)
{
	for (const struct control_argument *a = r->command->arguments; a->name;
		a++) {
		if (!(a->flags & CONTROL_REQUIRED) ||
			json_object_get(r->object, a->name))
			continue;
		snprintf(why, CONTROL_WHY, "%s: %s is missing",
			r->command->name, a->name);
		return -1;
	}
	return 0;
}

/* r->command is set when it is known. */
static int check_object(struct control_request *r, char *why)
{
	const char *name = json_string_value(
		json_object_get(r->object, "command"));
	const char *member;
	json_t *value;

	if (!name) {
		snprintf(why, CONTROL_WHY, "command: expected a string");
		return -1;
	}
	r->command = control_find(str_of(name));
	if (!r->command) {
		snprintf(
			why, CONTROL_WHY, "there is no command '%.100s'", name);
		return -1;
	}
	json_object_foreach(r->object, member, value)
	{
		if (check_member(r, member, value, why) < 0)
			return -1;
	}
	return check_required(r, why);
}

ssize_t control_read(struct control_request *r, const void *p, size_t n,
	char why[CONTROL_WHY])
{
	size_t most = n < CONTROL_LINE_MAX ? n : CONTROL_LINE_MAX;
	const char *end = most > 0 ? memchr(p, '\n', most) : NULL;
	const char *problem;
	size_t length;

	*r = (struct control_request){ .uid = -1 };
	if (!end) {
		snprintf(why, CONTROL_WHY, "a request longer than %u bytes",
			CONTROL_LINE_MAX);
		return n < CONTROL_LINE_MAX ? 0 : -1;
	}
	length = (size_t)(end - (const char *)p);
	if (jwt_json_read(&r->object, p, length, &problem) != JWT_OK)
		snprintf(why, CONTROL_WHY, "%s", problem);
	else if (check_object(r, why) < 0)
		control_request_free(r);
	return (ssize_t)length + 1;
}

void control_request_free(struct control_request *r)
{
	json_decref(r->object);
	*r = (struct control_request){ .uid = -1 };
}

/* --- its arguments --------------------------------------------------------*/

const char *control_text(const struct control_request *r, const char *name)
{
	return json_string_value(json_object_get(r->object, name));
}

bool control_flag(const struct control_request *r, const char *name)
{
	return json_is_true(json_object_get(r->object, name));
}

int64_t control_number(const struct control_request *r, const char *name)
{
	const json_t *value = json_object_get(r->object, name);

	return value ? json_integer_value(value) : -1;
}

const char *control_text_at(
	const struct control_request *r, const char *name, size_t i)
{
	return json_string_value(
		json_array_get(json_object_get(r->object, name), i));
}
