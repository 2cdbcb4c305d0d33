/*
 * From members to the trunk, or, in a room, to the others. When the trunk or
 * what is posted to the home is full, members are not read until it is not.
 */
#include "hub/private.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "end/end.h"
#include "hub/attached.h"
#include "hub/member.h"

static bool is_full(struct hub *h)
{
	return atomic_load(&h->trunk_full) ||
	       waiting_is_over(&h->inflight, atomic_load(&h->queue_limit));
}

void hub_resume_when_empty(struct hub *h)
{
	if (!atomic_load(&h->trunk_full) &&
		waiting_cost(&h->inflight) <=
			(size_t)h->route->queue_limit / 2 &&
		atomic_exchange(&h->resume_wanted, false))
		hub_tell_resume(h);
}

/* Another member drives, or there is no run to steer. */
static void deny(struct hub *h, struct seat *s)
{
	char id[CLIENT_ID_TEXT];

	if (h->route->denied_input == CONF_DENIED_CLOSE)
		hub_kick(h, s, REASON_READ_ONLY);
	else if (atomic_fetch_add(&s->denied, 1) == 0)
		LOG(LOG_INFO, "denied-input",
			F_STR("id",
				client_id(&(struct client){ .id = s->id }, id)),
			F_STR("route", h->route->section.name),
			F_STR("subject", s->subject));
}

unsigned hub_denied(const struct seat *s)
{
	return atomic_load(&s->denied);
}

bool hub_trunk_is_full(struct hub *h)
{
	size_t limit = (size_t)h->route->queue_limit;
	struct conn *c = h->trunk ? h->trunk->conn : NULL;

	/* What is only gathered has not been refused yet. */
	if (c && c->queued > limit)
		conn_send_gathered(c);
	return c && (c->queued > limit ||
			    (c->queued > WAITING_SMALL &&
				    budget_is_full(&h->shared->budget)));
}

void hub_send_to_trunk(struct hub *h, struct seat *s, const struct piece *p)
{
	uint8_t prefix[TAGGED_PREFIX_MAX];
	struct piece tagged = *p;
	enum reason r;

	tagged.brief = true; /* many write to it, and when, it decides */

	hub_tagged_before_input(h, s);
	/* Without memory for that the hub has ended, and its sender perhaps. */
	if (h->state != HUB_OPEN)
		return;
	tagged.prefix = prefix;
	tagged.prefix_n = (uint8_t)hub_tagged_prefix(h, s, prefix);
	if (h->attached)
		attached_count_out(h->attached, &tagged);
	r = h->trunk->ops->send(h->trunk, &tagged);
	if (r != REASON_NONE && !s->gone)
		hub_kick(h, s, r);
}

static void take_input(struct hub *h, struct seat *s, const struct piece *p)
{
	if (h->state != HUB_OPEN && h->state != HUB_HELD)
		return;
	if (h->over ||
		(h->route->input == CONF_INPUT_DRIVER && s != h->driver)) {
		deny(h, s);
		return;
	}
	h->messages_in++;
	counter_add(
		&worker_route(h->home, h->route)->hub_messages[COUNT_CLIENT],
		1);
	if (h->route->to.kind == BACKEND_ROOM) {
		hub_publish(h, p->opcode, p->data, p->n, s->id);
		return;
	}
	if (h->home->tapped)
		hub_show_input(h, s, p);
	if (hub_holds(h)) {
		hub_hold_input(h, s, p);
		return;
	}
	hub_send_to_trunk(h, s, p);
	if (hub_trunk_is_full(h))
		atomic_store(&h->trunk_full, true);
}

int hub_input(struct hub *h, struct worker *from, struct seat *seat,
	const struct piece *whole)
{
	struct hub_input_letter *i;

	if (from == h->home) {
		take_input(h, seat, whole);
	} else {
		i = hub_input_letter_new(h, seat, whole);
		if (!i)
			return -1;
		waiting_add(&h->inflight, whole->n);
		worker_post(h->home, &i->letter);
	}
	if (!is_full(h))
		return 1;
	atomic_store(&h->resume_wanted, true);
	return is_full(h) ? 0 : 1; /* it may have emptied in between */
}

static void open_input(struct worker *w, struct letter *l)
{
	struct hub_input_letter *i = CONTAINER_OF(
		l, struct hub_input_letter, letter);
	struct piece p = { .opcode = i->opcode,
		.first = true,
		.last = true,
		.data = i->bytes,
		.n = i->n };

	(void)w;
	take_input(i->hub, i->seat, &p);
	waiting_sub(&i->hub->inflight, i->n);
	hub_resume_when_empty(i->hub);
	hub_letter_free_input(l);
}

const struct letter_kind hub_letter_input = {
	.open = open_input,
	.free = hub_letter_free_input,
};

void hub_trunk_drained(struct hub *h)
{
	if (hub_hold_drained(h)) {
		atomic_store(&h->trunk_full, false);
		hub_resume_when_empty(h);
	}
	hub_tagged_drained(h);
}
