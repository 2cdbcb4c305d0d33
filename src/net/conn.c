/*
 * The read under way corks what other connections send because of it:
 *
 *   readable(A): recv -> scratch -> A.input -> conn_send_frame_borrowed(B)
 *                -> cork: iovecs into the scratch -> at the end: one sendmsg
 *
 * so that ten small messages that came in one read leave in one write, and a
 * payload is never copied unless B's socket is full.
 *
 * What A's owner does not use of a read, because it has paused or its share of
 * the turn is used up, is A's rest: input again in a later turn, before more is
 * read, and in front of the end of the stream.
 */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/budget.h"
#include "base/message.h"

/*
 * One piece of a queue: bytes that a socket refused. They are copied into
 * data, or belong to a message that many queues share.
 */
struct chunk {
	STAILQ_ENTRY(chunk) next;
	struct message *message; /* NULL: the bytes are in data */
	const uint8_t *p;
	size_t from, to, capacity;
	bool begun;  /* its first bytes end a frame whose beginning has left */
	bool urgent; /* see conn_send_urgent */
	uint8_t data[];
};

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

#define CHUNK_MIN   4096
#define WRITE_PARTS 64
/* What two kernels may hold of a peer that has not received our end yet. */
#define CONN_DROP_MAX (8u << 20)
/* So much that is gathered does not wait for the end of the turn. */
#define GATHER_MAX 65536

static void conn_event(evutil_socket_t fd, short what, void *arg);
static void conn_timer(struct timer *t);
static void conn_deferred(struct deferred *d);

/* --- life -----------------------------------------------------------------*/

static void close_fds(int fd, int wfd)
{
	if (wfd >= 0 && wfd != fd)
		close(wfd);
	if (fd >= 0)
		close(fd);
}

/* libevent's part lies behind our own, one event or two. */
static struct event *event_of(struct conn *c)
{
	return (struct event *)(void *)(c + 1);
}

static struct event *write_event_of(struct conn *c)
{
	return (struct event *)(void *)((char *)(c + 1) +
					event_get_struct_event_size());
}

struct conn *conn_new(
	struct loop *l, int fd, int wfd, const struct conn_cb *cb, void *owner)
{
	size_t events = wfd == fd ? 1 : 2;
	struct conn *c = calloc(
		1, sizeof(*c) + events * event_get_struct_event_size());

	if (!c || timer_init(l, &c->timer, conn_timer) < 0) {
		free(c);
		close_fds(fd, wfd);
		return NULL;
	}
	c->loop = l;
	c->two_fds = wfd != fd;
	c->transport = c->two_fds ? &transport_pipe : &transport_socket;
	c->cb = cb;
	c->owner = owner;
	c->fd = fd;
	c->wfd = wfd;
	STAILQ_INIT(&c->queue);
	c->read_ms = c->sent_ms = loop_now(l);
	event_assign(
		event_of(c), l->base, fd, EV_READ | EV_PERSIST, conn_event, c);
	if (c->two_fds)
		event_assign(write_event_of(c), l->base, wfd,
			EV_WRITE | EV_PERSIST, conn_event, c);
	return c;
}

void conn_set_owner(struct conn *c, const struct conn_cb *cb, void *owner)
{
	c->cb = cb;
	c->owner = owner;
}

static void queue_free(struct conn *c)
{
	struct chunk *k;

	while ((k = STAILQ_FIRST(&c->queue))) {
		STAILQ_REMOVE_HEAD(&c->queue, next);
		chunk_free(c, k);
	}
}

static void drop_rest(struct conn *c)
{
	c->rest_waits = false;
	rest_drop(&c->rest, c->loop->budget, SIZE_MAX);
}

/*
 * Drops a rest that will not be used. While its bytes are with the owner
 * keep_rest does this: what was sent of it is still borrowed, and only there it
 * is known how much was used.
 */
static void give_up_rest(struct conn *c)
{
	if (c->offered)
		return;
	c->dropped += rest_length(c->rest);
	drop_rest(c);
}

static void conn_free(struct conn *c)
{
	queue_free(c);
	drop_rest(c);
	if (c->loop->cork.to == c) {
		c->loop->cork.to = NULL;
		c->loop->cork.parts = 0;
		c->loop->cork.heads_n = 0;
	}
	if (c->transport->free)
		c->transport->free(c);
	timer_fini(c->loop, &c->timer);
	free(c);
}

/*
 * Where nothing is lost by it the end of TLS is an orderly one: without
 * close_notify the peer must take it for an attacker's cut (RFC 8446 section
 * 6.1).
 */
