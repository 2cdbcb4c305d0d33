/*
 *   client end --pair_input--> [rights, limits, counters] --send--> backend end
 *        ^                                                              |
 *        '------send------ [counters] <----------pair_input-------------'
 *
 * Flow: when the queue of one side is over queue_limit (or the daemon over
 * max_memory), the other side is not read; pair_drained undoes it.
 */
#include "pair/pair.h"

#include <assert.h>
#include <stdlib.h>

#include "codec/token/jwt.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/worker.h"
#include "end/tap.h"

struct pairs_here { /* of one worker */
	TAILQ_HEAD(, pair) list;
};

static bool is_open(const struct pair *p)
{
	return session_is_open(&p->session);
}

static struct end *end_at(const struct pair *p, enum end_side side)
{
	return p->session.sides[side].end;
}

static enum end_side other_side(enum end_side side)
{
	return side == END_CLIENT ? END_BACKEND : END_CLIENT;
}

static struct pair *pair_of(const struct end *e)
{
	return CONTAINER_OF(e->owner, struct pair, owner);
}

/* --- the end ---------------------------------------------------------------------*/

static void pair_free(struct pair *p)
{
	struct session *s = &p->session;

	session_fini(s, F_INT("backend_dropped", s->sides[END_BACKEND].dropped),
		F_NONE);
	TAILQ_REMOVE(&s->worker->pairs->list, p, next);
	free(p);
}

static void pair_dropped(struct end *e, uint64_t n)
{
	session_drop_bytes(&pair_of(e)->session, (enum end_side)e->side, n);
}

static void pair_gone(struct end *e)
{
	struct pair *p = pair_of(e);

	assert(!is_open(p)); /* it was closed by the pair before */
	p->session.sides[e->side].end = NULL;
	if (!end_at(p, END_CLIENT) && !end_at(p, END_BACKEND))
		pair_free(p);
}

static void pair_end(
	struct pair *p, enum end_side side, const struct ending *why)
{
	if (session_end(&p->session, side, why))
		session_close_ends(&p->session, why);
}

static void pair_ended(struct end *e, const struct ending *why)
{
	pair_end(pair_of(e), (enum end_side)e->side, why);
}

void pair_abort(struct pair *p, enum reason reason)
{
	pair_end(p, END_CLIENT, &(struct ending){ .reason = reason });
	for (int side = 0; side < 2; side++) {
		struct end *e = end_at(p, (enum end_side)side);

		/* For memory it is enough that what is queued goes. */
		if (e && e->conn &&
			(e->conn->queued > 0 || reason != REASON_MEMORY))
			conn_close(e->conn);
	}
}

/* --- messages --------------------------------------------------------------------*/

/*
 * The side that is read for what comes from a side: echo has it from the
 * client.
 */
static enum end_side source_of(const struct pair *p, enum end_side side)
{
	return end_at(p, side)->conn ? side : other_side(side);
}

static void refuse_message(struct pair *p, enum end_side side, enum reason r)
{
	/* A backend's message that can't be carried is not the client's fault. */
	pair_end(p, side, &(struct ending){ .reason = r });
}

static void check_queue(struct pair *p, enum end_side from, struct end *to)
{
	size_t limit = (size_t)p->session.client.route->queue_limit;

	if (!to->conn || to->conn->queued == 0)
		return;
	if (to->conn->queued > limit || worker_memory_full(p->session.worker))
		session_pause(
			&p->session, source_of(p, from), SESSION_PAUSED_QUEUE);
}

static void show_to_taps(
	const struct session *s, enum end_side from, const struct piece *p)
{
	tap_piece(s->worker,
		&(struct tap_source){ .route = s->client.route,
			.from = from,
			.id = s->client.id },
		p);
}

static void pair_input(struct end *from_end, const struct piece *piece)
{
	struct pair *p = pair_of(from_end);
	struct session *s = &p->session;
	enum end_side from = (enum end_side)from_end->side;
	struct end *to = end_at(p, other_side(from));
	uint8_t perm = s->client.verdict.perm;
	struct piece whole;
	const struct piece *out = piece;
	enum reason r;

	if (!is_open(p)) {
		session_drop_bytes(s, from, piece->n);
		return;
	}
	if (from == END_CLIENT && !(perm & JWT_WRITE)) {
		refuse_message(p, from, REASON_READ_ONLY);
		return;
	}
	session_count(s, from, piece->last, piece->n);
	if (from == END_BACKEND && !(perm & JWT_READ)) {
		/* Its token lets it write, no more. */
		session_drop_bytes(s, from, piece->n);
		return;
	}
	if (to->whole) {
		out = session_assemble(s, from, piece, &whole, &r);
		if (r != REASON_NONE)
			refuse_message(p, from, r);
		if (!out)
			return;
	}
	if (s->worker->tapped) /* before it is masked where it lies */
		show_to_taps(s, from, out);
	s->worker->loop->sample_carries = true;
	r = to->ops->send(to, out);
	if (out == &whole)
		session_forget(s, from);
	if (r != REASON_NONE) {
		refuse_message(p, from, r);
		return;
	}
	if (!is_open(p))
		return; /* the write broke the other side */
	check_queue(p, from, to);
	if (from == END_CLIENT)
		session_use_rates(s, piece->last, piece->n);
}

static void pair_control(struct end *from, size_t n)
{
	session_use_rates(&pair_of(from)->session, 1, n);
}

static void pair_drained(struct end *e)
{
	struct pair *p = pair_of(e);

	if (is_open(p))
		session_resume(&p->session,
			source_of(p, other_side((enum end_side)e->side)),
			SESSION_PAUSED_QUEUE);
}

static const struct end_cb pair_cb = {
	.input = pair_input,
	.control = pair_control,
	.drained = pair_drained,
	.ended = pair_ended,
	.dropped = pair_dropped,
	.gone = pair_gone,
};

/* --- the beginning -----------------------------------------------------------------*/

struct pair *pair_new(struct worker *w, const struct client *client,
	struct end *client_end, struct end *backend_end)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (!p || session_init(&p->session, w, client) < 0) {
		free(p);
		return NULL;
	}
	p->owner.cb = &pair_cb;
	client_end->owner = backend_end->owner = &p->owner;
	p->session.sides[END_CLIENT].end = client_end;
	p->session.sides[END_BACKEND].end = backend_end;
	TAILQ_INSERT_TAIL(&w->pairs->list, p, next);
	session_open(&p->session);
	session_check(&p->session);
	session_renew(&p->session, w->conf); /* it may have come before */
	return p;
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

void pairs_renew(struct worker *w)
{
	struct pair *p, *next;

	for (p = TAILQ_FIRST(&w->pairs->list); p; p = next) {
		next = TAILQ_NEXT(p, next);
		session_renew(&p->session, w->conf);
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
		const struct session_side *s = &p->session.sides[side];

		if (s->end && s->end->conn)
			n += conn_cost(s->end->conn);
		n += s->whole.n;
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
