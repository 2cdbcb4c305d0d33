#include "ctl/invite.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "codec/http/uri.h"
#include "codec/pattern.h"
#include "conf/conf.h"
#include "ctl/ctl.h"

#define TTL_MS (2 * 3600 * 1000)

struct invite {
	struct ctl_token_options token; /* its path: all below that of asked */
	char *asked;                    /* PATH, normalised */
	const char *url;                /* NULL: as the configuration says */
	bool qr;
	const char *qr_file; /* NULL: to standard output */
};

/* --- options --- */

static const struct option longs[] = {
	{ "ttl", required_argument, NULL, 't' },
	{ "sub", required_argument, NULL, 's' },
	{ "perm", required_argument, NULL, 'p' },
	{ "url", required_argument, NULL, 'u' },
	{ "key", required_argument, NULL, 'k' },
	{ "private-key", required_argument, NULL, 'P' },
	{ "qr", optional_argument, NULL, 'q' },
	{ NULL, 0, NULL, 0 },
};

static bool ends_in_svg(const char *word)
{
	size_t n = word ? strlen(word) : 0;

	return n > 4 && strcmp(word + n - 4, ".svg") == 0;
}

/* "--qr" may have a file behind it, and getopt takes one with '=' only. */
static void take_qr(struct invite *v, int argc, char **argv)
{
	v->qr = true;
	v->qr_file = optarg;
	if (!optarg && optind < argc && ends_in_svg(argv[optind]))
		v->qr_file = argv[optind++];
}

static int take_option(struct invite *v, int c, int argc, char **argv)
{
	switch (c) {
	case 't':
		v->token.ttl_given = true;
		return ctl_token_set(&v->token, "ttl", optarg);
	case 's':
		return ctl_token_set(&v->token, "sub", optarg);
	case 'p':
		v->token.perm_given = true;
		return ctl_token_set(&v->token, "perm", optarg);
	case 'u':
		v->url = optarg;
		return ctl_token_set(&v->token, "url", optarg);
	case 'c':
		v->token.file = optarg;
		return 0;
	case 'k':
		v->token.key = optarg;
		return 0;
	case 'P':
		v->token.private_key = optarg;
		return 0;
	case 'q':
		take_qr(v, argc, argv);
		return 0;
	case ':':
		ctl_complain("%s: its value is missing", argv[optind - 1]);
		return -1;
	default:
		ctl_complain("%s: there is no such option; see wsrelayctl "
			     "invite --help",
			argv[optind - 1]);
		return -1;
	}
}

/* "/desk/index.html" and "/desk/" -> "/desk/" and an asterisk. */
static int take_path(struct invite *v, const char *text)
{
	size_t n = strlen(text);
	ssize_t length;

	v->asked = malloc(n + 2);
	v->token.path = malloc(n + 3);
	length = v->asked && v->token.path
			 ? uri_normalise_path(v->asked, str_of(text))
			 : -1;
	if (length < 0) {
		ctl_complain("%s: not the path of a page such as /desk/", text);
		return -1;
	}
	v->asked[length] = '\0';
	return 0;
}

static void set_token_path(struct invite *v)
{
	size_t folder = (size_t)(strrchr(v->asked, '/') - v->asked) + 1;

	memcpy(v->token.path, v->asked, folder);
	strcpy(v->token.path + folder, "*");
}

static int read_options(struct invite *v, int argc, char **argv)
{
	int c;

	if (ctl_token_init(&v->token) < 0)
		return -1;
	v->token.jti = "auto"; /* it can be taken back by that */
	optind = 0;            /* a new scan, with glibc */
	while ((c = getopt_long(argc, argv, ":c:", longs, NULL)) != -1)
		if (take_option(v, c, argc, argv) < 0)
			return -1;
	/* Its form was checked; ctl_mint would make a wsuri's of it. */
	if (v->url && ctl_token_set(&v->token, "url", "") < 0)
		return -1;
	if (optind + 1 != argc) {
		ctl_complain(optind == argc
				     ? "the path of a page is missing, such as "
				       "wsrelayctl invite /desk/"
				     : "one path, please");
		return -1;
	}
	return take_path(v, argv[optind]);
}

/* --- the page --- */