static void say_goodbye(struct conn *c)
{
	if (c->tls && c->state == CONN_OPEN && !c->write_ended &&
		conn_is_clear(c) && c->loop->cork.to != c)
		(void)c->transport->shut(c);
}

void conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	say_goodbye(c);
	c->state = CONN_CLOSED;
	give_up_rest(c);
	timer_clear(c->loop, &c->timer);
	event_del(event_of(c));
	if (c->two_fds)
		event_del(write_event_of(c));
	close_fds(c->fd, c->wfd);
	c->fd = c->wfd = -1;
	loop_defer(c->loop, &c->deferred, conn_deferred);
}

static void call_ended(struct conn *c, int error)
{
	c->read_ended = true;
	if (c->ended_called)
		return;
	c->ended_called = true;
	/* The error of a write is told rather than the EOF that follows it. */
	c->cb->ended(c, c->error ? c->error : error);
}

/*
 * The peer has closed without reading all: what it sent before that is in our
 * kernel still. It is read, wanted or not, and then the error is found there:
 * no more will come than what a receive buffer holds. A Unix peer that has only
 * shut its reading side is alive and may send as much as before: it is read as
 * usual.
 */
static bool is_gone(const struct conn *c, int error)
{
	struct pollfd p = { .fd = c->fd };

	if (error != EPIPE && error != ECONNRESET)
		return false;
	/* Under TLS it may be that alone which failed: that is the end, too. */
	return c->tls ||
	       (poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)));
}

static bool has_last_words(const struct conn *c)
{
	return c->last_words && c->state == CONN_OPEN && !c->read_ended;
}

static bool wants_input(const struct conn *c)
{
	return c->reading || has_last_words(c);
}

static void use_rest(struct conn *c);

/*
 * A turn behind the last bytes: what the other side of a pair had in its rest
 * is used by then, too.
 */
static void tell_end_again(struct conn *c)
{
	if (!c->end_due) {
		c->end_due = true;
		loop_defer_next(c->loop, &c->deferred, conn_deferred);
		return;
	}
	c->end_again = false;
	if (c->state == CONN_OPEN)
		call_ended(c, 0);
}

static void call_drained(struct conn *c)
{
	if (c->state == CONN_OPEN && !c->write_ended && c->cb->drained &&
		!c->held && c->queued <= c->resume_at)
		c->cb->drained(c);
}

void conn_drain_again(struct conn *c)
{
	c->drain_again = true;
	loop_defer_next(c->loop, &c->deferred, conn_deferred);
}

/* At the end of the turn: tell the owner what could not be told at once. */
static void conn_deferred(struct deferred *d)
{
	struct conn *c = CONTAINER_OF(d, struct conn, deferred);

	if (c->state == CONN_CLOSED) {
		c->cb->closed(c);
		conn_free(c);
		return;
	}
	if (c->rest_waits && wants_input(c)) {
		use_rest(c);
		if (c->state == CONN_CLOSED)
			return;
	}
	if (c->end_again && c->reading && !c->rest_waits) {
		tell_end_again(c);
		if (c->state == CONN_CLOSED)
			return;
	}
	if (c->more && c->reading && !c->rest_waits && !c->error &&
		!c->read_ended) {
		conn_read(c);
		if (c->state == CONN_CLOSED)
			return;
	}
	if (c->drain_again) {
		c->drain_again = false;
		loop_share_begin(c->loop);
		call_drained(c);
		if (c->state == CONN_CLOSED)
			return;
	}
	if (!c->write_ended) {
		conn_send_gathered(c);
		return;
	}
	if (!c->error || has_last_words(c)) {
		/* The queue was dropped: what was paused for it may go on. */
		if (c->state == CONN_OPEN && c->cb->drained)
			c->cb->drained(c);
	} else if (c->state == CONN_OPEN && !c->ended_called) {
		call_ended(c, c->error);
	} else { /* nothing goes either way any more */
		conn_close(c);
	}
}

/*
 * What comes behind the end is read and dropped, or a reset would destroy our
 * last bytes; but no more than the kernels' buffers may have held when the peer
 * learned of it: one that goes on for ever is not waited for.
 */
static bool drops_enough(const struct conn *c)
{
	return c->state != CONN_OPEN && c->dropped > CONN_DROP_MAX;
}

/* --- what libevent watches --------------------------------------------------*/

/*
 * The one place where interest is computed from facts: read while the owner
 * wants it and the peer has not ended; write while something waits.
 */
