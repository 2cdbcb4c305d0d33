/*
 * dispatch -> keep what the end of the upgrade needs
 *          -> backend_open, or the hub of the route and path is joined
 *          -> done: the 101, and the connection changes hands; or a refusal
 */
#include "front/private.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/http/handshake.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/tls.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/auth.h"
#include "gate/identity.h"
#include "gate/request.h"
#include "gate/subprotocol.h"
#include "end/ws.h"
#include "pair/pair.h"
#include "backend/backend.h"
#include "hub/attach.h"
#include "hub/join.h"
#include "hub/member.h"
#include "front/reply.h"

void front_forget_upgrade(struct front_upgrade *u)
{
	free(u->offer);
	free(u->selected);
	free(u->offers);
	free(u->path);
	*u = (struct front_upgrade){ 0 };
}

struct str front_accept(const struct front *f)
{
	return (struct str){ f->upgrade.accept, HANDSHAKE_ACCEPT };
}

/* A longer offer may be a secret, which no log may hold. */
#define OFFER_SHOWN_MAX 40

/* "one, two, (65 bytes)": the client's offers but for our tokens. */
static char *offers_text(const struct request *r)
{
	struct handshake_offers o;
	struct buf text = { 0 };
	struct str p;

	handshake_offers_init(&o, &r->head);
	while (handshake_offers_next(&o, &p)) {
		if (auth_is_token(p))
			continue;
		if ((text.n > 0 && buf_add_str(&text, STR(", ")) < 0) ||
			(p.n <= OFFER_SHOWN_MAX
					? buf_add_str(&text, p)
					: buf_add_printf(&text, "(%zu bytes)",
						  p.n)) < 0)
			goto fail;
	}
	if (buf_add(&text, "", 1, SIZE_MAX) == 0)
		return (char *)text.p;
fail:
	buf_free(&text);
	return NULL;
}

/*
 * A browser that offers subprotocols and gets none drops the connection at
 * once. Said once for a route: each of its clients would be another line.
 */
static void warn_unselected(const struct front *f)
{
	const struct conf_route *r = f->client.route;
	bool by_backend = r->to.kind == BACKEND_WS &&
			  (r->mode == CONF_MODE_PAIR || r->subprotocols.n > 0);

	if (atomic_exchange(&r->state->unselected_told, true))
		return;
	LOG(LOG_WARN, "subprotocol-unselected", F_STR("route", r->section.name),
		F_STR("offered", f->upgrade.offers),
		F_STR("detail",
			by_backend ? "the backend selected none: browsers drop "
				     "the connection"
				   : "the route's key subprotocols lists none "
				     "of them: browsers drop the connection"));
}

int front_keep_upgrade(struct front *f, const struct request *r)
{
	struct front_upgrade *u = &f->upgrade;
	struct handshake_offers o;
	struct str p, selected = STR_NONE;

	front_forget_upgrade(u);
	u->path = r->path.n > 0 ? str_dup(r->path) : NULL;
	if (!u->path && r->path.n > 0)
		return -1;
	if (!request_can_upgrade(r))
		return 0;
	u->possible = true;
	u->origin = r->origin.p != NULL;
	handshake_accept(u->accept, r->key);
	/* A browser takes a 101 only if one of its offers is in it. */
	handshake_offers_init(&o, &r->head);
	while (!u->offer && handshake_offers_next(&o, &p)) {
		if (auth_is_token(p))
			continue;
		u->offer = str_dup(p);
		if (!u->offer)
			return -1;
	}
	u->plain = subprotocol_is_offered(r, STR(AUTH_SUBPROTOCOL_PLAIN));
	if (f->client.route && f->client.route->to.kind != BACKEND_WS)
		selected = subprotocol_select(f->client.route, r);
	if (selected.p) {
		u->selected = str_dup(selected);
		if (!u->selected)
			return -1;
	}
	if (!u->offer || u->selected || u->plain)
		return 0;
	u->offers = offers_text(r);
	return u->offers ? 0 : -1;
}

static void log_open(const struct front *f)
{
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	LOG(LOG_INFO, "open", F_STR("id", client_id(&f->client, id)),
		F_STR("listen", f->client.listen->section.name),
		F_STR("route", f->client.route->section.name),
		F_STR("subject", client_subject(&f->client)),
		F_VIEW("key", identity_key(f->client.verdict.identity)),
		F_STR("certificate", f->client.certificate),
		F_STR("peer", addr_format(&f->client.peer, peer)),
		F_STR("path", f->upgrade.path),
		F_STR("tls", tls_version(f->conn)),
		F_STR("suite", tls_suite(f->conn)),
		F_INT("open_ms", loop_now(f->worker->loop) - f->opening_ms));
}

