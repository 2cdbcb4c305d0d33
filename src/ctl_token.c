/*
 * ctl_token.c: wsrelayctl token: options -> a key of the INI file -> a token.
 *
 * Values of options are read by the rows of conf/keys.def that the same
 * words have in the INI file, with their units and ranges.
 */
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/str.h"
#include "codec/jwt.h"
#include "codec/origin.h"
#include "codec/uri.h"
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

	if (value_parse(row, section, str_of(text), "/", why) == 0)
		return 0;
	ctl_complain("--%s: %s", c->option, why);
	return -1;
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

	for (size_t i = 0; i < ARRAY_SIZE(conf_options); i++) {
		const struct conf_option *row = &conf_options[i];
		const char *initial =
			keys_find(row->section, str_of(row->key))->initial;

		if (conf_option_set(o, row, initial) < 0)
			return -1;
	}
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

static void token_options_free(struct ctl_token_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(conf_options); i++)
		value_free(keys_find(conf_options[i].section,
				   str_of(conf_options[i].key)),
			conf_options[i].section == SECTION_PAGE
				? (void *)&o->page
				: (void *)&o->route);
	free(o->path);
}

/* --- minting --- */

static const struct jwt_key *key_choose(
	const struct conf *conf, const char *name)
{
	const struct conf_key *key = name ? conf_find_key(conf, str_of(name))
					  : NULL;

	if (!name && conf->keys_n == 1)
		key = &conf->keys[0];
	if (key)
		return &key->jwt;
	ctl_complain("%s; the file has %zu:",
		name ? "no key of this name" : "--key must say which key",
		conf->keys_n);
	for (size_t i = 0; i < conf->keys_n; i++)
		/* There are keys_n. NOLINTNEXTLINE(clang-analyzer-core.*) */
		fprintf(stderr, "\t%s\n", conf->keys[i].section.name);
	return NULL;
}

/* Nothing is given out that the relay would refuse. -1, and it is said. */
static int minted_check(struct str token, const struct jwt_key *key,
	const char *path, int64_t now)
{
	const char *why = NULL;
	struct jwt t;
	enum jwt_result r = jwt_parse(&t, token, &why);

	if (r == JWT_OK)
		r = jwt_verify(&t, key);
	if (r == JWT_OK)
		r = jwt_check(&t, key, now, str_of(path));
	jwt_free(&t);
	if (r == JWT_OK)
		return 0;
	ctl_complain("the relay would refuse it: %s%s%s", jwt_strresult(r),
		why ? ": " : "", why ? why : "");
	return -1;
}

static void complain_of_ttl(int64_t max_ttl_ms)
{
	const struct conf_page most = { .token_ttl = max_ttl_ms };
	struct buf b = { 0 };

	if (value_format(&b, keys_find(SECTION_PAGE, STR("token_ttl")), &most,
		    0) == 0)
		ctl_complain("--ttl is longer than the key's max_ttl, %.*s",
			(int)b.n, (const char *)b.p);
	buf_free(&b);
}

/* What the INI file's keys cannot check; also fits the claims to the key. */
static int claims_check(struct ctl_token_options *o, const struct jwt_key *key)
{
	const char *why;

	if (o->page.token_ttl > key->max_ttl_ms) {
		if (o->ttl_given) {
			complain_of_ttl(key->max_ttl_ms);
			return -1;
		}
		o->page.token_ttl = key->max_ttl_ms;
	}
	if (o->origin && origin_pattern_check(str_of(o->origin), &why) < 0) {
		ctl_complain("--origin: %s", why);
		return -1;
	}
	if (o->page.public_url && o->path[strlen(o->path) - 1] == '*') {
		ctl_complain("--url: a path with * is no single address");
		return -1;
	}
	return 0;
}

static void token_print(const struct ctl_token_options *o, struct str token)
{
	const char *url = o->page.public_url;

	if (url) /* a page's own scheme will do, too: http is ws */
		printf("%s%s%s?%s=", strncmp(url, "http", 4) == 0 ? "ws" : "",
			url + (strncmp(url, "http", 4) == 0 ? 4 : 0), o->path,
			o->route.token_param);
	printf("%.*s\n", (int)token.n, token.p);
}

static enum ctl_status token_mint(
	struct ctl_token_options *o, const struct conf *conf)
{
	const struct jwt_key *key = key_choose(conf, o->key);
	int64_t now = clock_unix_ms();
	int64_t whole = now - now % 1000; /* reads better, and is never late */
	char jti[BASE64URL_LENGTH(16) + 1];
	struct jwt_claims claims = { .path = o->path, .iat_ms = whole };
	struct buf token = { 0 };
	enum ctl_status status = CTL_REFUSED;

	if (!key || claims_check(o, key) < 0)
		return CTL_REFUSED;
	claims.sub = o->page.token_subject;
	claims.origin = o->origin;
	claims.issuer = key->issuer;
	claims.audience = key->audience;
	claims.perm = o->perm_given ? (enum jwt_perm)o->page.token_perm
				    : (enum jwt_perm)0;
	claims.exp_ms = o->page.token_ttl +
			(o->page.token_ttl % 1000 == 0 ? whole : now);
	claims.expire_at_ms = JWT_NEVER;
	if (o->expire_at_given)
		claims.expire_at_ms = o->route.max_session == 0
					      ? 0
					      : whole + o->route.max_session;
	claims.jti = o->jti;
	if (o->jti && strcmp(o->jti, "auto") == 0) {
		if (ctl_random_text(jti, 16) < 0) {
			ctl_complain("random bytes: %s", strerror(errno));
			return CTL_REFUSED;
		}
		claims.jti = jti;
	}
	if (jwt_mint(&token, key, &claims) < 0)
		ctl_complain("no token could be made: a value is not UTF-8, "
			     "or a time is too far ahead");
	else if (minted_check(buf_str(&token), key, o->path, now) == 0) {
		token_print(o, buf_str(&token));
		status = CTL_OK;
	}
	buf_free(&token);
	return status;
}

/* --- wsrelayctl token --- */

/* Every line of *errors, to standard error; empties it. */
static void print_errors(struct buf *errors)
{
	fwrite(errors->p ? (char *)errors->p : "", 1, errors->n, stderr);
	buf_free(errors);
}

enum ctl_status ctl_token_run(const char *file, int argc, char **argv)
{
	struct ctl_token_options o = { .file = file };
	enum ctl_status status = CTL_USAGE;
	struct buf errors = { 0 };
	struct conf *conf = NULL;

	if (token_options_read(&o, argc, argv) == 0) {
		const char *path = o.file ? o.file : CTL_DEFAULT_FILE;

		/* To look at a token no configuration is needed. */
		if (!o.show || o.file || access(path, R_OK) == 0)
			conf = conf_load(path, &errors);
		print_errors(&errors);
		status = CTL_REFUSED;
		if (o.show && (conf || !o.file))
			status = ctl_show_token(&o, conf);
		else if (!o.show && conf)
			status = token_mint(&o, conf);
		conf_unref(conf);
	}
	token_options_free(&o);
	return status;
}
