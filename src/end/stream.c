/*
 * backend -> conn -> stream_end: take messages off the bytes -> pair
 *   raw:         each read is a binary message, never copied
 *   line, len32: whole messages; what a read leaves unfinished waits for more
 *
 * A process is over when its output has ended and it has exited: only then is
 * known whether it ended well.
 */
#include "end/stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/framing.h"
#include "codec/tagged.h"
#include "codec/utf8.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "net/proc.h"
#include "net/tls.h"
#include "worker/worker.h"
#include "end/ending.h"

/* In this order; each may be passed over. */
enum stream_state {
	STREAM_OPEN,
	STREAM_ENDED,   /* the backend's output is over */
	STREAM_CLOSING, /* the owner wants no more */
	STREAM_GONE,    /* the conn is closed; a process may still run */
};

struct stream_end {
	struct end end;
	struct worker *worker;
	const struct conf_route *route;
	const struct framing *framing;
	struct proc *proc;  /* NULL: a socket, or it has exited */
	size_t scanned;     /* of conn->rest, see framing.h */
	struct timer timer; /* for the rest of a process's output */
	int status;         /* of the process */
	uint8_t state;      /* enum stream_state */
	bool heard;         /* it has sent something */
	bool spoken_to;     /* it was sent something */
	struct framing_skip skip;
};

static struct stream_end *stream_end_of(struct end *e)
{
	return CONTAINER_OF(e, struct stream_end, end);
}

/* What the owner is told with. */
static const struct end_cb *tell(const struct stream_end *e)
{
	return e->end.owner->cb;
}

static void set_state(struct stream_end *e, enum stream_state to)
{
	assert(to > e->state); /* it only goes on */
	e->state = (uint8_t)to;
}

/* Until the owner closes it. */
static bool is_open(const struct stream_end *e)
{
	return e->state < STREAM_CLOSING;
}

/* The hub judges its messages, and goes on. */
static bool is_tagged(const struct stream_end *e)
{
	return e->route->addressing == CONF_ADDRESSING_TAGGED;
}

/* --- to the backend --------------------------------------------------------------*/

static enum reason stream_end_send(struct end *end, const struct piece *p)
{
	struct stream_end *e = stream_end_of(end);
	struct framing_message m = { .opcode = p->opcode,
		.data = p->data,
		.n = p->n,
		.prefix_n = p->prefix_n };
	uint8_t head[END_HEAD_MAX], tail[FRAMING_TAIL_MAX];
	size_t head_n, tail_n;

	switch (e->framing->encode(&m, head, &head_n, tail, &tail_n)) {
	case 0:
		break;
	case FRAMING_BINARY:
		return REASON_UNSUPPORTED;
	case FRAMING_TOO_BIG:
		return REASON_TOO_BIG;
	default:
		return REASON_POLICY;
	}
	e->spoken_to = true;
	if (p->prefix_n > 0) {
		memcpy(head + head_n, p->prefix, p->prefix_n);
		head_n += p->prefix_n;
	}
	end_send_framed(end->conn,
		&(struct end_frame){ .head = head,
			.head_n = head_n,
			.tail = tail,
			.tail_n = tail_n },
		p);
	return REASON_NONE;
}

/* --- from the backend --------------------------------------------------------------*/

static void backend_violation(struct stream_end *e, const char *detail)
{
	struct ending why = { .reason = REASON_BACKEND_PROTOCOL,
		.detail = detail };

	tell(e)->ended(&e->end, &why);
}

static void too_big(struct stream_end *e, const uint8_t *p)
{
	uint64_t max = (uint64_t)e->route->max_backend_message;
	uint64_t n = framing_length(e->framing, p);
	char text[ENDING_LENGTH_TEXT];

	backend_violation(e, ending_length_text(text, n ? n : max + 1, n == 0,
				     "max_backend_message", max));
}

