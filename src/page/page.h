/*
 * page.h: files and templates served to browsers, so that a page and a fresh
 * token in its wsuri come from the same process.
 *
 * Pure but for the file system: a request in, an answer out; front.c sends it.
 */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/detail.h"
#include "base/reason.h"
#include "base/str.h"
#include "codec/pattern.h"
#include "codec/token/jwt.h"
#include "gate/gate.h"

struct conf;
struct conf_key;
struct conf_listen;
struct conf_page;
struct request;

struct page_match {
	const struct conf *conf;
	const struct conf_listen *listen;
	const struct conf_page *page;
	struct captures captures;
	struct str rest; /* of the path: names the file */
};

struct page_visitor {        /* of a request: what its invitation hands on */
	const char *subject; /* NULL = none */
	const struct conf_key *subject_key; /* the key that it belongs to */
	enum jwt_perm perm; /* JWT_READ_WRITE without an invitation */
	int64_t exp;        /* Unix ms, as below; JWT_NEVER without one */
	int64_t expire_at;  /* when what it opens ends; JWT_NEVER = does not */
};

struct page_answer {
	enum reason reason;   /* REASON_NONE: status, fields and body are the
			       answer; else front.c refuses with it */
	char why[DETAIL_MAX]; /* of a reason, in words for the log; empty when
			       its own text says it all */
	char odd[DETAIL_MAX]; /* what in the file looks like a placeholder and
				 is none; empty: nothing does */
	int status;           /* 200, 204, 304, 301, 303 */
	struct buf fields;    /* "Name: value\r\n" ..., without Content-Length,
			       Connection and Date */
	struct buf body;      /* when fd is -1 */
	int fd;               /* a file to send, else -1 */
	uint64_t size;        /* of body or file; the same for HEAD, where both
			       are missing */
	bool size_unknown;    /* HEAD of a template, which mints nothing: no
			       Content-Length (RFC 9110 section 9.3.2) */
};

/*
 * The page with the longest prefix on this listener (of two alike, the one
 * with fewer captures, then the first in the file); false: none. The match
 * borrows conf and path.
 */
MUST_CHECK bool page_find(const struct conf *conf,
	const struct conf_listen *listen, struct str path,
	struct page_match *match);

/* Whether the page is for this listener and path, if no other is better. */
enum gate_fit page_fit(const struct conf_page *page,
	const struct conf_listen *listen, struct str path);

/* Whether there is any page on this listener. */
bool page_is_on_listener(
	const struct conf *conf, const struct conf_listen *listen);

/*
 * Answers a GET or HEAD. now_ms is Unix time. Never blocks on anything but
 * the file system. The answer owns memory and fd until page_answer_free.
 *
 * Files are opened below root only, whatever dots, escapes and symbolic links
 * say (page/docroot.h). A name that begins with a dot is not there, but for
 * /.well-known/ (RFC 8615). A directory gets its index.html; without a slash
 * at the end of its path a 301 to the one with it.
 *
 * With auth = token a browser that goes to an address with a token is sent on
 * to the one without, with a cookie in its place (page/entry.h).
 *
 * With template = yes, placeholders (page/template.h) in HTML, SVG, JavaScript
 * and JSON are filled in. A file over PAGE_TEMPLATE_MAX is sent as it is (large
 * bundles of scripts are beside templates, and a worker does not read them for
 * each request); over PAGE_PLACEHOLDERS_MAX it is refused. With a placeholder,
 * SVG, JavaScript and JSON are refused to other sites (Fetch Metadata:
 * Sec-Fetch-Site), to HEAD as well.
 *
 * no-store exactly where a placeholder was, else ETag (size and time of
 * change), If-None-Match and no-cache, which a Cache-Control among the page's
 * headers replaces. nosniff, Referrer-Policy, frame-ancestors everywhere; the
 * page's headers do not replace these.
 */
#define PAGE_TEMPLATE_MAX     (1024 * 1024)
#define PAGE_PLACEHOLDERS_MAX 256
void page_answer(struct page_answer *a, const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms);
bool page_is_builtin(struct str path);
/*
 * Whether it is "/favicon.ico", which browsers ask for with each page, and no
 * page has it: match may be NULL. It then is built in, as 204: there is none.
 */
bool page_lacks_icon(const struct page_match *match, struct str path);
/*
 * What is built in, served where a listener has pages: "/wsrelay.js", and the
 * icon above. False when there is no such thing; *a is then not touched.
 */
MUST_CHECK bool page_builtin(
	struct page_answer *a, struct str path, const struct request *request);
void page_answer_free(struct page_answer *a);

#endif
