/*
 * browser -> conn -> ws_end: decode in place -> pair -> the other end
 *                      | ping: pong, close: see below
 *
 * States: OPEN -> we send a close frame -> CLOSING -> the peer's arrives ->
 * FINISHED; or the peer's comes first, is echoed, and it is FINISHED at once.
 * In CLOSING messages are read and dropped. One timer serves pings in OPEN and
 * close_timeout in CLOSING; it is never moved per message.
 *
 * Of what follows a violation nothing is processed (RFC 6455 section 7.1.7);
 * but our side of TCP ends only behind the peer's close frame here, too: a
 * browser that meets our FIN before it has answered takes the close for an
 * unclean one. So frames are skipped by their lengths until that one comes, and
 * where those mean nothing any more the peer's FIN or close_timeout ends it.
 */
#include "end/ws.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/framing.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/tls.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "end/ending.h"

/* What a peer that does not end may say behind our close frame. */
#define CLOSING_MAX (8u << 20)

enum ws_state { WS_OPEN, WS_CLOSING, WS_FINISHED };

/* How far the peer has come; each may be passed over. */
enum ws_peer {
	PEER_TALKS,
	PEER_WRONG,  /* it broke a rule: its frames are skipped */
	PEER_CLOSED, /* its close frame came */
	PEER_ENDED,  /* its stream is over */
	PEER_GONE,   /* and what is sent does not reach it, either */
};

/* Of our ping, in OPEN. */
enum ws_ping {
	PING_NONE,
	PING_QUEUED,  /* it waits behind other bytes, untimed */
	PING_SENT,    /* ping_ms is when it left us */
	PING_ARRIVED, /* ping_ms is when it left the kernel, too */
	PING_PONG,    /* its pong came; the timer has not looked yet */
};

struct ws_end {
	struct end end;
	struct worker *worker;
	const struct conf_route *route; /* the pair's client keeps it alive */
	struct timer timer;
	union {
		int64_t ping_ms;    /* OPEN: see enum ws_ping */
		uint64_t closing_n; /* CLOSING: bytes that came */
	};
	uint8_t state;      /* enum ws_state */
	uint8_t peer;       /* enum ws_peer */
	uint8_t ping;       /* enum ws_ping */
	bool masks;         /* what it sends: the client's role */
	int32_t round_trip; /* ms, of the last ping; -1: not known */
	struct ws_decoder decoder;
};

static struct ws_end *ws_end_of(struct end *e)
{
	return CONTAINER_OF(e, struct ws_end, end);
}

/* What the owner is told with. */
static const struct end_cb *tell(const struct ws_end *e)
{
	return e->end.owner->cb;
}

static void set_state(struct ws_end *e, enum ws_state to)
{
	assert(to > e->state); /* it only goes on */
	e->state = (uint8_t)to;
}

/* The decoder, the kernel and the pings tell, in any order. */
static void peer_is(struct ws_end *e, enum ws_peer to)
{
	if (to > e->peer)
		e->peer = (uint8_t)to;
}

static void set_ping(struct ws_end *e, enum ws_ping to, int64_t ms)
{
	e->ping = (uint8_t)to;
	e->ping_ms = ms;
}

/* --- sending -------------------------------------------------------------------*/

/* Returns its length; the mask is turned to where the data begins. */
static size_t add_prefix(uint8_t *out, const struct piece *p, uint8_t *mask)
{
	uint8_t turned[4];

	if (p->prefix_n == 0)
		return 0;
	memcpy(out, p->prefix, p->prefix_n);
	if (mask) {
		ws_mask(out, p->prefix_n, mask);
		for (size_t i = 0; i < sizeof(turned); i++)
			turned[i] = mask[(i + p->prefix_n) & 3];
		memcpy(mask, turned, sizeof(turned));
	}
	return p->prefix_n;
}

/* Sends the piece as one frame; its last is the FIN bit. */
static void send_frame(struct ws_end *e, uint8_t opcode, const struct piece *p)
{
	uint8_t head[END_HEAD_MAX];
	uint8_t mask[4];
	size_t n = p->prefix_n + p->n, head_n;

	if (e->masks) {
		worker_random(e->worker, mask, sizeof(mask));
		head_n = ws_encode_head(head, opcode, p->last, n, mask);
		head_n += add_prefix(head + head_n, p, mask);
		ws_mask(p->data, p->n, mask);
	} else {
		head_n = ws_encode_head(head, opcode, p->last, n, NULL);
		head_n += add_prefix(head + head_n, p, NULL);
	}
	end_send_framed(e->end.conn,
		&(struct end_frame){ .head = head, .head_n = head_n }, p);
}

