/*
 * hub_support.h: browsers that join hubs of two workers (two_workers.h), and a
 * backend.
 *
 *	browser_asks(&a, 1, "/x");     a client of worker 1 asks for a seat
 *	open_letter(0);                worker 0, its home, opens that, no more
 *	settle();                      it is a member
 *	browser_says(&a, "hello");
 *	expect_heard(&b, "hello");
 *
 * A browser's connection takes what its script has room for: all, at first.
 * Its end is scripted: the test is told how it was read and closed.
 */
#ifndef TESTS_HUB_SUPPORT_H
#define TESTS_HUB_SUPPORT_H

#include "two_workers.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "codec/ws.h"
#include "net/conn.h"
#include "end/end.h"
#include "end/ending.h"
#include "hub/join.h"

struct browser {
	struct client client;
	size_t worker;
	struct hub_attempt *attempt; /* under way */
	struct hub *hub;             /* it is a member; the member's own */
	struct end end;
	struct script *script; /* of its connection, while there is one */
	int peer;              /* the other end of its socket, or -1 */
	struct buf sent;       /* what its connection took, when it is gone */
	bool reading;          /* what it says is welcome */
	/* What it was told. */
	enum reason refused; /* NONE: it was not */
	unsigned answers, closes;
	uint16_t code; /* of the close */
	bool gone;     /* it was a member and its connection is closed */
};

/* --- a browser's connection and its end -------------------------------------*/

static inline size_t browser_input(struct conn *c, uint8_t *p, size_t n)
{
	(void)c;
	(void)p;
	return n;
}

/* What was queued when its end was closed has left. */
static inline void browser_drained(struct conn *c)
{
	struct browser *b = c->owner;

	if (b->closes > 0)
		conn_close(c);
	else
		b->end.owner->cb->drained(&b->end);
}

static inline void browser_broken(struct conn *c, int error)
{
	struct browser *b = c->owner;

	(void)error;
	b->end.owner->cb->ended(
		&b->end, &(struct ending){ .reason = REASON_CLIENT_RESET });
}

static inline void browser_closed(struct conn *c)
{
	struct browser *b = c->owner;

	b->sent = b->script->sent;
	b->script->sent = (struct buf){ 0 };
	b->script = NULL;
	b->gone = true;
	close(b->peer);
	b->hub = NULL;
	b->end.owner->cb->gone(&b->end);
}

static const struct conn_cb browser_conn_cb = {
	.input = browser_input,
	.drained = browser_drained,
	.ended = browser_broken,
	.closed = browser_closed,
};

static inline void browser_flow(struct end *e, bool on)
{
	CONTAINER_OF(e, struct browser, end)->reading = on;
}

static inline void browser_close(struct end *e, uint16_t code, struct str text)
{
	struct browser *b = CONTAINER_OF(e, struct browser, end);

	(void)text;
	assert_int_equal(b->closes, 0);
	b->closes++;
	b->code = code;
	if (conn_is_clear(e->conn))
		conn_close(e->conn);
}

static const struct end_ops browser_ops = {
	.flow = browser_flow,
	.close = browser_close,
};

static inline void browser_connects(struct browser *b)
{
	int fd[2];

	no_memory_pause(true); /* its request has come over it */
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	b->peer = fd[1];
	b->end = (struct end){
		.ops = &browser_ops, .owner = &end_unowned, .side = END_CLIENT
	};
	b->end.conn = conn_new(world.workers[b->worker]->loop, fd[0], fd[0],
		&browser_conn_cb, b);
	assert_non_null(b->end.conn);
	b->script = script_start(b->end.conn);
	b->script->room = SIZE_MAX;
	no_memory_pause(false);
}

/* --- joining ----------------------------------------------------------------*/

static inline void browser_forget_client(struct browser *b)
{
	worker_left(world.workers[b->worker]);
	client_leaves(&world.gate, &b->client);
}

static inline void browser_answered(void *owner, const struct hub_joined *j)
{
	struct browser *b = owner;

	b->attempt = NULL;
	b->answers++;
	b->refused = j->outcome.reason;
	if (b->refused != REASON_NONE) {
		browser_forget_client(b);
		return;
	}
	browser_connects(b);
	b->hub = j->hub;
	if (member_new(world.workers[b->worker], &b->client, &b->end, j))
		return;
	b->refused = REASON_INTERNAL;
	hub_join_discard(j);
	conn_close(b->end.conn);
	browser_forget_client(b);
}

/* A client of this worker; a test may change what was found out about it. */
static inline void browser_comes(struct browser *b, size_t worker)
{
	*b = (struct browser){ .worker = worker, .peer = -1 };
	b->client = client_from(&world.gate, "192.0.2.1");
	b->client.id = ++world.clients;
	b->client.route = &world.gate.conf->routes[0];
	b->client.verdict = (struct client_verdict){ .perm = JWT_READ_WRITE,
		.token_exp = JWT_NEVER,
		.expire_at = JWT_NEVER };
}

