/*
 * From the trunk to all members: framed once, kept for replay, given to each
 * worker once a turn; held back for one that does not keep up.
 */
#include "hub/private.h"

#include <stdlib.h>

#include "base/message.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "end/end.h"
#include "end/ending.h"
#include "hub/member.h"

/* To another worker. Returns -1 without memory. */
static int post_messages(
	struct hub *h, struct worker *w, struct message *const *v, size_t n)
{
	struct hub_messages *m = hub_messages_new(h, v, n);

	if (!m)
		return -1;
	for (size_t i = 0; i < n; i++)
		waiting_add_shared(&hub_remote(h, w)->posted, v[i]->n);
	worker_post(w, &m->letter);
	return 0;
}

/* A room: no worker is behind with what its members say: they may go on. */
static void let_members_go_on(struct hub *h)
{
	if (h->route->to.kind != BACKEND_ROOM)
		return;
	for (size_t i = 0; i < h->shared->workers_n; i++)
		if (h->remotes[i].held.n > 0 &&
			waiting_cost(&h->remotes[i].posted) > 0)
			return; /* it will say when it has read that */
	atomic_store(&h->trunk_full, false);
	hub_resume_when_empty(h);
}

/*
 * In a room all of it waits: its members are held up, and no more comes than
 * what this turn has brought and what is under way. Elsewhere as the route's
 * slow says.
 */
static int hold_back(struct hub *h, struct backlog *held, struct message *m)
{
	if (h->route->to.kind != BACKEND_ROOM)
		return backlog_add(held, m, h->route);
	return backlog_add_replay(held, m) < 0 ? BACKLOG_MEMORY : 0;
}

/* A worker that does not keep up: its members' policy applies to it, too. */
static void hold_for(
	struct hub *h, struct worker *w, struct message *const *v, size_t n)
{
	struct remote *r = hub_remote(h, w);
	struct hub_notice *end;

	/* In a room it is members that say too much: they can be held up. */
	if (h->route->to.kind == BACKEND_ROOM)
		atomic_store(&h->trunk_full, true);
	for (size_t i = 0; i < n; i++) {
		int dropped = hold_back(h, &r->held, v[i]);

		if (dropped >= 0)
			continue;
		end = hub_notice_new(h, &hub_letter_end, &r->end);
		if (end) {
			end->news.reason = dropped == BACKLOG_SLOW
						   ? REASON_SLOW
						   : REASON_MEMORY;
			worker_post(w, &end->letter);
		}
		backlog_free(&r->held);
		let_members_go_on(h);
		return;
	}
	atomic_store(&r->ready_wanted, true);
	/*
	 * The worker may have read all in between: it would not say so then.
	 */
	if (waiting_cost(&r->posted) == 0)
		hub_flush_held(h, w);
}

/* What there is room for on the way to it. -1 without memory. */
static int flush_some(struct hub *h, struct worker *w)
{
	struct remote *r = hub_remote(h, w);
	struct message *v[HUB_BATCH];
	size_t n;

	while (r->held.n > 0 &&
		!waiting_is_over(&r->posted, (size_t)h->route->queue_limit)) {
		n = backlog_peek(&r->held, v, HUB_BATCH);
		if (post_messages(h, w, v, n) < 0)
			return -1;
		backlog_drop(&r->held, n);
	}
	return 0;
}

void hub_flush_held(struct hub *h, struct worker *w)
{
	struct remote *r = hub_remote(h, w);

	while (flush_some(h, w) == 0 && r->held.n > 0) {
		atomic_store(&r->ready_wanted, true);
		/*
		 * The worker may have read all before that: it would not say so
		 * then.
		 */
		if (waiting_cost(&r->posted) > 0)
			return;
	}
	let_members_go_on(h);
}

/* What of the batch is for all, or for a member there. */
static size_t pick_for(
	const struct hub *h, const struct worker *w, struct message **v)
{
	size_t n = 0;

	for (size_t i = 0; i < h->batch_n; i++)
		if (!h->batch[i]->to || h->batch[i]->worker == w->index)
			v[n++] = h->batch[i];
	return n;
}

