#include "relay/backlog.h"

#include <stdlib.h>

#include "base/message.h"
#include "codec/ws.h"
#include "conf/conf.h"

struct backlog_item {
	STAILQ_ENTRY(backlog_item) next;
	struct message *message;
	bool exempt;
	bool replay;
};

void backlog_init(struct backlog *b)
{
	*b = (struct backlog){ .n = 0 };
	STAILQ_INIT(&b->items);
}

void backlog_init_shared(struct backlog *b)
{
	backlog_init(b);
	b->shared = true;
}

static void forget(struct backlog *b, struct backlog_item *i)
{
	b->n--;
	b->bytes -= i->message->n;
	if (i->exempt)
		b->exempt -= i->message->n;
	b->replay -= i->replay;
	message_unref(i->message);
	free(i);
}

void backlog_drop(struct backlog *b, size_t n)
{
	while (n-- > 0) {
		struct backlog_item *i = STAILQ_FIRST(&b->items);

		STAILQ_REMOVE_HEAD(&b->items, next);
		forget(b, i);
	}
}

void backlog_free(struct backlog *b)
{
	backlog_drop(b, b->n);
}

/* All that wait of its kind: a newer picture makes older ones worthless. */
static int drop_older(struct backlog *b, const struct message *m)
{
	STAILQ_HEAD(, backlog_item) keep = STAILQ_HEAD_INITIALIZER(keep);
	struct backlog_item *i;
	int dropped = 0;

	while ((i = STAILQ_FIRST(&b->items))) {
		STAILQ_REMOVE_HEAD(&b->items, next);
		if (i->message->opcode != m->opcode ||
			(b->shared && m->to && i->message->to != m->to)) {
			STAILQ_INSERT_TAIL(&keep, i, next);
			continue;
		}
		forget(b, i);
		dropped++;
	}
	STAILQ_CONCAT(&b->items, &keep);
	return dropped;
}

static int append(
	struct backlog *b, struct message *m, bool exempt, bool replay)
{
	struct backlog_item *i = malloc(sizeof(*i));

	if (!i)
		return -1;
	*i = (struct backlog_item){
		.message = message_ref(m), .exempt = exempt, .replay = replay
	};
	STAILQ_INSERT_TAIL(&b->items, i, next);
	b->n++;
	b->bytes += m->n;
	if (exempt)
		b->exempt += m->n;
	b->replay += replay;
	return 0;
}

static enum conf_slow policy_of(
	const struct message *m, const struct conf_route *r)
{
	return (enum conf_slow)(
		m->opcode == WS_TEXT ? r->slow_text_kind : r->slow_binary_kind);
}

static bool is_over(
	const struct backlog *b, const struct message *m, size_t limit)
{
	size_t counted = b->bytes - b->exempt;

	return counted > 0 && counted + m->n > limit;
}

/* The oldest that may give way. Returns whether there was one. */
static bool drop_oldest(struct backlog *b, const struct conf_route *r)
{
	struct backlog_item *i;

	STAILQ_FOREACH (i, &b->items, next)
		if (!i->exempt &&
			policy_of(i->message, r) == CONF_SLOW_DROP_OLD)
			break;
	if (!i)
		return false;
	STAILQ_REMOVE(&b->items, i, backlog_item, next);
	forget(b, i);
	return true;
}

int backlog_add(
	struct backlog *b, struct message *m, const struct conf_route *r)
{
	size_t limit = (size_t)r->queue_limit;
	enum conf_slow policy = policy_of(m, r);
	int dropped = 0;

	if (m->opcode == WS_CLOSE)
		return append(b, m, true, false);
	switch (policy) {
	case CONF_SLOW_CLOSE:
		if (is_over(b, m, limit))
			return -1;
		break;
	case CONF_SLOW_DROP_OLD:
		while (is_over(b, m, limit) && drop_oldest(b, r))
			dropped++;
		break;
	case CONF_SLOW_LATEST:
		dropped = drop_older(b, m);
		break;
	}
	/* Of latest there is one at most: no limit has to count it. */
	if (append(b, m, policy == CONF_SLOW_LATEST, false) < 0)
		return -1;
	return dropped;
}

bool backlog_is_latest(const struct message *m, const struct conf_route *r)
{
	return policy_of(m, r) == CONF_SLOW_LATEST;
}

int backlog_add_replay(struct backlog *b, struct message *m)
{
	return append(b, m, true, true);
}

size_t backlog_peek(const struct backlog *b, struct message **v, size_t max)
{
	const struct backlog_item *i;
	size_t n = 0;

	STAILQ_FOREACH (i, &b->items, next) {
		if (n == max)
			break;
		v[n++] = i->message;
	}
	return n;
}