static enum reason ws_end_send(struct end *end, const struct piece *p)
{
	send_frame(ws_end_of(end), p->first ? p->opcode : WS_CONTINUATION, p);
	return REASON_NONE;
}

/* Control payloads are small and may lie in the decoder. */
static void send_control(struct ws_end *e, uint8_t opcode, uint8_t *p, size_t n)
{
	send_frame(e, opcode,
		&(struct piece){
			.last = true, .brief = true, .data = p, .n = n });
}

static void send_close(struct ws_end *e, uint16_t code, struct str text)
{
	uint8_t payload[WS_CONTROL_MAX];

	send_control(
		e, WS_CLOSE, payload, ws_encode_close(payload, code, text));
}

/* --- the end ---------------------------------------------------------------------*/

static void finish(struct ws_end *e)
{
	set_state(e, WS_FINISHED);
	timer_clear(e->worker->loop, &e->timer);
	conn_finish(e->end.conn, (uint32_t)e->route->close_timeout);
}

static void ws_end_close(struct end *end, uint16_t code, struct str text)
{
	struct ws_end *e = ws_end_of(end);

	if (e->state != WS_OPEN)
		return;
	if (e->peer == PEER_ENDED) {
		finish(e); /* it may still read what waits for it */
		return;
	}
	if (e->peer == PEER_GONE || code == 0) {
		set_state(e, WS_FINISHED);
		timer_clear(e->worker->loop, &e->timer);
		conn_close(end->conn);
		return;
	}
	if (e->peer == PEER_CLOSED) {
		/* Section 5.5.1: the echo; then there is nothing to wait for. */
		send_close(e, code, STR_NONE);
		finish(e);
		return;
	}
	send_close(e, code, text);
	set_state(e, WS_CLOSING);
	e->closing_n = 0;
	conn_set_reading(end->conn, true);
	timer_set(e->worker->loop, &e->timer,
		loop_now(e->worker->loop) + e->route->close_timeout);
}

static void ws_end_ended(struct conn *c, int error)
{
	struct ws_end *e = c->owner;
	bool client = e->end.side == END_CLIENT;
	struct ending why = { .reason = error ? (client ? REASON_CLIENT_RESET
							: REASON_BACKEND_RESET)
					      : (client ? REASON_CLIENT_GONE
							: REASON_BACKEND_RESET),
		.detail = tls_cause_text(c) };

	peer_is(e, error ? PEER_GONE : PEER_ENDED);
	if (e->state == WS_OPEN)
		tell(e)->ended(&e->end, &why);
	else if (e->state == WS_CLOSING && !error)
		finish(e);
	else
		conn_close(c);
}

static void ws_end_closed(struct conn *c)
{
	struct ws_end *e = c->owner;

	timer_fini(e->worker->loop, &e->timer);
	tell(e)->dropped(&e->end, c->dropped);
	tell(e)->gone(&e->end);
	ws_decoder_free(&e->decoder);
	free(e);
}

/* --- receiving -------------------------------------------------------------------*/

static void close_received(struct ws_end *e, const struct ws_event *ev)
{
	struct ending why = { .code = ev->code,
		.text = { (const char *)ev->data, ev->n } };

	peer_is(e, PEER_CLOSED);
	if (e->state == WS_CLOSING) {
		finish(e);
		return;
	}
	why.reason = e->end.side == END_CLIENT ? REASON_CLIENT_CLOSE
					       : REASON_BACKEND_CLOSE;
	tell(e)->ended(&e->end, &why);
}

/* Of the pings in one read the newest is answered (RFC 6455 section 5.5.3). */
struct pong {
	bool wanted;
	uint8_t n;
	uint8_t data[WS_CONTROL_MAX];
};

/* It overtakes what waits: its peer is waiting for it, and may give us up. */
static void send_pong(struct ws_end *e, struct pong *p)
{
	uint8_t frame[WS_HEAD_MAX + WS_CONTROL_MAX], mask[4];
	bool masked = e->masks;
	size_t head_n;

	_Static_assert(sizeof(frame) <= CONN_URGENT_MAX, "a pong is urgent");
	if (!p->wanted || e->state != WS_OPEN)
		return;
	if (masked)
		worker_random(e->worker, mask, sizeof(mask));
	head_n = ws_encode_head(
		frame, WS_PONG, true, p->n, masked ? mask : NULL);
	memcpy(frame + head_n, p->data, p->n);
	if (masked)
		ws_mask(frame + head_n, p->n, mask);
	conn_send_urgent(e->end.conn, frame, head_n + p->n);
}

