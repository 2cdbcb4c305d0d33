/*
 * A file, or /metrics, goes out in parts: as long as the connection's queue is
 * short, and the share of the turn allows, another part is made; the rest
 * follows when the queue has drained, or in the next turn.
 */
#include "front/answer.h"

#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "front/metrics.h"
#include "net/conn.h"
#include "worker/worker.h"
#include "gate/request.h"
#include "page/page.h"
#include "front/private.h"
#include "front/reply.h"

#define PART (64u * 1024)

void front_answer_free(struct front *f)
{
	metrics_free(f->metrics);
	f->metrics = NULL;
	if (f->file >= 0)
		close(f->file);
	f->file = -1;
	f->file_left = 0;
}

/* HTTP/1.1 stays open unless told otherwise (RFC 9112 section 9.3). */
static bool must_close(const struct front *f, const struct request *r)
{
	return f->worker->draining || r->head.minor == 0 ||
	       http_has_element(&r->head, STR("Connection"), STR("close"));
}

static void go_on(struct deferred *d)
{
	front_answer_more(CONTAINER_OF(d, struct front, more));
}

static bool has_more(const struct front *f)
{
	return f->file_left > 0 || f->metrics;
}

/* -1: the answer must end torn, for the client to see. */
static int send_file_part(struct front *f)
{
	char part[PART];
	size_t want = f->file_left < PART ? (size_t)f->file_left : PART;
	ssize_t n = read(f->file, part, want);

	if (n <= 0) /* it shrank */
		return -1;
	f->file_left -= (uint64_t)n;
	conn_send_copied(f->conn, part, (size_t)n);
	return 0;
}

/*
 * As a chunk (RFC 9112 section 7.1), because the length is not known; before
 * HTTP/1.1 the end of the connection is that of the answer.
 */
static int send_chunk(struct front *f, const struct buf *part, bool last)
{
	struct buf out = { 0 };
	int result = -1;

	if (!f->chunked) {
		conn_send_copied(f->conn, part->p, part->n);
		return 0;
	}
	if (part->n > 0 && (buf_add_printf(&out, "%zx\r\n", part->n) < 0 ||
				   buf_add_str(&out, buf_str(part)) < 0 ||
				   buf_add_str(&out, STR("\r\n")) < 0))
		goto out;
	if (last && buf_add_str(&out, STR("0\r\n\r\n")) < 0)
		goto out;
	conn_send_copied(f->conn, out.p, out.n);
	result = 0;
out:
	buf_free(&out);
	return result;
}

static int send_metrics_part(struct front *f)
{
	struct buf part = { 0 };
	int more = metrics_write(f->metrics, &part);
	int result = more < 0 ? -1 : send_chunk(f, &part, more == 0);

	buf_free(&part);
	if (more == 0) {
		metrics_free(f->metrics);
		f->metrics = NULL;
	}
	return result;
}

void front_answer_more(struct front *f)
{
	struct loop *l = f->worker->loop;

	if (f->state != FRONT_ANSWER || f->conn->state != CONN_OPEN)
		return;
	if (has_more(f))
		loop_share_begin(l);
	while (has_more(f) && f->conn->queued < PART &&
		!conn_is_shut(f->conn)) {
		if (!loop_share_left_now(l)) {
			loop_defer_next(l, &f->more, go_on);
			return;
		}
		if ((f->metrics ? send_metrics_part(f) : send_file_part(f)) <
			0) {
			conn_close(f->conn);
			return;
		}
	}
	if (conn_is_shut(f->conn))
		return; /* it broke: front_ended comes next */
	if (!has_more(f) && conn_is_clear(f->conn)) {
		front_answer_free(f);
		front_done(f);
	}
}

