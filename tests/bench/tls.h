/*
 * TLS of the load generators, by OpenSSL: not the daemon's library, so that an
 * error there is not mirrored here. Non-blocking, over a link's socket.
 */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;

#define TLS_RECORD 16384 /* bytes of payload that go in one, at most */

enum { TLS_WANT_READ = -2, TLS_WANT_WRITE = -3 };

/*
 * TLS 1.2, ECDHE-ECDSA over P-256; suite is OpenSSL's name of one. Servers are
 * verified by the certificates in a file. NULL: said on standard error.
 */
struct ssl_ctx_st *tls_context(const char *ca_file, const char *suite);

/* NULL without memory. Resumes the session, if it is not NULL. */
struct ssl_st *tls_new(
	struct ssl_ctx_st *context, int fd, struct ssl_session_st *session);
/* Says goodbye first (close_notify), when it came so far. */
void tls_free(struct ssl_st *t);

/* 1: done, TLS_WANT_*, -1. */
int tls_handshake(struct ssl_st *t);
/* > 0, 0 at the end, TLS_WANT_READ, -1. */
ssize_t tls_read(struct ssl_st *t, void *p, size_t n);
/* > 0, TLS_WANT_WRITE: the same bytes must come again, -1. */
ssize_t tls_write(struct ssl_st *t, const void *p, size_t n);
/* Of the last -1. */
const char *tls_error(void);

bool tls_is_resumed(const struct ssl_st *t);
/* What it may be resumed by; the caller's. */
struct ssl_session_st *tls_session(struct ssl_st *t);
void tls_session_free(struct ssl_session_st *session);

#endif