/*
 * Pings have no payload: another pong than that of ours says nothing (RFC 6455
 * section 5.5.3).
 */
static void note_pong(struct ws_end *e, const struct ws_event *ev)
{
	struct route_counters *c;
	int64_t ms = loop_now(e->worker->loop) - e->ping_ms;

	if (e->state != WS_OPEN || ev->n > 0 ||
		(e->ping != PING_SENT && e->ping != PING_ARRIVED))
		return;
	c = worker_route(e->worker, e->route);
	histogram_add_ms(&c->pings[e->end.side], &histogram_waits, ms);
	if (ms <= INT32_MAX)
		e->round_trip = (int32_t)ms;
	e->ping = PING_PONG;
}

/* Not of backends: rates are the clients'. */
static void tell_control(struct ws_end *e, size_t n)
{
	if (e->end.side == END_CLIENT && tell(e)->control)
		tell(e)->control(&e->end, n);
}

static void control_received(
	struct ws_end *e, const struct ws_event *ev, struct pong *pong)
{
	if (ev->opcode == WS_CLOSE) {
		close_received(e, ev);
		return;
	}
	if (ev->opcode == WS_PING) {
		pong->wanted = true;
		pong->n = (uint8_t)ev->n;
		memcpy(pong->data, ev->data, ev->n);
	}
	/* A pong is life like any byte, and bytes are seen by the conn. */
	if (ev->opcode == WS_PONG)
		note_pong(e, ev);
	tell_control(e, ev->n);
}

static void violation(struct ws_end *e, const struct ws_event *ev)
{
	bool client = e->end.side == END_CLIENT;
	struct ending why = { .detail = ev->why, .backend_code = ev->code };
	char text[ENDING_LENGTH_TEXT];

	if (ev->code == WS_CODE_TOO_BIG)
		why.detail = ending_length_text(text, ev->length, !ev->last,
			client ? "max_message" : "max_backend_message",
			e->decoder.max_message);
	if (ev->code == WS_CODE_INTERNAL_ERROR)
		why.reason = REASON_INTERNAL;
	else if (!client)
		why.reason = REASON_BACKEND_PROTOCOL;
	else if (ev->code == WS_CODE_TOO_BIG)
		why.reason = REASON_TOO_BIG;
	else if (ev->code == WS_CODE_INVALID_DATA)
		why.reason = REASON_INVALID_DATA;
	else
		why.reason = REASON_PROTOCOL;
	tell(e)->ended(&e->end, &why);
}

/* Behind a violation: waits for the peer's close frame. */
static void skip_frames(struct ws_end *e, uint8_t *p, size_t n)
{
	tell(e)->dropped(&e->end, n);
	if (ws_skip_to_close(&e->decoder, p, n) && e->state == WS_CLOSING)
		finish(e);
}

/*
 * After each event the state is looked at again: the pair may have closed us,
 * or want no more for now. Returns how many bytes were used.
 */
static size_t take_events(
	struct ws_end *e, uint8_t *p, const size_t all, struct pong *pong)
{
	size_t n = all;
	struct ws_event ev;

	if (e->peer != PEER_TALKS) {
		skip_frames(e, p, n);
		return n;
	}
	while (e->state != WS_FINISHED && conn_goes_on(e->end.conn)) {
		ws_decode(&e->decoder, &p, &n, &ev);
		switch (ev.type) {
		case WS_EVENT_NONE:
			return all;
		case WS_EVENT_DATA:
			tell(e)->input(
				&e->end, &(struct piece){ .opcode = ev.opcode,
						 .first = ev.first,
						 .last = ev.last,
						 .room = end_room(e->end.conn,
							 ev.data, ev.room),
						 .data = ev.data,
						 .n = ev.n });
			break;
		case WS_EVENT_CONTROL:
			control_received(e, &ev, pong);
			break;
		case WS_EVENT_EMPTY:
			tell_control(e, 0);
			break;
		case WS_EVENT_BAD:
			peer_is(e, PEER_WRONG);
			if (e->state == WS_OPEN)
				violation(e, &ev);
			skip_frames(e, p, n);
			return all;
		}
	}
	return all - n;
}

