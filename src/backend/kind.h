/*
 * kind.h: what a kind of backend is, and what the kinds have in common.
 * Those that are reached through a socket share backend/link, too.
 */
#ifndef BACKEND_KIND_H
#define BACKEND_KIND_H

#include "base/compiler.h"
#include "backend/backend.h"

/* How one kind of backend opens: see this folder. */
struct backend_kind {
	struct attempt *(*open)(const struct backend_params *p);
	void (*cancel)(struct attempt *a);
};

struct attempt { /* the head of each kind's own */
	const struct backend_kind *kind;
	struct backend_params params;
};

extern const struct backend_kind backend_socket; /* tcp and unix */
extern const struct backend_kind backend_ws;
extern const struct backend_kind backend_exec;
extern const struct backend_kind backend_echo;
extern const struct backend_kind backend_attached;

/*
 * Of one that is built in: its end is there at once, and taken; e NULL: without
 * memory. Its cancel, too.
 */
struct attempt *backend_open_builtin(
	const struct backend_params *p, struct end *e);
void backend_cancel_builtin(struct attempt *a);

/*
 * A backend whose machine has gone is noticed after the user timeout: of what
 * is under way, or of keepalive's questions when nothing is (it overrides their
 * number, see tcp(7)). It also ends a backend that has not read for so long, so
 * it is generous: a solver may compute for half a minute.
 */
#define BACKEND_KEEPALIVE_S     15
#define BACKEND_USER_TIMEOUT_MS 60000

/* Counts how opening ended, and calls p->done with it. */
void backend_tell(
	const struct backend_params *p, const struct backend_result *r);
/* A key's value with the route's captures in it; owned; NULL: no memory. */
MUST_CHECK char *backend_expand(const char *template, const struct captures *c);
/*
 * The client's query, less the token where the route looks for one; owned,
 * terminated; NULL: no memory.
 */
MUST_CHECK char *backend_query(const struct backend_params *p);

#endif
