/*
 * The transport that seals and opens records:
 *
 *   recv: socket -> end of the scratch buffer -> mbedTLS -> its beginning
 *   send: iovecs -> 16 KiB a record -> mbedTLS -> loop's sealed bytes
 *         -> one write; what the socket refuses is held by the connection
 *
 * mbedTLS is never told that the socket is full: it would want the same call
 * again. At most a batch is held for a peer that does not read, and nothing
 * more is sealed until it has left.
 *
 * Handshakes wait in a line: a turn of the loop does as many steps of them as
 * its share allows, after everything that is established, for a step may take
 * two milliseconds.
 */
#include "net/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/budget.h"
#include "base/buf.h"
#include "net/conn.h"
#include "net/tls_private.h"

#define RECORD_TEXT 16384 /* RFC 8446 section 5.1 */
/* Records of a batch, with what sealing adds to each. */
#define RECORD_MAX (RECORD_TEXT + 256)
#define BATCH      (4 * RECORD_MAX)
/* Records are read behind so much room, in which the first is opened. */
#define OPEN_ROOM (RECORD_TEXT + 1024)
/* Held bytes beyond this are alerts that the peer provokes. */
#define HELD_MAX (2 * BATCH)
#define SWEEP_MS 1000
/* At the start of mbedTLS's buffers lie counters that must stay. */
#define BUFFER_HEAD 64

/* What one loop has for all its TLS connections. */
struct tls_loop {
	struct loop_part part;
	struct loop *loop;
	TAILQ_HEAD(, tls) line;
	struct deferred turn;
	TAILQ_HEAD(, tls) warm; /* whose buffers have pages in use */
	struct timer sweep;
	/* Of the recv under way: records not yet looked at. */
	const uint8_t *in;
	size_t in_n;
	size_t sealed_n;
	uint8_t sealed[BATCH];
	uint8_t gather[RECORD_TEXT];
};

/* --- memory: idle connections give the pages of their buffers back --------------------*/

static void drop_pages(unsigned char *buffer, size_t n)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)buffer + BUFFER_HEAD;
	uintptr_t to = (uintptr_t)buffer + n;

	from = (from + page - 1) / page * page;
	to = to / page * page;
	if (from < to)
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
}

static void cool(struct tls *t)
{
	t->warm = false;
	TAILQ_REMOVE(&t->loop->warm, t, warm_next);
}

static void sweep(struct timer *timer)
{
	struct tls_loop *l = CONTAINER_OF(timer, struct tls_loop, sweep);
	struct tls *t, *next;

	for (t = TAILQ_FIRST(&l->warm); t; t = next) {
		next = TAILQ_NEXT(t, warm_next);
		if (!t->active && mbed_idle(&t->ssl)) {
			drop_pages(mbed_in(&t->ssl), mbed_in_room(&t->ssl));
			drop_pages(mbed_out(&t->ssl), mbed_out_room(&t->ssl));
			cool(t);
		}
		t->active = false;
	}
	if (!TAILQ_EMPTY(&l->warm))
		timer_set(l->loop, timer, loop_now(l->loop) + SWEEP_MS);
}

static void note_activity(struct tls *t)
{
	struct tls_loop *l = t->loop;

	t->active = true;
	if (t->warm || t->opening)
		return;
	if (TAILQ_EMPTY(&l->warm))
		timer_set(l->loop, &l->sweep, loop_now(l->loop) + SWEEP_MS);
	t->warm = true;
	TAILQ_INSERT_TAIL(&l->warm, t, warm_next);
}

/* --- to the socket ----------------------------------------------------------------------*/

static int hold(struct tls *t, const uint8_t *p, size_t n)
{
	if (buf_add(&t->held, p, n, HELD_MAX) < 0) {
		t->io_error = ENOBUFS;
		return -1;
	}
	budget_add(t->conn->loop->budget, n);
	return 0;
}

/* -1: the socket is broken. What it does not take is held. */
static int push(struct tls *t)
{
	struct tls_loop *l = t->loop;
	size_t n = l->sealed_n;
	ssize_t sent = 0;

	l->sealed_n = 0;
	if (n == 0 || t->io_error)
		return t->io_error ? -1 : 0;
	if (t->held.n == 0) {
		sent = send(t->conn->fd, l->sealed, n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK &&
			errno != EINTR) {
			t->io_error = errno;
			return -1;
		}
		if (sent < 0)
			sent = 0;
	}
	return (size_t)sent == n ? 0
				 : hold(t, l->sealed + sent, n - (size_t)sent);
}