/* Beside that a message that was on its way. */
static uint64_t most_while_closing(const struct conf_route *r)
{
	return CLOSING_MAX + (uint64_t)r->max_message +
	       (uint64_t)r->max_backend_message;
}

static size_t ws_end_input(struct conn *c, uint8_t *p, size_t n)
{
	struct ws_end *e = c->owner;
	struct pong pong = { .wanted = false };
	bool closing = e->state == WS_CLOSING;
	size_t used = take_events(e, p, n, &pong);

	send_pong(e, &pong);
	if (closing && e->state == WS_CLOSING) {
		e->closing_n += used;
		if (e->closing_n > most_while_closing(e->route)) {
			set_state(e, WS_FINISHED);
			conn_close(c);
		}
	}
	return used;
}

/* --- flow and life -----------------------------------------------------------------*/

/*
 * Whether the peer has shown life since the ping left: any byte of it, or room
 * for more of ours. Room in the same millisecond was the ping's own.
 */
static bool answered(const struct ws_end *e)
{
	const struct conn *c = e->end.conn;

	return c->read_ms >= e->ping_ms || c->sent_ms > e->ping_ms;
}

static void ws_end_flow(struct end *end, bool on)
{
	struct ws_end *e = ws_end_of(end);

	if (e->state != WS_OPEN)
		return;
	/* An answer that came just before the pause will not come again. */
	if (on && e->ping >= PING_SENT) {
		if (answered(e))
			e->ping = PING_NONE;
		else
			e->ping_ms = loop_now(e->worker->loop);
	}
	conn_set_reading(end->conn, on);
}

static void ws_end_drained(struct conn *c)
{
	struct ws_end *e = c->owner;

	if (e->state != WS_OPEN)
		return;
	if (c->queued == 0 && e->ping == PING_QUEUED)
		set_ping(e, PING_SENT, loop_now(e->worker->loop));
	tell(e)->drained(&e->end);
}

static void ping_failed(struct ws_end *e, bool vanished)
{
	struct ending why = { .reason = REASON_PING_TIMEOUT };

	if (e->end.side == END_BACKEND)
		why.code = WS_CODE_INTERNAL_ERROR; /* for the browser */
	if (vanished) /* a close frame would not arrive */
		peer_is(e, PEER_GONE);
	tell(e)->ended(&e->end, &why);
}

/*
 * The answer is late. But megabytes may lie in the kernel in front of the
 * ping, which a slow line takes longer for: the clock starts when it has
 * arrived. When to look again; 0: it is over.
 */
static int64_t ping_late(struct ws_end *e, int64_t now)
{
	int64_t timeout = e->route->ping_timeout;
	int64_t ago = conn_arrived_ago(e->end.conn);

	if (ago < 0) {
		if (conn_vanished(
			    e->end.conn, e->route->ping_interval + timeout)) {
			ping_failed(e, true);
			return 0;
		}
		e->ping_ms = now;
		return now + timeout;
	}
	if (e->ping == PING_SENT && ago < timeout) {
		set_ping(e, PING_ARRIVED, now - ago);
		return e->ping_ms + timeout;
	}
	ping_failed(e, false);
	return 0;
}

static int64_t last_life(const struct conn *c)
{
	return c->read_ms > c->sent_ms ? c->read_ms : c->sent_ms;
}

/* Returns when its answer is due. */
static int64_t send_ping(struct ws_end *e, int64_t now)
{
	send_control(e, WS_PING, NULL, 0);
	set_ping(e, e->end.conn->queued > 0 ? PING_QUEUED : PING_SENT, now);
	return now + e->route->ping_timeout;
}

/* When to look again; 0: it is over. */
static int64_t ping_check(struct ws_end *e, int64_t now)
{
	const struct conf_route *r = e->route;
	const struct conn *c = e->end.conn;

	/*
	 * While we do not read the peer, or our bytes can't leave, its answer
	 * may be under way unseen: then only the kernel knows whether the peer
	 * is gone.
	 */
	if (e->ping == PING_QUEUED || (e->ping != PING_NONE && !c->reading)) {
		if (conn_vanished(c, r->ping_interval + r->ping_timeout)) {
			ping_failed(e, true);
			return 0;
		}
		return now + r->ping_timeout;
	}
	if (e->ping != PING_NONE && answered(e)) {
		e->ping = PING_NONE;
		return last_life(c) + r->ping_interval;
	}
	if (e->ping != PING_NONE) {
		if (now - e->ping_ms >= r->ping_timeout)
			return ping_late(e, now);
		return e->ping_ms + r->ping_timeout;
	}
	if (now - c->read_ms < r->ping_interval)
		return c->read_ms + r->ping_interval;
	return send_ping(e, now);
}

