/*
 * request.h: one HTTP request, understood: what the gate, the pages and the
 * backends look at. Borrows the bytes of its head; valid while they are.
 */
#ifndef GATE_REQUEST_H
#define GATE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"
#include "codec/http/http.h"
#include "codec/http/uri.h"

struct conf_address;
struct conf_listen;

/* Where a request came from. */
struct request_source {
	const struct conf_listen *listen;
	const struct conf_address *address;
	const struct addr *peer; /* of the socket, or by its PROXY header */
	bool secure;             /* over TLS */
	bool unnamed; /* for a client that the proxy does not name: its fields
			 do not count either */
};

/* Each relay adds one to what came: a loop of them shows. */
#define REQUEST_HOPS_FIELD "X-Wsrelay-Hops"

struct request {
	struct http_head head;
	struct str path;  /* normalised; the request's own memory. After a
			     fault of its own as it came, for the log */
	struct str query; /* raw; p is NULL when there is none */
	/* The Host as the client wrote it (X-Forwarded-Host from a trusted
	   proxy), and taken apart. */
	struct str host;
	struct uri_authority authority;
	bool secure;     /* TLS, or a trusted proxy says https */
	bool claims_tls; /* it is not, but fields that are not trusted say so */
	struct addr
		peer; /* the client; behind a trusted proxy the one it names */
	struct str origin; /* p is NULL when there is none */
	bool upgrade;      /* asks for a WebSocket */
	uint8_t hops;      /* relays that it came through: REQUEST_HOPS_FIELD */
	struct str key;    /* of a proper upgrade, else STR_NONE */
	char *memory;
};

/*
 * Understands a complete head of n bytes. REASON_NONE, or why it is refused,
 * and *why in words. Fields up to the fault are filled in, as far as a refusal
 * needs them. Checks grammar, method, Host and the upgrade; not routes,
 * addresses or tokens.
 */
MUST_CHECK enum reason request_parse(struct request *r, const char *p, size_t n,
	const struct request_source *from, const char **why);
void request_free(struct request *r);
/* Whether the upgrade may be finished to be refused with a close frame. */
bool request_can_upgrade(const struct request *r);

#endif
