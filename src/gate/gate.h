/*
 * gate.h: which requests may come in. Order: address, limits, route, origin,
 * token, the limit of its subject; then the backend.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include "base/compiler.h"
#include "base/reason.h"
#include "codec/pattern.h"
#include "conf/conf.h"

struct client;
struct detail;
struct page_match;
struct request;
struct shared;

/* The first route, in file order, of this listener, Host and path. */
MUST_CHECK const struct conf_route *gate_find_route(const struct conf *conf,
	const struct conf_listen *listen, const struct request *r,
	struct captures *captures);
/*
 * Everything that is checked between a request and its route, which the client
 * names already. Fills in the client, and the detail for the log.
 */
MUST_CHECK enum reason gate_check_route(struct shared *s,
	const struct request *r, struct client *c, struct detail *detail);
/* The same for a page; with auth = token the client becomes the visitor. */
MUST_CHECK enum reason gate_check_page(struct shared *s,
	const struct request *r, const struct conf_page *page, struct client *c,
	struct detail *detail);

#endif
