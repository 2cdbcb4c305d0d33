/*
 * place.h: where --attach connects to: a wsuri, taken apart; and whether a
 * proxy of the environment is on the way there.
 */
#ifndef ATTACH_PLACE_H
#define ATTACH_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"
#include "backend/tunnel.h"

struct place {         /* its strings are its own; zeros are none */
	char *uri;     /* for people: without its query, where a token may be */
	char *host;    /* a name, or an address without brackets */
	char *path;    /* as a server has it, begins with '/' */
	char *query;   /* raw; NULL: none */
	uint16_t port; /* never 0 */
	bool tls;      /* wss */
	bool has_token; /* in the query, as "token" */
};

/*
 * "wss://host[:port]/path[?query]", or ws. -1: *why says in words that live
 * forever what is wrong; place_free is called all the same.
 */
MUST_CHECK int place_parse(struct place *p, const char *uri, const char **why);
void place_free(struct place *p);

struct place_proxy {
	char *host, *authorization; /* its own; host NULL: none is in the way */
	uint16_t port;
};

/*
 * What https_proxy (or HTTPS_PROXY) says of a wss place, http_proxy of a ws
 * one, unless no_proxy (NO_PROXY) names its host. HTTP_PROXY in upper case does
 * not count, as with curl(1): in a CGI program a client sets it. Names in no_proxy
 * match themselves and what is below them; addresses and networks match
 * addresses; "*" matches all. -1: *why, as above; place_proxy_free is called
 * all the same.
 */
MUST_CHECK int place_find_proxy(
	struct place_proxy *proxy, const struct place *p, const char **why);
void place_proxy_free(struct place_proxy *proxy);

#endif
