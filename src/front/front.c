/*
 * accept -> conn -> input: bytes -> head complete -> request -> dispatch
 *
 *   dispatch: /healthz, /readyz | refuse | page -> answer | route -> gate -> backend
 *
 * Refusing is in refuse.c, what follows the gate in upgrade.c, pages
 * in answer.c, what an admin listener has in admin.c.
 *
 * A front keeps the bytes of the request under way and of whatever came behind
 * it; they are bounded by max_header and one read.
 */
#include "front/front.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/detail.h"
#include "base/log.h"
#include "codec/certificate.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/tls.h"
#include "worker/credentials.h"
#include "worker/section.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/client.h"
#include "gate/gate.h"
#include "gate/identity.h"
#include "gate/request.h"
#include "page/page.h"
#include "page/way.h"
#include "hub/hub.h"
#include "front/answer.h"
#include "front/private.h"
#include "front/proxy.h"

#define KEEPALIVE_S 60
/* The first byte of TLS (RFC 8446 section 5.1). */
#define TLS_HANDSHAKE_RECORD 22

static void front_process(struct front *f);

/*
 * Too many requests of this listener are incomplete: the oldest is closed. The
 * limit counts over all workers, the oldest is this one's: a worker has about
 * as many as the next.
 */
static void make_room(const struct front *newest)
{
	const struct conf_listen *listen = newest->client.listen;
	struct front *f;

	TAILQ_FOREACH (f, &newest->worker->fronts->list, next) {
		if (f == newest || f->state != FRONT_HEAD ||
			f->client.listen != listen ||
			f->conn->state != CONN_OPEN)
			continue;
		front_give_way(f);
		return;
	}
}

void front_set_state(struct front *f, enum front_state to)
{
	if (f->state == FRONT_HEAD)
		admission_pending(&f->client, -1);
	if (to != FRONT_LINE)
		front_line_leave(f);
	if (to == FRONT_HEAD && admission_pending(&f->client, 1) >
					f->client.listen->max_pending)
		make_room(f);
	f->state = (uint8_t)to;
}

/* Bytes that wait for a backend count like others. */
static void count_head(struct front *f)
{
	budget_recount(f->worker->loop->budget, &f->counted, f->head.capacity);
}

/* --- life ------------------------------------------------------------------------*/

void front_free(struct front *f)
{
	struct worker *w = f->worker;

	front_set_state(f, FRONT_LEAVING);
	front_cancel_opening(f);
	front_answer_free(f);
	front_proxy_free(f);
	front_forget_upgrade(&f->upgrade);
	loop_undefer(w->loop, &f->again);
	loop_undefer(w->loop, &f->more);
	timer_fini(w->loop, &f->timer);
	buf_free(&f->head);
	count_head(f);
	if (f->client.conf) /* not handed over to a pair */
		worker_left(w);
	admission_leave(w->shared, &f->client);
	client_free(&f->client);
	TAILQ_REMOVE(&w->fronts->list, f, next);
	free(f);
}

static void front_closed(struct conn *c)
{
	front_free(c->owner);
}

void front_leave(struct front *f)
{
	front_set_state(f, FRONT_LEAVING);
	timer_clear(f->worker->loop, &f->timer);
	conn_finish(f->conn, FRONT_LINGER_MS);
}

/*
 * Handshakes that fail have reasons of their own, and so has HTTP without TLS.
 */
static void front_tls_failed(struct front *f)
{
	char text[TLS_TEXT];
	enum tls_cause cause = tls_cause(f->conn);

	counter_add(&f->worker->counters.tls_handshakes[COUNT_FAILED], 1);
	if (cause == TLS_PLAIN_HTTP) {
		tls_fall_back(f->conn);
		front_refuse(f, NULL, REASON_TLS_MISSING, NULL);
		return;
	}
	front_log_refusal(f,
		cause == TLS_CERTIFICATE ? REASON_TLS_CERTIFICATE
					 : REASON_TLS_HANDSHAKE,
		tls_failure(f->conn, text));
	front_leave(f); /* an alert may be on its way */
}

