/* How a client is refused: an HTTP status, or a close code, and a line. */
#include "front/private.h"

#include "base/log.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/closed.h"
#include "gate/identity.h"
#include "gate/trouble.h"
#include "gate/request.h"
#include "front/front.h"
#include "front/reply.h"

/* What a client may say in front of its close frame, once it is refused. */
#define SKIPPED_MAX (1u << 20)

void front_log_refusal(struct front *f, enum reason reason, const char *detail)
{
	struct worker *w = f->worker;
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];
	const struct conf_route *route = f->client.route;

	worker_count_reason(w, reason);
	counter_add(&worker_route(w, route)->refusals[reason], 1);
	if (f->upgrade.possible)
		counter_add(
			&worker_route(w, route)->handshakes[COUNT_FAILED], 1);
	if (route)
		trouble_note(route, reason, detail);
	closed_add(w, CLOSED_REFUSALS,
		&(struct closed_note){ .client = &f->client,
			.reason = reason,
			.path = f->upgrade.path,
			.detail = detail });
	if (!log_quota_take(&w->fronts->refusals, reason))
		return;
	LOG(LOG_INFO, "refuse", F_STR("id", client_id(&f->client, id)),
		F_STR("listen", f->client.listen->section.name),
		F_STR("route", route ? route->section.name : NULL),
		F_STR("subject", client_subject(&f->client)),
		F_VIEW("key", identity_key(f->client.verdict.identity)),
		F_STR("certificate", f->client.certificate),
		F_STR("peer", addr_format(&f->client.peer, peer)),
		F_STR("path", f->upgrade.path),
		F_STR("reason", reason_get(reason)->word),
		F_STR("detail", detail));
}

bool front_refuses_by_close(const struct front *f, enum reason reason)
{
	int reject = f->client.route ? f->client.route->reject
				     : CONF_REJECT_AUTO;

	if (!f->upgrade.possible || !reason_get(reason)->code)
		return false;
	return reject == CONF_REJECT_CLOSE ||
	       (reject == CONF_REJECT_AUTO && f->upgrade.origin);
}

static int close_text(
	struct buf *out, struct front *f, enum reason reason, const char *id)
{
	const struct reason_info *info = reason_get(reason);
	uint8_t payload[WS_CONTROL_MAX], head[WS_HEAD_MAX];
	struct buf text = { 0 };
	size_t n, head_n;
	int result = -1;

	if (buf_add_printf(&text, "%s: %s", info->word, info->text) == 0 &&
		reply_switch(out, front_accept(f), str_of(f->upgrade.offer),
			id) == 0) {
		n = ws_encode_close(payload, info->code, buf_str(&text));
		head_n = ws_encode_head(head, WS_CLOSE, true, n, NULL);
		result = buf_add(out, head, head_n, SIZE_MAX) < 0 ||
					 buf_add(out, payload, n, SIZE_MAX) < 0
				 ? -1
				 : 0;
	}
	buf_free(&text);
	return result;
}

void front_skip(struct front *f, uint8_t *p, size_t n)
{
	f->skipped_n += n;
	if (ws_skip_to_close(&f->skipped, p, n))
		front_leave(f);
	else if (f->skipped_n > SKIPPED_MAX)
		conn_close(f->conn);
}

/*
 * The peer's close frame is awaited before our side of TCP ends (RFC 6455
 * section 7.1.1): a browser that meets our FIN before it has answered takes the
 * close for an unclean one, and never calls onopen.
 */
static void await_close(struct front *f)
{
	const struct conf_route *route = f->client.route;
	struct loop *l = f->worker->loop;

	front_set_state(f, FRONT_CLOSING);
	/* A connection beyond a limit is given no route's long time. */
	timer_set(l, &f->timer,
		loop_now(l) + (route && !f->over ? route->close_timeout
						 : FRONT_LINGER_MS));
	ws_decoder_init(&f->skipped, true, 0);
	if (conn_has_ended(f->conn)) {
		front_leave(f);
		return;
	}
	conn_set_reading(f->conn, true);
	front_skip(f, f->head.p, f->head.n); /* what came behind the request */
}

void front_refuse(struct front *f, const struct request *r, enum reason reason,
	const char *detail)
{
	struct buf out = { 0 };
	char id[CLIENT_ID_TEXT];
	bool head = r && str_eq(r->head.method, STR("HEAD"));
	bool by_close = front_refuses_by_close(f, reason);
	int failed;

	front_log_refusal(f, reason, detail);
	/* Before the answer: a client that reads it may try again at once. */
	admission_give_back(f->worker->shared, &f->client);
	client_id(&f->client, id);
	if (by_close)
		failed = close_text(&out, f, reason, id);
	else
		failed = reply_refusal(
			&out, reason, f->client.tickets.retry_ms, id, head);
	if (!failed)
		conn_send_copied(f->conn, out.p, out.n);
	buf_free(&out);
	if (by_close && !failed)
		await_close(f);
	else
		front_leave(f);
}

void front_give_way(struct front *f)
{
	struct buf out = { 0 };
	char id[CLIENT_ID_TEXT];

	front_log_refusal(f, REASON_LIMIT_PENDING, NULL);
	if (reply_refusal(&out, REASON_LIMIT_PENDING, 0,
		    client_id(&f->client, id), false) == 0)
		conn_send_copied(f->conn, out.p, out.n);
	buf_free(&out);
	conn_close(f->conn);
}
