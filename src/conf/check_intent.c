/*
 * check_intent.c: what a route says that is taken as it is written, and hardly
 * ever meant so. All of it is a warning that says what to write: such a file
 * starts, and did so before.
 */
#include <string.h>

#include "codec/pattern.h"
#include "conf/check.h"
#include "conf/diff.h"
#include "conf/value.h"

/* --- keys that only hubs have ---------------------------------------------- */

/* Whether a line gives the key another value than its default. */
static bool is_changed(
	struct builder *b, const struct conf_route *r, const char *key)
{
	const struct key_row *row = keys_find(SECTION_ROUTE, str_of(key));
	struct conf_route initial = { 0 };
	char why[VALUE_WHY];

	if (!build_find(b, check_at_route(r, key)))
		return false;
	if (value_parse(row, &initial, str_of(row->initial), "/", why) < 0)
		return false;
	return diff_key(row, &initial, r) == 1;
}

/*
 * Those that make no sense to a pair at all are errors (check_route.c); these
 * were passed over in silence from the first release on.
 */
static void check_hub_keys(struct builder *b, const struct conf_route *r)
{
	static const char *const keys[] = { "linger", "input", "denied_input",
		"replay", "replay_bytes", "slow", "slow_text", "slow_binary",
		"hold_timeout", "max_hubs" };

	if (r->mode == CONF_MODE_HUB)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (is_changed(b, r, keys[i]))
			build_warn(b, check_at_route(r, keys[i]),
				"means nothing to mode = pair, in which each "
				"client has a backend of its own (write mode = "
				"hub, or leave %s out)",
				keys[i]);
}

/* --- a path that ends in a slash ------------------------------------------- */

static void check_slash(struct builder *b, const struct conf_route *r)
{
	size_t n = strlen(r->path);

	if (n > 1 && r->path[n - 1] == '/')
		build_warn(b, check_at_route(r, "path"),
			"ends in a slash, and so is not the path \"%.*s\" "
			"(write path = %.*s, if wsuris have no slash there)",
			(int)n - 1, r->path, (int)n - 1, r->path);
}

/* --- arguments that a shell would read otherwise --------------------------- */

/* "<user>": how manuals write what is to be filled in. */
static struct str angle_placeholder(const char *text)
{
	const char *open = strchr(text, '<');
	const char *close = open ? strchr(open, '>') : NULL;

	return close && close > open + 1
		       ? (struct str){ open, (size_t)(close - open) + 1 }
		       : STR_NONE;
}

static bool is_shell_operator(const char *word)
{
	static const char *const operators[] = { "|", "||", "&", "&&", "<", ">",
		">>", "2>", "2>&1", "&>" };

	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (strcmp(word, operators[i]) == 0)
			return true;
	return false;
}

/* "$HOME", "~/run": what a shell fills in. */
static bool is_shell_expansion(const char *word)
{
	return (word[0] == '$' &&
		       strspn(word + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_{") > 0) ||
	       strncmp(word, "~/", 2) == 0;
}

static const char *misread(const char *word)
{
	if (strpbrk(word, "'\""))
		return "has quotes, which are passed on: arguments are split "
		       "at blanks (write it without quotes, or a script that "
		       "has the whole command)";
	if (is_shell_operator(word))
		return "is passed on as an argument, because there is no shell "
		       "(write a script that has the whole command)";
	if (is_shell_expansion(word))
		return "is passed on as it is, because there is no shell "
		       "(write what it means, or a script that has the whole "
		       "command)";
	return NULL;
}

static void check_angles(struct builder *b, const struct conf_route *r,
	struct build_at at, const char *text)
{
	struct str s = angle_placeholder(text);

	if (s.n > 0)
		build_warn(b, at,
			"%.*s is passed on as it is (a capture of the path %s "
			"is written {%.*s})",
			(int)s.n, s.p, r->path, (int)s.n - 2, s.p + 1);
}

static void check_backend_words(struct builder *b, const struct conf_route *r)
{
	struct build_at at = check_at_route(r, "backend");

	if (r->to.kind == BACKEND_UNIX)
		check_angles(b, r, at, r->to.path);
	for (size_t i = 0; i < r->to.argc; i++) {
		const char *why = misread(r->to.argv[i]);

		if (why)
			build_warn(b, at, "%s %s", r->to.argv[i], why);
		else
			check_angles(b, r, at, r->to.argv[i]);
	}
}

/* Captures are filled in in arguments only. */
static void check_environment(struct builder *b, const struct conf_route *r)
{
	struct build_at at = check_at_route(r, "exec_env");

	for (; at.element < r->exec_env.n; at.element++) {
		const char *variable = r->exec_env.v[at.element];
		const char *open = strchr(variable, '{');
		size_t n = open ? strcspn(open, "}") : 0;

		if (n > 1 && r->pattern &&
			pattern_has_capture(
				r->pattern, (struct str){ open + 1, n - 1 }))
			build_warn(b, at,
				"%.*s} is passed on as it is: captures are "
				"filled in in arguments (write it in backend = "
				"exec:/PROGRAM %.*s})",
				(int)n, open, (int)n, open);
	}
}

/* --- queues ---------------------------------------------------------------- */

/*
 * The defaults are like this, and good: an empty queue always takes one
 * message. What wsrelayd -T prints has both of them.
 */
static void check_queue(struct builder *b, const struct conf_route *r)
{
	bool queue = build_find(b, check_at_route(r, "queue_limit"));
	bool most = build_find(b, check_at_route(r, "max_backend_message"));

	if (r->mode != CONF_MODE_HUB || (!queue && !most) ||
		r->queue_limit >= r->max_backend_message ||
		(queue && most && !is_changed(b, r, "queue_limit") &&
			!is_changed(b, r, "max_backend_message")))
		return;
	build_warn(b,
		check_at_route(
			r, queue ? "queue_limit" : "max_backend_message"),
		"%s: a waiting message may be over the limit by itself (write "
		"queue_limit as large as max_backend_message)",
		queue ? "is less than max_backend_message"
		      : "is more than queue_limit");
}

void check_intent(struct builder *b)
{
	/* Not of a file with errors, nor where only tokens are made. */
	if (b->errors > 0 || b->for_tokens)
		return;
	for (size_t i = 0; i < b->conf->routes_n; i++) {
		const struct conf_route *r = &b->conf->routes[i];

		check_hub_keys(b, r);
		check_slash(b, r);
		check_backend_words(b, r);
		check_environment(b, r);
		check_queue(b, r);
	}
}