/* As the relay looks for it, on whatever listener. */
static const struct conf_page *find_page(
	const struct conf *conf, const char *path, struct str *rest)
{
	const struct conf_page *found = NULL;

	for (size_t i = 0; i < conf->pages_n; i++) {
		const struct conf_page *p = &conf->pages[i];
		struct captures captures;
		struct str behind;

		if (!pattern_match_prefix(
			    p->pattern, str_of(path), &captures, &behind))
			continue;
		if (found && (behind.n > rest->n ||
				     (behind.n == rest->n &&
					     pattern_captures(p->pattern) >=
						     pattern_captures(
							     found->pattern))))
			continue;
		found = p;
		*rest = behind;
	}
	return found;
}

static bool is_on_one_of(
	const struct conf_listens *all, const struct conf_listens *some)
{
	for (size_t i = 0; i < some->n; i++)
		for (size_t k = 0; k < all->n; k++)
			if (all->v[k] == some->v[i])
				return true;
	return all->n == 0;
}

/* A route that hides the path from the page, wherever that is. */
static const struct conf_route *find_route(
	const struct conf *conf, const struct conf_page *page, const char *path)
{
	struct captures captures;

	for (size_t i = 0; i < conf->routes_n; i++) {
		const struct conf_route *r = &conf->routes[i];

		if (!r->host &&
			(!page || is_on_one_of(&r->listens, &page->listens)) &&
			pattern_match(r->pattern, str_of(path), &captures))
			return r;
	}
	return NULL;
}

/* NULL, and it is said. */
static const struct conf_page *page_choose(
	struct invite *v, const struct conf *conf)
{
	struct str rest;
	const struct conf_page *page = find_page(conf, v->asked, &rest);
	const struct conf_route *route = find_route(conf, page, v->asked);

	if (route) {
		ctl_complain("%s is a path of [route %s], which is no page: "
			     "wsrelayctl token --path %s --url URL makes a "
			     "wsuri for it",
			v->asked, route->section.name, v->asked);
		return NULL;
	}
	if (!page) {
		ctl_complain("no page has the path %s; the file has %zu pages",
			v->asked, conf->pages_n);
		return NULL;
	}
	if (page->auth == CONF_AUTH_NONE) {
		ctl_complain("[page %s] is open to everybody who reaches it, "
			     "without an invitation (write auth = token behind "
			     "%s:%d, if that is not meant)",
			page->section.name, page->section.file,
			page->section.line);
		return NULL;
	}
	if (rest.n == 0 && v->asked[strlen(v->asked) - 1] != '/')
		strcat(v->asked, "/"); /* the page itself, as a folder */
	return page;
}

/* --- its key --- */

static bool is_of(const struct conf_page *page, const struct conf_key *key)
{
	for (size_t i = 0; i < page->use_keys.n; i++)
		if (page->use_keys.v[i] == key)
			return true;
	return false;
}

/* The key that it mints with, where it is one of its; else the first. */
static const struct conf_key *usual_key(const struct conf_page *page)
{
	if (page->key && is_of(page, page->key))
		return page->key;
	for (size_t i = 0; i < page->use_keys.n; i++)
		if (jwt_can_sign(&page->use_keys.v[i]->jwt))
			return page->use_keys.v[i];
	return page->use_keys.n > 0 ? page->use_keys.v[0] : NULL;
}

/* NULL, and it is said. */
static const struct conf_key *key_choose(const struct invite *v,
	const struct conf *conf, const struct conf_page *page)
{
	const struct conf_key *key = v->token.key
					     ? conf_find_key(conf,
						       str_of(v->token.key))
					     : usual_key(page);

	if (key && is_of(page, key))
		return key;
	ctl_complain("[page %s] takes no invitations of this key; it takes "
		     "those of:",
		page->section.name);
	for (size_t i = 0; i < page->use_keys.n; i++)
		/* There are n. NOLINTNEXTLINE(clang-analyzer-core.*) */
		fprintf(stderr, "\t%s\n", page->use_keys.v[i]->section.name);
	return NULL;
}

/* --- what the link gives --- */

static int perm_of(const struct invite *v, const struct conf_page *page)
{
	return v->token.perm_given ? page->token_perm & v->token.page.token_perm
				   : page->token_perm;
}

