/*
 * What waits for a peer, and how it leaves.
 *
 * The read under way corks what other connections send because of it:
 *
 *   readable(A): recv -> scratch -> A.input -> conn_send_frame_borrowed(B)
 *                -> cork: iovecs into the scratch -> at the end: one sendmsg
 *
 * so that ten small messages that came in one read leave in one write, and a
 * payload is never copied unless B's socket is full.
 */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/budget.h"
#include "base/message.h"
#include "net/conn_private.h"

/*
 * One piece of a queue: bytes that a socket refused. They are copied into
 * data, or belong to a message that many queues share.
 */
struct chunk {
	STAILQ_ENTRY(chunk) next;
	struct message *message; /* NULL: the bytes are in data */
	const uint8_t *p;
	size_t from, to, capacity;
	bool begun;  /* it starts inside a frame, of which a part was sent */
	bool urgent; /* see conn_send_urgent */
	uint8_t data[];
};

#define CHUNK_MIN   4096
#define WRITE_PARTS 64
/* So much that is gathered does not wait for the end of the turn. */
#define GATHER_MAX 65536

/* What it costs; a message counts its bytes itself. */
static size_t chunk_cost(const struct chunk *k)
{
	return sizeof(*k) + (k->message ? 0 : k->capacity);
}

static void chunk_free(struct conn *c, struct chunk *k)
{
	c->queued -= k->to - k->from;
	budget_sub(c->loop->budget, chunk_cost(k));
	if (k->message)
		message_unref(k->message);
	free(k);
}

/* NULL without memory. */
static struct chunk *chunk_new(struct conn *c, size_t capacity)
{
	struct chunk *k = malloc(sizeof(*k) + capacity);

	if (!k)
		return NULL;
	*k = (struct chunk){ .p = k->data, .capacity = capacity };
	budget_add(c->loop->budget, chunk_cost(k));
	return k;
}

void conn_queue_free(struct conn *c)
{
	struct chunk *k;

	while ((k = STAILQ_FIRST(&c->queue))) {
		STAILQ_REMOVE_HEAD(&c->queue, next);
		chunk_free(c, k);
	}
}

static struct chunk *last_chunk(const struct conn *c)
{
	if (STAILQ_EMPTY(&c->queue))
		return NULL;
	return CONTAINER_OF(c->queue.stqh_last, struct chunk, next.stqe_next);
}

/* Whether its frame has begun to leave: nothing may go in front of it then. */
static bool has_begun(const struct chunk *k)
{
	return k->begun || k->from > 0;
}

/* Room for n bytes at the end of the queue; NULL without memory. */
static struct chunk *chunk_for(struct conn *c, size_t n)
{
	struct chunk *k = last_chunk(c);
	size_t least = c->out == CONN_OUT_GATHERED ? GATHER_MAX : CHUNK_MIN;
	size_t capacity = n > least ? n : least;

	if (k && !k->urgent && !has_begun(k) && k->to + n <= k->capacity)
		return k;
	k = chunk_new(c, capacity);
	if (k)
		STAILQ_INSERT_TAIL(&c->queue, k, next);
	return k;
}

/*
 * Queues what remains of the parts after the first skip bytes. It is never
 * divided: a chunk ends where a frame ends, so that a pong fits between two.
 */
static void queue_parts(
	struct conn *c, const struct iovec *v, int parts, size_t skip)
{
	struct chunk *k;
	size_t n = 0;

	for (int i = 0; i < parts; i++)
		n += v[i].iov_len;
	n -= skip;
	if (n == 0)
		return;
	k = chunk_for(c, n);
	if (!k) {
		conn_write_failed(c, ENOMEM);
		return;
	}
	k->begun = k->begun || skip > 0;
	for (int i = 0; i < parts; i++) {
		size_t from = skip < v[i].iov_len ? skip : v[i].iov_len;
		size_t part = v[i].iov_len - from;

		skip -= from;
		memcpy(k->data + k->to, (const uint8_t *)v[i].iov_base + from,
			part);
		k->to += part;
	}
	c->queued += n;
}

/* Likewise, and its leaving is waited for. */
static void queue_rest(
	struct conn *c, const struct iovec *v, int parts, size_t skip)
{
	queue_parts(c, v, parts, skip);
	conn_update(c);
}

/* What the transport has taken, but not the socket, waits for that. */
static ssize_t transport_send(struct conn *c, const struct iovec *v, int parts)
{
	ssize_t sent = c->transport->send(c, v, parts);

	if (conn_holds(c))
		conn_update(c);
	return sent;
}

bool conn_is_clear(const struct conn *c)
{
	return c->queued == 0 && !conn_holds(c);
}

static void send_parts(struct conn *c, const struct iovec *v, int parts)
{
	ssize_t sent = transport_send(c, v, parts);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
			conn_write_failed(c, errno);
			return;
		}
		sent = 0;
	}
	queue_rest(c, v, parts, (size_t)sent);
}

