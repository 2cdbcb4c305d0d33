/*
 * scripted_transport.h: a transport whose sends and reads end as a test says.
 * The socket under it is real: it alone says when there is room, or something
 * to read, so the script answers when the connection asks.
 *
 *	script_sends(s, 3, -EAGAIN, -EPIPE);   takes 3 bytes, none, breaks
 *	script_reads(s, READ_TEXT("abc"), READ_ERROR(ECONNRESET));
 *
 * Behind its last word a script takes what its room allows, and reads what
 * the socket has.
 */
#ifndef TESTS_SCRIPTED_TRANSPORT_H
#define TESTS_SCRIPTED_TRANSPORT_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "base/buf.h"
#include "net/conn.h"
#include "no_memory.h"
#include "support.h"

#define SCRIPT_STEPS 16

struct script {
	struct conn *conn; /* NULL: it may be used */
	/* > 0: at most so many bytes are taken; else -errno. */
	ssize_t sends[SCRIPT_STEPS];
	unsigned sends_n, sends_at;
	/* A text is read; NULL is an error, 0 the end. */
	struct script_read {
		const char *text;
		int error;
		bool more;
	} reads[SCRIPT_STEPS];
	unsigned reads_n, reads_at;
	size_t room; /* behind the sends: bytes that are still taken */
	/* What the transport wants by itself. */
	bool opening; /* reads, and takes nothing */
	bool holds;   /* bytes that it has taken, until there is room */
	bool more;    /* recv has more to say: READ_MORE */
	/* What has happened. */
	struct buf sent;
	unsigned writes; /* that took something */
	int parts;       /* of the last of them */
	unsigned shuts;
};

#ifndef SCRIPTS
#define SCRIPTS 4
#endif
static struct script scripts[SCRIPTS];

static inline ssize_t script_fail(int error)
{
	errno = error;
	return -1;
}

static inline ssize_t script_send(
	struct conn *c, const struct iovec *v, int parts)
{
	struct script *s = c->transport_data;
	bool in_script = s->sends_at < s->sends_n;
	ssize_t step = in_script ? s->sends[s->sends_at++] : -EAGAIN;
	size_t most = step > 0 ? (size_t)step : s->room, taken = 0;

	if (step < 0 && (in_script || s->room == 0))
		return script_fail((int)-step);
	s->holds = false;
	for (int i = 0; i < parts && taken < most; i++) {
		size_t n = v[i].iov_len < most - taken ? v[i].iov_len
						       : most - taken;

		no_memory_pause(true);
		assert_int_equal(
			buf_add(&s->sent, v[i].iov_base, n, SIZE_MAX), 0);
		no_memory_pause(false);
		taken += n;
	}
	if (!in_script)
		s->room -= taken;
	s->writes++;
	s->parts = parts;
	return (ssize_t)taken;
}

static inline ssize_t script_recv(struct conn *c, void *p, size_t n)
{
	struct script *s = c->transport_data;
	const struct script_read *r;

	if (s->reads_at == s->reads_n)
		return recv(c->fd, p, n, 0);
	r = &s->reads[s->reads_at++];
	s->more = r->more;
	if (!r->text)
		return r->error ? script_fail(r->error) : 0;
	assert_true(strlen(r->text) <= n);
	memcpy(p, r->text, strlen(r->text));
	return (ssize_t)strlen(r->text);
}

static inline int script_shut(struct conn *c)
{
	struct script *s = c->transport_data;

	s->shuts++;
	if (!s->holds)
		return shutdown(c->fd, SHUT_WR);
	errno = EAGAIN;
	return -1;
}

static inline short script_wants(const struct conn *c, short events)
{
	const struct script *s = c->transport_data;
	int wants = s->opening ? EV_READ : events;

	if (s->holds)
		wants |= EV_WRITE;
	if (s->more)
		wants |= CONN_MORE;
	return (short)wants;
}

/* What was sent can still be looked at. */
static inline void script_free(struct conn *c)
{
	struct script *s = c->transport_data;

	s->conn = NULL;
}

static const struct transport transport_scripted = {
	.recv = script_recv,
	.send = script_send,
	.shut = script_shut,
	.free = script_free,
	.wants = script_wants,
};

/* From now on c does what its script says: at first, that nothing has room. */
static inline struct script *script_start(struct conn *c)
{
	struct script *s = scripts;

	while (s->conn)
		assert_true(++s < scripts + SCRIPTS);
	buf_free(&s->sent);
	*s = (struct script){ .conn = c };
	c->transport = &transport_scripted;
	c->transport_data = s;
	return s;
}

/* When all their connections are gone. */
static inline void scripts_free(void)
{
	for (int i = 0; i < SCRIPTS; i++) {
		assert_null(scripts[i].conn);
		buf_free(&scripts[i].sent);
	}
}

#define script_sends(s, ...)                                                   \
	script_set_sends((s), (const ssize_t[]){ __VA_ARGS__ },                \
		sizeof((const ssize_t[]){ __VA_ARGS__ }) / sizeof(ssize_t))

static inline void script_set_sends(
	struct script *s, const ssize_t *steps, size_t n)
{
	assert_true(n <= SCRIPT_STEPS);
	memcpy(s->sends, steps, n * sizeof(*steps));
	s->sends_n = (unsigned)n;
	s->sends_at = 0;
}

#define READ_TEXT(t)  ((struct script_read){ .text = (t) })
#define READ_MORE(t)  ((struct script_read){ .text = (t), .more = true })
#define READ_ERROR(e) ((struct script_read){ .error = (e) })
#define READ_END      READ_ERROR(0)
#define script_reads(s, ...)                                                   \
	script_set_reads((s), (const struct script_read[]){ __VA_ARGS__ },     \
		sizeof((const struct script_read[]){ __VA_ARGS__ }) /          \
			sizeof(struct script_read))

static inline void script_set_reads(
	struct script *s, const struct script_read *steps, size_t n)
{
	assert_true(n <= SCRIPT_STEPS);
	memcpy(s->reads, steps, n * sizeof(*steps));
	s->reads_n = (unsigned)n;
	s->reads_at = 0;
}

#endif