static const char *perm_words(int perm)
{
	return perm == JWT_READ ? "r" : perm == JWT_WRITE ? "w" : "rw";
}

/* -1, and it is said: it would open a page without a single wsuri. */
static int check_perm(const struct invite *v, const struct conf_page *page)
{
	int perm = perm_of(v, page);

	if (perm == 0) {
		ctl_complain("--perm %s and token_perm = %s of [page %s] have "
			     "no right in common (change token_perm behind "
			     "%s:%d, or --perm)",
			perm_words(v->token.page.token_perm),
			perm_words(page->token_perm), page->section.name,
			page->section.file, page->section.line);
		return -1;
	}
	if (v->token.perm_given && perm != v->token.page.token_perm)
		ctl_complain("the link gives no more than token_perm = %s of "
			     "[page %s], %s:%d",
			perm_words(perm), page->section.name,
			page->section.file, page->section.line);
	return 0;
}

/* A subject's newest page takes the driver's seat of the one before. */
static void warn_of_seat(const struct invite *v, const struct conf *conf,
	const struct conf_page *page)
{
	if (!v->token.page.token_subject || !(perm_of(v, page) & JWT_WRITE))
		return;
	for (size_t i = 0; i < conf->routes_n; i++) {
		const struct conf_route *r = &conf->routes[i];

		if (r->mode != CONF_MODE_HUB || r->input != CONF_INPUT_DRIVER)
			continue;
		ctl_complain("warning: all who open the link are %s: where "
			     "input = driver, as in [route %s], whoever comes "
			     "last takes the seat (leave out --sub, or say "
			     "--perm r, if it is for several)",
			v->token.page.token_subject, r->section.name);
		return;
	}
}

static void tell(const struct invite *v, const struct conf_page *page)
{
	time_t end = (time_t)((clock_unix_ms() + v->token.page.token_ttl) /
			      1000);
	const char *sub = v->token.page.token_subject
				  ? v->token.page.token_subject
				  : page->token_subject;
	char until[40] = "";
	struct tm tm;

	if (localtime_r(&end, &tm))
		strftime(until, sizeof(until), "%Y-%m-%d %H:%M", &tm);
	fprintf(stderr, "until %s, for all who have it, %s%s\n", until,
		sub ? "as " : "each with a random subject", sub ? sub : "");
}

/* --- wsrelayctl invite --- */

static int print_link(struct invite *v, const struct conf *conf,
	const struct conf_page *page, struct buf *link)
{
	struct buf token = { 0 };
	int failed = -1;

	if (invite_address(link, conf, page, v->url) == 0 &&
		ctl_mint(&token, &v->token, conf) == 0 &&
		buf_add_printf(link, "%s?token=%.*s", v->asked, (int)token.n,
			(char *)token.p) == 0) {
		printf("%.*s\n", (int)link->n, (char *)link->p);
		failed = 0;
	}
	buf_free(&token);
	return failed;
}

static enum ctl_status invite(struct invite *v, const struct conf *conf)
{
	const struct conf_page *page = page_choose(v, conf);
	const struct conf_key *key = page ? key_choose(v, conf, page) : NULL;
	enum ctl_status status = CTL_REFUSED;
	struct buf link = { 0 };

	if (!key || check_perm(v, page) < 0)
		return CTL_REFUSED;
	v->token.key = key->section.name;
	if (!v->token.ttl_given)
		v->token.page.token_ttl = TTL_MS;
	set_token_path(v);
	if (print_link(v, conf, page, &link) == 0) {
		tell(v, page);
		warn_of_seat(v, conf, page);
		status = CTL_OK;
	}
	if (status == CTL_OK && v->qr &&
		invite_qr(buf_str(&link), v->qr_file) < 0)
		status = CTL_REFUSED;
	buf_free(&link);
	return status;
}

enum ctl_status ctl_invite_run(const char *file, int argc, char **argv)
{
	struct invite v = { .token.file = file };
	enum ctl_status status = CTL_USAGE;
	struct conf *conf;

	if (read_options(&v, argc, argv) == 0) {
		conf = ctl_token_conf(&v.token);
		status = conf ? invite(&v, conf) : CTL_REFUSED;
		conf_unref(conf);
	}
	ctl_token_options_free(&v.token);
	free(v.asked);
	return status;
}
