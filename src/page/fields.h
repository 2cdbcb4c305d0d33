/*
 * fields.h: the header fields of an answer with a file or a page.
 */
#ifndef PAGE_FIELDS_H
#define PAGE_FIELDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/http/http.h"

struct conf_page;

/* All of them append "Name: value\r\n". -1 without memory. */
MUST_CHECK int page_fields_add(
	struct buf *fields, const char *name, const char *value);
/* What every answer says; no page takes it back. */
MUST_CHECK int page_fields_add_policy(struct buf *fields);
/*
 * The policy, what the page's section wants, and Cache-Control. secret: a
 * token is in the body.
 */
MUST_CHECK int page_fields_add_page(
	struct buf *fields, const struct conf_page *page, bool secret);
/* Whether If-None-Match says that the client holds this (strong) ETag. */
MUST_CHECK bool page_fields_client_has(
	const struct http_head *head, const char *etag);

#endif
