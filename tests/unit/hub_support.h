/*
 * hub_support.h: two workers in one thread, whose loops a test turns by hand,
 * and browsers that join hubs there. So letters between the workers are opened
 * in the order that a test wants.
 *
 *	browser_asks(&a, 1, "/x");     a client of worker 1 asks for a seat
 *	open_letter(0);                worker 0, its home, opens that, no more
 *	settle();                      all that is under way arrives
 *	browser_says(&a, "hello");
 *	expect_heard(&b, "hello");
 *
 * A browser's connection takes what its script has room for: all, at first.
 * Its end is scripted: the test is told how it was read and closed.
 */
#ifndef TESTS_HUB_SUPPORT_H
#define TESTS_HUB_SUPPORT_H

#define SCRIPTS 64

#include "gate_support.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "codec/ws.h"
#include "net/conn.h"
#include "no_memory.h"
#include "relay/end.h"
#include "relay/ending.h"
#include "relay/hub_here.h"
#include "relay/hub_join.h"
#include "relay/hub_private.h"
#include "relay/letter.h"
#include "relay/member.h"
#include "scripted_transport.h"

#define HUB(backend, linger)                                                   \
	"[listen main]\n[route r]\n"                                           \
	"path = /{id}\nbackend = " backend "\nmode = hub\nauth = none\n"       \
	"linger = " linger "\n"
#define ROOM_LINGER(time) HUB("room:", time)
#define ROOM              ROOM_LINGER("1h")

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

static struct {
	struct gate gate;
	struct worker *workers[2];
	bool is_open;
	uint64_t clients; /* so far: their ids */
	/* Called before a letter is opened; may be NULL. */
	void (*on_letter)(size_t worker, const struct letter *l);
} world;

/* --- two workers ------------------------------------------------------------*/

static inline void opens_nothing(struct waker *w)
{
	(void)w;
}

static inline void world_open(const char *ini)
{
	struct shared *s = &world.gate.shared;
	struct conf *conf = load_warned(ini);

	log_set_level(LOG_ERROR);
	world.is_open = true;
	world.clients = 0;
	world.on_letter = NULL;
	gate_open(&world.gate, conf);
	budget_init(&s->budget, SIZE_MAX);
	s->workers = world.workers;
	s->workers_n = 2;
	for (size_t i = 0; i < 2; i++) {
		struct worker *w = worker_new(s, conf, NULL);

		assert_non_null(w);
		w->index = i;
		assert_int_equal(hubs_init(w), 0);
		w->make_room = hubs_give_replay;
		/* Letters are opened by open_letter alone. */
		w->mailbox.waker.woken = opens_nothing;
		world.workers[i] = w;
	}
}

static inline const struct letter *first_letter(size_t worker)
{
	return STAILQ_FIRST(&world.workers[worker]->mailbox.letters);
}

static inline size_t letters_of(size_t worker)
{
	const struct letter *l;
	size_t n = 0;

	STAILQ_FOREACH (l, &world.workers[worker]->mailbox.letters, next)
		n++;
	return n;
}

/* Opens the first letter of a worker. False: it has none. */
static inline bool open_letter_in_turn(size_t worker)
{
	struct worker *w = world.workers[worker];
	struct letter *l = STAILQ_FIRST(&w->mailbox.letters);

	if (!l)
		return false;
	if (world.on_letter)
		world.on_letter(worker, l);
	STAILQ_REMOVE_HEAD(&w->mailbox.letters, next);
	loop_share_begin(w->loop);
	l->kind->open(w, l);
	return true;
}

static inline void end_turn(size_t worker)
{
	loop_run_deferred(world.workers[worker]->loop);
}

/* The same, and its worker's turn is over. */
static inline bool open_letter(size_t worker)
{
	bool opened = open_letter_in_turn(worker);

	end_turn(worker);
	return opened;
}

static inline void open_letters_of(size_t worker)
{
	while (open_letter(worker))
		;
}

struct turn {
	struct deferred deferred;
	struct loop *loop;
};

static inline void turn_over(struct deferred *d)
{
	atomic_store(
		&CONTAINER_OF(d, struct turn, deferred)->loop->stopped, true);
}

/* A turn of its loop, which waits for nothing and opens no letter. */
static inline void turn(size_t worker)
{
	struct turn t = { .loop = world.workers[worker]->loop };

	atomic_store(&t.loop->stopped, false);
	loop_defer_next(t.loop, &t.deferred, turn_over);
	assert_int_equal(loop_run(t.loop), 0);
}

static inline bool is_quiet(void)
{
	for (size_t i = 0; i < 2; i++)
		if (first_letter(i) ||
			!STAILQ_EMPTY(&world.workers[i]->loop->deferred) ||
			!STAILQ_EMPTY(&world.workers[i]->loop->deferred_next))
			return false;
	return true;
}

/*
 * Until nothing is under way. Sockets have room and are readable at once here,
 * so a few turns in which nothing happens are enough.
 */
static inline void settle(void)
{
	int turns = 0;

	for (int quiet = 0; quiet < 4; quiet = is_quiet() ? quiet + 1 : 0) {
		assert_true(++turns < 100000);
		open_letters_of(0);
		open_letters_of(1);
		turn(0);
		turn(1);
	}
}

static inline void world_close(void)
{
	struct shared *s = &world.gate.shared;

	if (!world.is_open)
		return; /* it has failed in here */
	world.is_open = false;
	no_memory_at(0);
	settle();
	for (size_t i = 0; i < 2; i++) {
		shards_stop(world.workers[i]);
		hubs_stop(world.workers[i]);
	}
	settle();
	for (size_t i = 0; i < 2; i++) {
		struct worker *w = world.workers[i];

		assert_int_equal(atomic_load(&w->connections), 0);
		hubs_fini(w);
		worker_free(w);
	}
	scripts_free();
	assert_int_equal(budget_used(&s->budget), 0);
	gate_close(&world.gate);
}

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

/* A client of this worker, whom nothing is known of yet. */
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

/* The hub of a path, on whatever worker; NULL = there is none. */
static inline struct hub *hub_at(const char *path)
{
	struct hub *h;

	for (size_t i = 0; i < 2; i++)
		TAILQ_FOREACH (h, &world.workers[i]->hubs->list, home_next)
			if (strcmp(h->path, path) == 0)
				return h;
	return NULL;
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

#endif