/* The handshake is done: takes the subject of the client's certificate. */
static void front_ready(struct conn *c)
{
	struct front *f = c->owner;
	char text[CERTIFICATE_SUBJECT_MAX];
	size_t n;
	const uint8_t *subject = tls_peer_subject(c, &n);
	struct counters *counters = &f->worker->counters;

	counter_add(&counters->tls_handshakes[COUNT_OK], 1);
	histogram_add_ms(&counters->tls_handshake_times, &histogram_waits,
		loop_now(f->worker->loop) - f->opening_ms);
	if (n == 0)
		return;
	if (certificate_subject(text, subject, n) < 0) {
		front_log_refusal(f, REASON_TLS_CERTIFICATE,
			"its subject is not well-formed");
		front_leave(f);
		return;
	}
	f->client.certificate = str_dup(str_of(text));
	if (!f->client.certificate)
		front_refuse(f, NULL, REASON_INTERNAL, "no memory");
}

/*
 * A client that has ended its side may still read: in these states it gets its
 * answer, and what its end means is decided behind that (front_again, and the
 * pair's end). But most clients that end their side have left, and in a hub
 * that must not keep a seat, or a backend that opens for them alone.
 */
static bool gets_answer_half_closed(const struct front *f)
{
	return f->state == FRONT_ANSWER || f->state == FRONT_LINE ||
	       (f->state == FRONT_OPENING &&
		       f->client.route->mode == CONF_MODE_PAIR);
}

static void front_ended(struct conn *c, int error)
{
	struct front *f = c->owner;

	if (!error && gets_answer_half_closed(f))
		return;
	if (f->state == FRONT_CLOSING && !error) {
		front_leave(f);
		return;
	}
	if (f->state == FRONT_OPENING) {
		front_cancel_opening(f);
		front_log_refusal(f,
			error ? REASON_CLIENT_RESET : REASON_CLIENT_GONE,
			"while the backend was being opened");
	} else if (f->state == FRONT_LINE) {
		front_log_refusal(f, REASON_CLIENT_RESET,
			"while its token waited to be verified");
	} else if (tls_is_opening(c) && tls_cause(c) != TLS_NOTHING) {
		front_tls_failed(f);
		return;
	}
	conn_close(c);
}

static void front_timer(struct timer *t)
{
	struct front *f = CONTAINER_OF(t, struct front, timer);

	if (f->proxy) {
		front_proxy_timeout(f);
		return;
	}
	if (tls_is_opening(f->conn)) {
		counter_add(
			&f->worker->counters.tls_handshakes[COUNT_FAILED], 1);
		front_log_refusal(f, REASON_TLS_TIMEOUT, NULL);
		conn_close(f->conn);
		return;
	}
	if (f->state == FRONT_ANSWER) {
		front_answer_check(f);
		return;
	}
	if (f->state == FRONT_CLOSING) {
		conn_close(f->conn);
		return;
	}
	/*
	 * Idle between two requests, or one of the spare connections that
	 * browsers open: no answer is awaited.
	 */
	if (f->head.n == 0) {
		worker_count_reason(
			f->worker, f->served ? REASON_KEEPALIVE_TIMEOUT
					     : REASON_HEAD_TIMEOUT);
		conn_close(f->conn);
		return;
	}
	front_refuse(f, NULL, REASON_HEAD_TIMEOUT, NULL);
}

static void await_request(struct front *f)
{
	int64_t ms = f->served && f->head.n == 0
			     ? f->client.listen->keepalive_timeout
			     : f->client.listen->handshake_timeout;

	timer_set(f->worker->loop, &f->timer, loop_now(f->worker->loop) + ms);
}

/* --- a request -------------------------------------------------------------------------*/

static bool memory_full(void *owner)
{
	struct front *f = owner;

	return worker_memory_full(f->worker) && !hubs_give_replay(f->worker);
}

/*
 * Whether its token has to wait for another turn of the loop: the request stays
 * where it is, and holds nothing meanwhile.
 */