/* A client that reads nothing of its answer would keep its place for ever. */
void front_answer_check(struct front *f)
{
	int64_t due;

	conn_note_progress(f->conn);
	due = f->conn->sent_ms + f->client.listen->keepalive_timeout;
	if (loop_now(f->worker->loop) < due) {
		timer_set(f->worker->loop, &f->timer, due);
		return;
	}
	front_log_refusal(f, REASON_CLIENT_GONE, "it does not read its answer");
	conn_close(f->conn);
}

static void send_answer(struct front *f, const struct request *r,
	const struct reply *reply, struct str body)
{
	struct buf out = { 0 };
	bool head = str_eq(r->head.method, STR("HEAD"));

	front_set_answering(f);
	timer_set(f->worker->loop, &f->timer,
		loop_now(f->worker->loop) +
			f->client.listen->keepalive_timeout);
	f->close_after = reply->close;
	if (reply_head(&out, reply) < 0 ||
		(!head && buf_add_str(&out, body) < 0)) {
		buf_free(&out);
		conn_close(f->conn);
		return;
	}
	if (head)
		front_answer_free(f);
	conn_send_copied(f->conn, out.p, out.n);
	buf_free(&out);
	/* It has a share of its own, not that of the request's read. */
	if (has_more(f))
		loop_defer_next(f->worker->loop, &f->more, go_on);
	else
		front_answer_more(f);
}

static void log_page(const struct front *f, const struct request *r, int status)
{
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	LOG(LOG_DEBUG, "page", F_STR("id", client_id(&f->client, id)),
		F_STR("peer", addr_format(&f->client.peer, peer)),
		F_STR("subject", client_subject(&f->client)),
		F_VIEW("path", r->path), F_INT("status", status));
}

void front_answer(
	struct front *f, const struct request *r, struct page_answer *a)
{
	char id[CLIENT_ID_TEXT];
	struct reply reply = { .status = a->status,
		.fields = buf_str(&a->fields),
		.close = must_close(f, r),
		/* RFC 9110, 15.3.5 and 15.4.5: these have no content. */
		.has_length = a->status != 204 && a->status != 304 &&
			      !a->size_unknown,
		.length = a->fd >= 0 ? a->size : a->body.n };

	if (a->reason != REASON_NONE) {
		front_refuse(f, r, a->reason, a->why[0] ? a->why : NULL);
		page_answer_free(a);
		return;
	}
	log_page(f, r, a->status);
	reply.id = client_id(&f->client, id);
	if (a->fd < 0 && a->body.n == 0 && a->size > 0)
		reply.length = a->size; /* HEAD */
	f->file = a->fd;
	f->file_left = a->fd >= 0 ? a->size : 0;
	a->fd = -1;
	send_answer(f, r, &reply, buf_str(&a->body));
	page_answer_free(a);
}

void front_answer_metrics(struct front *f, const struct request *r)
{
	char id[CLIENT_ID_TEXT];
	struct reply reply = { .status = 200,
		.fields = STR("Content-Type: " METRICS_TYPE "\r\n"
			      "Cache-Control: no-store\r\n"
			      "Transfer-Encoding: chunked\r\n"),
		.close = must_close(f, r) };

	f->metrics = metrics_begin(f->worker);
	if (!f->metrics) {
		front_refuse(f, r, REASON_INTERNAL, "no memory");
		return;
	}
	f->chunked = r->head.minor > 0;
	if (!f->chunked)
		reply.fields = STR("Content-Type: " METRICS_TYPE "\r\n"
				   "Cache-Control: no-store\r\n");
	reply.id = client_id(&f->client, id);
	send_answer(f, r, &reply, STR_NONE);
}

void front_answer_text(
	struct front *f, const struct request *r, int status, struct str text)
{
	char id[CLIENT_ID_TEXT];
	struct reply reply = { .status = status,
		.fields = STR("Content-Type: text/plain; charset=utf-8\r\n"
			      "Cache-Control: no-store\r\n"),
		.close = must_close(f, r),
		.has_length = true,
		.length = text.n };

	reply.id = client_id(&f->client, id);
	send_answer(f, r, &reply, text);
}