/* CLOSING may take as long as bytes still leave, ours or the kernel's. */
static void close_check(struct ws_end *e, int64_t now)
{
	struct conn *c = e->end.conn;
	int64_t due;

	conn_note_progress(c);
	due = c->sent_ms + e->route->close_timeout;
	if (now < due) {
		timer_set(e->worker->loop, &e->timer, due);
		return;
	}
	set_state(e, WS_FINISHED);
	conn_close(c);
}

static void ws_end_timer(struct timer *t)
{
	struct ws_end *e = CONTAINER_OF(t, struct ws_end, timer);
	int64_t now = loop_now(e->worker->loop);
	int64_t due;

	if (e->state == WS_CLOSING) {
		close_check(e, now);
		return;
	}
	due = ping_check(e, now);
	if (due)
		timer_set(e->worker->loop, &e->timer, due);
}

/* The hub of such a backend judges what it sends, and goes on. */
static bool judged_later(enum end_side side, const struct conf_route *route)
{
	return side == END_BACKEND &&
	       route->addressing == CONF_ADDRESSING_TAGGED;
}

static int64_t longest(enum end_side side, const struct conf_route *route)
{
	/* Without messages there are no longest ones: pieces are passed on. */
	if (side == END_CLIENT)
		return route->framing == FRAMING_RAW ? INT64_MAX
						     : route->max_message;
	return judged_later(side, route) ? INT64_MAX
					 : route->max_backend_message;
}

static void ws_end_renew(struct end *end, const struct conf_route *route)
{
	struct ws_end *e = CONTAINER_OF(end, struct ws_end, end);

	e->route = route;
	e->decoder.max_message = (uint64_t)longest(
		(enum end_side)end->side, route);
	/* The next ping may be due sooner; one under way is judged first. */
	if (e->state == WS_OPEN && e->ping == PING_NONE)
		timer_set(e->worker->loop, &e->timer,
			end->conn->read_ms + route->ping_interval);
}

static const struct end_ops ws_end_ops = {
	.send = ws_end_send,
	.flow = ws_end_flow,
	.close = ws_end_close,
	.renew = ws_end_renew,
};

static const struct conn_cb ws_end_cb = {
	.input = ws_end_input,
	.drained = ws_end_drained,
	.ended = ws_end_ended,
	.closed = ws_end_closed,
};

int64_t ws_end_round_trip(const struct end *e)
{
	if (e->ops != &ws_end_ops)
		return -1;
	return CONTAINER_OF(e, const struct ws_end, end)->round_trip;
}

static struct end *end_new(struct worker *w, struct conn *c, enum end_side side,
	bool masks, const struct conf_route *route)
{
	struct ws_end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	if (timer_init(w->loop, &e->timer, ws_end_timer) < 0) {
		free(e);
		return NULL;
	}
	e->end = (struct end){ .ops = &ws_end_ops,
		.owner = &end_unowned,
		.conn = c,
		.side = (uint8_t)side };
	e->worker = w;
	e->route = route;
	e->round_trip = -1;
	e->masks = masks;
	ws_decoder_init(&e->decoder, !masks, (uint64_t)longest(side, route));
	e->decoder.any_text = judged_later(side, route);
	conn_set_owner(c, &ws_end_cb, e);
	c->resume_at = (uint32_t)(route->queue_limit / 2);
	if (route->ping_interval > 0)
		timer_set(w->loop, &e->timer,
			loop_now(w->loop) + route->ping_interval);
	return &e->end;
}

struct end *ws_end_new(struct worker *w, struct conn *c, enum end_side side,
	const struct conf_route *route)
{
	return end_new(w, c, side, side == END_BACKEND, route);
}

struct end *ws_end_new_attached(
	struct worker *w, struct conn *c, const struct conf_route *route)
{
	return end_new(w, c, END_BACKEND, false, route);
}

void ws_end_doubt(struct end *end)
{
	struct ws_end *e = ws_end_of(end);

	if (e->state == WS_OPEN && e->ping == PING_NONE)
		timer_set(e->worker->loop, &e->timer,
			send_ping(e, loop_now(e->worker->loop)));
}