static void fan_to(struct hub *h, struct worker *w)
{
	struct remote *r = hub_remote(h, w);
	struct message *picked[HUB_BATCH_MAX], **v = h->batch;
	size_t n = h->batch_n;

	if (r->seats == 0)
		return;
	if (hub_is_tagged(h) && h->shared->workers_n > 1) {
		v = picked;
		n = pick_for(h, w, v);
	}
	if (n == 0)
		return;
	if (w == h->home && r->held.n == 0 && waiting_cost(&r->posted) == 0)
		shard_deliver(h, w, v, n);
	else if (r->held.n > 0 ||
		 waiting_is_over(&r->posted, (size_t)h->route->queue_limit) ||
		 post_messages(h, w, v, n) < 0)
		hold_for(h, w, v, n);
}

/*
 * A batch is delivered once in a turn: so many messages that it takes no
 * longer than this many single deliveries.
 */
#define DELIVERIES 16384
#define BATCH_MIN  8

static size_t batch_limit(const struct hub *h)
{
	size_t n = h->seats_n ? DELIVERIES / h->seats_n : DELIVERIES;

	if (hub_is_tagged(h) || n > h->batch_max)
		return h->batch_max;
	return n < BATCH_MIN ? BATCH_MIN : n;
}

/* Until the batch is delivered no more is taken from the backend. */
static void pause_trunk(struct hub *h)
{
	if (!h->trunk || h->trunk_paused)
		return;
	h->trunk_paused = true;
	h->trunk->ops->flow(h->trunk, false);
}

static void resume_trunk(struct hub *h)
{
	if (!h->trunk_paused)
		return;
	h->trunk_paused = false;
	if (h->trunk && h->state == HUB_OPEN)
		h->trunk->ops->flow(h->trunk, true);
}

/* At the end of the turn: what came together leaves together. */
void hub_fan_out(struct deferred *d)
{
	struct hub *h = CONTAINER_OF(d, struct hub, fan);

	if (h->batch_n == 0)
		return;
	for (size_t i = 0; i < h->shared->workers_n; i++)
		fan_to(h, h->shared->workers[i]);
	for (size_t i = 0; i < h->batch_n; i++)
		message_unref(h->batch[i]);
	h->batch_n = 0;
	resume_trunk(h);
}

static void replay_drop(struct hub *h)
{
	struct message *m = h->replay[h->replay_at];

	h->replay_at = (h->replay_at + 1) % h->ring;
	h->replay_n--;
	h->replay_bytes -= m->n;
	message_unref(m);
}

void hub_drop_replay(struct hub *h)
{
	while (h->replay_n > 0)
		replay_drop(h);
}

void hub_resize_replay(struct hub *h)
{
	size_t ring = (size_t)h->route->replay + 1;
	size_t max = (size_t)h->route->replay_bytes;
	struct message **v;

	while (h->replay_n > 0 &&
		(h->replay_n > ring - 1 || h->replay_bytes > max))
		replay_drop(h);
	if (ring == h->ring)
		return;
	v = calloc(ring, sizeof(struct message *));
	if (!v)
		return; /* it keeps the room that it has */
	for (size_t i = 0; i < h->replay_n; i++)
		v[i] = h->replay[(h->replay_at + i) % h->ring];
	free(h->replay);
	h->replay = v;
	h->replay_at = 0;
	h->ring = ring;
}

static void replay_add(struct hub *h, struct message *m)
{
	size_t max = (size_t)h->route->replay_bytes;

	if (h->ring == 1 || m->n > max)
		return;
	/* Replay is the first to give way. */
	while (h->replay_n > 0 && budget_is_full(&h->shared->budget))
		replay_drop(h);
	while (h->replay_n > 0 &&
		(h->replay_n == h->ring - 1 || h->replay_bytes + m->n > max))
		replay_drop(h);
	h->replay[(h->replay_at + h->replay_n) % h->ring] = message_ref(m);
	h->replay_n++;
	h->replay_bytes += m->n;
}