static void conn_update(struct conn *c)
{
	short want = 0;

	if (c->state == CONN_CLOSED)
		return;
	if ((wants_input(c) || c->opening) && !c->read_ended && !c->waiting &&
		!c->rest_waits && !drops_enough(c))
		want |= EV_READ;
	if (((c->queued > 0 && !c->opening && !c->gathered) || c->held) &&
		!c->write_ended)
		want |= EV_WRITE;
	if (want == c->watch)
		return;
	if (c->two_fds) {
		if ((want ^ c->watch) & EV_READ)
			(void)(want & EV_READ ? event_add(event_of(c), NULL)
					      : event_del(event_of(c)));
		if ((want ^ c->watch) & EV_WRITE)
			(void)(want & EV_WRITE
					? event_add(write_event_of(c), NULL)
					: event_del(write_event_of(c)));
	} else {
		if (c->watch)
			event_del(event_of(c));
		if (want) {
			event_assign(event_of(c), c->loop->base, c->fd,
				(short)(want | EV_PERSIST), conn_event, c);
			event_add(event_of(c), NULL);
		}
	}
	c->watch = (uint8_t)want;
}

void conn_set_reading(struct conn *c, bool on)
{
	c->reading = on;
	if (on && (c->more || c->rest_waits || c->end_again))
		loop_defer_next(c->loop, &c->deferred, conn_deferred);
	conn_update(c);
}

bool conn_goes_on(struct conn *c)
{
	return wants_input(c) && loop_share_left(c->loop);
}

/* --- writing -----------------------------------------------------------------*/

static void shut_when_empty(struct conn *c);
static void conn_writable(struct conn *c);

static void close_write_fd(struct conn *c)
{
	event_del(write_event_of(c));
	c->watch &= (uint8_t)~EV_WRITE;
	close(c->wfd);
	c->wfd = -1;
}

/* The peer takes no more bytes from us. */
static void write_failed(struct conn *c, int error)
{
	queue_free(c);
	c->gathered = false;
	c->write_ended = true;
	c->last_words = !c->two_fds && is_gone(c, error);
	if (error == EPIPE && !c->last_words) {
		/*
		 * A process has closed its standard input, or a Unix peer its
		 * reading side, which is its right: what it sends still counts,
		 * and its end will be seen there.
		 */
		if (c->two_fds)
			close_write_fd(c);
	} else {
		c->error = error;
	}
	loop_defer(c->loop, &c->deferred, conn_deferred);
	conn_update(c);
	shut_when_empty(c);
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
	size_t least = c->gathered ? GATHER_MAX : CHUNK_MIN;
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
		write_failed(c, ENOMEM);
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

	if (c->held)
		conn_update(c);
	return sent;
}

static void send_parts(struct conn *c, const struct iovec *v, int parts)
{
	ssize_t sent = transport_send(c, v, parts);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
			write_failed(c, errno);
			return;
		}
		sent = 0;
	}
	queue_rest(c, v, parts, (size_t)sent);
}

static void uncork(struct loop *l)
{
	struct cork *k = &l->cork;
	struct conn *c = k->to;
	int parts = k->parts;

	k->to = NULL;
	k->parts = 0;
	k->heads_n = 0;
	if (c && parts > 0 && c->state == CONN_OPEN && !c->write_ended)
		send_parts(c, k->v, parts);
}

