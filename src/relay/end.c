#include "relay/end.h"

#include <string.h>

#include "net/conn.h"

void end_send_headed(struct conn *c, const uint8_t *head, size_t head_n,
	const struct piece *p)
{
	if (p->room < head_n) {
		conn_send(c, head, head_n, p->data, p->n);
		return;
	}
	memcpy(p->data - head_n, head, head_n);
	conn_send(c, NULL, 0, p->data - head_n, head_n + p->n);
}

uint8_t end_room(const struct conn *c, const uint8_t *data, uint8_t room)
{
	return data == c->loop->scratch ? LOOP_HEADROOM : room;
}

void end_hold(struct end *e, struct loop *l, size_t n)
{
	atomic_fetch_add_explicit(l->queued, n, memory_order_relaxed);
	atomic_fetch_sub_explicit(l->queued, e->held, memory_order_relaxed);
	e->held = (uint32_t)n;
}