static bool must_wait(struct front *f)
{
	struct worker *w = f->worker;

	if (f->client.verdict.verified)
		front_line_verified(w);
	if (!f->client.verdict.waits)
		return false;
	admission_give_back(w->shared, &f->client);
	front_set_state(f, FRONT_LINE);
	front_line_enter(f);
	return true;
}

/*
 * A client that goes on guessing tokens is told to wait; the log has the
 * token's fault.
 */
static void refuse_at_gate(struct front *f, const struct request *r,
	enum reason reason, const char *detail)
{
	struct worker *w = f->worker;
	enum reason told = admission_failed(
		w->shared, &f->client, reason, loop_now(w->loop));

	if (told != reason && !detail)
		detail = reason_get(reason)->text;
	front_refuse(f, r, told, detail);
}

static void dispatch_route(struct front *f, const struct gate_check *g,
	const struct captures *captures)
{
	enum reason reason = gate_pass(GATE_ROUTE, g);

	if (must_wait(f))
		return;
	if (reason != REASON_NONE)
		refuse_at_gate(f, g->request, reason, g->detail->text);
	else
		front_open(f, g->request, captures);
}

static void answer_builtin(struct front *f, const struct request *r)
{
	struct page_answer a;

	if (page_builtin(&a, r->path, r))
		front_answer(f, r, &a);
}

/* Once a second at most: whoever asks for the page could fill the log. */
static void tell_odd(struct front *f, const struct request *r,
	const struct page_match *match, const char *odd)
{
	char id[CLIENT_ID_TEXT];

	if (!odd[0] || f->worker->fronts->odd_told)
		return;
	f->worker->fronts->odd_told = true;
	LOG(LOG_WARN, "no-placeholder", F_STR("id", client_id(&f->client, id)),
		F_STR("page", match->page->section.name),
		F_VIEW("path", r->path), F_STR("detail", odd));
}

static void dispatch_page(struct front *f, const struct gate_check *g,
	const struct page_match *match)
{
	enum reason reason = gate_pass(GATE_PAGE, g);
	const struct client_verdict *v = &f->client.verdict;
	struct page_visitor visitor;
	struct page_answer a;

	if (must_wait(f))
		return;
	if (reason != REASON_NONE) {
		refuse_at_gate(f, g->request, reason, g->detail->text);
		return;
	}
	visitor = (struct page_visitor){ .subject = client_subject(&f->client),
		.subject_key = conf_find_key(
			f->client.conf, identity_key(v->identity)),
		.perm = (enum jwt_perm)v->perm,
		.exp = v->token_exp,
		.expire_at = v->expire_at };
	page_answer(&a, match, g->request, &visitor, clock_unix_ms());
	tell_odd(f, g->request, match, a.odd);
	front_answer(f, g->request, &a);
}

/* Once for each listener: every request of a proxy would say it. */
static void tell_distrusted(const struct front *f, const struct request *r)
{
	const struct client *c = &f->client;
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	if (!r->claims_tls ||
		atomic_exchange(&c->listen->state->distrust_told, true))
		return;
	LOG(LOG_WARN, "proxy-not-trusted", F_STR("id", client_id(c, id)),
		F_STR("listen", c->listen->section.name),
		F_STR("peer", addr_format_ip(&f->socket_peer, peer)),
		F_STR("detail",
			"it says that the page came over https, and is not "
			"believed: wsuris begin with ws:// and origins = same "
			"refuses; if it is your proxy, name it in "
			"trusted_proxies"));
}

/* It has arrived. */
static void dispatch_way(struct front *f, struct gate_check *g)
{
	const struct request *r = g->request;
	struct way way;

	way_find(&way, f->client.conf, f->client.listen, r);
	f->client.route = way.route;
	g->page = way.page.page;
	switch (way.kind) {
	case WAY_NOWHERE:
		front_refuse(f, r, REASON_NOT_FOUND, NULL);
		break;
	case WAY_ADMIN:
		front_dispatch_admin(f, r);
		break;
	case WAY_BUILTIN:
		answer_builtin(f, r);
		break;
	case WAY_ROUTE:
		/* Again, now that the route is known. */
		if (front_keep_upgrade(f, r) < 0)
			front_refuse(f, r, REASON_INTERNAL, NULL);
		else
			dispatch_route(f, g, &way.captures);
		break;
	case WAY_PAGE:
		dispatch_page(f, g, &way.page);
		break;
	}
}

