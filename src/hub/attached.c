#include "hub/attached.h"

#include <stdlib.h>

#include "base/clock.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/worker.h"
#include "gate/auth.h"
#include "end/end.h"
#include "end/ending.h"
#include "pair/session.h"
#include "hub/here.h"
#include "hub/private.h"

struct attached {
	TAILQ_ENTRY(attached) next; /* in hubs_here.attached */
	struct session session;     /* it is the client's side */
	struct end_owner owner;
	struct hub *hub; /* a reference */
	bool is_trunk;   /* the hub hears what it says */
};

static struct attached *attached_of(const struct end *e)
{
	return CONTAINER_OF(e->owner, struct attached, owner);
}

/* --- from its end ---------------------------------------------------------*/

static void attached_input(struct end *e, const struct piece *p)
{
	struct attached *a = attached_of(e);

	session_count(&a->session, END_CLIENT, p->last, p->n);
	if (a->is_trunk)
		hub_trunk_input(a->hub, p);
	else
		session_drop_bytes(&a->session, END_CLIENT, p->n);
}

static void attached_too_big(struct end *e)
{
	if (attached_of(e)->is_trunk)
		hub_tagged_too_big(attached_of(e)->hub);
}

static void attached_drained(struct end *e)
{
	if (attached_of(e)->is_trunk)
		hub_trunk_drained(attached_of(e)->hub);
}

/*
 * What to clients is a fault of their backend is its own to itself: it is told
 * which, as a client is, and should not come back to do the same.
 */
static struct ending as_told(const struct ending *why)
{
	struct ending told = *why;

	if (why->reason != REASON_BACKEND_PROTOCOL)
		return told;
	if (why->backend_code == WS_CODE_TOO_BIG)
		told.reason = REASON_TOO_BIG;
	else if (why->backend_code == WS_CODE_INVALID_DATA)
		told.reason = REASON_INVALID_DATA;
	else
		told.reason = REASON_PROTOCOL;
	return told;
}

static void attached_ended(struct end *e, const struct ending *why)
{
	struct attached *a = attached_of(e);
	struct ending told = as_told(why);

	/* Its clients are told first: it goes with the last of them. */
	if (why->reason == REASON_SHUTDOWN && a->is_trunk &&
		a->hub->seats_n > 0)
		return;
	if (!session_end(&a->session, END_CLIENT, &told))
		return;
	if (a->is_trunk)
		hub_trunk_ended(a->hub, why);
	session_close_ends(&a->session, &told);
}

static void attached_dropped(struct end *e, uint64_t n)
{
	session_drop_bytes(&attached_of(e)->session, END_CLIENT, n);
}

static void attached_gone(struct end *e)
{
	struct attached *a = attached_of(e);

	session_fini(&a->session, F_NONE, F_NONE);
	TAILQ_REMOVE(&a->session.worker->hubs->attached, a, next);
	if (a->is_trunk)
		hub_trunk_gone(a->hub);
	hub_unref(a->hub);
	free(a);
}

static const struct end_cb attached_cb = {
	.input = attached_input,
	.too_big = attached_too_big,
	.drained = attached_drained,
	.ended = attached_ended,
	.dropped = attached_dropped,
	.gone = attached_gone,
};

/* --- life -----------------------------------------------------------------*/

struct attached *attached_new(
	struct worker *w, const struct client *c, struct hub *h)
{
	struct attached *a = calloc(1, sizeof(*a));

	if (!a || session_init(&a->session, w, c) < 0) {
		free(a);
		return NULL;
	}
	a->session.hub = hub_path(h);
	a->owner.cb = &attached_cb;
	a->hub = hub_ref(h);
	return a;
}

void attached_undo(struct attached *a)
{
	session_undo(&a->session);
	hub_unref(a->hub);
	free(a);
}

void attached_open(struct attached *a, struct end *e)
{
	a->session.sides[END_CLIENT].end = e;
	e->owner = &a->owner;
	a->is_trunk = true;
	TAILQ_INSERT_TAIL(&a->session.worker->hubs->attached, a, next);
	session_open(&a->session);
}

enum reason attached_check_token(const struct attached *a)
{
	return auth_check_again(
		a->session.worker->shared, &a->session.client, clock_unix_ms());
}

void attached_check(struct attached *a)
{
	session_check(&a->session);
}

void attached_count_out(struct attached *a, const struct piece *p)
{
	session_count(&a->session, END_BACKEND, p->last, p->prefix_n + p->n);
}

struct end *attached_end(const struct attached *a)
{
	return a->session.sides[END_CLIENT].end;
}

const char *attached_identity(const struct attached *a)
{
	return a->session.client.verdict.identity;
}

bool attached_is_open(const struct attached *a)
{
	return session_is_open(&a->session);
}

void attached_close(struct attached *a, const struct ending *why)
{
	if (!session_end(&a->session, END_BACKEND, why))
		return; /* it is closed by whoever ended it */
	session_close_ends(&a->session, why);
}

void attached_let_go(struct attached *a)
{
	a->is_trunk = false;
}

void attached_stop(struct worker *w)
{
	struct attached *a;

	/* They are freed when the deferred work is done, not before. */
	TAILQ_FOREACH (a, &w->hubs->attached, next)
		if (attached_end(a)->conn)
			conn_close(attached_end(a)->conn);
}