void hub_push(struct hub *h, struct message *m)
{
	/* Members' letters are not paused by the batch that they fill. */
	if (h->batch_n == h->batch_max)
		hub_fan_out(&h->fan);
	if (h->samples++ % LOOP_SAMPLE == 0)
		m->sampled_ns = loop_clock_ns();
	counter_add(
		&worker_route(h->home, h->route)->hub_messages[COUNT_BACKEND],
		1);
	if (h->home->tapped)
		hub_show_output(h, m);
	h->batch[h->batch_n++] = m;
	if (h->batch_n >= batch_limit(h))
		pause_trunk(h);
	loop_defer(h->home->loop, &h->fan, hub_fan_out);
}

void hub_publish(struct hub *h, uint8_t opcode, const uint8_t *p, size_t n,
	uint64_t except)
{
	uint8_t head[WS_HEAD_MAX];
	size_t head_n = ws_encode_head(head, opcode, true, n, NULL);
	struct message *m = message_new(head, head_n, p, n, &h->shared->budget);

	if (!m) {
		hub_end(h, &(struct ending){ .reason = REASON_INTERNAL });
		return;
	}
	m->opcode = opcode;
	m->except = except;
	m->serial = ++h->messages_out;
	replay_add(h, m);
	hub_push(h, m);
}

void hub_trunk_input(struct hub *h, const struct piece *p)
{
	struct budget *budget = &h->shared->budget;
	const struct piece *whole;
	struct piece assembled;
	enum reason failed;

	if (h->state != HUB_OPEN)
		return;
	h->last_ms = loop_now(h->home->loop);
	if (hub_is_tagged(h)) {
		hub_tagged_input(h, p);
		return;
	}
	whole = end_assemble(&h->whole, budget, p, &assembled, &failed);
	if (failed != REASON_NONE)
		hub_end(h, &(struct ending){ .reason = failed });
	if (!whole)
		return;
	hub_publish(h, whole->opcode, whole->data, whole->n, 0);
	if (whole == &assembled)
		end_forget(&h->whole, budget);
}

/* The end follows: what is held leaves in front of it, or never. */
void hub_flush_all_held(struct hub *h)
{
	struct message *v[HUB_BATCH];
	size_t n;

	for (size_t i = 0; i < h->shared->workers_n; i++) {
		struct backlog *held = &h->remotes[i].held;

		while ((n = backlog_peek(held, v, HUB_BATCH)) > 0) {
			(void)post_messages(h, h->shared->workers[i], v, n);
			backlog_drop(held, n);
		}
	}
}

void hub_letters_opened(struct hub *h, struct worker *w)
{
	struct remote *r = hub_remote(h, w);
	struct hub_notice *n;

	if (!atomic_exchange(&r->ready_wanted, false))
		return;
	n = hub_notice_new(h, &hub_letter_ready, &r->ready);
	if (!n)
		return;
	n->news.from = w;
	worker_post(h->home, &n->letter);
}

static void open_messages(struct worker *w, struct letter *l)
{
	struct hub_messages *m = CONTAINER_OF(l, struct hub_messages, letter);

	shard_deliver(m->hub, w, m->v, m->n);
	for (size_t i = 0; i < m->n; i++)
		waiting_sub_shared(&hub_remote(m->hub, w)->posted, m->v[i]->n);
	hub_letters_opened(m->hub, w);
	hub_letter_free_messages(l);
}

const struct letter_kind hub_letter_messages = {
	.open = open_messages,
	.free = hub_letter_free_messages,
};

static void open_ready(struct worker *w, struct letter *l)
{
	struct hub_news news = hub_notice_take(l);

	(void)w;
	hub_flush_held(news.hub, news.from);
	hub_news_free(&news);
}

const struct letter_kind hub_letter_ready = {
	.open = open_ready,
	.free = hub_letter_free_notice,
};