static void message(struct stream_end *e, const struct framing_message *m)
{
	struct piece piece = { .opcode = m->opcode,
		.first = true,
		.last = true,
		.room = end_room(e->end.conn, m->data, 0),
		.data = m->data,
		.n = m->n };

	if (m->opcode == WS_TEXT && !is_tagged(e) && !utf8_valid(m->data, m->n))
		backend_violation(e, "text that is not UTF-8");
	else
		tell(e)->input(&e->end, &piece);
}

/* Takes whole messages off the front; returns the bytes used. */
static size_t take_messages(struct stream_end *e, uint8_t *p, size_t n)
{
	size_t used = 0, max = (size_t)e->route->max_backend_message;

	if (is_tagged(e))
		max += TAGGED_PREFIX_MAX; /* the limit is the payload's */
	while (used < n && is_open(e) && conn_goes_on(e->end.conn)) {
		struct framing_message m;
		ssize_t r;

		if (e->skip.left > 0) {
			used += framing_skip(
				e->framing, p + used, n - used, &e->skip);
			continue;
		}
		r = e->framing->decode(
			p + used, n - used, max, &e->scanned, &m);
		if (r == 0)
			break;
		if (r == FRAMING_TOO_BIG && is_tagged(e)) {
			tell(e)->too_big(&e->end);
			framing_skip_begin(e->framing, p + used, &e->skip);
			e->scanned = 0;
			continue;
		}
		if (r == FRAMING_TOO_BIG) {
			too_big(e, p + used);
			break;
		}
		if (r < 0) {
			backend_violation(e, framing_strerror((int)r));
			break;
		}
		used += (size_t)r;
		e->scanned = 0;
		message(e, &m);
	}
	return used;
}

/*
 * The beginning of a message stays with the connection until its rest comes:
 * at most a message, its head and one read, for decode refuses what is longer.
 * When memory is short no message may make that worse (see end_assemble): what
 * is longer than a read is not only the rest of one. A hub's backend is let be:
 * with it all members would end, and the one for which most waits gives way.
 */
static size_t stream_end_input(struct conn *c, uint8_t *p, size_t n)
{
	struct stream_end *e = c->owner;
	size_t used;

	e->heard = true;
	used = take_messages(e, p, n);
	if (is_open(e) && n - used > LOOP_SCRATCH &&
		e->route->mode != CONF_MODE_HUB &&
		worker_memory_full(e->worker))
		tell(e)->ended(
			&e->end, &(struct ending){ .reason = REASON_MEMORY });
	return used;
}

static void stream_end_drained(struct conn *c)
{
	struct stream_end *e = c->owner;

	tell(e)->drained(&e->end);
}

static void stream_end_flow(struct end *end, bool on)
{
	if (is_open(stream_end_of(end)))
		conn_set_reading(end->conn, on);
}

/* --- the end ---------------------------------------------------------------------*/

/* Output over and, for a process, exit status known: say how it ended. */
static void report(struct stream_end *e)
{
	struct ending why = { .reason = REASON_BACKEND_CLOSE };
	char text[48];

	if (e->status != 0) {
		snprintf(text, sizeof(text), "backend-exit:%d", e->status);
		why.reason = REASON_BACKEND_EXIT;
		why.text = str_of(text);
		why.detail = text;
	} else if (e->end.conn && e->end.conn->rest) {
		why.detail = "its last message was not finished";
	}
	tell(e)->ended(&e->end, &why);
}

static void stream_end_ended(struct conn *c, int error)
{
	struct stream_end *e = c->owner;

	if (!is_open(e)) {
		conn_close(c);
		return;
	}
	set_state(e, STREAM_ENDED);
	if (e->route->to.kind != BACKEND_EXEC) {
		struct ending reset = { .reason = REASON_BACKEND_RESET,
			.detail = tls_cause_text(c) };

		if (!reset.detail)
			reset.detail = strerror(error);

		if (error)
			tell(e)->ended(&e->end, &reset);
		else
			report(e);
	} else if (!e->proc) {
		report(e);
	} else {
		/* It sends no more, so nothing more need be sent to it. */
		proc_end_after(e->proc, e->route->close_timeout);
	}
}

