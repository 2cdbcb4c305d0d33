/*
 * closing.h: what kill and revoke share: the ids of a request, and how a client
 * is closed from the console, with a row for it.
 */
#ifndef DAEMON_CLOSING_H
#define DAEMON_CLOSING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct control_request;
struct ending;
struct session;
struct visit;

#define CLOSING_IDS_MAX 1000

struct closing {
	uint64_t *ids; /* owned */
	size_t ids_n;
	int64_t closed; /* so far */
};

/* NULL, or what is wrong with the argument id. */
MUST_CHECK const char *closing_read_ids(
	struct closing *c, const struct control_request *r);
void closing_free(struct closing *c);
bool closing_has_id(const struct closing *c, const struct session *s);
/* On the session's thread, which is open. */
void closing_close(struct closing *c, struct visit *v, struct session *s,
	const struct ending *why);

#endif
