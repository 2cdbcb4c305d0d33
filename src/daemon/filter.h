/*
 * filter.h: which clients a request is about: its arguments route, sub, key, kid,
 * ip and slow, each of which may be given, and all of which must fit then.
 */
#ifndef DAEMON_FILTER_H
#define DAEMON_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/compiler.h"

struct bearer;
struct control_request;
struct session;

struct filter { /* NULL, false: any */
	char *route, *sub, *key, *kid;
	bool has_net, slow;
	struct cidr net;
};

/* -1 and why: no network, or no memory. Its strings are its own: it may travel. */
MUST_CHECK int filter_read(
	struct filter *f, const struct control_request *r, const char **why);
void filter_free(struct filter *f);

/* What a client is compared by. */
struct filter_client {
	const char *route, *subject;
	const char *identity;        /* gate/identity.h */
	const struct bearer *bearer; /* NULL: no token, or not known */
	const struct addr *peer;
};
MUST_CHECK bool filter_fits(
	const struct filter *f, const struct filter_client *c);
/* On the session's thread; slow, too: something waits for it, or was lost. */
MUST_CHECK bool filter_fits_session(
	const struct filter *f, const struct session *s);

#endif
