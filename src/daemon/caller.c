#include "daemon/caller.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "conf/conf.h"
#include "daemon/command.h"
#include "daemon/private.h"
#include "net/conn.h"
#include "net/loop.h"

/* While more waits for a caller no further row is made. */
#define QUEUE_MAX (256u * 1024)
/* A caller that takes nothing for so long is cut. */
#define STUCK_MS 10000
/* A tap may be shown in a pager, which reads no more until its user goes on. */
#define STUCK_ENDLESS_MS 600000
#define LINGER_MS        2000
/* What a uid is that the service's user namespace does not have. */
#define UNKNOWN_UID 65534

struct caller {
	LIST_ENTRY(caller) next;
	struct callers *all;
	struct conn *conn;
	struct ucred who;
	bool readonly;
	bool last;      /* its stream has ended: it asks nothing more */
	struct buf in;  /* requests, CONTROL_LINE_MAX bytes at most */
	struct buf out; /* rows of this turn */
	struct control_request request;
	struct answer answer;
	bool answering;
	bool continues;                       /* answer.more is to be called */
	const struct control_command *logged; /* the last that was */
	struct deferred step;
	struct timer stuck;
};

static struct caller *caller_of(struct answer *a)
{
	return CONTAINER_OF(a, struct caller, answer);
}

/* --- sending --------------------------------------------------------------*/

static bool has_room(const struct caller *c)
{
	return c->conn->queued + c->out.n < QUEUE_MAX;
}

static void watch_stuck(struct caller *c)
{
	struct loop *l = c->conn->loop;

	if (c->conn->queued > 0 && c->stuck.at == 0)
		timer_set(l, &c->stuck, loop_now(l) + STUCK_MS);
}

static int64_t patience(const struct caller *c)
{
	return c->answering && c->answer.endless ? STUCK_ENDLESS_MS : STUCK_MS;
}

static void stuck(struct timer *t)
{
	struct caller *c = CONTAINER_OF(t, struct caller, stuck);
	struct loop *l = c->conn->loop;
	int64_t due;

	if (c->conn->queued == 0)
		return;
	conn_note_progress(c->conn);
	due = c->conn->sent_ms + patience(c);
	if (loop_now(l) < due) {
		timer_set(l, t, due);
		return;
	}
	LOG(LOG_WARN, "control-cut", F_INT("uid", c->who.uid),
		F_INT("pid", c->who.pid),
		F_STR("detail", "it does not read its answer"));
	conn_close(c->conn);
}

/* What a turn has written leaves as one write. */
static void flush(struct caller *c)
{
	if (c->out.n > 0)
		conn_send_copied(c->conn, c->out.p, c->out.n);
	c->out.n = 0;
	watch_stuck(c);
}

static void add_line(struct caller *c, const struct log_field *fields, size_t n)
{
	if (json_add_line(&c->out, fields, n) == 0)
		return;
	conn_close(c->conn);
}

#define ADD_LINE(c, ...)                                                       \
	do {                                                                   \
		const struct log_field line_[] = { __VA_ARGS__ };              \
		add_line(c, line_, ARRAY_SIZE(line_));                         \
	} while (0)

static void step(struct deferred *d);

static void step_soon(struct caller *c)
{
	loop_defer_next(c->conn->loop, &c->step, step);
}

/* --- an answer ------------------------------------------------------------*/

void answer_row(
	struct answer *a, const struct log_field *fields, size_t fields_n)
{
	add_line(caller_of(a), fields, fields_n);
}

void answer_add(struct answer *a, const void *rows, size_t n)
{
	struct caller *c = caller_of(a);

	if (buf_add(&c->out, rows, n, SIZE_MAX) < 0)
		conn_close(c->conn);
}

void answer_cut(struct answer *a)
{
	conn_close(caller_of(a)->conn);
}

bool answer_goes_on(struct answer *a)
{
	struct caller *c = caller_of(a);

	return c->conn->state == CONN_OPEN && has_room(c) &&
	       loop_share_left(c->conn->loop);
}

void answer_continue(struct answer *a)
{
	struct caller *c = caller_of(a);

	c->continues = true;
	if (has_room(c)) /* else drained does it */
		step_soon(c);
}