void conn_uncork(struct loop *l)
{
	struct cork *k = &l->cork;
	struct conn *c = k->to;
	int parts = k->parts;

	k->to = NULL;
	k->parts = 0;
	k->heads_n = 0;
	if (c && parts > 0 && c->state == CONN_OPEN && !conn_out_ended(c))
		send_parts(c, k->v, parts);
}

void conn_flush(struct conn *c)
{
	if (c->loop->cork.to == c)
		conn_uncork(c->loop);
}

/*
 * Bytes that lie behind each other become one part: messages whose heads were
 * written into the room in front of them leave as the one run they came in.
 */
static void cork_add(struct cork *k, const void *p, size_t n)
{
	struct iovec *last = k->parts ? &k->v[k->parts - 1] : NULL;

	if (n == 0)
		return;
	if (last && (const uint8_t *)last->iov_base + last->iov_len == p) {
		last->iov_len += n;
		return;
	}
	k->v[k->parts++] = (struct iovec){ .iov_base = (void *)(uintptr_t)p,
		.iov_len = n };
}

void conn_set_gathering(struct conn *c)
{
	c->gathering = true;
}

void conn_send_gathered(struct conn *c)
{
	if (c->out != CONN_OUT_GATHERED)
		return;
	conn_move_out(c, CONN_OUT_OPEN);
	if (c->queued > 0 && c->state != CONN_CLOSED && conn_send_queue(c) == 0)
		conn_queue_left(c);
	conn_update(c);
}

#define FRAME_PARTS 3

static int frame_parts(struct iovec v[FRAME_PARTS], const struct conn_frame *f)
{
	int parts = 0;

	if (f->head_n > 0)
		v[parts++] = (struct iovec){ (void *)(uintptr_t)f->head,
			f->head_n };
	if (f->payload_n > 0)
		v[parts++] = (struct iovec){ (void *)(uintptr_t)f->payload,
			f->payload_n };
	if (f->tail_n > 0)
		v[parts++] = (struct iovec){ (void *)(uintptr_t)f->tail,
			f->tail_n };
	return parts;
}

/* Into the queue, although the socket may have room. */
static void gather(struct conn *c, const struct iovec *v, int parts)
{
	/* Behind what the socket refused it waits like anything else. */
	if (c->queued == 0 && c->out == CONN_OUT_OPEN) {
		conn_move_out(c, CONN_OUT_GATHERED);
		conn_defer(c);
	}
	queue_parts(c, v, parts, 0);
	if (c->queued >= GATHER_MAX)
		conn_send_gathered(c);
}

static void cork_copy(struct cork *k, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(k->heads + k->heads_n, p, n);
	cork_add(k, k->heads + k->heads_n, n);
	k->heads_n += n;
}

/* What the running read produces for c waits for the end of that read. */
static void cork(struct conn *c, const struct conn_frame *f)
{
	struct cork *k = &c->loop->cork;

	cork_copy(k, f->head, f->head_n);
	cork_add(k, f->payload, f->payload_n);
	cork_copy(k, f->tail, f->tail_n);
	k->to = c;
}

/* Whether the cork is c's and has room for one more. */
static bool cork_takes(const struct conn *c, const struct conn_frame *f)
{
	const struct cork *k = &c->loop->cork;

	return k->to == c && c->loop->reader &&
	       k->parts + FRAME_PARTS <= CORK_PARTS &&
	       k->heads_n + f->head_n + f->tail_n <= sizeof(k->heads);
}

void conn_send_frame_borrowed(struct conn *c, const struct conn_frame *f)
{
	struct loop *l = c->loop;
	struct iovec v[FRAME_PARTS];
	int parts = frame_parts(v, f);

	assert(f->head_n <= CONN_HEAD_MAX && f->tail_n <= CONN_HEAD_MAX);
	if (conn_is_shut(c) || parts == 0)
		return;
	conn_send_gathered(c);
	if (l->cork.to && !cork_takes(c, f))
		conn_uncork(l);
	if (conn_out_ended(c))
		return;
	/* Order: what comes later waits behind what waits. */
	if (!conn_is_clear(c))
		queue_rest(c, v, parts, 0);
	else if (l->reader)
		cork(c, f);
	else
		send_parts(c, v, parts);
}

void conn_send_frame_copied(struct conn *c, const struct conn_frame *f)
{
	size_t n = f->head_n + f->payload_n + f->tail_n;
	bool gathers = c->gathering && n < GATHER_MAX;
	struct iovec v[FRAME_PARTS];
	int parts = frame_parts(v, f);

	conn_flush(c); /* what was borrowed comes before it */
	if (!gathers)
		conn_send_gathered(c);
	if (conn_is_shut(c) || parts == 0)
		return;
	if (gathers)
		gather(c, v, parts);
	else if (!conn_is_clear(c))
		queue_rest(c, v, parts, 0);
	else
		send_parts(c, v, parts);
}

