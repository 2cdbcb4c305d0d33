/*
 *   client end --pair_input--> [rights, limits, counters] --send--> backend end
 *        ^                                                              |
 *        '------send------ [counters] <----------pair_input-------------'
 *
 * Flow: when the queue of one side is over queue_limit (or the daemon over
 * max_memory), the other side is not read; pair_drained undoes it.
 */
#include "relay/pair.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/jwt.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "relay/admission.h"
#include "relay/expiry.h"
#include "relay/rate.h"
#include "relay/worker.h"

struct pairs_here { /* of one worker */
	TAILQ_HEAD(, pair) list;
};

struct pair_rate {
	struct rate messages, bytes;
	struct timer timer;
	struct pair *pair;
};

bool pair_is_open(const struct pair *p)
{
	return p->reason == REASON_NONE;
}

static int other_side(int side)
{
	return side == END_CLIENT ? END_BACKEND : END_CLIENT;
}

static struct pair *pair_of(const struct end *e)
{
	return CONTAINER_OF(e->owner, struct pair, owner);
}

/* --- the end ---------------------------------------------------------------------*/

static void log_close(const struct pair *p)
{
	const struct reason_info *r = reason_get((enum reason)p->reason);
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	LOG(LOG_INFO, "close", F_STR("id", client_id(&p->client, id)),
		F_STR("route", p->client.route->section.name),
		F_STR("subject", client_subject(&p->client)),
		F_STR("peer", addr_format(&p->client.peer, peer)),
		F_STR("reason", r->word),
		F_STR("side", ending_side((enum reason)p->reason, p->side)),
		p->code ? F_INT("code", p->code) : F_NONE,
		F_INT("age_ms", p->ended_ms - p->opened_ms),
		F_INT("client_messages", p->flow[END_CLIENT].messages),
		F_INT("client_bytes", p->flow[END_CLIENT].bytes),
		F_INT("backend_messages", p->flow[END_BACKEND].messages),
		F_INT("backend_bytes", p->flow[END_BACKEND].bytes),
		F_INT("client_dropped", p->flow[END_CLIENT].dropped),
		F_INT("backend_dropped", p->flow[END_BACKEND].dropped),
		F_STR("detail", p->detail));
}

static void pair_free(struct pair *p)
{
	struct worker *w = p->worker;

	/* Before the log line: its reader may connect again at once. */
	admission_give_back(w->shared, &p->client);
	log_close(p);
	worker_count_reason(w, (enum reason)p->reason);
	counter_add(&w->counters.closed, 1);
	worker_left(w);
	admission_leave(w->shared, &p->client);
	client_free(&p->client);
	TAILQ_REMOVE(&w->pairs->list, p, next);
	timer_fini(w->loop, &p->timer);
	if (p->rate)
		timer_fini(w->loop, &p->rate->timer);
	free(p->rate);
	for (int side = 0; side < 2; side++)
		buf_free(&p->flow[side].whole);
	free(p->detail);
	free(p);
}

static void whole_free(struct pair *p, int side)
{
	end_forget(&p->flow[side].whole, p->worker->loop->budget);
}

static void pair_dropped(struct end *e, uint64_t n)
{
	pair_of(e)->flow[e->side].dropped += n;
}

static void pair_gone(struct end *e)
{
	struct pair *p = pair_of(e);

	assert(!pair_is_open(p)); /* it was closed by the pair before */
	p->end[e->side] = NULL;
	if (!p->end[END_CLIENT] && !p->end[END_BACKEND])
		pair_free(p);
}

void pair_ended(struct pair *p, enum end_side side, const struct ending *why)
{
	const struct reason_info *info = reason_get(why->reason);
	uint16_t code = why->code ? why->code : info->code;
	char text[WS_CLOSE_REASON_MAX];
	struct str words;
	struct end *client = p->end[END_CLIENT];
	struct end *backend = p->end[END_BACKEND];

	if (!pair_is_open(p))
		return;
	p->reason = (uint8_t)why->reason;
	p->side = (uint8_t)side;
	p->code = code;
	p->ended_ms = loop_now(p->worker->loop);
	/* Without memory the line lacks its detail, no more. */
	p->detail = why->detail ? str_dup(str_of(why->detail)) : NULL;
	timer_clear(p->worker->loop, &p->timer);
	if (p->rate)
		timer_clear(p->worker->loop, &p->rate->timer);
	for (int i = 0; i < 2; i++) {
		p->flow[i].dropped += p->flow[i].whole.n;
		whole_free(p, i);
	}
	words = ending_close_text(why->reason, text, why->text);
	client->ops->close(
		client, ending_client_code(why->reason, code), words);
	backend->ops->close(backend, ending_backend_code(why), words);
}

static void pair_end_ended(struct end *e, const struct ending *why)
{
	pair_ended(pair_of(e), (enum end_side)e->side, why);
}