/* What was held goes first. -1: the socket is broken. */
static int push_held(struct tls *t)
{
	ssize_t sent;

	if (t->held.n == 0)
		return 0;
	sent = send(t->conn->fd, t->held.p, t->held.n, MSG_NOSIGNAL);
	if (sent < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
			return 0;
		t->io_error = errno;
		return -1;
	}
	budget_sub(t->conn->loop->budget, (size_t)sent);
	buf_drop(&t->held, (size_t)sent);
	if (t->held.n == 0)
		buf_free(&t->held);
	return 0;
}

/* mbedTLS gives a record, or a part of a flight. */
static int bio_send(void *arg, const unsigned char *p, size_t n)
{
	struct tls *t = arg;
	struct tls_loop *l = t->loop;

	if (n > sizeof(l->sealed) - l->sealed_n && push(t) < 0)
		return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
	if (n > sizeof(l->sealed))
		n = sizeof(l->sealed);
	memcpy(l->sealed + l->sealed_n, p, n);
	l->sealed_n += n;
	return (int)n;
}

/*
 * Fills one record's text from the parts, from *at of the first. Where it lies
 * in one run it is not copied.
 */
static const uint8_t *gather(struct tls_loop *l, const struct iovec **v,
	int *parts, size_t *at, size_t *n)
{
	size_t have = 0;

	if (*parts == 1 || (*v)->iov_len - *at >= RECORD_TEXT) {
		const uint8_t *p = (const uint8_t *)(*v)->iov_base + *at;

		*n = (*v)->iov_len - *at;
		if (*n > RECORD_TEXT)
			*n = RECORD_TEXT;
		return p;
	}
	for (int i = 0; i < *parts && have < RECORD_TEXT; i++) {
		size_t skip = i == 0 ? *at : 0;
		size_t part = (*v)[i].iov_len - skip;

		if (part > RECORD_TEXT - have)
			part = RECORD_TEXT - have;
		memcpy(l->gather + have,
			(const uint8_t *)(*v)[i].iov_base + skip, part);
		have += part;
	}
	*n = have;
	return l->gather;
}

static void advance_parts(
	const struct iovec **v, int *parts, size_t *at, size_t n)
{
	*at += n;
	while (*parts > 0 && *at >= (*v)->iov_len) {
		*at -= (*v)->iov_len;
		(*v)++;
		(*parts)--;
	}
}

/*
 * What is sealed can't be taken back: where only the newest message matters
 * (unsent_limit), no more is sealed than the socket is to hold.
 */
static size_t batch_of(const struct conn *c)
{
	if (c->unsent_limit == 0 || c->unsent_limit >= BATCH)
		return BATCH;
	return c->unsent_limit > RECORD_MAX ? c->unsent_limit : RECORD_MAX;
}

static ssize_t tls_send(struct conn *c, const struct iovec *v, int parts)
{
	struct tls *t = c->transport_data;
	struct tls_loop *l = t->loop;
	size_t at = 0, taken = 0, n;
	size_t batch = batch_of(c);

	if (t->fallen)
		return transport_socket.send(c, v, parts);
	if (t->io_error || push_held(t) < 0) {
		errno = t->io_error;
		return -1;
	}
	if (t->cause != TLS_NOTHING) {
		errno = EPIPE;
		return -1;
	}
	if (t->opening || t->held.n > 0) {
		errno = EAGAIN;
		return -1;
	}
	note_activity(t);
	advance_parts(&v, &parts, &at, 0);
	while (parts > 0 && t->held.n == 0) {
		const uint8_t *p = gather(l, &v, &parts, &at, &n);
		int sealed = mbedtls_ssl_write(&t->ssl, p, n);

		if (sealed < 0) {
			(void)push(t); /* the loop's bytes are another's next */
			return tls_fail(t, sealed);
		}
		taken += (size_t)sealed;
		advance_parts(&v, &parts, &at, (size_t)sealed);
		if ((parts == 0 || l->sealed_n + RECORD_MAX > batch) &&
			push(t) < 0) {
			errno = t->io_error;
			return -1;
		}
	}
	return (ssize_t)taken;
}

