/*
 * page.h: files and templates served to browsers, so that a page and a fresh
 * token in its wsuri come from the same process.
 *
 * Pure but for the file system: a request in, an answer out; front.c sends it.
 */
#ifndef RELAY_PAGE_H
#define RELAY_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"
#include "codec/jwt.h"
#include "codec/pattern.h"

struct conf;
struct conf_listen;
struct conf_page;
struct request;

struct page_match {
	const struct conf_page *page;
	struct captures captures;
	struct str rest; /* of the path: names the file */
};

struct page_visitor { /* who asks, when auth = token let somebody in */
	const char *subject; /* NULL = nobody in particular */
	enum jwt_perm perm;  /* what the visitor may hand on; JWT_READ_WRITE
				without a token */
};

struct page_answer {
	enum reason reason; /* REASON_NONE: status, fields and body are the
			       answer; else front.c refuses with it */
	int status;         /* 200, 304, 301 */
	struct buf fields;  /* "Name: value\r\n" ..., without Content-Length,
			       Connection and Date */
	struct buf body;    /* when fd is -1 */
	int fd;             /* a file to send, else -1 */
	uint64_t size;      /* its bytes; also set for HEAD */
};

/* The page with the longest prefix on this listener; false: none. */
MUST_CHECK bool page_find(const struct conf *conf,
	const struct conf_listen *listen, struct str path,
	struct page_match *match);

/*
 * Answers a GET or HEAD. now_ms is Unix time. Never blocks on anything but
 * the file system. The answer owns memory and fd until page_answer_free.
 *
 * Files are opened below root only, whatever dots, escapes and symbolic links
 * say (openat2 with RESOLVE_BENEATH). A directory gets its index.html; without
 * a slash at the end of its path a 301 to the one with it. ETag (size and time of change; a
 * templated page has none) and If-None-Match; no-store exactly where a
 * placeholder stood; nosniff, Referrer-Policy, frame-ancestors everywhere.
 */
void page_answer(struct page_answer *a, const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms);
/*
 * What is built in, served where a listener has pages: "/wsrelay.js". False
 * when there is no such thing.
 */
MUST_CHECK bool page_builtin(struct page_answer *a, struct str path,
	const struct request *request);
void page_answer_free(struct page_answer *a);

#endif
