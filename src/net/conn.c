/*
 *   readable(A): recv -> loop scratch -> A.input -> what that sends is corked
 *                and leaves when it returns (conn_send.c)
 *
 * What A's owner does not use of a read, because it has paused or its share of
 * the turn is used up, is A's rest: input again in a later turn, before more is
 * read, and in front of the end of the stream.
 */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "net/conn_private.h"

/* What two kernels may hold of a peer that has not received our end yet. */
#define CONN_DROP_MAX (8u << 20)

static void conn_event(evutil_socket_t fd, short what, void *arg);
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

void conn_watch_nothing(struct conn *c)
{
	c->watch = 0;
	event_assign(event_of(c), c->loop->base, c->fd, EV_READ | EV_PERSIST,
		conn_event, c);
	if (c->two_fds)
		event_assign(write_event_of(c), c->loop->base, c->wfd,
			EV_WRITE | EV_PERSIST, conn_event, c);
}

struct conn *conn_new(
	struct loop *l, int fd, int wfd, const struct conn_cb *cb, void *owner)
{
	size_t events = wfd == fd ? 1 : 2;
	struct conn *c = calloc(
		1, sizeof(*c) + events * event_get_struct_event_size());

	if (!c || timer_init(l, &c->timer, conn_linger_over) < 0) {
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
	conn_watch_nothing(c);
	return c;
}

/* --- states ------------------------------------------------------------------*/

#define TO(state) (1u << (state))

void conn_move_in(struct conn *c, enum conn_in to)
{
	static const unsigned edges[] = {
		[CONN_IN_OPEN] = TO(CONN_IN_LAST) | TO(CONN_IN_ENDED) |
				 TO(CONN_IN_TOLD),
		[CONN_IN_LAST] = TO(CONN_IN_ENDED),
		/* To open: in conn_finish, so that what comes is dropped. */
		[CONN_IN_ENDED] = TO(CONN_IN_DUE) | TO(CONN_IN_TOLD) |
				  TO(CONN_IN_OPEN),
		[CONN_IN_DUE] = TO(CONN_IN_TOLD) | TO(CONN_IN_OPEN),
		[CONN_IN_TOLD] = TO(CONN_IN_ENDED) | TO(CONN_IN_OPEN),
	};

	assert(edges[c->in] & TO(to));
	c->in = (uint8_t)to;
}

void conn_move_out(struct conn *c, enum conn_out to)
{
	static const unsigned edges[] = {
		[CONN_OUT_OPEN] = TO(CONN_OUT_GATHERED) | TO(CONN_OUT_REFUSED) |
				  TO(CONN_OUT_BROKEN) | TO(CONN_OUT_SHUT),
		[CONN_OUT_GATHERED] = TO(CONN_OUT_OPEN) | TO(CONN_OUT_REFUSED) |
				      TO(CONN_OUT_BROKEN),
		[CONN_OUT_REFUSED] = 0, /* the rest are the end */
		[CONN_OUT_BROKEN] = 0,
		[CONN_OUT_SHUT] = 0,
	};

	assert(edges[c->out] & TO(to));
	c->out = (uint8_t)to;
}

void conn_defer(struct conn *c)
{
	loop_defer(c->loop, &c->deferred, conn_deferred);
}

void conn_set_owner(struct conn *c, const struct conn_cb *cb, void *owner)
{
	c->cb = cb;
	c->owner = owner;
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
	if (c->loop->reader == c)
		return;
	c->dropped += rest_length(c->rest);
	drop_rest(c);
}

static void conn_free(struct conn *c)
{
	conn_queue_free(c);
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
static void say_own_end(struct conn *c)
{
	if (c->transport->has_own_end && c->state == CONN_OPEN &&
		!conn_out_ended(c) && conn_is_clear(c) && c->loop->cork.to != c)
		(void)c->transport->shut(c);
}

void conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	say_own_end(c);
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
	if (c->in == CONN_IN_TOLD)
		return;
	conn_move_in(c, CONN_IN_TOLD);
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
	return c->transport->has_own_end ||
	       (poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)));
}

static bool has_last_words(const struct conn *c)
{
	return c->in == CONN_IN_LAST && c->state == CONN_OPEN;
}

static bool wants_input(const struct conn *c)
{
	return c->reading || has_last_words(c);
}

static void use_rest(struct conn *c);

/* An owner that has taken over is told an end that came before its time. */
static bool end_waits(const struct conn *c)
{
	return c->state == CONN_OPEN &&
	       (c->in == CONN_IN_ENDED || c->in == CONN_IN_DUE);
}

static void call_drained(struct conn *c)
{
	if (c->state == CONN_OPEN && !conn_out_ended(c) && c->cb->drained &&
		!conn_holds(c) && c->queued <= c->resume_at)
		c->cb->drained(c);
}