/* What is open for the client: one of them, the other is NULL. */
struct opened {
	struct end *backend;
	const struct hub_joined *joined;
};

/* Closes what was opened for a client that is gone or refused. */
static void discard(const struct opened *o)
{
	if (o->joined)
		hub_join_discard(o->joined);
	else
		end_discard(o->backend);
}

static bool hand_over(
	struct front *f, struct end *client_end, const struct opened *o)
{
	if (o->joined)
		return member_new(f->worker, &f->client, client_end, o->joined);
	return pair_new(f->worker, &f->client, client_end, o->backend);
}

/* It is open: the 101, then the connection changes hands. */
static void front_upgrade(
	struct front *f, struct str protocol, const struct opened *o)
{
	struct worker *w = f->worker;
	struct conn *c = f->conn;
	struct buf out = { 0 };
	struct end *client_end;
	/*
	 * The pair or member may exchange the snapshot at once, behind a reload;
	 * the line "open" still names sections of this one.
	 */
	struct conf *kept = conf_ref(f->client.conf);
	char id[CLIENT_ID_TEXT];

	if (!protocol.p)
		protocol = str_of(f->upgrade.selected);
	if (!protocol.p && f->upgrade.plain)
		protocol = STR(AUTH_SUBPROTOCOL_PLAIN);
	client_id(&f->client, id);
	if (reply_switch(&out, front_accept(f), protocol, id) < 0)
		goto no_memory;
	client_end = ws_end_new(w, c, END_CLIENT, f->client.route);
	if (!client_end)
		goto no_memory;
	conn_set_reading(c, false);
	if (conn_unread(c, f->head.p, f->head.n) < 0) {
		conn_close(c);
		discard(o);
		front_free(f);
		goto out;
	}
	conn_send_copied(c, out.p, out.n);
	admission_use_token(&f->client);
	if (hand_over(f, client_end, o)) {
		log_open(f);
		if (!protocol.p && f->upgrade.offers)
			warn_unselected(f);
		f->client = (struct client){ 0 };
	} else {
		front_log_refusal(f, REASON_INTERNAL, "no memory");
		client_end->ops->close(
			client_end, WS_CODE_INTERNAL_ERROR, STR("internal"));
		discard(o);
	}
	front_free(f);
	goto out;
no_memory:
	discard(o);
	front_refuse(f, NULL, REASON_INTERNAL, "no memory");
out:
	buf_free(&out);
	conf_unref(kept);
}

/*
 * Its token may have been revoked since it was verified: what closes the
 * sessions of that token cannot find this one, which opens now.
 */
static void refuse_or_upgrade(
	struct front *f, struct str protocol, const struct opened *o)
{
	enum reason r = auth_check_again(
		f->worker->shared, &f->client, clock_unix_ms());

	if (r == REASON_NONE) {
		front_upgrade(f, protocol, o);
		return;
	}
	discard(o);
	front_refuse(f, NULL, r, "while its backend opened");
}

/* A ws backend's own refusal goes on as it came, where a status is shown. */
static void pass_refusal(struct front *f, const struct backend_result *b)
{
	struct buf out = { 0 };
	char id[CLIENT_ID_TEXT];
	struct reply reply = { .status = b->status,
		.fields = b->fields,
		.close = true,
		.has_length = true,
		.length = b->body.n };

	front_log_refusal(f, b->outcome.reason, b->outcome.detail);
	admission_give_back(f->worker->shared, &f->client);
	reply.id = client_id(&f->client, id);
	if (reply_head(&out, &reply) == 0 && buf_add_str(&out, b->body) == 0)
		conn_send_copied(f->conn, out.p, out.n);
	buf_free(&out);
	front_leave(f);
}

static void opening_done(
	struct front *f, const struct outcome *r, const struct opened *o)
{
	if (f->conn->state != CONN_OPEN) {
		/* The client has left in this same turn. */
		if (r->reason == REASON_NONE)
			discard(o);
	} else if (r->reason == REASON_NONE) {
		refuse_or_upgrade(f, r->protocol, o);
	} else {
		if (log_quota_take(
			    &f->worker->fronts->backend_errors, r->reason))
			LOG(LOG_WARN, "backend-error",
				F_STR("route", f->client.route->section.name),
				F_STR("reason", reason_get(r->reason)->word),
				F_STR("detail", r->detail));
		front_refuse(f, NULL, r->reason, r->detail);
	}
}

