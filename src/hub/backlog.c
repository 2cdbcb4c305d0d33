/*
 * Text, binary messages and ends of clients wait in lists of their own, so that
 * what gives way is found without looking at what stays:
 *
 *   drop-old: the older one of the lists' first items
 *   latest:   all of a list, or, in a backlog for many, the one for the same
 *             receiver, found in a table
 *
 * A number in each item keeps the order that they have together.
 */
#include "hub/backlog.h"

#include <stdlib.h>

#include "base/message.h"
#include "codec/ws.h"
#include "conf/conf.h"

struct backlog_item {
	TAILQ_ENTRY(backlog_item) next;
	struct message *message;
	struct idmap_entry latest; /* while in_latest */
	uint64_t order;
	bool exempt, replay, in_latest;
};

static enum backlog_kind kind_of(const struct message *m)
{
	if (m->opcode == WS_CLOSE)
		return BACKLOG_CLOSE;
	return m->opcode == WS_TEXT ? BACKLOG_TEXT : BACKLOG_BINARY;
}

void backlog_init(struct backlog *b, struct budget *budget)
{
	*b = (struct backlog){ .n = 0 };
	waiting_init(&b->waiting, budget);
	TAILQ_INIT(&b->replay);
	for (int i = 0; i < BACKLOG_KINDS; i++)
		TAILQ_INIT(&b->items[i]);
}

void backlog_init_shared(struct backlog *b, struct budget *budget)
{
	backlog_init(b, budget);
	b->shared = true;
}

static size_t cost_of(const struct message *m)
{
	return m->n + BUDGET_ITEM;
}

static void drop_item(struct backlog *b, struct backlog_item *i)
{
	struct message *m = i->message;
	enum backlog_kind kind = kind_of(m);

	TAILQ_REMOVE(i->replay ? &b->replay : &b->items[kind], i, next);
	if (i->in_latest)
		idmap_remove(&b->latest[kind], &i->latest);
	if (i->exempt)
		b->exempt -= cost_of(m);
	if (i->replay) {
		b->replay_n--;
		b->replay_of[kind]--;
	}
	b->n--;
	waiting_sub_shared(&b->waiting, m->n);
	message_unref(m);
	free(i);
}

/* The oldest of the kinds for which want says so; NULL: there is none. */
static struct backlog_item *oldest_item(
	const struct backlog *b, const bool *want)
{
	struct backlog_item *first = NULL;

	for (int i = 0; i < BACKLOG_KINDS; i++) {
		struct backlog_item *k = TAILQ_FIRST(&b->items[i]);

		if (want[i] && k && (!first || k->order < first->order))
			first = k;
	}
	return first;
}

void backlog_drop(struct backlog *b, size_t n)
{
	static const bool all[BACKLOG_KINDS] = { true, true, true };

	while (n-- > 0) {
		struct backlog_item *i = TAILQ_FIRST(&b->replay);

		drop_item(b, i ? i : oldest_item(b, all));
	}
}

void backlog_free(struct backlog *b)
{
	backlog_drop(b, b->n);
	for (int i = 0; i < BACKLOG_KINDS; i++)
		idmap_free(&b->latest[i]);
}

/* -1 without memory. */
static int append_item(
	struct backlog *b, struct message *m, bool exempt, bool replay)
{
	struct backlog_item *i = malloc(sizeof(*i));
	enum backlog_kind kind = kind_of(m);

	if (!i)
		return -1;
	*i = (struct backlog_item){ .message = message_ref(m),
		.order = ++b->order,
		.exempt = exempt,
		.replay = replay };
	TAILQ_INSERT_TAIL(replay ? &b->replay : &b->items[kind], i, next);
	if (b->shared && exempt && kind != BACKLOG_CLOSE) {
		i->in_latest = true;
		idmap_add(&b->latest[kind], &i->latest, m->to);
	}
	if (exempt)
		b->exempt += cost_of(m);
	if (replay) {
		b->replay_n++;
		b->replay_of[kind]++;
	}
	b->n++;
	waiting_add_shared(&b->waiting, m->n);
	return 0;
}

