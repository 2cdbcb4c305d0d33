/*
 *   request -> page_find -> page_answer -> an invitation's first hit: 303
 *                             |  file_name: decoded, no hidden names
 *                             |  docroot_open
 *        directory: 301  <----+----> placeholder? -> wsuri -> body, no-store
 *                             |
 *                             +----> If-None-Match -> 304, or the file itself
 */
#include "page/page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/http/uri.h"
#include "conf/conf.h"
#include "gate/request.h"
#include "page/assets.h"
#include "page/docroot.h"
#include "page/entry.h"
#include "page/fields.h"
#include "page/mime.h"
#include "page/template.h"
#include "page/wsuri.h"

#define INDEX     "index.html"
#define ETAG_SIZE 64

static bool is_head(const struct request *request)
{
	return str_eq(request->head.method, STR("HEAD"));
}

/* --- which page --- */

static bool page_listens(
	const struct conf_page *page, const struct conf_listen *listen)
{
	for (size_t i = 0; i < page->listens.n; i++)
		if (page->listens.v[i] == listen)
			return true;
	return page->listens.n == 0;
}

bool page_is_on_listener(
	const struct conf *conf, const struct conf_listen *listen)
{
	for (size_t i = 0; i < conf->pages_n; i++)
		if (page_listens(&conf->pages[i], listen))
			return true;
	return false;
}

/* A shorter rest is a longer prefix; a literal says more than a capture. */
static bool is_better(const struct page_match *a, const struct page_match *b)
{
	if (!b->page || a->rest.n != b->rest.n)
		return !b->page || a->rest.n < b->rest.n;
	return pattern_captures(a->page->pattern) <
	       pattern_captures(b->page->pattern);
}

static enum gate_fit fit(struct page_match *m, struct str path)
{
	if (!page_listens(m->page, m->listen))
		return GATE_OTHER_LISTEN;
	return pattern_match_prefix(
		       m->page->pattern, path, &m->captures, &m->rest)
		       ? GATE_FITS
		       : GATE_OTHER_PATH;
}

enum gate_fit page_fit(const struct conf_page *page,
	const struct conf_listen *listen, struct str path)
{
	return fit(
		&(struct page_match){ .listen = listen, .page = page }, path);
}

bool page_find(const struct conf *conf, const struct conf_listen *listen,
	struct str path, struct page_match *match)
{
	match->page = NULL;
	for (size_t i = 0; i < conf->pages_n; i++) {
		struct page_match m = { .conf = conf, .listen = listen };

		m.page = &conf->pages[i];
		if (fit(&m, path) == GATE_FITS && is_better(&m, match))
			*match = m;
	}
	return match->page;
}

/* --- which file --- */

/*
 * No segment is empty or begins with a dot: not "..", and no ".git" that was
 * deployed along with the page. The one exception is .well-known, as for ACME
 * (RFC 8615).
 */
static bool name_is_public(struct str name)
{
	bool first = true;

	while (name.n > 0) {
		const char *slash = memchr(name.p, '/', name.n);
		struct str s = { name.p, name.n };

		if (slash)
			s.n = (size_t)(slash - name.p);
		if (s.n == 0 || memchr(s.p, '\0', s.n))
			return false;
		if (s.p[0] == '.' && !(first && str_eq(s, STR(".well-known"))))
			return false;
		first = false;
		name.p += s.n + (slash ? 1 : 0);
		name.n -= s.n + (slash ? 1 : 0);
	}
	return true;
}

/*
 * The name below root, owned, of what is behind the page's prefix: "/a%20b/" is
 * "a b/index.html". REASON_NONE, or why there is none.
 */
static enum reason file_name(char **name, struct str rest, bool index)
{
	ssize_t n;

	*name = NULL;
	if (rest.n > 0 && rest.p[0] == '/') {
		rest.p++;
		rest.n--;
	}
	*name = malloc(rest.n + sizeof(INDEX) + sizeof("/"));
	if (!*name)
		return REASON_INTERNAL;
	n = rest.n > 0 ? uri_decode(*name, rest, false) : 0;
	if (n < 0 || !name_is_public((struct str){ *name, (size_t)n })) {
		free(*name);
		*name = NULL;
		return REASON_NOT_FOUND;
	}
	strcpy(*name + n, index ? INDEX : n == 0 ? "." : "");
	return REASON_NONE;
}