static int tls_shut(struct conn *c)
{
	struct tls *t = c->transport_data;

	if (!t->close_sent && !t->opening && t->cause == TLS_NOTHING) {
		t->close_sent = true;
		(void)mbedtls_ssl_close_notify(&t->ssl);
		(void)push(t);
	}
	if (!t->io_error && push_held(t) == 0 && t->held.n > 0) {
		errno = EAGAIN;
		return -1;
	}
	return shutdown(c->fd, SHUT_WR);
}

/* --- from the socket ----------------------------------------------------------------------*/

/* During the handshake: not a byte more than wanted, the rest is not ours. */
static int handshake_recv(struct tls *t, unsigned char *p, size_t n)
{
	ssize_t got = recv(t->conn->fd, p, n, 0);

	if (got < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
			return MBEDTLS_ERR_SSL_WANT_READ;
		t->io_error = errno;
		return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
	}
	if (got == 0)
		return 0;
	if (!t->begun && t->context->server && p[0] >= 'A' && p[0] <= 'Z') {
		t->cause = TLS_PLAIN_HTTP;
		return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
	}
	t->begun = true;
	return (int)got;
}

static int bio_recv(void *arg, unsigned char *p, size_t n)
{
	struct tls *t = arg;
	struct tls_loop *l = t->loop;

	if (t->opening)
		return handshake_recv(t, p, n);
	if (l->in_n == 0)
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (n > l->in_n)
		n = l->in_n;
	memcpy(p, l->in, n);
	l->in += n;
	l->in_n -= n;
	return (int)n;
}

static ssize_t would_block(void)
{
	errno = EAGAIN;
	return -1;
}

/* An optional certificate that is sent must be good, too. */
static int check_optional(struct tls *t)
{
	uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);

	if (t->context->ask != TLS_ASK_OPTIONAL ||
		!mbedtls_ssl_get_peer_cert(&t->ssl) || flags == 0)
		return 0;
	t->flags = flags;
	t->spoilt = true;
	return tls_fail_with(t, TLS_CERTIFICATE);
}

/*
 * EOF after the first handshake byte is a truncated handshake, not a clean
 * close.
 */
static ssize_t handshake_ended(struct tls *t)
{
	if (t->begun)
		return tls_fail_with(t, TLS_TRUNCATED);
	errno = t->io_error;
	return t->io_error ? -1 : 0;
}

static ssize_t handshake(struct tls *t)
{
	int error = mbedtls_ssl_handshake(&t->ssl);
	bool over = t->io_error || error == MBEDTLS_ERR_SSL_CONN_EOF;

	(void)push(t); /* an alert that can't be sent is not the reason */
	if (!over && error && error != MBEDTLS_ERR_SSL_WANT_READ)
		return tls_fail(t, error);
	if (over || t->io_error)
		return handshake_ended(t);
	if (error)
		return would_block();
	if (check_optional(t) < 0)
		return -1;
	t->opening = false;
	note_activity(t);
	return would_block(); /* what follows is read when it is wanted */
}

/*
 * As many steps as the share of the turn allows: one at least, which may take
 * two milliseconds by itself.
 */
static void take_turn(struct deferred *d)
{
	struct tls_loop *l = CONTAINER_OF(d, struct tls_loop, turn);
	struct tls *t;

	loop_share_begin(l->loop);
	while ((t = TAILQ_FIRST(&l->line)) && loop_share_left_now(l->loop)) {
		struct conn *c = t->conn;

		TAILQ_REMOVE(&l->line, t, line);
		t->waiting = false;
		t->turn = true;
		if (c->state != CONN_CLOSED)
			conn_read(c);
		if (!t->opening && t->cause == TLS_NOTHING &&
			c->state == CONN_OPEN && c->cb->ready)
			c->cb->ready(c);
	}
	if (!TAILQ_EMPTY(&l->line))
		loop_defer_next(l->loop, &l->turn, take_turn);
}

static void stand_in_line(struct tls *t)
{
	struct tls_loop *l = t->loop;

	if (t->waiting)
		return;
	t->waiting = true;
	TAILQ_INSERT_TAIL(&l->line, t, line);
	loop_defer_next(l->loop, &l->turn, take_turn);
}

