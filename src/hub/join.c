/* mode = hub: asks the hub's home for a seat. */
#include "hub/join.h"

#include <stdlib.h>

#include "codec/http/handshake.h"
#include "conf/conf.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "gate/request.h"
#include "hub/here.h"
#include "hub/private.h"

/* How often another hub is joined when one ended before its answer. */
#define TRIES 3

struct hub_attempt {
	struct idmap_entry by_id; /* of the client, in hubs_here.joins */
	struct hub_join_params params;
	struct hub *hub; /* a reference */
	struct hub_leave *leave;
	char *path;
	struct buf offers; /* the client's subprotocols, each ended by a NUL */
	unsigned tries;
	enum reason reason; /* of a join that failed at once */
	struct deferred deferred;
};

static void hub_attempt_free(struct hub_attempt *a)
{
	idmap_remove(&a->params.worker->hubs->joins, &a->by_id);
	loop_undefer(a->params.worker->loop, &a->deferred);
	if (a->hub)
		hub_unref(a->hub);
	if (a->leave)
		hub_letter_free_leave(&a->leave->letter);
	buf_free(&a->offers);
	free(a->path);
	free(a);
}

static void hub_attempt_failed(
	struct hub_attempt *a, enum reason reason, const char *detail)
{
	struct hub_join_params p = a->params;

	hub_attempt_free(a);
	p.done(p.owner, &(struct hub_joined){ .outcome = { .reason = reason,
						      .detail = detail } });
}

static void failed_at_once(struct deferred *d)
{
	struct hub_attempt *a = CONTAINER_OF(d, struct hub_attempt, deferred);

	hub_attempt_failed(a, a->reason, NULL);
}

static void join(struct hub_attempt *a)
{
	struct worker *w = a->params.worker;
	struct hub_join *j = hub_join_new(w, a->params.client);

	a->tries++;
	a->reason = REASON_INTERNAL;
	if (!a->leave)
		a->leave = hub_leave_new(a->params.client);
	if (j && a->leave)
		a->hub = hubs_join(w, a->params.client, a->params.client->route,
			str_of(a->path), &a->reason);
	if (a->hub) {
		hub_ask_seat(a->hub, j);
		return;
	}
	hub_join_free(j);
	loop_defer(w->loop, &a->deferred, failed_at_once);
}

static int keep_offers(struct hub_attempt *a, const struct request *r)
{
	struct handshake_offers o;
	struct str p;

	handshake_offers_init(&o, &r->head);
	while (handshake_offers_next(&o, &p))
		if (buf_add_str(&a->offers, p) < 0 ||
			buf_add(&a->offers, "", 1, SIZE_MAX) < 0)
			return -1;
	return 0;
}

static bool offers(const struct hub_attempt *a, struct str protocol)
{
	const char *p = (const char *)a->offers.p;
	const char *end = p + a->offers.n;

	while (p < end) {
		struct str s = str_of(p);

		if (str_eq(s, protocol))
			return true;
		p += s.n + 1;
	}
	return false;
}

struct hub_attempt *hub_join_open(const struct hub_join_params *p)
{
	struct hub_attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->params = *p;
	idmap_add(&p->worker->hubs->joins, &a->by_id, p->client->id);
	a->path = str_dup(p->request->path);
	if (!a->path || keep_offers(a, p->request) < 0) {
		hub_attempt_free(a);
		return NULL;
	}
	join(a);
	return a;
}

static struct hub_leave *take_leave(struct hub_attempt *a)
{
	struct hub_leave *l = a->leave;

	a->leave = NULL;
	return l;
}

void hub_join_cancel(struct hub_attempt *a)
{
	struct worker *w = a->params.worker;

	if (a->hub)
		hub_leave(a->hub, take_leave(a), NULL,
			w->draining ? REASON_SHUTDOWN : REASON_CLIENT_GONE);
	hub_attempt_free(a);
}

/* NULL: it was cancelled, and has left its seat. */
static struct hub_attempt *attempt_of(
	struct worker *w, const struct hub_join *j)
{
	struct idmap_entry *e = idmap_find(&w->hubs->joins, j->id);
	struct hub_attempt *a;

	if (!e)
		return NULL;
	a = CONTAINER_OF(e, struct hub_attempt, by_id);
	return a->hub == j->hub ? a : NULL;
}

/* It has a seat, and cannot take it. */
static void give_back(struct hub_attempt *a, struct seat *seat,
	enum reason reason, const char *detail)
{
	hub_leave(a->hub, take_leave(a), seat, reason);
	hub_attempt_failed(a, reason, detail);
}

static void take_seat(struct hub_attempt *a, const struct hub_join *j)
{
	struct hub_join_params p = a->params;
	struct hub_joined joined = { .outcome.protocol = str_of(j->protocol),
		.hub = j->hub,
		.seat = j->seat,
		.replay = j->replay,
		.replay_n = j->replay_n,
		.since = j->serial };

	if (j->no_memory) {
		give_back(a, j->seat, REASON_INTERNAL, "no memory");
		return;
	}
	if (j->protocol && !offers(a, str_of(j->protocol))) {
		give_back(a, j->seat, REASON_BACKEND_HANDSHAKE,
			"the hub's backend speaks a subprotocol that this "
			"client does not offer");
		return;
	}
	a->hub = NULL; /* done takes the reference */
	joined.leave = take_leave(a);
	hub_attempt_free(a);
	p.done(p.owner, &joined);
}

static void open_joined(struct worker *w, struct letter *l)
{
	struct hub_join *j = CONTAINER_OF(l, struct hub_join, letter);
	struct hub_attempt *a = attempt_of(w, j);

	if (a)
		take_seat(a, j);
	waiting_sub(&hub_remote(j->hub, w)->posted, 0);
	hub_letters_opened(j->hub, w);
	hub_join_free(j);
}

const struct letter_kind hub_letter_joined = {
	.open = open_joined,
	.free = hub_letter_free_join,
};

static void open_refused(struct worker *w, struct letter *l)
{
	struct hub_join *j = CONTAINER_OF(l, struct hub_join, letter);
	struct hub_attempt *a = attempt_of(w, j);

	if (a && j->again && a->tries < TRIES) {
		hub_unref(a->hub);
		a->hub = NULL;
		join(a);
	} else if (a) {
		hub_attempt_failed(a, j->reason, j->detail);
	}
	hub_join_free(j);
}

const struct letter_kind hub_letter_refused = {
	.open = open_refused,
	.free = hub_letter_free_join,
};

void hub_join_discard(const struct hub_joined *j)
{
	hub_leave(j->hub, j->leave, j->seat, REASON_INTERNAL);
	hub_unref(j->hub);
}
