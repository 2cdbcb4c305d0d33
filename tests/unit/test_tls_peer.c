/*
 * TLS with a peer that is mbedTLS by hand: it does what ours never would, and
 * comes again with a ticket.
 */
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "net/conn.h"
#include "net/loop.h"
#include "support.h"
#include "tls_support.h"

struct peer { /* a client */
	int fd;
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	mbedtls_x509_crt ca, chain;
	mbedtls_pk_context key;
	size_t got;
	int verified; /* certificates: none of a resumed session */
	int result;   /* of what was called last */
	bool over;    /* nothing more will come */
};

struct world {
	struct budget budget;
	struct loop *loop;
	struct timer watch;
	bool (*done)(void);
	int ticks;
	struct tls_made made;
	struct tls_tickets *tickets;
	struct tls_context *context;
	/* The server's side. */
	struct conn *c;
	bool ready, ended, closed;
	enum tls_cause cause;
	char failure[TLS_TEXT];
	uint8_t got[64];
	size_t got_n, subject_n;
	struct peer peer;
};

static struct world *world; /* one at a time */

/* --- the server -------------------------------------------------------------------*/

static size_t server_input(struct conn *c, uint8_t *p, size_t n)
{
	(void)c;
	assert_true(world->got_n + n <= sizeof(world->got));
	memcpy(world->got + world->got_n, p, n);
	world->got_n += n;
	return n;
}

static void server_ended(struct conn *c, int error)
{
	char text[TLS_TEXT];

	(void)error;
	world->ended = true;
	world->cause = tls_cause(c);
	if (world->cause != TLS_NOTHING)
		snprintf(world->failure, sizeof(world->failure), "%s",
			tls_failure(c, text));
	conn_finish(c, 1000);
}

static void server_closed(struct conn *c)
{
	(void)c;
	world->c = NULL;
	world->closed = true;
}

static void server_ready(struct conn *c)
{
	world->ready = true;
	(void)tls_peer_subject(c, &world->subject_n);
}

static const struct conn_cb server_cb = {
	.input = server_input,
	.ended = server_ended,
	.closed = server_closed,
	.ready = server_ready,
};

/* --- the peer ---------------------------------------------------------------------*/

static int peer_send(void *arg, const unsigned char *p, size_t n)
{
	const struct peer *peer = arg;
	ssize_t sent = send(peer->fd, p, n, MSG_NOSIGNAL);

	return sent < 0 ? errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE
					  : MBEDTLS_ERR_SSL_INTERNAL_ERROR
			: (int)sent;
}

static int peer_recv(void *arg, unsigned char *p, size_t n)
{
	const struct peer *peer = arg;
	ssize_t got = recv(peer->fd, p, n, 0);

	return got < 0 ? errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ
					 : MBEDTLS_ERR_SSL_INTERNAL_ERROR
		       : (int)got;
}

static void peer_read(struct peer *p)
{
	unsigned char room[65536];

	for (;;) {
		p->result = mbedtls_ssl_read(&p->ssl, room, sizeof(room));
		if (p->result > 0)
			p->got += (size_t)p->result;
		else if (p->result !=
			 MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
			break;
	}
	if (p->result != MBEDTLS_ERR_SSL_WANT_READ)
		p->over = true;
}

static void peer_step(struct peer *p)
{
	if (p->over)
		return;
	if (mbed_handshake_over(&p->ssl)) {
		peer_read(p);
		return;
	}
	p->result = mbedtls_ssl_handshake(&p->ssl);
	if (p->result && p->result != MBEDTLS_ERR_SSL_WANT_READ)
		p->over = true;
}

static int count_verified(
	void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	(void)crt;
	(void)depth;
	(void)flags;
	((struct peer *)arg)->verified++;
	return 0;
}

static void peer_init(struct peer *p, const struct tls_made *identity)
{
	mbedtls_ssl_config_init(&p->config);
	mbedtls_x509_crt_init(&p->ca);
	mbedtls_x509_crt_init(&p->chain);
	mbedtls_pk_init(&p->key);
	assert_int_equal(
		mbedtls_ssl_config_defaults(&p->config, MBEDTLS_SSL_IS_CLIENT,
			MBEDTLS_SSL_TRANSPORT_STREAM,
			MBEDTLS_SSL_PRESET_DEFAULT),
		0);
	mbedtls_ssl_conf_rng(&p->config, random_bytes, NULL);
	mbed_min_version(&p->config, false);
	assert_int_equal(
		mbedtls_x509_crt_parse(&p->ca, world->made.identity.chain.p,
			world->made.identity.chain.n),
		0);
	mbedtls_ssl_conf_ca_chain(&p->config, &p->ca, NULL);
	mbedtls_ssl_conf_verify(&p->config, count_verified, p);
	if (!identity)
		return;
	assert_int_equal(
		mbedtls_x509_crt_parse(&p->chain, identity->identity.chain.p,
			identity->identity.chain.n),
		0);
	assert_int_equal(mbed_parse_key(&p->key, identity->identity.key.p,
				 identity->identity.key.n, random_bytes),
		0);
	assert_int_equal(
		mbedtls_ssl_conf_own_cert(&p->config, &p->chain, &p->key), 0);
}

static void peer_connect(struct peer *p, int fd)
{
	p->fd = fd;
	p->over = false;
	p->got = 0;
	mbedtls_ssl_init(&p->ssl);
	assert_int_equal(mbedtls_ssl_setup(&p->ssl, &p->config), 0);
	assert_int_equal(mbedtls_ssl_set_hostname(&p->ssl, "localhost"), 0);
	mbedtls_ssl_set_bio(&p->ssl, p, peer_send, peer_recv, NULL);
}

static void peer_drop(struct peer *p)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	p->fd = -1;
	mbedtls_ssl_free(&p->ssl);
}