static void dispatch(
	struct front *f, struct request *r, enum reason reason, const char *why)
{
	struct detail detail;
	struct gate_check g = { .shared = f->worker->shared,
		.request = r,
		.client = &f->client,
		.detail = &detail,
		.parsed = reason,
		.why = why,
		.over = (enum reason)f->over,
		.memory_full = memory_full,
		.owner = f };

	detail.text = NULL;
	if ((reason == REASON_NONE || reason == REASON_HOST) &&
		front_answer_health(f, r))
		return;
	if (front_keep_upgrade(f, r) < 0)
		g.parsed = REASON_INTERNAL;
	reason = gate_pass(GATE_ARRIVAL, &g);
	if (reason != REASON_NONE)
		front_refuse(f, r, reason, detail.text);
	else
		dispatch_way(f, &g);
}

void front_set_over(struct front *f, enum reason over)
{
	if (f->over != REASON_LIMIT_CONNECTIONS)
		f->over = (uint8_t)over;
}

/* Another client than the socket's. */
static void enter_peer(struct front *f, const struct addr *peer)
{
	struct worker *w = f->worker;

	front_set_over(f, admission_set_peer(w->shared, &f->client, peer,
				  loop_now(w->loop)));
}

/* Takes one complete request off the bytes. */
static void take_request(struct front *f, size_t n)
{
	/* What the request's views point into, until it is dealt with. */
	struct buf bytes = f->head;
	struct request r;
	const char *why;
	enum reason reason;

	f->head = (struct buf){ 0 };
	f->scanned = 0;
	if (buf_add(&f->head, bytes.p + n, bytes.n - n, SIZE_MAX) < 0) {
		buf_free(&bytes);
		conn_close(f->conn);
		return;
	}
	timer_clear(f->worker->loop, &f->timer);
	reason = request_parse(&r, (const char *)bytes.p, n,
		&(struct request_source){ .listen = f->client.listen,
			.address = f->address,
			.peer = &f->socket_peer,
			.secure = f->secure || tls_is_on(f->conn),
			.unnamed = f->unnamed },
		&why);
	if (!addr_same_ip(&r.peer, &f->client.peer))
		enter_peer(f, &r.peer);
	tell_distrusted(f, &r);
	f->client.verdict.may_verify = !f->worker->fronts->verified;
	f->client.verdict.verified = f->client.verdict.waits = false;
	if (f->state != FRONT_LINE)
		f->client.verdict.tried = 0;
	dispatch(f, &r, reason, why);
	request_free(&r);
	if (f->line) { /* it is looked at again, with what came behind it */
		buf_free(&f->head);
		f->head = bytes;
		return;
	}
	buf_free(&bytes);
}

static void front_process(struct front *f)
{
	size_t max = (size_t)f->client.listen->max_header;
	ssize_t n;

	if (f->head.n == 0)
		return;
	if (f->head.p[0] == TLS_HANDSHAKE_RECORD && !f->served) {
		/*
		 * An HTTP answer to a TLS ClientHello would be noise: log and
		 * close.
		 */
		front_log_refusal(f, REASON_TLS_UNEXPECTED, NULL);
		conn_close(f->conn);
		return;
	}
	n = http_find_end((const char *)f->head.p, f->head.n, &f->scanned);
	if (n < 0)
		front_refuse(f, NULL, REASON_BAD_REQUEST, "not an HTTP head");
	else if ((size_t)n > max || (n == 0 && f->head.n > max))
		front_refuse(f, NULL, REASON_HEAD_SIZE, NULL);
	else if (n > 0)
		take_request(f, (size_t)n);
}