/* The answer is over, or its caller has left. */
static void leave_answer(struct caller *c)
{
	struct answer a = c->answer;

	if (!c->answering)
		return;
	c->answering = c->continues = false;
	if (a.left)
		a.left(&c->answer);
	control_request_free(&c->request);
}

static void finish(struct caller *c, const char *status, const char *error)
{
	ADD_LINE(c, F_STR("status", status), F_STR("error", error));
	leave_answer(c);
	step_soon(c); /* the next request may be there */
}

static void free_place(struct answer *a)
{
	struct answer_place *p = a->state;

	conf_unref(p->conf);
	free(p);
}

void answer_of_conf(struct answer *a, void (*more)(struct answer *a))
{
	struct answer_place *p = calloc(1, sizeof(*p));

	if (!p) {
		answer_refuse(a, "no memory");
		return;
	}
	p->conf = conf_ref(a->daemon->conf);
	a->state = p;
	a->more = more;
	a->left = free_place;
	more(a);
}

void answer_end(struct answer *a)
{
	finish(caller_of(a), CONTROL_OK, NULL);
}

void answer_refuse(struct answer *a, const char *format, ...)
{
	char error[CONTROL_WHY];
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, sizeof(error), format, ap);
	va_end(ap);
	finish(caller_of(a), CONTROL_REFUSED, error);
}

void answer_usage(struct answer *a, const char *format, ...)
{
	char error[CONTROL_WHY];
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, sizeof(error), format, ap);
	va_end(ap);
	finish(caller_of(a), CONTROL_USAGE, error);
}

/* --- requests -------------------------------------------------------------*/

/* "route=sim slow" */
static void describe(struct buf *out, const struct control_request *r)
{
	for (const struct control_argument *a = r->command->arguments; a->name;
		a++) {
		const char *first = a->type == CONTROL_TEXTS
					    ? control_text_at(r, a->name, 0)
					    : control_text(r, a->name);
		int64_t number = control_number(r, a->name);
		bool secret = a->flags & CONTROL_SECRET;
		int failed = 0;

		if (first)
			failed = buf_add_printf(out, " %s=%s", a->name,
				secret ? "(hidden)" : first);
		else if (control_flag(r, a->name))
			failed = buf_add_printf(out, " %s", a->name);
		else if (a->type == CONTROL_NUMBER && number >= 0)
			failed = buf_add_printf(
				out, " %s=%lld", a->name, (long long)number);
		if (failed)
			return; /* the line is shorter */
	}
}

/* Its own word, where the kernel has none; -1: that is not of interest. */
static int64_t says_uid(const struct caller *c)
{
	return c->who.uid == UNKNOWN_UID ? c->request.uid : -1;
}

/*
 * One that looks again and again, like top, has one line for that, not one a
 * second.
 */
static void log_request(struct caller *c)
{
	const struct control_request *r = &c->request;
	bool again = c->logged == r->command &&
		     !(r->command->flags &
			     (CONTROL_CHANGES | CONTROL_MESSAGES));
	struct buf arguments = { 0 };

	c->logged = r->command;
	if (again)
		return;
	describe(&arguments, r);
	LOG(LOG_INFO, "control", F_STR("command", r->command->name),
		arguments.n > 0
			? F_VIEW("arguments", str_trim(buf_str(&arguments)))
			: F_NONE,
		F_INT("uid", c->who.uid),
		says_uid(c) >= 0 ? F_INT("says_uid", says_uid(c)) : F_NONE,
		F_INT("pid", c->who.pid));
	buf_free(&arguments);
}

/* NULL, or what a command does that control_readonly does not take. */
static const char *forbidden(const struct control_command *command)
{
	if (command->flags & CONTROL_CHANGES)
		return "changes anything";
	return command->flags & CONTROL_MESSAGES ? "shows what is said" : NULL;
}

static void run(struct caller *c)
{
	const struct control_command *command = c->request.command;
	const char *why = c->readonly ? forbidden(command) : NULL;

	log_request(c);
	c->answering = true;
	c->answer = (struct answer){ .daemon = c->all->daemon,
		.request = &c->request,
		.readonly = c->readonly,
		.uid = c->who.uid,
		.pid = c->who.pid,
		.says_uid = says_uid(c) };
	if (why)
		answer_refuse(&c->answer,
			"%s: this socket takes no command that %s",
			command->name, why);
	else
		c->all->run[command - control_commands](&c->answer);
}