static void peer_free(struct peer *p)
{
	peer_drop(p);
	mbedtls_ssl_config_free(&p->config);
	mbedtls_x509_crt_free(&p->ca);
	mbedtls_x509_crt_free(&p->chain);
	mbedtls_pk_free(&p->key);
}

/* --- both -------------------------------------------------------------------------*/

static void watch(struct timer *t)
{
	peer_step(&world->peer);
	if (world->done() || ++world->ticks > 5000)
		loop_stop(world->loop);
	else
		timer_set(world->loop, t, loop_now(world->loop) + 1);
}

/* Turns the loop until done says so; false: it never did. */
static bool run(bool (*done)(void))
{
	world->done = done;
	world->ticks = 0;
	atomic_store(&world->loop->stopped, false);
	timer_set(world->loop, &world->watch, loop_now(world->loop));
	assert_int_equal(loop_run(world->loop), 0);
	return done();
}

static bool both_ready(void)
{
	return world->ready && mbed_handshake_over(&world->peer.ssl);
}

static bool server_got(void)
{
	return world->got_n > 0;
}

static bool server_has_ended(void)
{
	return world->ended;
}

static bool peer_over(void)
{
	return world->peer.over;
}

static bool server_is_closed(void)
{
	return world->closed;
}

static void connect_both(void)
{
	int fd[2];

	world->ready = world->ended = world->closed = false;
	world->got_n = world->subject_n = 0;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	world->c = conn_new(world->loop, fd[0], fd[0], &server_cb, world);
	assert_non_null(world->c);
	assert_int_equal(tls_accept(world->c, world->context), 0);
	conn_set_reading(world->c, true);
	peer_connect(&world->peer, fd[1]);
}

static void disconnect(void)
{
	if (world->c)
		conn_close(world->c);
	assert_true(run(server_is_closed));
	peer_drop(&world->peer);
}

static void exchange_no_keys(struct peer *p)
{
	(void)p;
#if MBED_HAS_TLS_1_3
	mbedtls_ssl_conf_tls13_key_exchange_modes(
		&p->config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK);
#endif
}

static bool both_ready_or_not(void)
{
	return both_ready() || world->peer.over;
}

/* Comes twice; whether the second time with a ticket. */
static bool resumes(void (*before_that)(struct peer *p))
{
	mbedtls_ssl_session session;
	int before;

#if MBED_HAS_TLS_1_3
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
		&world->peer.config,
		MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
	connect_both();
	assert_true(run(both_ready));
	conn_send_copied(world->c, "x", 1);
	conn_finish(world->c, 1000);
	assert_true(run(peer_over));
	mbedtls_ssl_session_init(&session);
	assert_int_equal(
		mbedtls_ssl_get_session(&world->peer.ssl, &session), 0);
	disconnect();
	before = world->peer.verified;
	if (before_that)
		before_that(&world->peer);
	connect_both();
	assert_int_equal(
		mbedtls_ssl_set_session(&world->peer.ssl, &session), 0);
	assert_true(run(both_ready_or_not));
	mbedtls_ssl_session_free(&session);
	return both_ready() && world->peer.verified == before;
}

static void start(enum tls_ask ask)
{
	char text[TLS_TEXT];

	world->context = tls_server_new(
		&(struct tls_server_params){
			.identities = &world->made.identity,
			.identities_n = 1,
			.ask = ask,
			.client_ca = world->made.identity.chain,
			.tickets = world->tickets },
		text);
	assert_non_null(world->context);
}

