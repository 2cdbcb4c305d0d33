/*
 * relay_support.h: a relay with one route, as a test configures it. Its workers
 * have no threads: a test says when one has its turn, and when its clock goes on
 * (pass). And players: ends that write down what they are told.
 */
#ifndef TESTS_RELAY_SUPPORT_H
#define TESTS_RELAY_SUPPORT_H

#include <fcntl.h>
#include <sys/mman.h>

#include "codec/ws.h"
#include "conn_support.h"
#include "net/loop.h"
#include "no_memory.h"
#include "base/log.h"
#include "end/end.h"
#include "end/ending.h"
#include "daemon/private.h"
#include "gate_support.h"
#include "hub/hub.h"

/* Lines of a route; what follows is a test's own. */
#define ECHO "backend = echo:\nauth = none\n"
#define ROOM "backend = room:\nauth = none\nmode = hub\n"

static struct gate gate;
static struct worker *workers[2];
static struct worker *worker; /* the first; its loop is `loop` */
static int log_file, stderr_kept;

/* From now on lines of the log are kept, until the test asks for them. */
static inline void keep_log(void)
{
	log_file = memfd_create("log", MFD_CLOEXEC);
	stderr_kept = dup(STDERR_FILENO);
	assert_true(log_file >= 0 && stderr_kept >= 0);
	assert_int_equal(dup2(log_file, STDERR_FILENO), STDERR_FILENO);
	log_set_level(LOG_INFO);
}

/* What was kept, each line without its time. */
static inline const char *logged(void)
{
	static char text[4096];
	char raw[4096];
	ssize_t n = pread(log_file, raw, sizeof(raw) - 1, 0);
	char *out = text;

	log_set_level(LOG_ERROR);
	dup2(stderr_kept, STDERR_FILENO);
	close(stderr_kept);
	close(log_file);
	assert_true(n >= 0);
	raw[n] = '\0';
	for (char *line = strtok(raw, "\n"); line; line = strtok(NULL, "\n"))
		out += sprintf(out, "%s\n", strchr(line, ' ') + 1);
	*out = '\0';
	return text;
}

static inline void relay_open_workers(const char *route, size_t n)
{
	struct buf text = { 0 };
	char *ini;

	assert_int_equal(
		buf_add_printf(&text, "[listen main]\n[route r]\npath = /r\n%s",
			route),
		0);
	ini = take_text(&text);
	gate_open(&gate, load_warned(ini));
	free(ini);
	budget_init(&gate.shared.budget, SIZE_MAX);
	gate.shared.workers = workers;
	gate.shared.workers_n = n;
	for (size_t i = 0; i < n; i++) {
		workers[i] = daemon_worker_new(&gate.shared, gate.conf, NULL);
		assert_non_null(workers[i]);
		workers[i]->index = i;
	}
	worker = workers[0];
	loop = worker->loop;
	log_set_level(LOG_ERROR);
}

static inline void relay_open(const char *route)
{
	relay_open_workers(route, 1);
}

/* Then nothing may be counted, or waiting, any more. */
static inline void relay_close(void)
{
	for (size_t i = 0; i < gate.shared.workers_n; i++)
		daemon_worker_stop(workers[i]);
	for (size_t i = 0; i < gate.shared.workers_n; i++) {
		assert_int_equal(atomic_load(&workers[i]->connections), 0);
		daemon_worker_free(workers[i]);
	}
	assert_int_equal(budget_used(&gate.shared.budget), 0);
	gate_close(&gate);
}

/* Its letters are opened, then what was deferred is done. */
static inline void turn_of(struct worker *w)
{
	w->mailbox.waker.woken(&w->mailbox.waker);
	loop_run_deferred(w->loop);
}

/* The timers of the next ms fire, each at its time. */
static inline void pass(int64_t ms)
{
	int64_t until = loop_now(loop) + ms;

	while (loop->heap_n > 0 && loop->heap[1]->due <= until) {
		struct timer *t = loop->heap[1];

		if (t->due > loop->now)
			loop->now = t->due;
		timer_clear(loop, t);
		t->cb(t);
	}
	loop->now = until;
}

