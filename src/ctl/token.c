/*
 * token.c: wsrelayctl token: options -> mint.c or show.c.
 *
 * Values of options are read by the rows of conf/keys.def that the same
 * words have in the INI file, with their units and ranges.
 */
#include "ctl/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/http/uri.h"
#include "conf/conf.h"
#include "conf/keys.h"
#include "conf/value.h"

/* --- options --- */

/* Options that mean what a key of the INI file means. */
static const struct conf_option {
	const char *option, *key;
	enum keys_section section;
} conf_options[] = {
	{ "ttl", "token_ttl", SECTION_PAGE },
	{ "perm", "token_perm", SECTION_PAGE },
	{ "sub", "token_subject", SECTION_PAGE },
	{ "url", "public_url", SECTION_PAGE },
	{ "param", "token_param", SECTION_ROUTE },
	{ "expire-at", "max_session", SECTION_ROUTE },
};

static const struct option token_longs[] = {
	{ "ttl", required_argument, NULL, 0 },
	{ "perm", required_argument, NULL, 0 },
	{ "sub", required_argument, NULL, 0 },
	{ "url", required_argument, NULL, 0 },
	{ "param", required_argument, NULL, 0 },
	{ "expire-at", required_argument, NULL, 0 },
	{ "key", required_argument, NULL, 'k' },
	{ "path", required_argument, NULL, 'p' },
	{ "jti", required_argument, NULL, 'j' },
	{ "origin", required_argument, NULL, 'o' },
	{ "private-key", required_argument, NULL, 'P' },
	{ "show", required_argument, NULL, 's' },
	{ NULL, 0, NULL, 0 },
};

static int conf_option_set(struct ctl_token_options *o,
	const struct conf_option *c, const char *text)
{
	const struct key_row *row = keys_find(c->section, str_of(c->key));
	void *section = c->section == SECTION_PAGE ? (void *)&o->page
						   : (void *)&o->route;
	char why[VALUE_WHY];

	/* A simulation's, which no page mints. */
	if (strcmp(c->option, "perm") == 0 &&
		strcmp(text, jwt_perm_word(JWT_SERVE)) == 0) {
		o->page.token_perm = JWT_SERVE;
		return 0;
	}
	if (value_parse(row, section, str_of(text), "/", why) == 0)
		return 0;
	ctl_complain("--%s: %s", c->option, why);
	return -1;
}

int ctl_token_set(
	struct ctl_token_options *o, const char *option, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(conf_options); i++)
		if (strcmp(conf_options[i].option, option) == 0)
			return conf_option_set(o, &conf_options[i], text);
	return -1;
}

int ctl_token_init(struct ctl_token_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(conf_options); i++) {
		const struct conf_option *row = &conf_options[i];
		const char *initial =
			keys_find(row->section, str_of(row->key))->initial;

		if (conf_option_set(o, row, initial) < 0)
			return -1;
	}
	return 0;
}

static int path_set(struct ctl_token_options *o, const char *text)
{
	size_t size = strlen(text) + 1;
	ssize_t n;

	free(o->path);
	o->path = malloc(size);
	n = o->path ? uri_normalise_path(o->path, str_of(text)) : -1;
	if (n < 0) {
		ctl_complain("--path: not a path such as /sim/42 or /sim/*");
		return -1;
	}
	o->path[n] = '\0';
	return 0;
}

/* argument: the option as it was written. */
static int token_option_set(
	struct ctl_token_options *o, int c, int index, const char *argument)
{
	switch (c) {
	case 0: /* the first of token_longs are conf_options */
		o->perm_given |= strcmp(token_longs[index].name, "perm") == 0;
		o->ttl_given |= strcmp(token_longs[index].name, "ttl") == 0;
		o->expire_at_given |= strcmp(token_longs[index].name,
					      "expire-at") == 0;
		return conf_option_set(o, &conf_options[index], optarg);
	case 'c':
		o->file = optarg;
		return 0;
	case 'k':
		o->key = optarg;
		return 0;
	case 'p':
		return path_set(o, optarg);
	case 'j':
		o->jti = optarg;
		return 0;
	case 'o':
		o->origin = optarg;
		return 0;
	case 'P':
		o->private_key = optarg;
		return 0;
	case 's':
		o->show = true;
		if (strcmp(optarg, "-") == 0)
			return 0;
		ctl_complain(CTL_NO_ARGUMENTS);
		return -1;
	case ':':
		ctl_complain("%s: its value is missing", argument);
		return -1;
	default:
		ctl_complain("%s: there is no such option; see wsrelayctl "
			     "token --help",
			argument);
		return -1;
	}
}

static int token_options_read(
	struct ctl_token_options *o, int argc, char **argv)
{
	int c, index = 0;

	if (ctl_token_init(o) < 0)
		return -1;
	optind = 0; /* a new scan, with glibc */
	while ((c = getopt_long(argc, argv, ":c:", token_longs, &index)) != -1)
		if (token_option_set(o, c, index, argv[optind - 1]) < 0)
			return -1;
	if (optind < argc) {
		ctl_complain(CTL_NO_ARGUMENTS);
		return -1;
	}
	if (!o->show && !o->path) {
		ctl_complain("--path says what the token is for, "
			     "such as /sim/42 or /sim/*");
		return -1;
	}
	return 0;
}

void ctl_token_options_free(struct ctl_token_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(conf_options); i++)
		value_free(keys_find(conf_options[i].section,
				   str_of(conf_options[i].key)),
			conf_options[i].section == SECTION_PAGE
				? (void *)&o->page
				: (void *)&o->route);
	free(o->path);
}

/* --- wsrelayctl token --- */

/* Every line of *errors, to standard error; empties it. */
static void print_errors(struct buf *errors)
{
	fwrite(errors->p ? (char *)errors->p : "", 1, errors->n, stderr);
	buf_free(errors);
}

struct conf *ctl_token_conf(const struct ctl_token_options *o)
{
	struct buf errors = { 0 };
	struct conf *conf = conf_load_for_tokens(
		o->file ? o->file : CTL_DEFAULT_FILE, &errors);

	print_errors(&errors);
	return conf;
}

enum ctl_status ctl_token_run(const char *file, int argc, char **argv)
{
	struct ctl_token_options o = { .file = file };
	enum ctl_status status = CTL_USAGE;
	struct conf *conf = NULL;

	if (token_options_read(&o, argc, argv) == 0) {
		/* To look at a token no configuration is needed. */
		if (!o.show || o.file || access(CTL_DEFAULT_FILE, R_OK) == 0)
			conf = ctl_token_conf(&o);
		status = CTL_REFUSED;
		if (o.show && (conf || !o.file))
			status = ctl_show_token(&o, conf);
		else if (!o.show && conf)
			status = ctl_mint_token(&o, conf);
		conf_unref(conf);
	}
	ctl_token_options_free(&o);
	return status;
}
