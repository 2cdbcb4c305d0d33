/*
 * credentials.h: a worker's side of TLS: the contexts of all listeners and
 * routes of one snapshot. Each worker parses its own, because mbedTLS locks an
 * RSA key while it is used.
 */
#ifndef WORKER_CREDENTIALS_H
#define WORKER_CREDENTIALS_H

#include "base/compiler.h"
#include "net/tls.h"

struct conf;
struct conf_listen;
struct conf_route;
struct credentials;
struct worker;

/* Session tickets live so long, and their keys twice as long at most. */
#define CREDENTIALS_TICKET_S (4 * 3600)

/*
 * Of an adopted snapshot (section.h), which outlives it. NULL: text says what
 * was wrong, in a configuration that was checked before: no memory.
 */
MUST_CHECK struct credentials *credentials_new(
	const struct conf *conf, char text[TLS_TEXT]);
void credentials_free(struct credentials *x);

/* Of a listener of this or another snapshot. NULL: it speaks no TLS. */
struct tls_context *credentials_of_listen(
	const struct credentials *x, const struct conf_listen *listen);
/* Of a route whose backend speaks TLS, of this or an older snapshot. */
struct tls_context *credentials_of_route(
	const struct credentials *x, const struct conf_route *route);

#endif
