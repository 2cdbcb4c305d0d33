#include "hub/attach.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/pattern.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/letter.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/client.h"
#include "gate/request.h"
#include "end/ending.h"
#include "end/ws.h"
#include "backend/kind.h"
#include "hub/attached.h"
#include "hub/here.h"
#include "hub/private.h"

/* How often another hub is asked when one ended before its answer. */
#define TRIES 3

/*
 * The one letter of it: it asks, brings the answer, and then the connection, or
 * that there will be none.
 */
struct claim {
	struct letter letter;
	struct hub *hub; /* a reference while it is under way */
	struct worker *from;
	uint64_t id;    /* the client's */
	char *identity; /* see identity.h; NULL: no sub */
	char *place;    /* the simulation's path */
	/* the answer */
	enum reason reason;
	bool again; /* the hub has ended: another may be asked */
	/* the connection */
	struct conn *conn; /* NULL: there will be none */
	struct client client;
	struct buf reply;
	bool labelled;
};

struct hub_attach {
	struct idmap_entry by_id; /* of the client, in hubs_here.attaches */
	struct hub_attach_params params;
	struct claim *claim; /* NULL: it is under way */
	char *path;          /* of the hub */
	unsigned tries;
	enum reason reason; /* of one that failed at once */
	struct deferred deferred;
};

static const struct letter_kind asked_kind, answered_kind, brought_kind;

/* --- the letter -----------------------------------------------------------*/

static struct claim *claim_of(struct letter *l)
{
	return CONTAINER_OF(l, struct claim, letter);
}

/* Of a connection that never came to its place. */
static void forsake(struct claim *c)
{
	struct shared *s = c->from->shared;

	conn_forsake(c->conn, &s->budget);
	worker_left(c->hub->home);
	admission_leave(s, &c->client);
	client_free(&c->client);
}

static void claim_free(struct claim *c)
{
	if (c->conn)
		forsake(c);
	if (c->hub)
		hub_unref(c->hub);
	buf_free(&c->reply);
	free(c->identity);
	free(c->place);
	free(c);
}

static void free_letter(struct letter *l)
{
	claim_free(claim_of(l));
}

static struct claim *claim_new(const struct hub_attach_params *p)
{
	const char *identity = p->client->verdict.identity;
	struct claim *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->from = p->worker;
	c->id = p->client->id;
	c->place = str_dup(p->request->path);
	c->identity = identity ? strdup(identity) : NULL;
	if (!c->place || (identity && !c->identity)) {
		claim_free(c);
		return NULL;
	}
	return c;
}

static void post(
	struct claim *c, struct worker *to, const struct letter_kind *kind)
{
	c->letter.kind = kind;
	worker_post(to, &c->letter);
}

/* --- the simulation's worker ----------------------------------------------*/

static void attach_free(struct hub_attach *a)
{
	struct worker *w = a->params.worker;

	idmap_remove(&w->hubs->attaches, &a->by_id);
	loop_undefer(w->loop, &a->deferred);
	if (a->claim)
		claim_free(a->claim);
	free(a->path);
	free(a);
}

static void attach_failed(struct hub_attach *a, enum reason reason)
{
	struct hub_attach_params p = a->params;

	attach_free(a);
	p.done(p.owner, &(struct outcome){ .reason = reason });
}

static void failed_at_once(struct deferred *d)
{
	struct hub_attach *a = CONTAINER_OF(d, struct hub_attach, deferred);

	attach_failed(a, a->reason);
}

static void ask(struct hub_attach *a)
{
	const struct hub_attach_params *p = &a->params;
	struct claim *c = a->claim;

	a->tries++;
	c->hub = hubs_join(p->worker, p->client,
		p->client->route->attach->serves, str_of(a->path), &a->reason);
	if (!c->hub) {
		loop_defer(p->worker->loop, &a->deferred, failed_at_once);
		return;
	}
	a->claim = NULL;
	post(c, c->hub->home, &asked_kind);
}

struct hub_attach *hub_attach_open(const struct hub_attach_params *p)
{
	const struct conf_route *serves = p->client->route->attach->serves;
	struct hub_attach *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->params = *p;
	idmap_add(&p->worker->hubs->attaches, &a->by_id, p->client->id);
	a->claim = claim_new(p);
	a->path = backend_expand(serves->path, p->captures);
	if (!a->claim || !a->path) {
		attach_free(a);
		return NULL;
	}
	ask(a);
	return a;
}

static struct hub_attach *attach_of(const struct claim *c)
{
	struct idmap_entry *e = idmap_find(&c->from->hubs->attaches, c->id);

	return e ? CONTAINER_OF(e, struct hub_attach, by_id) : NULL;
}

/* The place that was kept for it is free. */
static void withdraw(struct claim *c)
{
	post(c, c->hub->home, &brought_kind);
}

