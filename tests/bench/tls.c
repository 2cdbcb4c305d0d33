#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

#define HOST      "localhost"
#define READAHEAD (64 * 1024)

struct ssl_ctx_st *tls_context(const char *ca_file, const char *suite)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());

	if (c != NULL && SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) &&
		SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION) &&
		SSL_CTX_set_cipher_list(c, suite) &&
		SSL_CTX_set1_groups_list(c, "P-256") &&
		SSL_CTX_load_verify_locations(c, ca_file, NULL)) {
		SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_mode(c, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
		/* One recv for many records. */
		SSL_CTX_set_read_ahead(c, 1);
		SSL_CTX_set_default_read_buffer_len(c, READAHEAD);
		/* A peer that only closes has said all it had to say in
		 * WebSocket's closing handshake. */
		SSL_CTX_set_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF);
		return c;
	}
	fprintf(stderr, "tls: %s\n", tls_error());
	SSL_CTX_free(c);
	return NULL;
}

struct ssl_st *tls_new(
	struct ssl_ctx_st *context, int fd, struct ssl_session_st *session)
{
	SSL *t = SSL_new(context);

	if (t == NULL || !SSL_set_fd(t, fd) ||
		!SSL_set_tlsext_host_name(t, HOST) || !SSL_set1_host(t, HOST) ||
		(session != NULL && !SSL_set_session(t, session))) {
		SSL_free(t);
		return NULL;
	}
	SSL_set_connect_state(t);
	return t;
}

void tls_free(struct ssl_st *t)
{
	ERR_clear_error();
	if (t != NULL && SSL_is_init_finished(t))
		SSL_shutdown(t);
	SSL_free(t);
}

static int result_of(struct ssl_st *t, int rc)
{
	if (rc > 0)
		return rc;
	switch (SSL_get_error(t, rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	}
	return -1;
}

int tls_handshake(struct ssl_st *t)
{
	int rc;

	ERR_clear_error();
	rc = result_of(t, SSL_do_handshake(t));
	return rc == 0 ? -1 : rc;
}

ssize_t tls_read(struct ssl_st *t, void *p, size_t n)
{
	ERR_clear_error();
	return result_of(t, SSL_read(t, p, (int)n));
}

ssize_t tls_write(struct ssl_st *t, const void *p, size_t n)
{
	int rc;

	ERR_clear_error();
	rc = result_of(t, SSL_write(t, p, (int)n));
	return rc == 0 ? -1 : rc;
}

const char *tls_error(void)
{
	unsigned long code = ERR_get_error();

	return code != 0 ? ERR_reason_error_string(code) : "the socket broke";
}

bool tls_is_resumed(const struct ssl_st *t)
{
	return SSL_session_reused((SSL *)(uintptr_t)t);
}

struct ssl_session_st *tls_session(struct ssl_st *t)
{
	return SSL_get1_session(t);
}

void tls_session_free(struct ssl_session_st *session)
{
	SSL_SESSION_free(session);
}
