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

#include "base/buf.h"
#include "net/conn.h"
#include "no_memory.h"
#include "support.h"

#define SCRIPT_STEPS 16

struct script {
	struct conn *conn;
	/* > 0: at most so many bytes are taken; else -errno. */
	ssize_t sends[SCRIPT_STEPS];
	unsigned sends_n, sends_at;
	/* A text is read; NULL is an error, 0 the end. */
	struct script_read {
		const char *text;
		int error;
	} reads[SCRIPT_STEPS];
	unsigned reads_n, reads_at;
	size_t room; /* behind the sends: bytes that are still taken */
	/* What has happened. */
	struct buf sent;
	unsigned writes; /* that took something */
	int parts;       /* of the last of them */
};

#ifndef SCRIPTS
#define SCRIPTS 4
#endif
static struct script scripts[SCRIPTS];

/* A transport has nothing of its own to find its script by. */
static inline struct script *script_of(const struct conn *c)
{
	for (int i = 0; i < SCRIPTS; i++) {
		if (scripts[i].conn == c)
			return &scripts[i];
	}
	abort();
}

static inline ssize_t script_fail(int error)
{
	errno = error;
	return -1;
}

static inline ssize_t script_send(
	struct conn *c, const struct iovec *v, int parts)
{
	struct script *s = script_of(c);
	bool in_script = s->sends_at < s->sends_n;
	ssize_t step = in_script ? s->sends[s->sends_at++] : -EAGAIN;
	size_t most = step > 0 ? (size_t)step : s->room, taken = 0;

	if (step < 0 && (in_script || s->room == 0))
		return script_fail((int)-step);
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
	struct script *s = script_of(c);
	const struct script_read *r;

	if (s->reads_at == s->reads_n)
		return recv(c->fd, p, n, 0);
	r = &s->reads[s->reads_at++];
	if (!r->text)
		return r->error ? script_fail(r->error) : 0;
	assert_true(strlen(r->text) <= n);
	memcpy(p, r->text, strlen(r->text));
	return (ssize_t)strlen(r->text);
}

static inline int script_shut(struct conn *c)
{
	return shutdown(c->fd, SHUT_WR);
}

static inline void script_free(struct conn *c)
{
	struct script *s = script_of(c);

	s->conn = NULL;
}

static const struct transport transport_scripted = {
	.recv = script_recv,
	.send = script_send,
	.shut = script_shut,
	.free = script_free,
};

/* From now on c does what its script says: at first, that nothing has room. */
static inline struct script *script_start(struct conn *c)
{
	struct script *s = script_of(NULL);

	buf_free(&s->sent);
	*s = (struct script){ .conn = c };
	c->transport = &transport_scripted;
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
