/*
 * check_covered.c: routes and pages that can never match, because something
 * in front of them takes every path of theirs; and, as a warning, routes that
 * take the paths of some of a page's files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/pattern.h"
#include "conf/check.h"

static bool has_listen(
	const struct conf_listens *l, const struct conf_listen *wanted)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == wanted)
			return true;
	return false;
}

/* Whether a is on every listener of b; an empty list is all. */
static bool listens_cover(const struct conf *c, const struct conf_listens *a,
	const struct conf_listens *b)
{
	if (a->n == 0)
		return true;
	if (b->n == 0) {
		for (size_t i = 0; i < c->listens_n; i++)
			if (!has_listen(a, &c->listens[i]))
				return false;
		return true;
	}
	for (size_t i = 0; i < b->n; i++)
		if (!has_listen(a, b->v[i]))
			return false;
	return true;
}

static bool listens_meet(
	const struct conf_listens *a, const struct conf_listens *b)
{
	if (a->n == 0 || b->n == 0)
		return true;
	for (size_t i = 0; i < b->n; i++)
		if (has_listen(a, b->v[i]))
			return true;
	return false;
}

static bool hosts_cover(const char *a, const char *b)
{
	return !a || (b && str_eq_nocase(str_of(a), str_of(b)));
}

/* A name that does not exist (a complaint of its own) would look like all. */
static bool is_resolved(
	const struct conf_strings *names, const struct conf_listens *l)
{
	return names->n == l->n;
}

static void complain(struct builder *b, struct build_at at,
	enum keys_section other, size_t index)
{
	const struct conf_section *s = build_section(b->conf, other, index);
	struct build_at first = { other, index, "path", 0 };
	const struct build_pair *p = build_find(b, first);

	at.key = "path";
	build_error(b, at,
		"can never match, expected a path that [%s %s] at "
		"%s:%d does not cover",
		keys_section_get(other)->name, s->name, p ? p->file : s->file,
		p ? p->line : s->line);
}

/* Whether the first, which is looked at before r, takes all that r would. */
static bool hides(const struct conf *c, const struct conf_route *first,
	const struct conf_route *r)
{
	return first->pattern && r->pattern &&
	       is_resolved(&first->listen, &first->listens) &&
	       is_resolved(&r->listen, &r->listens) &&
	       pattern_covers(first->pattern, r->pattern) &&
	       hosts_cover(first->host, r->host) &&
	       listens_cover(c, &first->listens, &r->listens);
}

/* Where simulations attach is looked at before routes. */
static bool is_hidden_by_attach(
	struct builder *b, const struct conf_route *r, size_t attaches_n)
{
	const struct conf *c = b->conf;

	for (size_t i = 0; i < attaches_n; i++)
		if (hides(c, &c->attaches[i].entrance, r)) {
			complain(b, check_at_route(r, "path"), SECTION_ATTACH,
				i);
			return true;
		}
	return false;
}

static void check_routes(struct builder *b)
{
	const struct conf *c = b->conf;

	for (size_t i = 0; i < c->attaches_n; i++)
		(void)is_hidden_by_attach(b, &c->attaches[i].entrance, i);
	for (size_t i = 0; i < c->routes_n; i++) {
		const struct conf_route *r = &c->routes[i];

		if (is_hidden_by_attach(b, r, c->attaches_n))
			continue;
		for (size_t k = 0; k < i; k++)
			if (hides(c, &c->routes[k], r)) {
				complain(b, check_at_route(r, "path"),
					SECTION_ROUTE, k);
				break;
			}
	}
}

/*
 * A page has its path, with and without a '/' at the end, and all that is
 * below. Of these, what is between the page's path and {*} as patterns.
 */
struct page_paths {
	struct pattern *self;  /* without a '/' at the end; NULL for "/" */
	struct pattern *below; /* .../{*}; NULL when it cannot be one */
};

static int page_paths_init(struct page_paths *paths, const struct conf_page *p)
{
	size_t n = strlen(p->path);
	const char *why;
	char *text = malloc(n + sizeof("/{*}"));

	*paths = (struct page_paths){ NULL, NULL };
	if (!text)
		return -1;
	memcpy(text, p->path, n + 1);
	if (text[n - 1] == '/')
		text[--n] = '\0';
	if (n > 0)
		paths->self = pattern_parse(text, &why);
	memcpy(text + n, "/{*}", sizeof("/{*}"));
	paths->below = pattern_parse(text, &why);
	free(text);
	return 0;
}