static inline void browser_asks_for(struct browser *b, const char *path)
{
	struct request r = { .path = str_of(path) };

	atomic_fetch_add(&world.workers[b->worker]->connections, 1);
	b->attempt = hub_join_open(
		&(struct hub_join_params){ .worker = world.workers[b->worker],
			.client = &b->client,
			.request = &r,
			.done = browser_answered,
			.owner = b });
	if (!b->attempt) {
		b->refused = REASON_INTERNAL;
		browser_forget_client(b);
	}
}

static inline void browser_asks(
	struct browser *b, size_t worker, const char *path)
{
	browser_comes(b, worker);
	browser_asks_for(b, path);
}

/* The same, and it gets its seat. */
static inline void browser_joins(
	struct browser *b, size_t worker, const char *path)
{
	browser_asks(b, worker, path);
	settle();
	assert_non_null(b->hub);
}

static inline void browser_gives_up(struct browser *b)
{
	hub_join_cancel(b->attempt);
	b->attempt = NULL;
	browser_forget_client(b);
}

/* --- a member ---------------------------------------------------------------*/

static inline void browser_says_in_turn(struct browser *b, const char *text)
{
	size_t n = strlen(text);
	char *bytes = exact_copy(text, n);

	b->end.owner->cb->input(&b->end, &(struct piece){ .opcode = WS_TEXT,
						 .first = true,
						 .last = true,
						 .brief = true,
						 .data = (uint8_t *)bytes,
						 .n = n });
	free(bytes);
}

/* The same, and its worker's turn is over. */
static inline void browser_says(struct browser *b, const char *text)
{
	browser_says_in_turn(b, text);
	end_turn(b->worker);
}

static inline void browser_leaves(struct browser *b)
{
	b->end.owner->cb->ended(
		&b->end, &(struct ending){ .reason = REASON_CLIENT_CLOSE,
				 .code = WS_CODE_NORMAL });
	end_turn(b->worker);
}

/* The payloads that it got whole, with blanks between. The caller frees it. */
static inline char *heard_by(const struct browser *b)
{
	const struct buf *sent = b->script ? &b->script->sent : &b->sent;
	const uint8_t *p = sent->p, *end = p + sent->n;
	struct buf text = { 0 };

	while (end - p >= 2) {
		size_t head = p[1] == 126 ? 4 : 2;
		size_t n = p[1];

		if (end - p < (ptrdiff_t)head)
			break;
		if (n == 126)
			n = (size_t)(p[2] << 8 | p[3]);
		if ((size_t)(end - p) < head + n)
			break;
		assert_int_equal(
			buf_add_printf(&text, "%s%.*s", text.n ? " " : "",
				(int)n, (const char *)p + head),
			0);
		p += head + n;
	}
	assert_int_equal(buf_add(&text, "", 0, SIZE_MAX), 0);
	return take_text(&text);
}

static inline void expect_heard(const struct browser *b, const char *want)
{
	char *heard = heard_by(b);

	assert_string_equal(heard, want);
	free(heard);
}

static inline void browser_free(struct browser *b)
{
	buf_free(&b->sent);
}

/* --- a backend that the test plays ------------------------------------------*/

/* A hub whose backend is a Unix socket that the test listens on, in lines. */
static inline void world_open_with_trunk(const char *more)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "socket" };
	char ini[1000];

	assert_true(snprintf(ini, sizeof(ini),
			    HUB("unix:%s/socket", "1h") "framing = line\n%s",
			    scratch, more) < (int)sizeof(ini));
	world_open(ini);
	unlink("socket");
	world.listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(
		bind(world.listening, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(world.listening, 1), 0);
}

static inline void trunk_accept(void)
{
	world.trunk = accept4(world.listening, NULL, NULL, SOCK_NONBLOCK);
	assert_true(world.trunk >= 0);
}

static inline void trunk_says(const char *lines)
{
	ssize_t n = (ssize_t)strlen(lines);

	assert_int_equal(write(world.trunk, lines, (size_t)n), n);
}

/* What has come over it, which the caller frees. */
static inline char *trunk_hears(void)
{
	struct buf text = { 0 };
	char room[4096];
	ssize_t n;

	while ((n = read(world.trunk, room, sizeof(room))) > 0)
		assert_int_equal(buf_add(&text, room, (size_t)n, SIZE_MAX), 0);
	return take_text(&text);
}

static inline void expect_trunk_hears(const char *want)
{
	char *text;

	settle();
	text = trunk_hears();
	assert_string_equal(text, want);
	free(text);
}

static inline void trunk_hangs_up(void)
{
	close(world.trunk);
	world.trunk = -1;
}

#endif