/* A file that is not there is not-found; what the relay lacks is internal. */
static enum reason open_reason(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EIO:
		return REASON_INTERNAL;
	default:
		return REASON_NOT_FOUND;
	}
}

/* --- answers --- */

static enum reason answer_redirect(struct page_answer *a,
	const struct conf_page *page, const struct request *request)
{
	struct str path = request->path, query = request->query;

	a->status = 301;
	/* The path is normalised: "//host" cannot be its beginning. */
	if (buf_add_printf(&a->fields, "Location: %.*s/", (int)path.n, path.p) <
		0)
		return REASON_INTERNAL;
	if (query.p &&
		buf_add_printf(&a->fields, "?%.*s", (int)query.n, query.p) < 0)
		return REASON_INTERNAL;
	if (buf_add_str(&a->fields, STR("\r\n")) < 0 ||
		page_fields_add_page(&a->fields, page, false) < 0)
		return REASON_INTERNAL;
	return REASON_NONE;
}

/* A file as it is; fd is at its beginning and given up to the answer. */
static enum reason answer_file(struct page_answer *a,
	const struct conf_page *page, const struct request *request,
	const struct mime *mime, int fd, const struct stat *st)
{
	char etag[ETAG_SIZE];

	a->fd = fd;
	/* Not the inode, which tells about the machine, and which differs
	   between two machines that serve the same files. */
	snprintf(etag, sizeof(etag), "\"%jx-%jx%09lx\"", (uintmax_t)st->st_size,
		(uintmax_t)st->st_mtim.tv_sec,
		(unsigned long)st->st_mtim.tv_nsec);
	if (page_fields_add(&a->fields, "ETag", etag) < 0 ||
		page_fields_add_page(&a->fields, page, false) < 0)
		return REASON_INTERNAL;
	if (page_fields_client_has(&request->head, etag)) {
		a->status = 304;
	} else {
		a->size = (uint64_t)st->st_size;
		if (page_fields_add(&a->fields, "Content-Type", mime->type) < 0)
			return REASON_INTERNAL;
	}
	if (a->status == 304 || is_head(request)) {
		close(a->fd);
		a->fd = -1;
	}
	return REASON_NONE;
}

/* Another site's script, picture or fetch (Fetch Metadata section 2.3). */
static bool is_cross_site(const struct http_head *head)
{
	static const struct str name = { "Sec-Fetch-Site", 14 };
	struct str site = http_field(head, name);

	if (!site.p)
		return false;
	return http_field_count(head, name) > 1 ||
	       (!str_eq_nocase(site, STR("same-origin")) &&
		       !str_eq_nocase(site, STR("none")));
}

/* What a placeholder becomes, escaped for its place in the file. */
static int add_wsuri(struct page_answer *a, const struct wsuri_issuer *issuer,
	enum template_kind kind, const struct template_piece *piece)
{
	struct buf wsuri = { 0 };
	int r = wsuri_add(
		&wsuri, issuer, piece->path, piece->word == TEMPLATE_WSPATH);

	if (r == WSURI_NO_ROUTE)
		detail_print(a->why, "no route here has the path ",
			str_of(piece->path));
	else if (r == 0)
		r = template_escape(&a->body, kind, buf_str(&wsuri));
	buf_free(&wsuri);
	return r;
}

static void note_odd(struct page_answer *a, const struct template_piece *piece)
{
	if (piece->odd.n > 0 && !a->odd[0])
		detail_print(a->odd, "", piece->odd);
}

/* rest is what follows piece, the first one with a placeholder. */
static enum reason render(struct page_answer *a,
	const struct wsuri_issuer *issuer, enum template_kind kind,
	struct str rest, struct template_piece *piece)
{
	size_t count = 0;

