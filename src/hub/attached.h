/*
 * attached.h: the connection of a simulation that is attached: a session, as a
 * client's is (limits in time, kill, what it has sent, the line at its end),
 * whose end is the trunk of a hub. For the files of this folder; the hub's home
 * thread only.
 *
 *   attached_new -> attached_open -> it is the hub's trunk
 *     -> its peer ends it: the hub hears it | attached_close, of the hub
 *     -> attached_let_go: another is the trunk now
 *     -> gone: freed
 */
#ifndef HUB_ATTACHED_H
#define HUB_ATTACHED_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/reason.h"

struct attached;
struct client;
struct end;
struct ending;
struct hub;
struct piece;
struct worker;

/* Copies the client. NULL without memory. */
MUST_CHECK struct attached *attached_new(
	struct worker *w, const struct client *c, struct hub *h);
/* Before attached_open: the client is still the caller's. */
void attached_undo(struct attached *a);
/* Takes the client, and the end. */
void attached_open(struct attached *a, struct end *e);
struct end *attached_end(const struct attached *a);
/* See identity.h; NULL: its token has no sub. */
const char *attached_identity(const struct attached *a);
/* Its peer has not ended it, nor has the relay. */
bool attached_is_open(const struct attached *a);
/* The hub ends it, or has heard of its end: it is closed; gone follows. */
void attached_close(struct attached *a, const struct ending *why);
/* The hub hears of it no more. */
void attached_let_go(struct attached *a);
/*
 * Its token may have been revoked while it was on its way: REASON_NONE, or why
 * it is to be closed.
 */
MUST_CHECK enum reason attached_check_token(const struct attached *a);
/* It is the trunk: its limits in time hold. */
void attached_check(struct attached *a);
/* A piece of a message goes to it. */
void attached_count_out(struct attached *a, const struct piece *p);
/* What is left of all that are at home here is cut off. */
void attached_stop(struct worker *w);

#endif