static void open_answered(struct worker *w, struct letter *l)
{
	struct claim *c = claim_of(l);
	struct hub_attach *a = attach_of(c);

	(void)w;
	if (!a && c->reason == REASON_NONE) {
		withdraw(c); /* it was cancelled meanwhile */
	} else if (!a) {
		claim_free(c);
	} else if (c->reason == REASON_NONE) {
		a->claim = c;
		a->params.done(a->params.owner, &(struct outcome){ 0 });
	} else if (c->again && a->tries < TRIES) {
		hub_unref(c->hub);
		c->hub = NULL;
		a->claim = c;
		ask(a);
	} else {
		a->claim = c;
		attach_failed(a, c->reason);
	}
}

static const struct letter_kind answered_kind = {
	.open = open_answered,
	.free = free_letter,
};

void hub_attach_cancel(struct hub_attach *a)
{
	struct claim *c = a->claim;

	if (c && c->hub) { /* the place is kept for it */
		a->claim = NULL;
		withdraw(c);
	}
	attach_free(a);
}

void hub_attach_take(struct hub_attach *a, struct conn *conn,
	const struct client *client, struct buf *reply, bool labelled)
{
	struct claim *c = a->claim;

	a->claim = NULL;
	attach_free(a);
	c->conn = conn;
	c->client = *client;
	c->reply = *reply;
	*reply = (struct buf){ 0 };
	c->labelled = labelled;
	/* It counts where it is. */
	atomic_fetch_add_explicit(
		&c->hub->home->connections, 1, memory_order_relaxed);
	worker_left(c->from);
	post(c, c->hub->home, &brought_kind);
}

/* --- the hub's home -------------------------------------------------------*/

static bool takes_over(const struct hub *h, const struct claim *c)
{
	const char *identity = attached_identity(h->attached);

	switch ((enum conf_attach_conflict)
			h->route->to.attach->attach_conflict) {
	case CONF_CONFLICT_SAME:
		return identity && c->identity &&
		       strcmp(identity, c->identity) == 0;
	case CONF_CONFLICT_REFUSE:
		return false;
	case CONF_CONFLICT_REPLACE:
		return true;
	}
	return false;
}

/* REASON_NONE: the place is kept for it. */
static enum reason answer(struct hub *h, struct claim *c)
{
	hub_join_seen(h);
	if (h->home->draining)
		return REASON_SHUTDOWN;
	if (h->state == HUB_ENDING) {
		c->again = true;
		return REASON_ATTACH_TAKEN;
	}
	if (!route_state_lets_in(h->route->state)) {
		hub_not_joined(h);
		return REASON_PAUSED;
	}
	if (!h->at_home && hub_settle(h) < 0) {
		hub_not_joined(h);
		return REASON_INTERNAL;
	}
	hub_renew(h); /* it may have been made before a reload */
	if (h->removed || h->state == HUB_ENDING ||
		h->route->to.kind != BACKEND_ATTACH) {
		c->again = !h->removed;
		hub_linger_when_empty(h);
		return h->removed ? REASON_ROUTE_REMOVED : REASON_ATTACH_TAKEN;
	}
	if (h->claimed != 0)
		return REASON_ATTACH_TAKEN;
	if (hub_is_attached(h) && !takes_over(h, c)) {
		ws_end_doubt(h->trunk); /* it may be one that has vanished */
		return REASON_ATTACH_TAKEN;
	}
	h->claimed = c->id;
	return REASON_NONE;
}

static void open_asked(struct worker *w, struct letter *l)
{
	struct claim *c = claim_of(l);

	(void)w;
	c->reason = answer(c->hub, c);
	post(c, c->from, &answered_kind);
}

static const struct letter_kind asked_kind = {
	.open = open_asked,
	.free = free_letter,
};

/* NULL without memory: the letter still has the connection. */
static struct attached *arrive(struct worker *w, struct claim *c)
{
	struct attached *a = attached_new(w, &c->client, c->hub);
	struct end *e = NULL;

	if (a && conn_enter(c->conn, w->loop) == 0) {
		e = ws_end_new_attached(w, c->conn, c->client.route);
		if (!e && !conn_leave(c->conn))
			assert(false); /* nothing of it is under way */
	}
	if (!e) {
		if (a)
			attached_undo(a);
		return NULL;
	}
	conn_send_copied(c->conn, c->reply.p, c->reply.n);
	c->conn = NULL;
	attached_open(a, e);
	return a;
}

static void open_brought(struct worker *w, struct letter *l)
{
	struct claim *c = claim_of(l);
	struct hub *h = c->hub;
	struct attached *a = c->conn ? arrive(w, c) : NULL;
	char id[CLIENT_ID_TEXT];

	if (h->claimed == c->id)
		h->claimed = 0;
	if (c->conn)
		LOG(LOG_WARN, "attach-failed",
			F_STR("id", client_id(&c->client, id)),
			F_STR("detail", "no memory"));
	if (a)
		hub_take_attached(h, a, c->labelled ? c->place : NULL);
	else
		hub_is_not_attached(h);
	claim_free(c);
}

static const struct letter_kind brought_kind = {
	.open = open_brought,
	.free = free_letter,
};