static void backend_done(void *owner, const struct backend_result *b)
{
	struct front *f = owner;
	enum reason reason = b->outcome.reason;

	f->attempt = NULL;
	if (f->conn->state == CONN_OPEN && reason == REASON_BACKEND_STATUS &&
		!front_refuses_by_close(f, reason))
		pass_refusal(f, b);
	else
		opening_done(
			f, &b->outcome, &(struct opened){ .backend = b->end });
}

static void join_done(void *owner, const struct hub_joined *j)
{
	struct front *f = owner;

	f->join = NULL;
	opening_done(f, &j->outcome, &(struct opened){ .joined = j });
}

/* The place is its own: the connection moves there, and answers from there. */
static void attach(struct front *f)
{
	struct hub_attach *a = f->attach;
	struct str protocol = str_of(f->upgrade.selected);
	struct buf out = { 0 };
	char id[CLIENT_ID_TEXT];

	f->attach = NULL;
	if (!protocol.p && f->upgrade.plain)
		protocol = STR(AUTH_SUBPROTOCOL_PLAIN);
	conn_set_reading(f->conn, false);
	if (reply_switch(&out, front_accept(f), protocol,
		    client_id(&f->client, id)) < 0 ||
		(f->head.n > 0 &&
			conn_unread(f->conn, f->head.p, f->head.n) < 0)) {
		hub_attach_cancel(a);
		front_refuse(f, NULL, REASON_INTERNAL, "no memory");
	} else if (conn_leave(f->conn)) {
		log_open(f);
		hub_attach_take(a, f->conn, &f->client, &out,
			f->upgrade.selected != NULL);
		f->client = (struct client){ 0 };
		front_free(f);
	} else {
		hub_attach_cancel(a);
		front_log_refusal(
			f, REASON_CLIENT_GONE, "before it was attached");
		conn_close(f->conn);
	}
	buf_free(&out);
}

static void attach_done(void *owner, const struct outcome *o)
{
	struct front *f = owner;

	if (o->reason != REASON_NONE) {
		f->attach = NULL;
		if (f->conn->state == CONN_OPEN)
			front_refuse(f, NULL, o->reason, o->detail);
	} else if (f->conn->state == CONN_OPEN) {
		attach(f);
	} else { /* it has left in this same turn */
		hub_attach_cancel(f->attach);
		f->attach = NULL;
	}
}

static bool open_place(struct front *f, const struct request *r,
	const struct captures *captures)
{
	f->attach = hub_attach_open(
		&(struct hub_attach_params){ .worker = f->worker,
			.client = &f->client,
			.request = r,
			.captures = captures,
			.done = attach_done,
			.owner = f });
	return f->attach;
}

static bool open_backend(struct front *f, const struct request *r,
	const struct captures *captures)
{
	f->attempt = backend_open(&(struct backend_params){ .worker = f->worker,
		.client = &f->client,
		.request = r,
		.captures = captures,
		.client_fd = f->conn->fd,
		.done = backend_done,
		.owner = f });
	return f->attempt;
}

static bool join_hub(struct front *f, const struct request *r)
{
	f->join = hub_join_open(&(struct hub_join_params){ .worker = f->worker,
		.client = &f->client,
		.request = r,
		.done = join_done,
		.owner = f });
	return f->join;
}

void front_open(struct front *f, const struct request *r,
	const struct captures *captures)
{
	bool hub = f->client.route->mode == CONF_MODE_HUB, opening;

	if (conn_has_ended(f->conn) && hub) {
		front_log_refusal(f, REASON_CLIENT_GONE,
			"before a seat in its hub was asked for");
		conn_close(f->conn);
		return;
	}
	front_set_state(f, FRONT_OPENING);
	f->opening_ms = loop_now(f->worker->loop);
	if (f->client.route->attach)
		opening = open_place(f, r, captures);
	else if (hub)
		opening = join_hub(f, r);
	else
		opening = open_backend(f, r, captures);
	if (!opening)
		front_refuse(f, r, REASON_INTERNAL, "no memory");
}

void front_cancel_opening(struct front *f)
{
	if (f->attempt)
		backend_cancel(f->attempt);
	if (f->join)
		hub_join_cancel(f->join);
	if (f->attach)
		hub_attach_cancel(f->attach);
	f->attempt = NULL;
	f->join = NULL;
	f->attach = NULL;
}