void pair_abort(struct pair *p, enum reason reason)
{
	pair_ended(p, END_CLIENT, &(struct ending){ .reason = reason });
	for (int side = 0; side < 2; side++) {
		struct conn *c = p->end[side] ? p->end[side]->conn : NULL;

		/* For memory it is enough that what is queued goes. */
		if (c && (c->queued > 0 || reason != REASON_MEMORY))
			conn_close(c);
	}
}

/* --- limits ----------------------------------------------------------------------*/

/*
 * The side that is read for what comes from a side: echo has it from the
 * client.
 */
static int source_of(const struct pair *p, int side)
{
	return p->end[side]->conn ? side : other_side(side);
}

static void pause_side(struct pair *p, int side, uint8_t why)
{
	if (!p->paused[side])
		p->end[side]->ops->flow(p->end[side], false);
	p->paused[side] |= why;
}

static void resume_side(struct pair *p, int side, uint8_t why)
{
	if (!(p->paused[side] & why))
		return;
	p->paused[side] &= (uint8_t)~why;
	if (!p->paused[side] && pair_is_open(p))
		p->end[side]->ops->flow(p->end[side], true);
}

static void rate_timer(struct timer *t)
{
	struct pair_rate *r = CONTAINER_OF(t, struct pair_rate, timer);

	resume_side(r->pair, END_CLIENT, PAIR_PAUSED_RATE);
}

/* After the message was passed on: its sender is read again when it may. */
static void rate_take(struct pair *p, int64_t messages, size_t bytes)
{
	struct pair_rate *r = p->rate;
	int64_t now = loop_now(p->worker->loop);
	int64_t a, b, wait;

	if (!r || !pair_is_open(p))
		return;
	a = rate_add(&r->messages, now, messages);
	b = rate_add(&r->bytes, now, (int64_t)bytes);
	wait = a > b ? a : b;
	if (wait <= 0)
		return;
	pause_side(p, END_CLIENT, PAIR_PAUSED_RATE);
	timer_set(p->worker->loop, &r->timer, now + wait);
}

/*
 * A side that is not read can't be called idle: its bytes wait in the kernel.
 */
static int64_t idle_due(
	const struct pair *p, enum end_side side, int64_t timeout)
{
	if (timeout == 0)
		return INT64_MAX;
	return (p->paused[side] ? loop_now(p->worker->loop)
				: p->flow[side].last_ms) +
	       timeout;
}

/* The next time that anything can be over. */
static void pair_check(struct pair *p)
{
	const struct conf_route *r = p->client.route;
	const struct {
		int64_t due;
		enum reason reason;
	} ends[] = {
		{ p->expires_ms, (enum reason)p->expires_as },
		{ idle_due(p, END_CLIENT, r->idle_timeout), REASON_IDLE },
		{ idle_due(p, END_BACKEND, r->backend_idle_timeout),
			REASON_BACKEND_IDLE },
	};
	int64_t now = loop_now(p->worker->loop);
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		if (ends[i].due <= now) {
			pair_ended(p,
				ends[i].reason == REASON_BACKEND_IDLE
					? END_BACKEND
					: END_CLIENT,
				&(struct ending){ .reason = ends[i].reason });
			return;
		}
		if (ends[i].due < next)
			next = ends[i].due;
	}
	if (next != INT64_MAX)
		timer_set(p->worker->loop, &p->timer, next);
}

static void pair_timer(struct timer *t)
{
	pair_check(CONTAINER_OF(t, struct pair, timer));
}

/* --- messages --------------------------------------------------------------------*/

static void refuse_message(struct pair *p, enum end_side side, enum reason r)
{
	/* A backend's message that can't be carried is not the client's fault. */
	pair_ended(p, side, &(struct ending){ .reason = r });
}

static void check_queue(struct pair *p, enum end_side from, struct end *to)
{
	size_t limit = (size_t)p->client.route->queue_limit;

	if (!to->conn || to->conn->queued == 0)
		return;
	if (to->conn->queued > limit || worker_memory_full(p->worker))
		pause_side(p, source_of(p, (int)from), PAIR_PAUSED_QUEUE);
}

static void pair_input(struct end *from_end, const struct piece *piece)
{
	struct pair *p = pair_of(from_end);
	enum end_side from = (enum end_side)from_end->side;
	struct end *to = p->end[other_side(from_end->side)];
	struct pair_flow *f = &p->flow[from];
	struct piece whole;
	const struct piece *out = piece;
	enum reason r;

	if (!pair_is_open(p)) {
		f->dropped += piece->n;
		return;
	}
	if (from == END_CLIENT && !(p->client.verdict.perm & JWT_WRITE)) {
		refuse_message(p, from, REASON_READ_ONLY);
		return;
	}
	f->messages += piece->last;
	f->bytes += piece->n;
	f->last_ms = loop_now(p->worker->loop);
	counter_add(&p->worker->counters.bytes[from], piece->n);
	if (piece->last)
		counter_add(&p->worker->counters.messages[from], 1);
	if (from == END_BACKEND && !(p->client.verdict.perm & JWT_READ)) {
		f->dropped += piece->n; /* its token lets it write, no more */
		return;
	}
	if (to->whole) {
		out = end_assemble(
			&f->whole, p->worker->loop->budget, piece, &whole, &r);
		if (r == REASON_MEMORY && worker_make_room(p->worker))
			out = end_assemble(&f->whole, p->worker->loop->budget,
				piece, &whole, &r);
		if (r != REASON_NONE)
			refuse_message(p, from, r);
		if (!out)
			return;
	}
	r = to->ops->send(to, out);
	if (out == &whole)
		whole_free(p, (int)from);
	if (r != REASON_NONE) {
		refuse_message(p, from, r);
		return;
	}
	if (!pair_is_open(p))
		return; /* the write broke the other side */
	check_queue(p, from, to);
	if (from == END_CLIENT)
		rate_take(p, piece->last, piece->n);
}