void conn_flush(struct conn *c)
{
	if (c->loop->cork.to == c)
		uncork(c->loop);
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
	if (!c->gathered)
		return;
	c->gathered = false;
	if (c->queued > 0 && !c->write_ended && c->state != CONN_CLOSED)
		conn_writable(c);
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
	if (c->queued == 0) {
		c->gathered = true;
		loop_defer(c->loop, &c->deferred, conn_deferred);
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

	return k->to == c && c->loop->corked &&
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
		uncork(l);
	if (c->write_ended)
		return;
	/* Order: what comes later waits behind what waits. */
	if (c->queued > 0 || c->held)
		queue_rest(c, v, parts, 0);
	else if (l->corked)
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
	else if (c->queued > 0 || c->held)
		queue_rest(c, v, parts, 0);
	else
		send_parts(c, v, parts);
}

void conn_send_copied(struct conn *c, const void *p, size_t n)
{
	conn_send_frame_copied(
		c, &(struct conn_frame){ .payload = p, .payload_n = n });
}

size_t conn_cost(const struct conn *c)
{
	return c->queued + rest_cost(c->rest);
}

bool conn_is_shut(const struct conn *c)
{
	return c->state != CONN_OPEN || c->write_ended;
}

/* The rest of a shared message waits, by reference. */
static void queue_message(struct conn *c, struct message *m, size_t from)
{
	struct chunk *k = chunk_new(c, 0);

	if (!k) {
		write_failed(c, ENOMEM);
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
	if (conn_is_clear(c) || c->gathered) {
		conn_send_copied(c, p, n);
		return;
	}
	k = urgent_chunk(c);
	if (!k) {
		write_failed(c, ENOMEM);
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
	if (c->state == CONN_OPEN && !c->write_ended)
		queue_message(c, m, 0);
}

size_t conn_send_messages(struct conn *c, struct message *const *v, size_t n)
{
	struct iovec parts[WRITE_PARTS];
	size_t taken = 0;
	ssize_t sent;

	conn_flush(c);
	if (c->state != CONN_OPEN || c->write_ended)
		return n; /* the peer reads no more */
	if (c->queued > 0 || c->held)
		return 0;
	if (n > WRITE_PARTS)
		n = WRITE_PARTS;
	for (size_t i = 0; i < n; i++)
		parts[i] = (struct iovec){ .iov_base = v[i]->bytes,
			.iov_len = v[i]->n };
	sent = transport_send(c, parts, (int)n);
	if (sent < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			write_failed(c, errno);
		else /* the first must wait for the socket, not for us */
			queue_message(c, v[taken++], 0);
		return c->write_ended ? n : taken;
	}
	while (taken < n && (size_t)sent >= v[taken]->n)
		sent -= (ssize_t)v[taken++]->n;
	if (taken < n && !c->write_ended) {
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

/* The queue has left and our side is to end: FINISHING -> LINGERING. */
static void shut_when_empty(struct conn *c)
{
	if (c->state != CONN_FINISHING || c->queued > 0)
		return;
	if (!c->write_ended && c->transport->shut(c) < 0) {
		if (errno == EAGAIN) { /* close_notify waits for room */
			conn_update(c);
			return;
		}
		c->read_ended = true; /* not connected any more */
	}
	c->state = CONN_LINGERING;
	c->write_ended = true;
	if (c->read_ended) {
		conn_close(c);
		return;
	}
	c->sent_ms = loop_now(c->loop);
	timer_set(c->loop, &c->timer, c->sent_ms + c->linger_ms);
}

static void conn_writable(struct conn *c)
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
			write_failed(c, errno);
		else
			conn_update(c);
		return;
	}
	queue_sent(c, (size_t)sent);
	c->sent_ms = loop_now(c->loop);
	conn_update(c);
	call_drained(c);
	shut_when_empty(c);
}

/* --- reading -----------------------------------------------------------------*/

static void conn_read_end(struct conn *c, int error)
{
	c->read_ended = true;
	conn_update(c);
	if (c->state == CONN_OPEN)
		call_ended(c, error);
	else if (c->state == CONN_LINGERING || error)
		conn_close(c);
}

/* What the owner has not used of p comes again: -1 without memory. */
static int keep_rest(struct conn *c, const uint8_t *p, size_t n, size_t used)
{
	bool is_rest = c->rest && p == c->rest->bytes.p;

	if (c->state != CONN_OPEN) { /* by now: the rest is not wanted */
		c->dropped += n - used;
		drop_rest(c);
		return 0;
	}
	if (used == n && !is_rest)
		return 0;
	if (is_rest)
		rest_drop(&c->rest, c->loop->budget, used);
	else if (rest_add(&c->rest, c->loop->budget, p + used, n - used) < 0)
		return -1;
	c->rest_waits = c->rest &&
			(!wants_input(c) || loop_share_is_used(c->loop));
	if (c->rest_waits && wants_input(c))
		loop_defer_next(c->loop, &c->deferred, conn_deferred);
	return 0;
}

/* Gives bytes to the owner: those of a read, or the rest of one. */
static void offer(struct conn *c, uint8_t *p, size_t n)
{
	struct loop *l = c->loop;
	size_t used;

	loop_share_begin(l);
	l->corked = true;
	c->offered = true;
	used = c->cb->input(c, p, n);
	/* Nothing that was sent points into these bytes any more. */
	uncork(l);
	l->corked = false;
	c->offered = false;
	if (keep_rest(c, p, n, used) < 0)
		conn_read_end(c, ENOMEM);
}

static void use_rest(struct conn *c)
{
	c->rest_waits = false;
	offer(c, c->rest->bytes.p, c->rest->bytes.n);
	conn_update(c);
}

int conn_unread(struct conn *c, const void *p, size_t n)
{
	if (rest_add(&c->rest, c->loop->budget, p, n) < 0)
		return -1;
	c->rest_waits = n > 0;
	c->end_again = c->ended_called;
	c->ended_called = false;
	conn_set_reading(c, c->reading);
	return 0;
}

static void read_once(struct conn *c)
{
	struct loop *l = c->loop;
	ssize_t n = c->transport->recv(c, l->scratch, LOOP_SCRATCH);

	if (n < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			conn_read_end(c, errno);
		return;
	}
	if (n == 0) {
		conn_read_end(c, 0);
		return;
	}
	c->read_ms = loop_now(l);
	if (c->state != CONN_OPEN) { /* lingering */
		c->dropped += (uint64_t)n;
		if (drops_enough(c) && c->state == CONN_LINGERING)
			conn_close(c);
		return;
	}
	if (!c->rest)
		offer(c, l->scratch, (size_t)n);
	else if (rest_add(&c->rest, l->budget, l->scratch, (size_t)n) < 0)
		conn_read_end(c, ENOMEM);
	else
		offer(c, c->rest->bytes.p, c->rest->bytes.n);
}

void conn_read(struct conn *c)
{
	bool opening = c->opening;

	c->more = false;
	read_once(c);
	if (c->more && !c->rest_waits &&
		(c->reading || c->state != CONN_OPEN) &&
		c->state != CONN_CLOSED) {
		c->more = false;
		read_once(c);
	}
	if (c->state == CONN_CLOSED)
		return;
	/* The transport, or the rest, may want other things than before. */
	conn_update(c);
	if (!c->tls)
		return;
	if (opening && !c->opening && c->state == CONN_OPEN && c->cb->ready)
		c->cb->ready(c);
}

static void conn_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	/* An error shows as both; the read below then finds it. */
	if ((what & EV_WRITE) && (c->queued > 0 || c->held) &&
		!c->write_ended) {
		loop_share_begin(c->loop);
		conn_writable(c);
	}
	if ((what & EV_READ) && c->state != CONN_CLOSED && !c->read_ended &&
		!c->rest_waits)
		conn_read(c);
}

/* --- the end -----------------------------------------------------------------*/

void conn_finish(struct conn *c, uint32_t linger_ms)
{
	if (c->state != CONN_OPEN)
		return;
	conn_flush(c);
	conn_send_gathered(c);
	c->state = CONN_FINISHING;
	give_up_rest(c);
	c->linger_ms = linger_ms;
	if (c->error) {
		conn_close(c);
		return;
	}
	if (c->spoilt) /* it is read all the same, or our alert may be lost */
		c->read_ended = false;
	c->reading = true;
	conn_update(c);
	c->sent_ms = loop_now(c->loop);
	timer_set(c->loop, &c->timer, c->sent_ms + linger_ms);
	shut_when_empty(c);
}

/* It may take as long as it makes progress. */
static void conn_timer(struct timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, timer);
	int64_t due;

	conn_note_progress(c);
	due = c->sent_ms + c->linger_ms;
	if (loop_now(c->loop) < due)
		timer_set(c->loop, &c->timer, due);
	else
		conn_close(c);
}

/* --- sockets -----------------------------------------------------------------*/

bool conn_vanished(const struct conn *c, int64_t ms)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);
	struct pollfd p = { .fd = c->fd };

	if (c->fd < 0)
		return false;
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)))
		return true;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
		return false; /* a pipe or a Unix socket cannot vanish */
	/*
	 * Silence alone is no sign: with nothing under way there is nothing to
	 * acknowledge. Repeated retransmits or probes without an answer are.
	 */
	return (info.tcpi_retransmits > 1 || info.tcpi_probes > 1) &&
	       info.tcpi_last_ack_recv > ms;
}