static void page_paths_free(struct page_paths *paths)
{
	pattern_free(paths->self);
	pattern_free(paths->below);
}

static bool covers_each_other(
	const struct page_paths *a, const struct page_paths *b)
{
	if (!a->self || !b->self)
		return !a->self && !b->self;
	return pattern_covers(a->self, b->self) &&
	       pattern_covers(b->self, a->self);
}

/* Whether a route takes the page and all below it. */
static bool route_covers(const struct conf *c, const struct conf_route *r,
	const struct conf_page *p, const struct page_paths *paths)
{
	return r->pattern && !r->host && is_resolved(&r->listen, &r->listens) &&
	       is_resolved(&p->listen, &p->listens) && paths->self &&
	       paths->below && pattern_covers(r->pattern, paths->self) &&
	       pattern_covers(r->pattern, paths->below) &&
	       listens_cover(c, &r->listens, &p->listens);
}

static void check_one_page(
	struct builder *b, size_t index, const struct page_paths *paths)
{
	const struct conf *c = b->conf;
	const struct conf_page *p = &c->pages[index];
	struct build_at at = { SECTION_PAGE, index, "path", 0 };

	for (size_t i = 0; i < c->routes_n; i++)
		if (route_covers(c, &c->routes[i], p, &paths[index])) {
			complain(b, at, SECTION_ROUTE, i);
			return;
		}
	for (size_t i = 0; i < index; i++)
		if (c->pages[i].pattern &&
			covers_each_other(&paths[i], &paths[index]) &&
			listens_meet(&c->pages[i].listens, &p->listens)) {
			complain(b, at, SECTION_PAGE, i);
			return;
		}
}

static void check_pages(struct builder *b)
{
	const struct conf *c = b->conf;
	struct page_paths *paths = calloc(c->pages_n + 1, sizeof(*paths));

	if (!paths) {
		build_no_memory(b);
		return;
	}
	for (size_t i = 0; i < c->pages_n; i++) {
		if (!c->pages[i].pattern)
			continue;
		if (page_paths_init(&paths[i], &c->pages[i]) < 0)
			build_no_memory(b);
		else
			check_one_page(b, i, paths);
	}
	for (size_t i = 0; i < c->pages_n; i++)
		page_paths_free(&paths[i]);
	free(paths);
}

/* --- routes in front of a page's files -------------------------------------- */

static bool file_exists(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0;
}

/*
 * A route with a capture behind the page's path takes any name there. Behind
 * names of its own, as in /sim/{id}, it hides what is below root/sim, and
 * mostly there is no such thing.
 */
static void warn_hidden(
	struct builder *b, const struct conf_route *r, size_t index)
{
	const struct conf_page *p = &b->conf->pages[index];
	const struct build_pair *at = build_find(
		b, (struct build_at){ SECTION_PAGE, index, "path", 0 });
	struct buf file = { 0 };
	struct str below;
	bool more;

	if (!listens_meet(&r->listens, &p->listens) ||
		!pattern_reaches(r->pattern, p->pattern, &below, &more))
		return;
	if (buf_add_printf(&file, "%s%.*s%c", p->root, (int)below.n,
		    below.n ? below.p : "", '\0') < 0)
		build_no_memory(b);
	else if (file_exists((const char *)file.p))
		build_warn(b, check_at_route(r, "path"),
			"hides %s%s of [page %s] at %s:%d, because routes are "
			"looked at before pages (give it another path, such as "
			"/ws%s)",
			(const char *)file.p, more ? "/..." : "",
			p->section.name, at ? at->file : p->section.file,
			at ? at->line : p->section.line, r->path);
	buf_free(&file);
}

static void check_hidden(struct builder *b)
{
	const struct conf *c = b->conf;

	/* Not of a file with errors, nor where only tokens are made. */
	if (b->errors > 0 || b->for_tokens)
		return;
	for (size_t i = 0; i < c->routes_n; i++)
		for (size_t k = 0; k < c->pages_n; k++)
			warn_hidden(b, &c->routes[i], k);
}

void check_covered(struct builder *b)
{
	check_routes(b);
	check_pages(b);
	check_hidden(b);
}