void conn_drain_again(struct conn *c)
{
	c->drain_again = true;
	loop_defer_next(c->loop, &c->deferred, conn_deferred);
}

/* --- at the end of the turn: what could not be told at once ------------------*/

static void deferred_rest(struct conn *c)
{
	if (c->rest_waits && wants_input(c))
		use_rest(c);
}

/*
 * A turn behind the last bytes: what the other side of a pair had in its rest
 * is used by then, too.
 */
static void deferred_end(struct conn *c)
{
	if (!end_waits(c) || !c->reading || c->rest_waits)
		return;
	if (c->in == CONN_IN_DUE) {
		call_ended(c, 0);
		return;
	}
	conn_move_in(c, CONN_IN_DUE);
	loop_defer_next(c->loop, &c->deferred, conn_deferred);
}

static void deferred_read(struct conn *c)
{
	if (conn_has_more(c) && c->reading && !c->rest_waits && !c->error &&
		!conn_in_ended(c))
		conn_read(c);
}

static void deferred_drained(struct conn *c)
{
	if (!c->drain_again)
		return;
	c->drain_again = false;
	loop_share_begin(c->loop);
	call_drained(c);
}

static void deferred_out(struct conn *c)
{
	switch ((enum conn_out)c->out) {
	case CONN_OUT_OPEN:
		return;
	case CONN_OUT_GATHERED:
		conn_send_gathered(c);
		return;
	case CONN_OUT_BROKEN:
		if (has_last_words(c))
			break;
		if (c->state == CONN_OPEN && c->in != CONN_IN_TOLD)
			call_ended(c, c->error);
		else /* nothing goes either way any more */
			conn_close(c);
		return;
	case CONN_OUT_REFUSED:
	case CONN_OUT_SHUT:
		break;
	}
	/* The queue was dropped: what was paused for it may go on. */
	if (c->state == CONN_OPEN && c->cb->drained)
		c->cb->drained(c);
}