	for (;;) {
		note_odd(a, piece);
		if (buf_add_str(&a->body, piece->text) < 0)
			return REASON_INTERNAL;
		if (piece->word == TEMPLATE_END)
			break;
		if (++count > PAGE_PLACEHOLDERS_MAX) {
			detail_print(a->why,
				"too many placeholders in one file", STR(""));
			return REASON_INTERNAL;
		}
		if (add_wsuri(a, issuer, kind, piece) < 0 ||
			template_next(&rest, &issuer->match->captures, piece) <
				0)
			return REASON_INTERNAL;
	}
	a->size = a->body.n;
	return REASON_NONE;
}

struct asked { /* the arguments of page_answer */
	const struct page_match *match;
	const struct request *request;
	const struct page_visitor *visitor;
	int64_t now_ms;
};

/*
 * The text of a template-to-be. *rendered is false when no placeholder is in
 * it: it is a file like any other.
 */
static enum reason answer_template(struct page_answer *a,
	const struct asked *asked, const struct mime *mime, struct str text,
	bool *rendered)
{
	const struct conf_page *page = asked->match->page;
	struct wsuri_issuer issuer;
	struct template_piece piece;
	const char *why;

	if (template_next(&text, &asked->match->captures, &piece) < 0)
		return REASON_INTERNAL;
	note_odd(a, &piece);
	*rendered = piece.word != TEMPLATE_END;
	if (!*rendered)
		return REASON_NONE;
	/* A document may be linked to from anywhere, for no other site can
	   look into it. A script would run inside of the other's page. */
	if (mime->kind != TEMPLATE_HTML && is_cross_site(&asked->request->head))
		return REASON_CROSS_SITE;
	if (page_fields_add(&a->fields, "Content-Type", mime->type) < 0 ||
		page_fields_add_page(&a->fields, page, true) < 0)
		return REASON_INTERNAL;
	/* The same for browsers that do not send Sec-Fetch-Site. */
	if (mime->kind != TEMPLATE_HTML &&
		page_fields_add(&a->fields, "Cross-Origin-Resource-Policy",
			"same-origin") < 0)
		return REASON_INTERNAL;
	a->size_unknown = is_head(asked->request);
	if (a->size_unknown)
		return REASON_NONE;
	if (wsuri_issuer_init(&issuer, asked->match, asked->request,
		    asked->visitor, asked->now_ms, &why) < 0) {
		detail_print(a->why, why, STR(""));
		return REASON_INTERNAL;
	}
	return render(a, &issuer, mime->kind, text, &piece);
}

/* Up to n bytes from the beginning; the file's offset stays there. */
static ssize_t read_start(int fd, char *p, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t r = pread(fd, p + have, n - have, (off_t)have);

		if (r < 0 && errno != EINTR)
			return -1;
		if (r == 0)
			break;
		if (r > 0)
			have += (size_t)r;
	}
	return (ssize_t)have;
}

/* Takes fd. */
static enum reason answer_maybe_template(struct page_answer *a,
	const struct asked *asked, const struct mime *mime, int fd,
	const struct stat *st)
{
	size_t size = (size_t)st->st_size;
	char *text = malloc(size > 0 ? size : 1);
	ssize_t n = text ? read_start(fd, text, size) : -1;
	enum reason reason = REASON_INTERNAL;
	bool rendered = true;

	if (n >= 0)
		reason = answer_template(a, asked, mime,
			(struct str){ text, (size_t)n }, &rendered);
	free(text);
	if (!rendered && reason == REASON_NONE)
		return answer_file(
			a, asked->match->page, asked->request, mime, fd, st);
	close(fd);
	return reason;
}

static enum reason answer(struct page_answer *a, const struct asked *asked)
{
	const struct conf_page *page = asked->match->page;
	struct str path = asked->request->path;
	bool slash = path.n > 0 && path.p[path.n - 1] == '/';
	enum reason reason;
	const struct mime *mime;
	struct stat st;
	char *name;
	int fd;

