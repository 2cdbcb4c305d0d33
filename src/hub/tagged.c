/*
 * addressing = tagged: one link, and the client of each message on it
 * (codec/tagged.h).
 *
 *   seat taken, left, driver changed -> waiting -> "+ ID", "- ID", "= ID"
 *   member's message                 -> "> ID payload"         -> trunk
 *   trunk: "> * payload" -> hub_publish;  "> ID payload", "x ID CODE reason"
 *          -> a message with its receiver -> batch -> shard -> member
 *
 * What the backend is told of its clients is never lost and never piles up:
 * while the trunk is full a seat waits, as one that is to be told of or, when
 * the backend knows it, as one that has left. No seat waits twice.
 */
#include "hub/private.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/message.h"
#include "codec/token/jwt.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "worker/worker.h"
#include "end/end.h"
#include "end/ending.h"

bool hub_is_tagged(const struct hub *h)
{
	return h->route->addressing == CONF_ADDRESSING_TAGGED;
}

/* --- to the backend: its clients ---------------------------------------------------*/

/* Takes the text of an event; failed: there was no memory for it. */
static void send_event(struct hub *h, struct buf *text, bool failed)
{
	struct piece p = { .opcode = WS_TEXT,
		.first = true,
		.last = true,
		.brief = true,
		.data = text->p,
		.n = text->n };

	/* Without it the backend would believe in a client for ever. */
	if (failed || h->trunk->ops->send(h->trunk, &p) != REASON_NONE)
		hub_end(h, &(struct ending){ .reason = REASON_INTERNAL });
	buf_free(text);
}

/* What waits of this seat; it may be gone then. */
static void tell_of(struct hub *h, struct seat *s)
{
	struct buf text = { 0 };
	char peer[ADDR_TEXT];
	int failed;

	if (s->known != SEAT_UNKNOWN)
		TAILQ_REMOVE(&h->tagged.waiting, s, waiting_next);
	if (s->known == SEAT_LEAVE_WAITS) {
		failed = tagged_add_left(
			&text, s->id, reason_get(s->left)->word);
		hub_seat_free(s);
	} else {
		failed = tagged_add_joined(&text,
			&(struct tagged_client){ .id = s->id,
				.subject = s->subject,
				.perm = jwt_perm_word((enum jwt_perm)s->perm),
				.peer = addr_format(&s->peer, peer),
				.path = h->path });
		s->known = SEAT_KNOWN;
	}
	send_event(h, &text, failed < 0);
}

static bool is_up(const struct hub *h)
{
	return hub_is_tagged(h) && h->state == HUB_OPEN && h->trunk;
}

static void tell_driver(struct hub *h)
{
	struct seat *d = h->driver;
	uint64_t id = d ? d->id : 0;
	struct buf text = { 0 };
	int failed;

	if (h->route->input != CONF_INPUT_DRIVER || id == h->tagged.driver)
		return;
	if (d && d->known == SEAT_JOIN_WAITS)
		tell_of(h, d);
	if (!is_up(h))
		return;
	h->tagged.driver = id;
	failed = tagged_add_driver(&text, id);
	send_event(h, &text, failed < 0);
}

static void tell(struct deferred *deferred)
{
	struct hub *h = CONTAINER_OF(deferred, struct hub, tagged.tell);
	struct seat *s;

	while (is_up(h) && !hub_trunk_is_full(h) &&
		(s = TAILQ_FIRST(&h->tagged.waiting)))
		tell_of(h, s);
	if (is_up(h) && TAILQ_EMPTY(&h->tagged.waiting) &&
		!hub_trunk_is_full(h))
		tell_driver(h);
}

void hub_tagged_tell_all(struct hub *h)
{
	struct seat *s;

	while (is_up(h) && (s = TAILQ_FIRST(&h->tagged.waiting)))
		tell_of(h, s);
}

static void wait_as(struct hub *h, struct seat *s, enum seat_known known)
{
	s->known = known;
	TAILQ_INSERT_TAIL(&h->tagged.waiting, s, waiting_next);
}

void hub_tagged_joined(struct hub *h, struct seat *s)
{
	if (!is_up(h))
		return;
	wait_as(h, s, SEAT_JOIN_WAITS);
	tell(&h->tagged.tell);
}

void hub_tagged_left(struct hub *h, struct seat *s)
{
	if (s->known == SEAT_JOIN_WAITS)
		TAILQ_REMOVE(&h->tagged.waiting, s, waiting_next);
	if (s->known == SEAT_KNOWN && is_up(h)) {
		wait_as(h, s, SEAT_LEAVE_WAITS);
	} else {
		hub_seat_free(s);
	}
	if (is_up(h))
		tell(&h->tagged.tell);
}

void hub_tagged_announce(struct hub *h)
{
	struct seat *s;

	if (!is_up(h))
		return;
	/* Of another trunk's clients this one knows nothing. */
	hub_tagged_free(h);
	hub_hold_forget_known(h);
	h->tagged.driver = 0;
	h->tagged.skipping = false;
	TAILQ_FOREACH (s, &h->seats, next)
		wait_as(h, s, SEAT_JOIN_WAITS);
	tell(&h->tagged.tell);
}

/*
 * Not at once: the caller may be in the middle of a message, between a line and
 * its end.
 */