void conn_send_copied(struct conn *c, const void *p, size_t n)
{
	conn_send_frame_copied(
		c, &(struct conn_frame){ .payload = p, .payload_n = n });
}

/* The rest of a shared message waits, by reference. */
static void queue_message(struct conn *c, struct message *m, size_t from)
{
	struct chunk *k = chunk_new(c, 0);

	if (!k) {
		conn_write_failed(c, ENOMEM);
		return;
	}
	k->message = message_ref(m);
	k->p = m->bytes;
	k->from = from;
	k->to = m->n;
	c->queued += m->n - from;
	STAILQ_INSERT_TAIL(&c->queue, k, next);
	conn_update(c);
}

/*
 * It is the first of the queue, or behind the first when that has begun to
 * leave. One that waits there is replaced, if nothing of it has left.
 */
static struct chunk *urgent_chunk(struct conn *c)
{
	struct chunk *first = STAILQ_FIRST(&c->queue), *k = first;

	if (first && has_begun(first))
		k = STAILQ_NEXT(first, next);
	if (k && k->urgent) {
		c->queued -= k->to;
		k->to = 0;
		return k;
	}
	k = chunk_new(c, CONN_URGENT_MAX);
	if (!k)
		return NULL;
	k->urgent = true;
	if (first && has_begun(first))
		STAILQ_INSERT_AFTER(&c->queue, first, k, next);
	else
		STAILQ_INSERT_HEAD(&c->queue, k, next);
	return k;
}

void conn_send_urgent(struct conn *c, const void *p, size_t n)
{
	struct chunk *k;

	assert(n <= CONN_URGENT_MAX);
	conn_flush(c);
	if (conn_is_shut(c))
		return;
	/* What is gathered, an older pong maybe, leaves in this turn anyway. */
	if (conn_is_clear(c) || c->out == CONN_OUT_GATHERED) {
		conn_send_copied(c, p, n);
		return;
	}
	k = urgent_chunk(c);
	if (!k) {
		conn_write_failed(c, ENOMEM);
		return;
	}
	memcpy(k->data, p, n);
	k->to = n;
	c->queued += n;
	conn_update(c);
}

void conn_queue_message(struct conn *c, struct message *m)
{
	conn_flush(c);
	if (c->state == CONN_OPEN && !conn_out_ended(c))
		queue_message(c, m, 0);
}

size_t conn_send_messages(struct conn *c, struct message *const *v, size_t n)
{
	struct iovec parts[WRITE_PARTS];
	size_t taken = 0;
	ssize_t sent;

	conn_flush(c);
	if (c->state != CONN_OPEN || conn_out_ended(c))
		return n; /* the peer reads no more */
	if (!conn_is_clear(c))
		return 0;
	if (n > WRITE_PARTS)
		n = WRITE_PARTS;
	for (size_t i = 0; i < n; i++)
		parts[i] = (struct iovec){ .iov_base = v[i]->bytes,
			.iov_len = v[i]->n };
	sent = transport_send(c, parts, (int)n);
	if (sent < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			conn_write_failed(c, errno);
		else /* the first must wait for the socket, not for us */
			queue_message(c, v[taken++], 0);
		return conn_out_ended(c) ? n : taken;
	}
	while (taken < n && (size_t)sent >= v[taken]->n)
		sent -= (ssize_t)v[taken++]->n;
	if (taken < n && !conn_out_ended(c)) {
		queue_message(c, v[taken], (size_t)sent);
		taken++;
	}
	return taken;
}

/* Drops n sent bytes off the queue. */
static void queue_sent(struct conn *c, size_t n)
{
	while (n > 0) {
		struct chunk *k = STAILQ_FIRST(&c->queue);
		size_t part = k->to - k->from;

		if (part > n)
			part = n;
		n -= part;
		k->from += part;
		c->queued -= part;
		if (k->from < k->to)
			return;
		STAILQ_REMOVE_HEAD(&c->queue, next);
		chunk_free(c, k);
	}
}

int conn_send_queue(struct conn *c)
{
	struct iovec v[WRITE_PARTS];
	int parts = 0;
	struct chunk *k;
	ssize_t sent;

	STAILQ_FOREACH (k, &c->queue, next) {
		if (parts == WRITE_PARTS)
			break;
		v[parts++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)(k->p + k->from),
			.iov_len = k->to - k->from
		};
	}
	sent = c->transport->send(c, v, parts);
	if (sent < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			conn_write_failed(c, errno);
		else
			conn_update(c);
		return -1;
	}
	queue_sent(c, (size_t)sent);
	return 0;
}
