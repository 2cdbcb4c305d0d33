/*
 * way.h: what a request asks for, by its path, once it has arrived (gate.h).
 */
#ifndef PAGE_WAY_H
#define PAGE_WAY_H

#include <stdbool.h>

#include "base/compiler.h"
#include "codec/pattern.h"
#include "page/page.h"

struct conf;
struct conf_listen;
struct conf_route;
struct request;

enum way_kind {
	WAY_NOWHERE,
	WAY_ADMIN,   /* the paths of a listener with role = admin */
	WAY_BUILTIN, /* what comes with pages, wherever these are */
	WAY_ROUTE,   /* also when no upgrade is asked for: that is refused */
	WAY_PAGE,
};

struct way {
	enum way_kind kind;
	const struct conf_route *route; /* WAY_ROUTE */
	struct captures captures;
	struct page_match page; /* WAY_PAGE */
};

/* Whether it is answered before all else: /healthz and /readyz. */
bool way_is_health(const struct request *r);
/* Borrows conf and the request's path. */
void way_find(struct way *w, const struct conf *conf,
	const struct conf_listen *listen, const struct request *r);

#endif