/* A client that a worker was given and that was let in on the route. */
static inline struct client client_of(struct worker *w, enum jwt_perm perm)
{
	static uint64_t id = 1;
	struct client c = client_from(&gate, "203.0.113.9");

	c.id = id++;
	c.route = &gate.conf->routes[0];
	c.verdict = (struct client_verdict){ .perm = (uint8_t)perm,
		.token_exp = JWT_NEVER,
		.expire_at = JWT_NEVER };
	expect_reason(admission_enter(&gate.shared, &c, 0), NONE);
	expect_reason(admission_enter_route(&c), NONE);
	atomic_fetch_add(&w->connections, 1);
	return c;
}

static inline struct client client_of_route(enum jwt_perm perm)
{
	return client_of(worker, perm);
}

/* --- players ----------------------------------------------------------------*/

struct player {
	struct end end;
	char did[1000];      /* "on off <text> close(1001 idle)" */
	enum reason refuses; /* what comes: for this reason */
	struct player *ends; /* another that ends while this one sends */
};

static inline void did(struct player *p, const char *what, size_t n)
{
	size_t at = strlen(p->did);

	assert_true(at + n + 2 < sizeof(p->did));
	if (at > 0)
		p->did[at++] = ' ';
	memcpy(p->did + at, what, n);
	p->did[at + n] = '\0';
}

static inline struct player *player_of(struct end *e)
{
	return CONTAINER_OF(e, struct player, end);
}

static inline void player_ends(struct player *p, enum reason reason)
{
	p->end.owner->cb->ended(&p->end, &(struct ending){ .reason = reason });
}

static inline enum reason player_send(struct end *e, const struct piece *piece)
{
	struct player *p = player_of(e);
	char text[100];
	int n = snprintf(text, sizeof(text), "%s%.*s%s",
		piece->first ? "<" : "", (int)piece->n,
		(const char *)piece->data, piece->last ? ">" : "");

	if (p->refuses != REASON_NONE)
		return p->refuses;
	did(p, text, (size_t)n);
	if (p->ends)
		player_ends(p->ends, REASON_BACKEND_RESET);
	return REASON_NONE;
}

static inline void player_flow(struct end *e, bool on)
{
	did(player_of(e), on ? "on" : "off", on ? 2 : 3);
}

/* Of the words only what is in front of ':', which no new wording changes. */
static inline void player_close(struct end *e, uint16_t code, struct str text)
{
	const char *colon = text.n > 0 ? memchr(text.p, ':', text.n) : NULL;
	char line[200];
	int n;

	if (colon)
		text.n = (size_t)(colon - text.p);
	n = snprintf(line, sizeof(line), "close(%u%s%.*s)", code,
		text.n > 0 ? " " : "", (int)text.n, text.n > 0 ? text.p : "");
	did(player_of(e), line, (size_t)n);
}

static const struct end_ops player_ops = {
	.send = player_send,
	.flow = player_flow,
	.close = player_close,
};

static inline struct player *player(enum end_side side, struct conn *conn)
{
	struct player *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->end = (struct end){ .ops = &player_ops,
		.owner = &end_unowned,
		.conn = conn,
		.side = (uint8_t)side };
	return p;
}

/* What it did since the last time that this was asked. */
#define assert_did(p, text)                                                    \
	do {                                                                   \
		assert_string_equal((p)->did, text);                           \
		(p)->did[0] = '\0';                                            \
	} while (0)

/* Its peer says a part of a message, or all of it. */
static inline void says_part(
	struct player *p, const char *text, bool first, bool last)
{
	char *data = exact_copy(text, strlen(text));

	p->end.owner->cb->input(&p->end, &(struct piece){ .opcode = WS_TEXT,
						 .first = first,
						 .last = last,
						 .data = (uint8_t *)data,
						 .n = strlen(text) });
	free(data);
}

static inline void says(struct player *p, const char *text)
{
	says_part(p, text, true, true);
}

/* Its last word: its connection is closed. */
static inline void leaves(struct player *p)
{
	p->end.owner->cb->gone(&p->end);
	free(p);
}

#endif
