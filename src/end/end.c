#include "end/end.h"

#include <string.h>

#include "base/buf.h"
#include "base/waiting.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"

static void ignore_input(struct end *e, const struct piece *p)
{
	(void)e;
	(void)p;
}

static void ignore_ended(struct end *e, const struct ending *why)
{
	(void)e;
	(void)why;
}

static void ignore_dropped(struct end *e, uint64_t n)
{
	(void)e;
	(void)n;
}

static void ignore(struct end *e)
{
	(void)e;
}

static const struct end_cb unowned_cb = {
	.input = ignore_input,
	.too_big = ignore,
	.drained = ignore,
	.ended = ignore_ended,
	.dropped = ignore_dropped,
	.gone = ignore,
};

const struct end_owner end_unowned = { &unowned_cb };

void end_discard(struct end *e)
{
	e->ops->close(e, WS_CODE_GOING_AWAY, STR_NONE);
}

void end_send_framed(
	struct conn *c, const struct end_frame *f, const struct piece *p)
{
	struct conn_frame out = { .head = f->head,
		.head_n = f->head_n,
		.payload = p->data,
		.payload_n = p->n,
		.tail = f->tail,
		.tail_n = f->tail_n };

	if (p->room >= f->head_n && f->head_n > 0) {
		memcpy(p->data - f->head_n, f->head, f->head_n);
		out.payload = p->data - f->head_n;
		out.payload_n += f->head_n;
		out.head_n = 0;
	}
	if (p->brief)
		conn_send_frame_copied(c, &out);
	else
		conn_send_frame_borrowed(c, &out);
}

uint8_t end_room(const struct conn *c, const uint8_t *data, uint8_t room)
{
	return data == c->loop->scratch ? LOOP_HEADROOM : room;
}

const struct piece *end_assemble(struct buf *kept, struct budget *budget,
	const struct piece *p, struct piece *whole, enum reason *failed)
{
	*failed = REASON_NONE;
	if (p->first && p->last)
		return p;
	if (kept->n + p->n > WAITING_SMALL && budget_is_full(budget)) {
		*failed = REASON_MEMORY;
		return NULL;
	}
	if (buf_add(kept, p->data, p->n, SIZE_MAX) < 0) {
		*failed = REASON_INTERNAL;
		return NULL;
	}
	budget_add(budget, p->n);
	if (!p->last)
		return NULL;
	*whole = (struct piece){ .opcode = p->opcode,
		.first = true,
		.last = true,
		.brief = true,
		.data = kept->p,
		.n = kept->n };
	return whole;
}

void end_forget(struct buf *kept, struct budget *budget)
{
	budget_sub(budget, kept->n);
	buf_free(kept);
}

void end_renew(struct end *e, const struct conf_route *route)
{
	if (!e || !e->ops->renew)
		return;
	e->ops->renew(e, route);
	/* 0: its owner gives it one message after the other. */
	if (e->conn && e->conn->resume_at > 0)
		e->conn->resume_at = (uint32_t)(route->queue_limit / 2);
}