void front_resume(struct front *f)
{
	if (f->conn->state != CONN_OPEN)
		return;
	front_process(f);
	count_head(f);
}

void front_set_answering(struct front *f)
{
	front_set_state(f, FRONT_ANSWER);
}

/* The address of the listener that is this one; NULL: there is none. */
static const struct conf_address *same_address(
	const struct conf_listen *l, const struct conf_address *a)
{
	for (size_t i = 0; a->text && i < l->address.n; i++)
		if (strcmp(l->address.v[i].text, a->text) == 0)
			return &l->address.v[i];
	return a->text ? NULL : a; /* the daemon's, of one handed over */
}

/*
 * A reload: what is asked from now on is judged by the newer snapshot. False:
 * its listener is gone.
 */
static bool renew_front(struct front *f)
{
	struct conf *conf = f->worker->conf, *before = f->client.conf;
	const struct conf_listen *l;
	const struct conf_address *a;

	if (before == conf)
		return true;
	l = conf_same_listen(conf, f->client.listen);
	a = l ? same_address(l, f->address) : NULL;
	if (!a)
		return false;
	f->address = a;
	f->client.listen = l;
	f->client.route = NULL;
	f->client.verdict.key = NULL; /* of an earlier request */
	f->client.conf = conf_ref(conf);
	conf_unref(before);
	return true;
}

static void front_again(struct deferred *d)
{
	struct front *f = CONTAINER_OF(d, struct front, again);

	if (f->conn->state != CONN_OPEN)
		return;
	if (f->worker->draining || !renew_front(f)) {
		front_leave(f);
		return;
	}
	front_set_state(f, FRONT_HEAD);
	f->served = true;
	await_request(f);
	front_process(f);
	count_head(f);
	if (f->conn->state != CONN_OPEN || f->state != FRONT_HEAD)
		return;
	/* Its end came behind its last request: there is nothing to wait for. */
	if (conn_has_ended(f->conn))
		front_leave(f);
	else
		conn_set_reading(f->conn, true);
}

/*
 * Not at once: a client that pipelines must neither deepen the stack nor keep
 * the worker to itself.
 */
void front_done(struct front *f)
{
	if (f->close_after)
		front_leave(f);
	else
		loop_defer_next(f->worker->loop, &f->again, front_again);
}

static size_t front_input(struct conn *c, uint8_t *p, size_t n)
{
	struct front *f = c->owner;
	bool first = f->head.n == 0;

	if (f->state == FRONT_CLOSING) {
		front_skip(f, p, n);
		return n;
	}
	if (buf_add(&f->head, p, n, SIZE_MAX) < 0) {
		conn_close(c);
		return n;
	}
	if (f->state == FRONT_HEAD) {
		if (first && f->served)
			await_request(f); /* the time of this request begins */
		front_process(f);
	} else if (f->head.n >= (size_t)f->client.listen->max_header) {
		conn_set_reading(c, false);
	}
	count_head(f);
	return n;
}

static void front_drained(struct conn *c)
{
	front_answer_more(c->owner);
}

/* -1: no memory. */
static int start_tls(struct front *f)
{
	struct worker *w = f->worker;
	struct tls_context *x = credentials_of_listen(
		w->credentials, f->client.listen);

	f->opening_ms = loop_now(w->loop);
	return x ? tls_accept(f->conn, x) : 0;
}

static const struct conn_cb front_cb = {
	.input = front_input,
	.drained = front_drained,
	.ended = front_ended,
	.closed = front_closed,
	.ready = front_ready,
};

static void drain_front(struct front *f)
{
	if (f->state == FRONT_OPENING) {
		front_cancel_opening(f);
		front_refuse(f, NULL, REASON_SHUTDOWN, NULL);
	} else if (f->state == FRONT_LINE) {
		front_refuse(f, NULL, REASON_SHUTDOWN, NULL);
	} else if (f->state == FRONT_HEAD) {
		conn_close(f->conn);
	} else {
		f->close_after = true; /* the answer under way is finished */
	}
}

