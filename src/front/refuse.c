/* How a client is refused: an HTTP status, or a close code, and a line. */
#include "front/private.h"

#include <string.h>

#include "base/detail.h"
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
/* Of an Origin, in the words to the client: real ones are shorter. */
#define ORIGIN_SHOWN 64

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

/*
 * The Origin that came, for whom sent it: printable ASCII without quotes and
 * backslashes, as every real one is; other bytes are \xNN. Cut, and without
 * what looks like a token.
 */
static int add_origin(struct buf *words, struct str origin)
{
	char room[DETAIL_MAX];

	detail_print(room, "", origin);
	if (buf_add_str(words, STR(": ")) < 0)
		return -1;
	for (const char *p = room; *p && p < room + ORIGIN_SHOWN; p++) {
		bool plain = *p > ' ' && *p < 0x7f && !strchr("\"\\", *p);

		if (buf_add_printf(words, plain ? "%c" : "\\x%02x",
			    (unsigned int)(unsigned char)*p) < 0)
			return -1;
	}
	return strlen(room) > ORIGIN_SHOWN ? buf_add_str(words, STR("...")) : 0;
}

/*
 * What the client is told: "word: text". The origin is what the author of a
 * page has to compare with the route's list.
 */
static int add_words(
	struct buf *words, enum reason reason, const struct request *r)
{
	const struct reason_info *info = reason_get(reason);

	if (buf_add_printf(words, "%s: %s", info->word, info->text) < 0)
		return -1;
	return reason == REASON_ORIGIN && r && r->origin.n > 0
		       ? add_origin(words, r->origin)
		       : 0;
}

static int add_close(struct buf *out, struct front *f, enum reason reason,
	struct str words, const char *id)
{
	uint8_t payload[WS_CONTROL_MAX], head[WS_HEAD_MAX];
	size_t n, head_n;

	if (reply_switch(out, front_accept(f), str_of(f->upgrade.offer), id) <
		0)
		return -1;
	n = ws_encode_close(payload, reason_get(reason)->code, words);
	head_n = ws_encode_head(head, WS_CLOSE, true, n, NULL);
	return buf_add(out, head, head_n, SIZE_MAX) < 0 ||
			       buf_add(out, payload, n, SIZE_MAX) < 0
		       ? -1
		       : 0;
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
	struct buf out = { 0 }, words = { 0 };
	char id[CLIENT_ID_TEXT];
	bool head = r && str_eq(r->head.method, STR("HEAD"));
	bool by_close = front_refuses_by_close(f, reason);
	int failed;

	front_log_refusal(f, reason, detail);
	/* Before the answer: a client that reads it may try again at once. */
	admission_give_back(f->worker->shared, &f->client);
	client_id(&f->client, id);
	failed = add_words(&words, reason, r);
	if (!failed && by_close)
		failed = add_close(&out, f, reason, buf_str(&words), id);
	else if (!failed)
		failed = reply_refusal(
			&out, &(struct reply_refusal){ .reason = reason,
				      .words = buf_str(&words),
				      .retry_ms = f->client.tickets.retry_ms,
				      .id = id,
				      .head = head });
	if (!failed)
		conn_send_copied(f->conn, out.p, out.n);
	buf_free(&words);
	buf_free(&out);
	if (by_close && !failed)
		await_close(f);
	else
		front_leave(f);
}

void front_give_way(struct front *f)
{
	struct buf out = { 0 }, words = { 0 };
	char id[CLIENT_ID_TEXT];

	front_log_refusal(f, REASON_LIMIT_PENDING, NULL);
	if (add_words(&words, REASON_LIMIT_PENDING, NULL) == 0 &&
		reply_refusal(&out,
			&(struct reply_refusal){ .reason = REASON_LIMIT_PENDING,
				.words = buf_str(&words),
				.id = client_id(&f->client, id) }) == 0)
		conn_send_copied(f->conn, out.p, out.n);
	buf_free(&words);
	buf_free(&out);
	conn_close(f->conn);
}