	if (page_entry_is(asked->match, asked->request, asked->visitor,
		    asked->now_ms))
		return page_entry_answer(a, asked->match, asked->request,
			       asked->visitor, asked->now_ms) < 0
			       ? REASON_INTERNAL
			       : REASON_NONE;
	reason = file_name(&name, asked->match->rest, slash);
	if (reason != REASON_NONE)
		return reason;
	mime = mime_of(str_of(name));
	fd = docroot_open(page->root, name, &st);
	free(name);
	if (fd < 0)
		return open_reason(errno);
	if (S_ISDIR(st.st_mode)) {
		close(fd);
		return slash ? REASON_NOT_FOUND
			     : answer_redirect(a, page, asked->request);
	}
	if (page->template && mime->kind != TEMPLATE_NONE &&
		st.st_size <= PAGE_TEMPLATE_MAX)
		return answer_maybe_template(a, asked, mime, fd, &st);
	return answer_file(a, page, asked->request, mime, fd, &st);
}

void page_answer(struct page_answer *a, const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms)
{
	const struct asked asked = { match, request, visitor, now_ms };
	enum reason reason;
	char why[DETAIL_MAX];

	*a = (struct page_answer){ .fd = -1, .status = 200 };
	reason = answer(a, &asked);
	if (reason == REASON_NONE)
		return;
	/* An answer that failed is dropped whole. */
	memcpy(why, a->why, sizeof(why));
	page_answer_free(a);
	a->reason = reason;
	memcpy(a->why, why, sizeof(why));
}

/* --- what is built in --- */

/* FNV-1a: tells versions of our own file apart, not forgeries. */
static uint64_t hash_of(struct str s)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < s.n; i++)
		hash = (hash ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static enum reason answer_asset(struct page_answer *a,
	const struct request *request, struct str asset, const char *type)
{
	char etag[ETAG_SIZE];

	snprintf(etag, sizeof(etag), "\"%016" PRIx64 "\"", hash_of(asset));
	if (page_fields_add(&a->fields, "ETag", etag) < 0 ||
		page_fields_add(&a->fields, "Cache-Control", "no-cache") < 0 ||
		page_fields_add_policy(&a->fields) < 0)
		return REASON_INTERNAL;
	if (page_fields_client_has(&request->head, etag)) {
		a->status = 304;
		return REASON_NONE;
	}
	a->size = asset.n;
	if (page_fields_add(&a->fields, "Content-Type", type) < 0)
		return REASON_INTERNAL;
	if (!is_head(request) && buf_add_str(&a->body, asset) < 0)
		return REASON_INTERNAL;
	return REASON_NONE;
}

bool page_is_builtin(struct str path)
{
	return str_eq(path, STR("/wsrelay.js"));
}

static bool is_icon(struct str path)
{
	return str_eq(path, STR("/favicon.ico"));
}

bool page_lacks_icon(const struct page_match *match, struct str path)
{
	struct stat st;
	char *name;
	int fd = -1;

	if (!is_icon(path))
		return false;
	if (match && file_name(&name, match->rest, false) == REASON_NONE) {
		fd = docroot_open(match->page->root, name, &st);
		free(name);
	}
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

/* Asked for again tomorrow. */
static enum reason answer_no_icon(struct page_answer *a)
{
	a->status = 204;
	return page_fields_add(&a->fields, "Cache-Control", "max-age=86400") <
				       0 ||
			       page_fields_add_policy(&a->fields) < 0
		       ? REASON_INTERNAL
		       : REASON_NONE;
}

bool page_builtin(
	struct page_answer *a, struct str path, const struct request *request)
{
	enum reason reason;

	if (!page_is_builtin(path) && !is_icon(path))
		return false;
	*a = (struct page_answer){ .fd = -1, .status = 200 };
	reason = is_icon(path) ? answer_no_icon(a)
			       : answer_asset(a, request,
					 asset_get(STR("wsrelay.js")),
					 mime_of(path)->type);
	if (reason != REASON_NONE) {
		page_answer_free(a);
		a->reason = reason;
	}
	return true;
}

void page_answer_free(struct page_answer *a)
{
	buf_free(&a->fields);
	buf_free(&a->body);
	if (a->fd >= 0)
		close(a->fd);
	*a = (struct page_answer){ .fd = -1 };
}