/* --- the beginning -------------------------------------------------------------------*/

void front_turn_away(struct front *f, enum reason reason, const char *detail)
{
	front_log_refusal(f, reason, detail);
	conn_close(f->conn);
}

void front_begin(struct front *f, const char *found)
{
	if (gate_check_socket(f->client.listen, &f->socket_peer) != REASON_NONE)
		front_turn_away(f, REASON_ADDRESS, found);
	else if (f->client.tickets.flood)
		front_turn_away(f, REASON_LIMIT_RATE, "without an answer");
	else if (start_tls(f) < 0)
		front_turn_away(f, REASON_INTERNAL, "no memory");
	else
		conn_set_reading(f->conn, true);
}

int front_new(struct worker *w, const struct accepted *a)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f || timer_init(w->loop, &f->timer, front_timer) < 0)
		goto no_memory;
	f->conn = conn_new(w->loop, a->fd, a->fd, &front_cb, f);
	if (!f->conn) {
		timer_fini(w->loop, &f->timer);
		free(f);
		worker_count_reason(w, REASON_INTERNAL);
		return -1;
	}
	conn_tune(a->fd, KEEPALIVE_S, 0);
	f->worker = w;
	f->address = a->address;
	f->file = -1;
	f->state = FRONT_LEAVING;
	f->socket_peer = a->peer;
	f->client = (struct client){ .conf = conf_ref(a->conf),
		.listen = a->listen,
		.peer = a->peer,
		.verdict = { .token_exp = JWT_NEVER, .expire_at = JWT_NEVER } };
	f->client.id = atomic_fetch_add_explicit(
		&w->shared->next_id, 1, memory_order_relaxed);
	TAILQ_INSERT_TAIL(&w->fronts->list, f, next);
	front_set_state(f, FRONT_HEAD);
	f->over = (uint8_t)admission_enter(
		w->shared, &f->client, loop_now(w->loop));
	await_request(f);
	if (a->listen->proxy_protocol)
		front_proxy_begin(f);
	else
		front_begin(f, "on the socket");
	return 0;
no_memory:
	free(f);
	close(a->fd);
	worker_count_reason(w, REASON_INTERNAL);
	return -1;
}

/* --- all of a worker -------------------------------------------------------------------*/

int fronts_init(struct worker *w)
{
	struct fronts_here *here = calloc(1, sizeof(*here));

	if (!here)
		return -1;
	here->worker = w;
	TAILQ_INIT(&here->list);
	TAILQ_INIT(&here->line);
	TAILQ_INIT(&here->late_line);
	w->fronts = here;
	return 0;
}

void fronts_fini(struct worker *w)
{
	if (!w->fronts)
		return;
	loop_undefer(w->loop, &w->fronts->line_turn);
	free(w->fronts);
	w->fronts = NULL;
}

void fronts_tick(struct worker *w)
{
	w->fronts->odd_told = false;
	log_quota_next(&w->fronts->refusals, "refuse-suppressed");
	log_quota_next(&w->fronts->backend_errors, "backend-error-suppressed");
}

void fronts_renew(struct worker *w)
{
	struct front *f, *next;

	/* Others are renewed when their answer has left, or with their end. */
	for (f = TAILQ_FIRST(&w->fronts->list); f; f = next) {
		next = TAILQ_NEXT(f, next);
		if (f->state == FRONT_HEAD && !renew_front(f)) {
			if (f->served && f->head.n == 0)
				front_leave(f);
			else
				f->close_after = true;
		}
	}
}

void fronts_drain(struct worker *w)
{
	struct front *f, *next;

	for (f = TAILQ_FIRST(&w->fronts->list); f; f = next) {
		next = TAILQ_NEXT(f, next);
		drain_front(f);
	}
}

void fronts_stop(struct worker *w)
{
	struct front *f, *next;

	for (f = TAILQ_FIRST(&w->fronts->list); f; f = next) {
		next = TAILQ_NEXT(f, next);
		conn_close(f->conn);
	}
}