static int setup(void **state)
{
	(void)state;
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	world->peer.fd = -1;
	assert_int_equal(tls_init(), 0);
	budget_init(&world->budget, SIZE_MAX);
	world->loop = loop_new(&world->budget);
	assert_non_null(world->loop);
	assert_int_equal(timer_init(world->loop, &world->watch, watch), 0);
	tls_make(&world->made, "CN=localhost,O=lab");
	world->tickets = tls_tickets_new(3600);
	assert_non_null(world->tickets);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (world->c)
		conn_close(world->c);
	loop_run_deferred(world->loop);
	assert_int_equal(budget_used(&world->budget), 0);
	peer_free(&world->peer);
	tls_context_unref(world->context);
	tls_tickets_free(world->tickets);
	timer_fini(world->loop, &world->watch);
	loop_free(world->loop);
	free(world);
	return 0;
}

/* --- tests ------------------------------------------------------------------------*/

/* RFC 8446 section 5.4: "may be sent", against who counts bytes. */
static void test_empty_records(void **state)
{
	(void)state;
	start(TLS_ASK_NONE);
	peer_init(&world->peer, NULL);
	connect_both();
	assert_true(run(both_ready));
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			mbedtls_ssl_write(&world->peer.ssl, (void *)"", 0), 0);
	assert_int_equal(
		mbedtls_ssl_write(&world->peer.ssl, (void *)"x", 1), 1);
	assert_true(run(server_got));
	assert_false(world->ended);
}

/* Who says no more without saying so still gets all of the answer. */
static void test_half_closed(void **state)
{
	static uint8_t answer[3000000];

	(void)state;
	start(TLS_ASK_NONE);
	peer_init(&world->peer, NULL);
	connect_both();
	assert_true(run(both_ready));
	conn_send_copied(world->c, answer, sizeof(answer));
	conn_finish(world->c, 5000);
	shutdown(world->peer.fd, SHUT_WR);
	assert_true(run(peer_over));
	assert_int_equal(world->peer.result, MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
	assert_int_equal(world->peer.got, sizeof(answer));
}

static void test_alert_by_name(void **state)
{
	(void)state;
	start(TLS_ASK_NONE);
	peer_init(&world->peer, NULL);
	connect_both();
	assert_true(run(both_ready));
	mbedtls_ssl_send_alert_message(&world->peer.ssl,
		MBEDTLS_SSL_ALERT_LEVEL_FATAL,
		MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA);
	assert_true(run(server_has_ended));
	assert_int_equal(world->cause, TLS_REFUSED);
	assert_string_equal(world->failure, "it sent the alert 48, unknown_ca");
}

/* It is counted; one that has not said a word is nobody. */
static void test_gone_in_the_handshake(void **state)
{
	static const uint8_t beginning[] = { 22, 3, 1, 0, 100, 1 };

	(void)state;
	start(TLS_ASK_NONE);
	peer_init(&world->peer, NULL);
	for (int said = 0; said < 2; said++) {
		connect_both();
		world->peer.over = true; /* by hand */
		if (said)
			assert_int_equal(write(world->peer.fd, beginning,
						 sizeof(beginning)),
				sizeof(beginning));
		shutdown(world->peer.fd, SHUT_WR);
		assert_true(run(server_has_ended));
		assert_int_equal(
			world->cause, said ? TLS_TRUNCATED : TLS_NOTHING);
		if (said)
			assert_string_equal(world->failure,
				"it ended in the TLS handshake");
		disconnect();
	}
}

static void test_tickets(void **state)
{
	(void)state;
	start(TLS_ASK_NONE);
	peer_init(&world->peer, NULL);
	assert_true(resumes(NULL));
}

/* A ticket is no certificate: who must show one shows it each time. */
static void test_no_tickets_for_certificates(void **state)
{
	(void)state;
	start(TLS_ASK_REQUIRED);
	peer_init(&world->peer, &world->made);
	assert_false(resumes(NULL));
	assert_true(both_ready());
	assert_true(world->subject_n > 0);
}

/* Not even with a ticket is there a session without a new key exchange. */
static void test_keys_are_exchanged(void **state)
{
	(void)state;
	start(TLS_ASK_NONE);
	peer_init(&world->peer, NULL);
	if (MBED_HAS_TLS_1_3) /* 1.2 knows no other way */
		assert_false(resumes(exchange_no_keys));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_empty_records, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_half_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_alert_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_gone_in_the_handshake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tickets, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_no_tickets_for_certificates, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_keys_are_exchanged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