/* Nothing that it sends can be understood any more. */
static void give_up(struct caller *c, const char *why)
{
	ADD_LINE(c, F_STR("status", CONTROL_USAGE), F_STR("error", why));
	flush(c);
	conn_finish(c->conn, LINGER_MS);
}

static void take_request(struct caller *c)
{
	char why[CONTROL_WHY];
	ssize_t used = control_read(&c->request, c->in.p, c->in.n, why);

	if (used < 0) {
		give_up(c, why);
		return;
	}
	if (used == 0) {
		if (c->last)
			conn_finish(c->conn, LINGER_MS);
		return;
	}
	buf_drop(&c->in, (size_t)used);
	if (c->request.command) {
		run(c);
		return;
	}
	ADD_LINE(c, F_STR("status", CONTROL_USAGE), F_STR("error", why));
	step_soon(c);
}

/* One request, or a part of one answer, a turn. */
static void step(struct deferred *d)
{
	struct caller *c = CONTAINER_OF(d, struct caller, step);

	if (c->conn->state != CONN_OPEN)
		return;
	loop_share_begin(c->conn->loop);
	if (!c->answering) {
		take_request(c);
	} else if (c->continues && has_room(c)) {
		c->continues = false;
		c->answer.more(&c->answer);
	}
	flush(c);
}

/* --- a caller -------------------------------------------------------------*/

static size_t caller_input(struct conn *conn, uint8_t *p, size_t n)
{
	struct caller *c = conn->owner;

	if (buf_add(&c->in, p, n, CONTROL_LINE_MAX) < 0)
		give_up(c, "more than 65536 bytes of requests that wait");
	else if (!c->answering)
		step_soon(c);
	return n;
}

static void caller_drained(struct conn *conn)
{
	struct caller *c = conn->owner;

	if (c->continues)
		step_soon(c);
}

static void caller_ended(struct conn *conn, int error)
{
	struct caller *c = conn->owner;

	if (error || (c->answering && c->answer.endless)) {
		conn_close(conn);
		return;
	}
	c->last = true;
	if (!c->answering)
		step_soon(c);
}

static void caller_free(struct caller *c, struct loop *l)
{
	leave_answer(c);
	timer_fini(l, &c->stuck);
	loop_undefer(l, &c->step);
	LIST_REMOVE(c, next);
	c->all->n--;
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}

static void caller_closed(struct conn *conn)
{
	caller_free(conn->owner, conn->loop);
}

static const struct conn_cb caller_cb = {
	.input = caller_input,
	.drained = caller_drained,
	.ended = caller_ended,
	.closed = caller_closed,
};

static void greet(struct caller *c)
{
	ADD_LINE(c, F_STR("wsrelayd", VERSION),
		F_INT("protocol", CONTROL_PROTOCOL), F_INT("pid", getpid()),
		F_STR("access", c->readonly ? "read" : "all"));
	flush(c);
}

int caller_new(
	struct callers *all, int fd, const struct ucred *who, bool readonly)
{
	struct caller *c = calloc(1, sizeof(*c));

	if (!c || timer_init(all->loop, &c->stuck, stuck) < 0) {
		free(c);
		close(fd);
		return -1;
	}
	c->conn = conn_new(all->loop, fd, fd, &caller_cb, c);
	if (!c->conn) {
		timer_fini(all->loop, &c->stuck);
		free(c);
		return -1;
	}
	c->conn->resume_at = QUEUE_MAX / 2;
	c->all = all;
	c->readonly = readonly;
	c->who = *who;
	LIST_INSERT_HEAD(&all->list, c, next);
	all->n++;
	greet(c);
	conn_set_reading(c->conn, true);
	return 0;
}

void caller_leave_all(struct callers *all)
{
	struct caller *c;

	LIST_FOREACH (c, &all->list, next) {
		leave_answer(c);
		conn_close(c->conn);
	}
}