static void free_when_over(struct stream_end *e)
{
	if (e->state != STREAM_GONE || e->proc)
		return;
	timer_fini(e->worker->loop, &e->timer);
	tell(e)->gone(&e->end);
	free(e);
}

static void stream_end_closed(struct conn *c)
{
	struct stream_end *e = c->owner;

	/* Without memory to queue, a program's conn breaks after its output. */
	if (is_open(e))
		tell(e)->ended(
			&e->end, &(struct ending){ .reason = REASON_INTERNAL });
	set_state(e, STREAM_GONE);
	tell(e)->dropped(&e->end, c->dropped);
	e->end.conn = NULL;
	free_when_over(e);
}

/*
 * The process is gone, but its output has not ended: a slow client holds up
 * what is still in the pipe, or another process has it open. The first is
 * waited for, the second gets close_timeout of silence.
 */
static void output_timer(struct timer *t)
{
	struct stream_end *e = CONTAINER_OF(t, struct stream_end, timer);
	struct loop *l = e->worker->loop;
	int64_t silence = loop_now(l) - e->end.conn->read_ms;
	int64_t left = e->route->close_timeout - silence;

	if (!e->end.conn->reading)
		left = e->route->close_timeout;
	if (left > 0)
		timer_set(l, &e->timer, loop_now(l) + left);
	else
		report(e);
}

static void stream_end_close(struct end *end, uint16_t code, struct str text)
{
	struct stream_end *e = stream_end_of(end);

	(void)code;
	(void)text;
	set_state(e, STREAM_CLOSING);
	timer_clear(e->worker->loop, &e->timer);
	if (e->proc)
		proc_end_after(e->proc, e->route->close_timeout);
	conn_finish(end->conn, (uint32_t)e->route->close_timeout);
}

void stream_end_set_proc(struct end *end, struct proc *p)
{
	stream_end_of(end)->proc = p;
}

void stream_end_exited(struct end *end, int status)
{
	struct stream_end *e = stream_end_of(end);

	e->status = status;
	e->proc = NULL;
	if (!is_open(e))
		free_when_over(e);
	else if (e->state == STREAM_ENDED)
		report(e);
	else /* what it wrote last is still in the pipe */
		timer_set(e->worker->loop, &e->timer,
			loop_now(e->worker->loop) + e->route->close_timeout);
}

bool stream_end_heard(const struct end *end)
{
	return CONTAINER_OF(end, const struct stream_end, end)->heard;
}

bool stream_end_spoken_to(const struct end *end)
{
	return CONTAINER_OF(end, const struct stream_end, end)->spoken_to;
}

static void stream_end_renew(struct end *end, const struct conf_route *route)
{
	CONTAINER_OF(end, struct stream_end, end)->route = route;
}

static const struct end_ops stream_end_ops = {
	.send = stream_end_send,
	.flow = stream_end_flow,
	.close = stream_end_close,
	.renew = stream_end_renew,
};

static const struct conn_cb stream_end_cb = {
	.input = stream_end_input,
	.drained = stream_end_drained,
	.ended = stream_end_ended,
	.closed = stream_end_closed,
};

struct end *stream_end_new(
	struct worker *w, struct conn *c, const struct conf_route *route)
{
	struct stream_end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	if (timer_init(w->loop, &e->timer, output_timer) < 0) {
		free(e);
		return NULL;
	}
	e->worker = w;
	e->route = route;
	e->framing = framing_get((enum framing_id)route->framing);
	assert(e->framing);
	e->end = (struct end){ .ops = &stream_end_ops,
		.owner = &end_unowned,
		.conn = c,
		.side = END_BACKEND,
		.whole = e->framing->whole };
	conn_set_owner(c, &stream_end_cb, e);
	c->resume_at = (uint32_t)(route->queue_limit / 2);
	return &e->end;
}