static void conn_deferred(struct deferred *d)
{
	static void (*const steps[])(struct conn *) = { deferred_rest,
		deferred_end, deferred_read, deferred_drained, deferred_out };
	struct conn *c = CONTAINER_OF(d, struct conn, deferred);

	if (c->state == CONN_CLOSED) {
		c->cb->closed(c);
		conn_free(c);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(steps) && c->state != CONN_CLOSED;
		i++)
		steps[i](c);
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
static short wanted_events(const struct conn *c)
{
	short want = 0;

	if (wants_input(c))
		want |= EV_READ;
	if (c->queued > 0 && c->out != CONN_OUT_GATHERED)
		want |= EV_WRITE;
	want = conn_wants(c, want);
	if (conn_in_ended(c) || c->rest_waits || drops_enough(c))
		want &= ~EV_READ;
	if (conn_out_ended(c))
		want &= ~EV_WRITE;
	return want & (EV_READ | EV_WRITE);
}

void conn_update(struct conn *c)
{
	short want;

	if (c->state == CONN_CLOSED)
		return;
	want = wanted_events(c);
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
	if (on && (conn_has_more(c) || c->rest_waits || end_waits(c)))
		loop_defer_next(c->loop, &c->deferred, conn_deferred);
	conn_update(c);
}

bool conn_goes_on(struct conn *c)
{
	return wants_input(c) && loop_share_left(c->loop);
}

/* --- writing -----------------------------------------------------------------*/

static void shut_when_empty(struct conn *c);

static void close_write_fd(struct conn *c)
{
	event_del(write_event_of(c));
	c->watch &= (uint8_t)~EV_WRITE;
	close(c->wfd);
	c->wfd = -1;
}

/* The peer takes no more bytes from us. */
void conn_write_failed(struct conn *c, int error)
{
	bool gone = !c->two_fds && is_gone(c, error);

	conn_queue_free(c);
	if (gone && c->in == CONN_IN_OPEN)
		conn_move_in(c, CONN_IN_LAST);
	if (error == EPIPE && !gone) {
		/*
		 * A process has closed its standard input, or a Unix peer its
		 * reading side, which is its right: what it sends still counts,
		 * and its end will be seen there.
		 */
		conn_move_out(c, CONN_OUT_REFUSED);
		if (c->two_fds)
			close_write_fd(c);
	} else {
		conn_move_out(c, CONN_OUT_BROKEN);
		c->error = error;
	}
	loop_defer(c->loop, &c->deferred, conn_deferred);
	conn_update(c);
	shut_when_empty(c);
}

size_t conn_cost(const struct conn *c)
{
	return c->queued + rest_cost(c->rest);
}

bool conn_is_shut(const struct conn *c)
{
	return c->state != CONN_OPEN || conn_out_ended(c);
}

/* Ends our direction. -1: it must wait for room (TLS's close_notify). */
static int shut(struct conn *c)
{
	if (conn_out_ended(c))
		return 0;
	if (c->transport->shut(c) < 0) {
		if (errno == EAGAIN)
			return -1;
		if (!conn_in_ended(c)) /* not connected any more */
			conn_move_in(c, CONN_IN_ENDED);
	}
	conn_move_out(c, CONN_OUT_SHUT);
	return 0;
}

/* The queue has left and our side is to end: FINISHING -> LINGERING. */
static void shut_when_empty(struct conn *c)
{
	if (c->state != CONN_FINISHING || c->queued > 0)
		return;
	if (shut(c) < 0) {
		conn_update(c);
		return;
	}
	c->state = CONN_LINGERING;
	if (conn_in_ended(c)) {
		conn_close(c);
		return;
	}
	c->sent_ms = loop_now(c->loop);
	timer_set(c->loop, &c->timer, c->sent_ms + c->linger_ms);
}

void conn_queue_left(struct conn *c)
{
	conn_update(c);
	call_drained(c);
	shut_when_empty(c);
}

/* --- reading -----------------------------------------------------------------*/

static void conn_read_end(struct conn *c, int error)
{
	if (!conn_in_ended(c))
		conn_move_in(c, CONN_IN_ENDED);
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

/* One read in so many is timed, if it brings a message for a pair. */
static void sample_begin(struct loop *l)
{
	bool sampled = ++l->sample_steps % LOOP_SAMPLE == 0;

	l->sampled_ns = sampled ? loop_clock_ns() : 0;
	l->sample_carries = false;
}

static void sample_end(struct loop *l)
{
	if (l->sampled_ns && l->sample_carries)
		histogram_add(&l->stats.delays[LOOP_DELAY_PAIR],
			&histogram_work,
			(uint64_t)(loop_clock_ns() - l->sampled_ns));
	l->sampled_ns = 0;
}

/* Gives bytes to the owner: those of a read, or the rest of one. */
static void offer(struct conn *c, uint8_t *p, size_t n)
{
	struct loop *l = c->loop;
	size_t used;

	loop_share_begin(l);
	l->reader = c;
	used = c->cb->input(c, p, n);
	/* Nothing that was sent points into these bytes any more. */
	conn_uncork(l);
	sample_end(l);
	l->reader = NULL;
	if (keep_rest(c, p, n, used) < 0)
		conn_read_end(c, ENOMEM);
}

static void use_rest(struct conn *c)
{
	c->rest_waits = false;
	c->loop->sampled_ns = 0; /* of another read, if of any */
	offer(c, c->rest->bytes.p, c->rest->bytes.n);
	conn_update(c);
}

int conn_unread(struct conn *c, const void *p, size_t n)
{
	if (rest_add(&c->rest, c->loop->budget, p, n) < 0)
		return -1;
	c->rest_waits = n > 0;
	if (c->in == CONN_IN_TOLD)
		conn_move_in(c, CONN_IN_ENDED);
	conn_set_reading(c, c->reading);
	return 0;
}

static void read_once(struct conn *c)
{
	struct loop *l = c->loop;
	ssize_t n;

	sample_begin(l);
	n = c->transport->recv(c, l->scratch, loop_read_size(l));
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
	read_once(c);
	if (conn_has_more(c) && !c->rest_waits &&
		(c->reading || c->state != CONN_OPEN) &&
		c->state != CONN_CLOSED)
		read_once(c);
	/* The transport, or the rest, may want other things than before. */
	conn_update(c);
}

static void conn_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	/* An error shows as both; the read below then finds it. */
	if ((what & EV_WRITE) && !conn_is_clear(c) && !conn_out_ended(c)) {
		loop_share_begin(c->loop);
		if (conn_send_queue(c) == 0) {
			c->sent_ms = loop_now(c->loop);
			conn_queue_left(c);
		}
	}
	if ((what & EV_READ) && c->state != CONN_CLOSED && !conn_in_ended(c) &&
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
	if (c->out == CONN_OUT_BROKEN) {
		conn_close(c);
		return;
	}
	/*
	 * Its stream is over, but not the socket's: that is read all the same,
	 * or our last bytes may be lost.
	 */
	if (conn_in_ended(c) && (conn_wants(c, 0) & EV_READ))
		conn_move_in(c, CONN_IN_OPEN);
	c->reading = true;
	conn_update(c);
	c->sent_ms = loop_now(c->loop);
	timer_set(c->loop, &c->timer, c->sent_ms + linger_ms);
	shut_when_empty(c);
}

/* It may take as long as it makes progress. */
void conn_linger_over(struct timer *t)
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