/* Of the messages of a replay, those of this kind. */
static int drop_replay(struct backlog *b, enum backlog_kind kind)
{
	struct backlog_item *i, *next;
	int dropped = 0;

	for (i = TAILQ_FIRST(&b->replay); i && b->replay_of[kind] > 0;
		i = next) {
		next = TAILQ_NEXT(i, next);
		if (kind_of(i->message) != kind)
			continue;
		drop_item(b, i);
		dropped++;
	}
	return dropped;
}

/* All that wait of its kind: a newer picture makes older ones worthless. */
static int drop_older(struct backlog *b, const struct message *m)
{
	enum backlog_kind kind = kind_of(m);
	struct idmap_entry *e;
	struct backlog_item *i;
	int dropped = 0;

	if (b->shared && m->to) {
		e = idmap_find(&b->latest[kind], m->to);
		if (e) {
			drop_item(b,
				CONTAINER_OF(e, struct backlog_item, latest));
			dropped++;
		}
		return dropped;
	}
	dropped = drop_replay(b, kind);
	while ((i = TAILQ_FIRST(&b->items[kind]))) {
		drop_item(b, i);
		dropped++;
	}
	return dropped;
}

static enum conf_slow policy_of(
	const struct message *m, const struct conf_route *r)
{
	return (enum conf_slow)(
		m->opcode == WS_TEXT ? r->slow_text_kind : r->slow_binary_kind);
}

/* Against its own limit and, unless it is small, the daemon's at once. 0: no. */
static int over(const struct backlog *b, const struct message *m, size_t limit)
{
	size_t counted = waiting_cost(&b->waiting) - b->exempt;
	size_t then = counted + cost_of(m);

	if (counted == 0)
		return 0;
	if (then > limit)
		return BACKLOG_SLOW;
	return then > WAITING_SMALL && budget_is_full(b->waiting.budget)
		       ? BACKLOG_MEMORY
		       : 0;
}

/* The oldest that may give way. Returns whether there was one. */
static bool drop_oldest(struct backlog *b, const struct conf_route *r)
{
	const bool may[BACKLOG_KINDS] = {
		[BACKLOG_TEXT] = r->slow_text_kind == CONF_SLOW_DROP_OLD,
		[BACKLOG_BINARY] = r->slow_binary_kind == CONF_SLOW_DROP_OLD,
	};
	struct backlog_item *i = oldest_item(b, may);

	if (i)
		drop_item(b, i);
	return i != NULL;
}

int backlog_add(
	struct backlog *b, struct message *m, const struct conf_route *r)
{
	size_t limit = (size_t)r->queue_limit;
	enum conf_slow policy = policy_of(m, r);
	int dropped = 0;

	if (m->opcode == WS_CLOSE)
		return append_item(b, m, true, false) < 0 ? BACKLOG_MEMORY : 0;
	switch (policy) {
	case CONF_SLOW_CLOSE:
		dropped = over(b, m, limit);
		if (dropped < 0)
			return dropped;
		break;
	case CONF_SLOW_DROP_OLD:
		while (over(b, m, limit) < 0 && drop_oldest(b, r))
			dropped++;
		break;
	case CONF_SLOW_LATEST:
		dropped = drop_older(b, m);
		break;
	}
	/* Of latest there is one at most: no limit has to count it. */
	if (append_item(b, m, policy == CONF_SLOW_LATEST, false) < 0)
		return BACKLOG_MEMORY;
	return dropped;
}

bool backlog_is_latest(const struct message *m, const struct conf_route *r)
{
	return policy_of(m, r) == CONF_SLOW_LATEST;
}

int backlog_add_replay(struct backlog *b, struct message *m)
{
	return append_item(b, m, true, true);
}

size_t backlog_peek(const struct backlog *b, struct message **v, size_t max)
{
	const struct backlog_item *next[BACKLOG_KINDS], *i;
	size_t n = 0;

	TAILQ_FOREACH (i, &b->replay, next) {
		if (n == max)
			return n;
		v[n++] = i->message;
	}
	for (int k = 0; k < BACKLOG_KINDS; k++)
		next[k] = TAILQ_FIRST(&b->items[k]);
	while (n < max) {
		int first = -1;

		for (int k = 0; k < BACKLOG_KINDS; k++)
			if (next[k] &&
				(first < 0 ||
					next[k]->order < next[first]->order))
				first = k;
		if (first < 0)
			break;
		v[n++] = next[first]->message;
		next[first] = TAILQ_NEXT(next[first], next);
	}
	return n;
}
