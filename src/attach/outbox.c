#include "attach/outbox.h"

#include <inttypes.h>

#include "base/message.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/loop.h"
#include "end/end.h"
#include "attach/say.h"

void outbox_init(
	struct outbox *o, struct budget *budget, const struct conf_route *route)
{
	*o = (struct outbox){ .route = route };
	backlog_init(&o->backlog, budget);
}

void outbox_free(struct outbox *o)
{
	backlog_free(&o->backlog);
}

void outbox_count(struct outbox *o, enum outbox_lost why, uint64_t n)
{
	o->lost[why] += n;
}

void outbox_add(struct outbox *o, uint8_t opcode, const uint8_t *p, size_t n)
{
	struct budget *budget = o->backlog.waiting.budget;
	struct message *m = message_new((const uint8_t *)"", 0, p, n, budget);
	int dropped;

	if (!m) {
		outbox_count(o, OUTBOX_WAITED, 1);
		return;
	}
	m->opcode = opcode;
	dropped = backlog_add(&o->backlog, m, o->route);
	/* Below 0: without memory it is this one that is not kept. */
	outbox_count(o, OUTBOX_WAITED, dropped < 0 ? 1 : (uint64_t)dropped);
	message_unref(m);
}

static void send_message(struct end *e, struct message *m)
{
	(void)e->ops->send(e, &(struct piece){ .opcode = m->opcode,
				      .first = true,
				      .last = true,
				      .brief = true,
				      .data = m->bytes,
				      .n = m->n });
}

bool outbox_send(struct outbox *o, struct loop *l, struct end *e, size_t max)
{
	struct message *m;

	loop_share_begin(l);
	while (conn_is_clear(e->conn) && !conn_is_shut(e->conn) &&
		backlog_peek(&o->backlog, &m, 1) == 1) {
		if (!loop_share_left(l))
			return true;
		/* It is masked in place: no other has a reference. */
		if (m->n <= max)
			send_message(e, m);
		else
			outbox_count(o, OUTBOX_TOO_LONG, 1);
		backlog_drop(&o->backlog, 1);
	}
	return false;
}

bool outbox_is_full(const struct outbox *o)
{
	return waiting_cost(&o->backlog.waiting) >= OUTBOX_FULL;
}

void outbox_say_lost(struct outbox *o)
{
	static const char waited[] = "newer ones came while the relay could "
				     "not be sent more";
	static const char *const why[OUTBOX_LOST] = {
		[OUTBOX_WAITED] = waited,
		[OUTBOX_TOO_LONG] = "they are longer than may be",
		[OUTBOX_NOT_TEXT] = "they are lines that are not UTF-8",
		[OUTBOX_NO_LINE] = "there was no connection for them",
	};

	for (int i = 0; i < OUTBOX_LOST; i++) {
		if (o->lost[i] == 0)
			continue;
		say("%" PRIu64 " message%s dropped on the way to the relay: %s",
			o->lost[i], o->lost[i] == 1 ? "" : "s", why[i]);
		o->lost[i] = 0;
	}
}