int64_t conn_arrived_ago(const struct conn *c)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);
	int unsent;

	if (ioctl(c->fd, SIOCOUTQ, &unsent) < 0)
		return INT64_MAX;
	if (unsent > 0 || c->held)
		return -1;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
		return INT64_MAX;
	return info.tcpi_last_ack_recv;
}

void conn_note_progress(struct conn *c)
{
	int unsent;

	/* A pipe has no such count. */
	if (ioctl(c->fd, SIOCOUTQ, &unsent) < 0 || unsent == c->unsent)
		return;
	c->unsent = unsent;
	c->sent_ms = loop_now(c->loop);
}

void conn_tune(int fd, int keepalive_s, unsigned user_timeout_ms)
{
	int on = 1;
	int interval = keepalive_s / 3 > 0 ? keepalive_s / 3 : 1;
	int count = 3;

	/* These fail on a Unix socket, which needs none of them. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s,
		sizeof(keepalive_s));
	(void)setsockopt(
		fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	if (user_timeout_ms)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
			&user_timeout_ms, sizeof(user_timeout_ms));
}

void conn_set_unsent_limit(struct conn *c, unsigned bytes)
{
	c->unsent_limit = bytes;
	/* Not on a Unix socket, which has no such thing. */
	(void)setsockopt(
		c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}
