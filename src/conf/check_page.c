/*
 * check_page.c: a page's path, its directory, and whether the tokens that it
 * will mint can be any good. All of it is found here rather than by the first
 * visitor.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/pattern.h"
#include "conf/check.h"
#include "conf/hidden.h"

static struct build_at at_page(size_t index, const char *key)
{
	return (struct build_at){ SECTION_PAGE, index, key, 0 };
}

/* A prefix, so a {*} at its end would leave nothing to name a file. */
static void check_path(struct builder *b, struct conf_page *p, size_t index)
{
	const char *why = NULL;

	if (!p->path)
		return;
	p->pattern = pattern_parse(p->path, &why);
	if (!p->pattern) {
		build_error(b, at_page(index, "path"),
			"\"%s\": %s, expected a "
			"path such as /viewer",
			p->path, why);
		return;
	}
	if (pattern_has_capture(p->pattern, STR("*")))
		build_error(b, at_page(index, "path"),
			"\"%s\" ends in {*}, "
			"expected a prefix: a page has all that is below",
			p->path);
}

static void check_root(
	struct builder *b, const struct conf_page *p, size_t index)
{
	struct stat st;

	if (!p->root)
		return;
	if (stat(p->root, &st) < 0)
		build_error(b, at_page(index, "root"),
			"%s: %s%s, expected a directory", p->root,
			strerror(errno), hidden_note(p->root, errno));
	else if (!S_ISDIR(st.st_mode))
		build_error(b, at_page(index, "root"),
			"%s is no directory, "
			"expected one",
			p->root);
}

/* A page that mints tokens needs a key that would accept them. */
static void check_template(
	struct builder *b, const struct conf_page *p, size_t index)
{
	if (!p->template)
		return;
	if (!p->token_key && !p->key &&
		!build_is_bad(b, at_page(index, "token_key")))
		build_error(b, at_page(index, "token_key"),
			"is missing, "
			"expected the name of a key with a secret, because "
			"template is yes and there are %zu keys",
			b->conf->keys_n);
	if (p->key && p->token_ttl > p->key->max_ttl)
		build_error(b, at_page(index, "token_ttl"),
			"is longer than "
			"max_ttl of [key %s], which would refuse the tokens, "
			"expected at most %lld ms",
			p->key->section.name, (long long)p->key->max_ttl);
}

/*
 * An invitation is a token for the page's path: it needs a key that checks it.
 */
static void check_invitations(
	struct builder *b, const struct conf_page *p, size_t index)
{
	struct build_at at = at_page(index, "keys");
	size_t usable = 0;

	if (p->auth == CONF_AUTH_NONE) {
		if (p->keys.n > 0)
			build_warn(b, at,
				"no token is looked at, because auth is none");
		return;
	}
	for (; at.element < p->keys.n; at.element++) {
		const struct conf_key *k = conf_find_key(
			b->conf, str_of(p->keys.v[at.element]));

		if (k && !k->require_path)
			build_error(b, at,
				"[key %s] has require_path = no, expected keys "
				"whose tokens have a path",
				k->section.name);
	}
	for (size_t i = 0; i < b->conf->keys_n; i++)
		usable += b->conf->keys[i].require_path;
	if (usable == 0)
		build_error(b, at_page(index, "auth"),
			"token needs a key, expected a section [key NAME]%s",
			b->conf->keys_n > 0 ? " with require_path = yes" : "");
}

void check_page(struct builder *b, struct conf_page *p, size_t index)
{
	check_path(b, p, index);
	check_root(b, p, index);
	check_template(b, p, index);
	check_invitations(b, p, index);
	check_access(b, at_page(index, NULL), &p->allow, &p->deny);
}