static void pair_control(struct end *from, size_t n)
{
	rate_take(pair_of(from), 1, n);
}

static void pair_drained(struct end *e)
{
	struct pair *p = pair_of(e);

	if (pair_is_open(p))
		resume_side(p, source_of(p, other_side(e->side)),
			PAIR_PAUSED_QUEUE);
}

static const struct end_cb pair_cb = {
	.input = pair_input,
	.control = pair_control,
	.drained = pair_drained,
	.ended = pair_end_ended,
	.dropped = pair_dropped,
	.gone = pair_gone,
};

/* --- the beginning -----------------------------------------------------------------*/

struct pair *pair_new(struct worker *w, const struct client *client,
	struct end *client_end, struct end *backend_end)
{
	const struct conf_route *r = client->route;
	struct pair *p = calloc(1, sizeof(*p));
	enum reason as;

	if (!p)
		return NULL;
	if (r->message_rate > 0 || r->byte_rate > 0) {
		p->rate = calloc(1, sizeof(*p->rate));
		if (!p->rate ||
			timer_init(w->loop, &p->rate->timer, rate_timer) < 0)
			goto fail;
		rate_init(&p->rate->messages, r->message_rate);
		rate_init(&p->rate->bytes, r->byte_rate);
		p->rate->pair = p;
	}
	if (timer_init(w->loop, &p->timer, pair_timer) < 0)
		goto fail_timer;
	p->worker = w;
	p->client = *client;
	p->end[END_CLIENT] = client_end;
	p->end[END_BACKEND] = backend_end;
	p->owner.cb = &pair_cb;
	client_end->owner = backend_end->owner = &p->owner;
	p->opened_ms = loop_now(w->loop);
	p->flow[END_CLIENT].last_ms = p->flow[END_BACKEND].last_ms =
		p->opened_ms;
	TAILQ_INSERT_TAIL(&w->pairs->list, p, next);
	counter_add(&w->counters.opened, 1);
	p->expires_ms = expiry_of(client, p->opened_ms, &as);
	p->expires_as = (uint8_t)as;
	client_end->ops->flow(client_end, true);
	backend_end->ops->flow(backend_end, true);
	pair_check(p);
	return p;
fail_timer:
	if (p->rate)
		timer_fini(w->loop, &p->rate->timer);
fail:
	free(p->rate);
	free(p);
	return NULL;
}

/* --- all of a worker ---------------------------------------------------------------*/

int pairs_init(struct worker *w)
{
	w->pairs = malloc(sizeof(*w->pairs));
	if (!w->pairs)
		return -1;
	TAILQ_INIT(&w->pairs->list);
	return 0;
}

void pairs_fini(struct worker *w)
{
	free(w->pairs);
	w->pairs = NULL;
}

void pairs_drain(struct worker *w)
{
	struct pair *p, *next;

	for (p = TAILQ_FIRST(&w->pairs->list); p; p = next) {
		next = TAILQ_NEXT(p, next);
		pair_ended(p, END_CLIENT,
			&(struct ending){ .reason = REASON_SHUTDOWN });
	}
}

void pairs_stop(struct worker *w)
{
	struct pair *p, *next;

	for (p = TAILQ_FIRST(&w->pairs->list); p; p = next) {
		next = TAILQ_NEXT(p, next);
		pair_abort(p, REASON_SHUTDOWN);
	}
}

static size_t queued(const struct pair *p)
{
	size_t n = 0;

	for (int side = 0; side < 2; side++) {
		if (p->end[side] && p->end[side]->conn)
			n += conn_cost(p->end[side]->conn);
		n += p->flow[side].whole.n;
	}
	return n;
}

size_t pairs_largest(struct worker *w, struct pair **largest)
{
	struct pair *p;
	size_t most = 0;

	*largest = NULL;
	/* One that has ended, too: its peer may take what waits as it likes. */
	TAILQ_FOREACH (p, &w->pairs->list, next) {
		size_t n = queued(p);

		if (n > most) {
			most = n;
			*largest = p;
		}
	}
	return most;
}