void hub_tagged_drained(struct hub *h)
{
	if (is_up(h) && (!TAILQ_EMPTY(&h->tagged.waiting) ||
				h->route->input == CONF_INPUT_DRIVER))
		loop_defer(h->home->loop, &h->tagged.tell, tell);
}

void hub_tagged_free(struct hub *h)
{
	struct seat *s;

	while ((s = TAILQ_FIRST(&h->tagged.waiting))) {
		TAILQ_REMOVE(&h->tagged.waiting, s, waiting_next);
		if (s->known == SEAT_LEAVE_WAITS)
			hub_seat_free(s);
		else
			s->known = SEAT_UNKNOWN;
	}
}

/* --- to the backend: what they say --------------------------------------------------*/

void hub_tagged_before_input(struct hub *h, struct seat *s)
{
	if (!is_up(h))
		return;
	/*
	 * However full it is: this comes with a message that is let through. A
	 * trunk that was opened anew is told of a client, too, that has left
	 * since it sent what is now on its way.
	 */
	if (s->known == SEAT_JOIN_WAITS || s->known == SEAT_UNKNOWN)
		tell_of(h, s);
	if (is_up(h) && s == h->driver)
		tell_driver(h);
}

size_t hub_tagged_prefix(const struct hub *h, const struct seat *s,
	uint8_t out[TAGGED_PREFIX_MAX])
{
	return hub_is_tagged(h) ? tagged_write_prefix(out, s->id) : 0;
}

/* --- from the backend ----------------------------------------------------------------*/

/* Never what it said: only of what kind its fault is, once. */
static void malformed(struct hub *h, enum tagged_error e)
{
	char id[CLIENT_ID_TEXT];

	if (h->tagged.malformed[e]++ > 0)
		return;
	LOG(LOG_WARN, "backend-malformed",
		F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path),
		F_STR("detail", tagged_strerror(e)));
}

/* A client that has just left, or never was: no fault if it is the first. */
static void unknown(struct hub *h)
{
	char id[CLIENT_ID_TEXT];

	if (h->tagged.unknown++ > 0)
		return;
	LOG(LOG_INFO, "backend-unknown-id",
		F_STR("id", client_id(&h->trunk_client, id)),
		F_STR("route", h->route->section.name), F_STR("path", h->path));
}

static void push_to(struct hub *h, struct seat *s, struct message *m)
{
	if (!m) {
		hub_end(h, &(struct ending){ .reason = REASON_INTERNAL });
		return;
	}
	m->to = s->id;
	m->worker = (uint16_t)s->worker->index;
	m->serial = ++s->sent;
	hub_push(h, m);
}

static void send_to(struct hub *h, struct seat *s, uint8_t opcode,
	const struct tagged_message *t)
{
	uint8_t head[WS_HEAD_MAX];
	size_t head_n = ws_encode_head(head, opcode, true, t->n, NULL);
	struct message *m;

	h->tagged.sent++;
	if (!(s->perm & JWT_READ))
		return; /* as with what is said to all */
	m = message_new(head, head_n, t->data, t->n, &h->shared->budget);
	if (m)
		m->opcode = opcode;
	push_to(h, s, m);
}

static void close_one(
	struct hub *h, struct seat *s, const struct tagged_message *t)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t n = ws_encode_close(
		payload, t->code, (struct str){ (const char *)t->data, t->n });
	struct message *m = message_new(
		payload, 0, payload, n, &h->shared->budget);

	s->kicked = true; /* for the backend it is gone from here on */
	if (m)
		m->opcode = WS_CLOSE;
	push_to(h, s, m);
}

static void take_message(struct hub *h, const struct piece *p)
{
	struct tagged_message t;
	enum tagged_error e = tagged_parse(&t, p->data, p->n,
		p->opcode == WS_TEXT, (size_t)h->route->max_backend_message);
	struct seat *s;

	if (e != TAGGED_OK) {
		malformed(h, e);
		return;
	}
	if (t.id == 0) {
		hub_publish(h, p->opcode, t.data, t.n, 0);
		return;
	}
	s = hub_seat_find(h, t.id);
	if (!s || s->known != SEAT_KNOWN || s->kicked)
		unknown(h);
	else if (t.verb == TAGGED_SEND)
		send_to(h, s, p->opcode, &t);
	else
		close_one(h, s, &t);
}

void hub_tagged_input(struct hub *h, const struct piece *p)
{
	size_t max = (size_t)h->route->max_backend_message + TAGGED_PREFIX_MAX;
	struct budget *budget = &h->shared->budget;
	const struct piece *whole;
	struct piece assembled;
	enum reason failed;

	if (p->first)
		h->tagged.skipping = false;
	if (h->tagged.skipping)
		return;
	if (p->n > max - h->whole.n) {
		hub_tagged_too_big(h);
		end_forget(&h->whole, budget);
		h->tagged.skipping = !p->last;
		return;
	}
	whole = end_assemble(&h->whole, budget, p, &assembled, &failed);
	if (failed != REASON_NONE)
		hub_end(h, &(struct ending){ .reason = failed });
	if (!whole)
		return;
	take_message(h, whole);
	if (whole == &assembled)
		end_forget(&h->whole, budget);
}

void hub_tagged_too_big(struct hub *h)
{
	malformed(h, TAGGED_TOO_BIG);
}