/* Opens what was read, into p. */
static ssize_t open_records(struct tls *t, uint8_t *p, size_t n)
{
	size_t filled = 0;

	while (filled < n) {
		int got = mbedtls_ssl_read(&t->ssl, p + filled, n - filled);

		if (got > 0) {
			filled += (size_t)got;
			continue;
		}
		if (got == MBEDTLS_ERR_SSL_WANT_READ)
			break;
		/* 0: records without text (RFC 8446 section 5.4) */
		if (got == 0 ||
			got == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
			continue;
		if (got == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
			t->closed = true;
		else
			(void)tls_fail(t, got);
		/* What came before it counts; the end is told next. */
		t->more = filled > 0;
		break;
	}
	(void)push(t); /* alerts */
	if (filled > 0)
		return (ssize_t)filled;
	if (t->closed)
		return 0;
	if (t->cause != TLS_NOTHING) {
		errno = EPROTO;
		return -1;
	}
	return would_block(); /* a part of a record */
}

static ssize_t tls_recv(struct conn *c, void *p, size_t n)
{
	struct tls *t = c->transport_data;
	struct tls_loop *l = t->loop;
	uint8_t *records = (uint8_t *)p + OPEN_ROOM;
	ssize_t got;

	t->more = false;
	if (t->closed)
		return 0;
	if (t->spoilt && c->state != CONN_OPEN)
		return recv(c->fd, p, n, 0); /* to be dropped */
	if (t->cause != TLS_NOTHING) {
		errno = EPROTO;
		return -1;
	}
	if (t->opening) {
		if (!t->turn) {
			stand_in_line(t);
			return would_block();
		}
		t->turn = false;
		return handshake(t);
	}
	assert(n > 2 * OPEN_ROOM);
	got = recv(c->fd, records, n - OPEN_ROOM, 0);
	if (got < 0)
		return -1;
	if (got == 0 && c->state != CONN_OPEN)
		return 0; /* cut or not, no more is wanted */
	if (got == 0)
		return tls_fail_with(t, TLS_TRUNCATED);
	note_activity(t);
	l->in = records;
	l->in_n = (size_t)got;
	/*
	 * All of it is opened now, so nothing ever waits unseen by epoll: the
	 * text of what was read fits in front of the records still to come.
	 */
	got = open_records(t, p, n);
	assert(l->in_n == 0 || t->closed || t->cause != TLS_NOTHING);
	l->in_n = 0;
	return got;
}

/* During the handshake it reads for itself. */
static short tls_wants(const struct conn *c, short events)
{
	const struct tls *t = c->transport_data;
	int wants = events;

	if (c->state == CONN_OPEN ? t->opening : t->spoilt)
		wants |= EV_READ;
	if (t->waiting)
		wants &= ~EV_READ;
	if (t->opening)
		wants &= ~EV_WRITE;
	if (t->held.n > 0)
		wants |= EV_WRITE;
	if (t->more)
		wants |= CONN_MORE;
	return (short)wants;
}

/* --- life -----------------------------------------------------------------------------------*/

static void tls_free(struct conn *c)
{
	struct tls *t = c->transport_data;
	struct tls_loop *l = t->loop;

	if (t->warm)
		TAILQ_REMOVE(&l->warm, t, warm_next);
	if (t->waiting)
		TAILQ_REMOVE(&l->line, t, line);
	if (t->held.n > 0) /* else it may have left its loop */
		budget_sub(c->loop->budget, t->held.n);
	buf_free(&t->held);
	mbedtls_ssl_free(&t->ssl);
	tls_context_unref(t->context);
	free(t->host);
	free(t);
}

void tls_fall_back(struct conn *c)
{
	struct tls *t = c->transport_data;

	t->opening = false;
	t->fallen = true;
}

static void tls_loop_free(struct loop_part *p)
{
	struct tls_loop *t = CONTAINER_OF(p, struct tls_loop, part);

	loop_undefer(t->loop, &t->turn);
	timer_fini(t->loop, &t->sweep);
	free(t);
}

static struct tls_loop *tls_loop_of(struct loop *l)
{
	struct loop_part *p = loop_part_find(l, tls_loop_free);
	struct tls_loop *t;

	if (p)
		return CONTAINER_OF(p, struct tls_loop, part);
	t = calloc(1, sizeof(*t));
	if (!t || timer_init(l, &t->sweep, sweep) < 0) {
		free(t);
		return NULL;
	}
	t->loop = l;
	TAILQ_INIT(&t->line);
	TAILQ_INIT(&t->warm);
	loop_part_add(l, &t->part, tls_loop_free);
	return t;
}

static bool tls_leave(struct conn *c)
{
	struct tls *t = c->transport_data;

	if (t->opening || t->waiting || t->held.n > 0 || t->more ||
		t->cause != TLS_NOTHING)
		return false;
	if (t->warm)
		cool(t);
	t->loop = NULL;
	return true;
}

static int tls_enter(struct conn *c)
{
	struct tls *t = c->transport_data;

	t->loop = tls_loop_of(c->loop);
	if (!t->loop)
		return -1;
	note_activity(t);
	return 0;
}

const struct transport transport_tls = {
	.recv = tls_recv,
	.send = tls_send,
	.shut = tls_shut,
	.free = tls_free,
	.wants = tls_wants,
	.has_own_end = true,
	.leave = tls_leave,
	.enter = tls_enter,
};

static struct tls *tls_new(struct conn *c, struct tls_context *x)
{
	struct tls_loop *l = tls_loop_of(c->loop);
	struct tls *t;

	assert(!tls_of(c) && c->queued == 0);
	if (!l)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	mbedtls_ssl_init(&t->ssl);
	if (mbedtls_ssl_setup(&t->ssl, &x->config) != 0) {
		mbedtls_ssl_free(&t->ssl);
		free(t);
		return NULL;
	}
	mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_recv, NULL);
	t->conn = c;
	t->loop = l;
	t->context = tls_context_ref(x);
	t->opening = true;
	c->transport = &transport_tls;
	c->transport_data = t;
	return t;
}

int tls_accept(struct conn *c, struct tls_context *x)
{
	if (!tls_new(c, x))
		return -1;
	conn_set_reading(c, c->reading);
	return 0;
}

/* mbedTLS 2.28 knows no addresses in certificates, so they are ours. */
static int verify_address(
	void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	const struct tls *t = arg;

	if (depth == 0 && !tls_is_for_host(crt, t->host, strlen(t->host)))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	return 0;
}

/* For SNI and certificates "host." is "host" (RFC 6066 section 3). */
static int set_name(struct tls *t, const char *host)
{
	size_t n = strlen(host);
	char *name = strndup(host, n > 1 && host[n - 1] == '.' ? n - 1 : n);
	int error;

	if (!name)
		return -1;
	error = mbedtls_ssl_set_hostname(&t->ssl, name);
	free(name);
	return error ? -1 : 0;
}

static int set_host(struct tls *t, const char *host)
{
	if (!tls_is_address(host)) /* SNI is for names only */
		return set_name(t, host);
	t->host = strdup(host);
	if (!t->host)
		return -1;
	mbedtls_ssl_set_verify(&t->ssl, verify_address, t);
	return mbedtls_ssl_set_hostname(&t->ssl, NULL) == 0 ? 0 : -1;
}

int tls_connect(struct conn *c, struct tls_context *x, const char *host)
{
	struct tls *t = tls_new(c, x);

	if (!t)
		return -1;
	if (set_host(t, host) < 0) {
		tls_free(c);
		c->transport = &transport_socket;
		return -1;
	}
	stand_in_line(t); /* the client sends first */
	conn_set_reading(c, c->reading);
	return 0;
}

/* --- what is known ------------------------------------------------------------------------*/

bool tls_is_on(const struct conn *c)
{
	return tls_of(c) != NULL;
}

bool tls_is_opening(const struct conn *c)
{
	return tls_of(c) && tls_of(c)->opening;
}

/* NULL: not TLS, or not yet. */
static const struct tls *established(const struct conn *c)
{
	const struct tls *t = tls_of(c);

	return t && !t->opening && !t->fallen ? t : NULL;
}

const uint8_t *tls_peer_subject(const struct conn *c, size_t *n)
{
	const struct tls *t = established(c);
	const mbedtls_x509_crt *crt;

	*n = 0;
	if (!t || t->context->ask == TLS_ASK_NONE)
		return NULL;
	crt = mbedtls_ssl_get_peer_cert(&t->ssl);
	if (!crt || mbedtls_ssl_get_verify_result(&t->ssl) != 0)
		return NULL;
	*n = crt->subject_raw.len;
	return crt->subject_raw.p;
}

const char *tls_version(const struct conn *c)
{
	const struct tls *t = established(c);

	return t ? mbedtls_ssl_get_version(&t->ssl) : NULL;
}

const char *tls_suite(const struct conn *c)
{
	const struct tls *t = established(c);

	return t ? mbedtls_ssl_get_ciphersuite(&t->ssl) : NULL;
}
