/*
 * clients: who is connected, worker after worker, each in the order in which
 * they came; client ID: all that is known of one.
 */
#include "daemon/command.h"

#include "base/reason.h"
#include "codec/token/jwt.h"
#include "conf/conf.h"
#include "daemon/filter.h"
#include "daemon/visit.h"
#include "end/ws.h"
#include "gate/bearer.h"
#include "gate/identity.h"
#include "net/conn.h"
#include "pair/session.h"
#include "worker/worker.h"

static const char *state_of(const struct session *s)
{
	if (!session_is_open(s))
		return "closing";
	if (s->paused[END_CLIENT] || s->paused[END_BACKEND])
		return "paused";
	return "open";
}

/* --- clients --------------------------------------------------------------*/

struct clients {
	struct visit visit;
	struct filter filter;
};

static void add_client(struct visit *v, struct worker *w, struct session *s)
{
	const struct client *c = &s->client;
	const struct session_side *client = &s->sides[END_CLIENT];
	const struct session_side *backend = &s->sides[END_BACKEND];
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];
	int64_t now = loop_now(w->loop);

	VISIT_ROW(v, F_STR("id", client_id(c, id)),
		F_STR("route", c->route->section.name), F_STR("hub", s->hub),
		F_STR("subject", client_subject(c)),
		F_STR("peer", addr_format(&c->peer, peer)),
		F_STR("state", state_of(s)),
		F_INT("age_ms", now - s->opened_ms),
		F_INT("idle_ms", now - client->last_ms),
		F_INT("client_messages", client->messages),
		F_INT("client_bytes", client->bytes),
		F_INT("backend_messages", backend->messages),
		F_INT("backend_bytes", backend->bytes),
		F_INT("queued_bytes", session_queued(s, END_CLIENT)),
		F_INT("lost", s->lost));
}

static bool run_clients(struct visit *v, struct worker *w)
{
	struct clients *x = CONTAINER_OF(v, struct clients, visit);
	struct session *s;

	do {
		s = sessions_next(w, &v->walk);
		if (s && filter_fits_session(&x->filter, s))
			add_client(v, w, s);
	} while (s && visit_goes_on(v, w));
	return s != NULL;
}

static void free_clients(struct visit *v)
{
	filter_free(&CONTAINER_OF(v, struct clients, visit)->filter);
}

static const struct visit_kind clients_kind = {
	.size = sizeof(struct clients),
	.run = run_clients,
	.free = free_clients,
};

void command_clients(struct answer *a)
{
	struct visit *v = visit_new(a, &clients_kind);
	const char *why;

	if (!v)
		return;
	if (filter_read(&CONTAINER_OF(v, struct clients, visit)->filter,
		    a->request, &why) < 0) {
		visit_drop(v);
		answer_usage(a, "%s", why);
		return;
	}
	visit_begin(v);
}

/* --- client ID ------------------------------------------------------------*/

struct one {
	struct visit visit;
	uint64_t id;
};

static struct log_field round_trip(const char *name, const struct end *e)
{
	int64_t ms = e ? ws_end_round_trip(e) : -1;

	return ms >= 0 ? F_INT(name, ms) : F_NONE;
}

/* Until its time is over; none has all of it. */
static struct log_field time_left(const struct session *s, int64_t now)
{
	return s->expires_ms == INT64_MAX
		       ? F_NONE
		       : F_INT("left_ms", s->expires_ms - now);
}

static void add_sheet(struct visit *v, struct worker *w, struct session *s)
{
	const struct client *c = &s->client;
	const struct bearer *b = c->verdict.bearer;
	const struct session_side *client = &s->sides[END_CLIENT];
	const struct session_side *backend = &s->sides[END_BACKEND];
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];
	int64_t now = loop_now(w->loop);

	VISIT_ROW(v, F_STR("id", client_id(c, id)),
		F_STR("listen", c->listen ? c->listen->section.name : NULL),
		F_STR("route", c->route->section.name),
		F_STR("mode", s->hub ? "hub" : "pair"), F_STR("hub", s->hub),
		F_STR("backend", c->route->backend),
		F_STR("subject", client_subject(c)),
		F_VIEW("key", identity_key(c->verdict.identity)),
		F_STR("kid", b ? b->kid : NULL),
		F_STR("jti", b ? b->jti : NULL),
		F_STR("certificate", c->certificate),
		F_STR("peer", addr_format(&c->peer, peer)),
		F_STR("rights", jwt_perm_word((enum jwt_perm)c->verdict.perm)),
		F_STR("state", state_of(s)),
		session_is_open(s)
			? F_NONE
			: F_STR("reason",
				  reason_get((enum reason)s->reason)->word),
		F_STR("client_read", s->paused[END_CLIENT] & SESSION_PAUSED_RATE
					     ? "no: rate"
				     : s->paused[END_CLIENT] ? "no: queue"
							     : "yes"),
		F_STR("backend_read",
			s->paused[END_BACKEND] ? "no: queue" : "yes"),
		F_INT("worker", w->index), F_INT("age_ms", now - s->opened_ms),
		time_left(s, now),
		F_INT("client_idle_ms", now - client->last_ms),
		F_INT("backend_idle_ms", now - backend->last_ms),
		round_trip("ping_ms", client->end),
		round_trip("backend_ping_ms", backend->end),
		F_INT("client_messages", client->messages),
		F_INT("client_bytes", client->bytes),
		F_INT("backend_messages", backend->messages),
		F_INT("backend_bytes", backend->bytes),
		F_INT("client_queued_bytes", session_queued(s, END_CLIENT)),
		backend->end ? F_INT("backend_queued_bytes",
				       session_queued(s, END_BACKEND))
			     : F_NONE,
		F_INT("client_dropped_bytes", client->dropped),
		s->hub ? F_INT("messages_dropped", s->lost)
		       : F_INT("backend_dropped_bytes", backend->dropped));
}

static bool run_one(struct visit *v, struct worker *w)
{
	struct one *x = CONTAINER_OF(v, struct one, visit);
	struct session *s;

	do {
		s = sessions_next(w, &v->walk);
		if (s && s->client.id == x->id) {
			add_sheet(v, w, s);
			v->enough = true;
			return false;
		}
	} while (s && visit_goes_on(v, w));
	return s != NULL;
}

static void one_done(struct visit *v, struct answer *a)
{
	if (v->enough)
		answer_end(a);
	else
		answer_refuse(a, "there is no client %s",
			control_text(a->request, "id"));
}

static const struct visit_kind one_kind = {
	.size = sizeof(struct one),
	.run = run_one,
	.done = one_done,
};

void command_client(struct answer *a)
{
	const char *text = control_text(a->request, "id");
	struct visit *v;
	uint64_t id;

	if (client_parse_id(text, &id) < 0) {
		answer_usage(
			a, "id: expected one of the log, such as 6d2f0a1c");
		return;
	}
	v = visit_new(a, &one_kind);
	if (!v)
		return;
	CONTAINER_OF(v, struct one, visit)->id = id;
	visit_begin(v);
}
