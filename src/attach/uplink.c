#include "attach/uplink.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/backoff.h"
#include "base/buf.h"
#include "codec/pattern.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "worker/worker.h"
#include "gate/request.h"
#include "end/end.h"
#include "end/ending.h"
#include "backend/backend.h"
#include "hub/attach.h"
#include "attach/outbox.h"
#include "attach/place.h"
#include "attach/setup.h"
#include "attach/verdict.h"

/* A refusal for a token is not mended within seconds. */
#define TOKEN_PATIENCE 6
/* How often is said what was lost, while that goes on; for the first time. */
#define SAY_LOST_MS       60000
#define SAY_FIRST_LOST_MS 1000
/* With slow = latest little may wait in the kernel, where it grows old. */
#define UNSENT_LATEST 65536

enum uplink_state {
	UPLINK_WAITING,  /* for the next attempt */
	UPLINK_OPENING,  /* an attempt is under way */
	UPLINK_GREETING, /* open; the relay's first message is to come */
	UPLINK_OPEN,
	UPLINK_CLOSING, /* the end is closed, and will be gone */
	UPLINK_OVER,
};

struct uplink {
	struct uplink_params params;
	struct tunnel_proxy proxy; /* its host is NULL: none */
	struct loop *loop;
	enum uplink_state state;
	struct attempt *attempt; /* OPENING */
	struct end *end;         /* GREETING to CLOSING */
	struct end_owner owner;
	struct outbox outbox;
	struct buf kept; /* of a message that comes in pieces */
	size_t longest;  /* that the relay takes */
	struct backoff backoff;
	int64_t since_ms;  /* without a connection; or OPEN */
	uint16_t end_code; /* 0: it has not ended */
	bool parted;       /* that was said, and all before it */
	bool never;        /* the relay is not to be tried again */
	bool full;         /* room is to be told of */
	bool watch_told, lost_told;
	char said[SAY_MAX]; /* why not, as it was said last */
	struct timer retry, deadline, lost;
	struct deferred work; /* sends, tells */
};

static struct uplink *uplink_of(const struct end *e)
{
	return CONTAINER_OF(e->owner, struct uplink, owner);
}

static void set_state(struct uplink *u, enum uplink_state to)
{
	u->state = to;
}

static bool is_open(const struct uplink *u)
{
	return u->state == UPLINK_GREETING || u->state == UPLINK_OPEN;
}

/* --- over -----------------------------------------------------------------*/

static void tell_over(struct deferred *d)
{
	struct uplink *u = CONTAINER_OF(d, struct uplink, work);

	u->params.cb->over(u->params.owner);
}

/* What waits will not be sent. */
static void over(struct uplink *u)
{
	if (u->state == UPLINK_OVER)
		return;
	assert(!u->attempt && !u->end);
	set_state(u, UPLINK_OVER);
	timer_clear(u->loop, &u->retry);
	timer_clear(u->loop, &u->deadline);
	timer_clear(u->loop, &u->lost);
	outbox_count(&u->outbox, OUTBOX_NO_LINE, u->outbox.backlog.n);
	backlog_drop(&u->outbox.backlog, u->outbox.backlog.n);
	outbox_say_lost(&u->outbox);
	loop_undefer(u->loop, &u->work);
	loop_defer(u->loop, &u->work, tell_over);
}

/* Whether there is no use in another attempt, now that the run has ended. */
static bool is_hopeless(const struct uplink *u)
{
	return u->end_code != 0 &&
	       (u->end_code != WS_CODE_NORMAL || u->backoff.failures > 1 ||
		       loop_now(u->loop) - u->since_ms > UPLINK_END_MS);
}

static void retry_after(struct uplink *u, int64_t ms)
{
	set_state(u, UPLINK_WAITING);
	if (u->never || is_hopeless(u))
		over(u);
	else
		timer_set(u->loop, &u->retry, loop_now(u->loop) + ms);
}

/* --- sending --------------------------------------------------------------*/

static void close_end(struct uplink *u, uint16_t code)
{
	set_state(u, UPLINK_CLOSING);
	u->end->ops->close(u->end, code, STR_NONE);
}

static void work(struct deferred *d)
{
	struct uplink *u = CONTAINER_OF(d, struct uplink, work);

	if (u->state == UPLINK_OPEN &&
		outbox_send(&u->outbox, u->loop, u->end, u->longest)) {
		loop_defer_next(u->loop, d, work);
		return;
	}
	if (u->full && !outbox_is_full(&u->outbox)) {
		u->full = false;
		u->params.cb->room(u->params.owner);
	}
	/* Queued bytes leave before the close frame. */
	if (u->state == UPLINK_OPEN && u->end_code != 0 &&
		outbox_is_empty(&u->outbox)) {
		u->parted = true;
		close_end(u, u->end_code);
	}
}

static void work_soon(struct uplink *u)
{
	if (u->state != UPLINK_OVER)
		loop_defer(u->loop, &u->work, work);
}

static void say_lost(struct timer *t)
{
	struct uplink *u = CONTAINER_OF(t, struct uplink, lost);

	outbox_say_lost(&u->outbox);
}

/* It is said soon, but not each time. */
static void lost_something(struct uplink *u)
{
	if (u->lost.at)
		return;
	timer_set(u->loop, &u->lost,
		loop_now(u->loop) +
			(u->lost_told ? SAY_LOST_MS : SAY_FIRST_LOST_MS));
	u->lost_told = true;
}

void uplink_send(struct uplink *u, uint8_t opcode, const uint8_t *p, size_t n)
{
	if (u->state == UPLINK_OVER || u->never) {
		outbox_count(&u->outbox, OUTBOX_NO_LINE, 1);
		return;
	}
	outbox_add(&u->outbox, opcode, p, n);
	u->full = outbox_is_full(&u->outbox);
	for (int i = 0; i < OUTBOX_LOST; i++)
		if (u->outbox.lost[i] > 0)
			lost_something(u);
	work_soon(u);
}

void uplink_count_too_long(struct uplink *u)
{
	outbox_count(&u->outbox, OUTBOX_TOO_LONG, 1);
	lost_something(u);
}

void uplink_count_not_text(struct uplink *u)
{
	outbox_count(&u->outbox, OUTBOX_NOT_TEXT, 1);
	lost_something(u);
}

bool uplink_is_full(const struct uplink *u)
{
	return u->state != UPLINK_OVER && !u->never &&
	       outbox_is_full(&u->outbox);
}

/* --- the greeting ---------------------------------------------------------*/

static void opened(struct uplink *u)
{
	set_state(u, UPLINK_OPEN);
	u->said[0] = '\0';
	say("attached at %s", u->params.place->uri);
	outbox_say_lost(&u->outbox);
	work_soon(u);
}

static void say_watch(struct uplink *u, const json_t *o)
{
	const char *watch = json_string_value(json_object_get(o, "watch_at"));
	char room[SAY_MAX];

	if (!watch || u->watch_told)
		return;
	u->watch_told = true;
	say_plain("Watch: %s", say_clean(room, str_of(watch)));
}

/* Its first message, see wsrelayd-attach(7). What it has not is not known. */
static void greeted(struct uplink *u, const struct piece *p)
{
	json_t *o = json_loadb((const char *)p->data, p->n, 0, NULL);
	json_int_t longest = json_integer_value(
		json_object_get(o, "max_backend_message"));

	if (longest > 0)
		u->longest = (size_t)longest;
	opened(u);
	say_watch(u, o);
	json_decref(o);
}

/* --- from its end ---------------------------------------------------------*/

static void up_input(struct end *e, const struct piece *piece)
{
	struct uplink *u = uplink_of(e);
	struct budget *budget = &u->params.setup->shared.budget;
	struct piece whole;
	enum reason failed;
	const struct piece *p = end_assemble(
		&u->kept, budget, piece, &whole, &failed);

	if (!p) {
		if (failed != REASON_NONE)
			close_end(u, WS_CODE_GOING_AWAY);
		return;
	}
	if (u->state == UPLINK_GREETING)
		greeted(u, p);
	else if (u->state == UPLINK_OPEN)
		u->params.cb->input(u->params.owner, p->opcode, p->data, p->n);
	end_forget(&u->kept, budget);
}

static void up_drained(struct end *e)
{
	work_soon(uplink_of(e));
}

static void up_dropped(struct end *e, uint64_t n)
{
	(void)e;
	(void)n;
}

/* Says why there is no connection, when it is news. */
static void say_verdict(struct uplink *u, const struct verdict *v)
{
	const char *then = "; it is tried again, the run goes on";

	u->never = u->never || v->advice == REASON_NEVER;
	if (u->never)
		then = "; it is not tried again, the run goes on";
	else if (v->advice == REASON_TOKEN && u->params.has_token_file)
		then = "; the token's file is read anew at each try, the run "
		       "goes on";
	if (u->end_code != 0)
		then = "";
	if (!u->never && strcmp(u->said, v->text) == 0 &&
		(u->end_code != 0 || !backoff_is_loud(&u->backoff)))
		return;
	memcpy(u->said, v->text, sizeof(u->said));
	say("%s%s", v->text, then);
}

static int64_t next_try(struct uplink *u, const struct verdict *v)
{
	uint32_t random;
	int64_t ms;

	worker_random(
		u->params.setup->worker, (uint8_t *)&random, sizeof(random));
	ms = backoff_next(&u->backoff, random);
	return v->advice == REASON_TOKEN ? TOKEN_PATIENCE * ms : ms;
}

static void up_ended(struct end *e, const struct ending *why)
{
	struct uplink *u = uplink_of(e);
	struct verdict v;

	if (!is_open(u))
		return;
	verdict_of_end(&v, why);
	if (loop_now(u->loop) - u->since_ms >= BACKOFF_STEADY_MS)
		backoff_reset(&u->backoff);
	u->since_ms = loop_now(u->loop);
	timer_set(u->loop, &u->retry, u->since_ms + next_try(u, &v));
	say_verdict(u, &v);
	close_end(u, why->code ? why->code : WS_CODE_GOING_AWAY);
}

static void up_gone(struct end *e)
{
	struct uplink *u = uplink_of(e);
	int64_t wait = u->retry.at ? u->retry.due - loop_now(u->loop) : 0;

	u->end = NULL;
	end_forget(&u->kept, &u->params.setup->shared.budget);
	timer_clear(u->loop, &u->retry);
	if (u->parted)
		over(u);
	else
		retry_after(u, wait > 0 ? wait : 0);
	work_soon(u);
}

static const struct end_cb up_cb = {
	.input = up_input,
	.drained = up_drained,
	.ended = up_ended,
	.dropped = up_dropped,
	.gone = up_gone,
};

/* --- attempts -------------------------------------------------------------*/

static void take_end(struct uplink *u, const struct backend_result *r)
{
	const struct conf_route *route = u->params.setup->client.route;

	u->end = r->end;
	u->end->owner = &u->owner;
	u->end->conn->resume_at = 0;
	if (route->slow_text_kind == CONF_SLOW_LATEST ||
		route->slow_binary_kind == CONF_SLOW_LATEST)
		conn_set_unsent_limit(u->end->conn, UNSENT_LATEST);
	u->since_ms = loop_now(u->loop);
	u->longest = (size_t)route->max_backend_message;
	set_state(u, UPLINK_GREETING);
	if (!str_eq(r->outcome.protocol, STR(CONF_ATTACH_PROTOCOL)))
		opened(u);
	u->end->ops->flow(u->end, true);
}

static void failed(struct uplink *u, const struct verdict *v)
{
	int64_t ms = next_try(u, v);

	say_verdict(u, v);
	retry_after(u, ms);
}

static void done(void *owner, const struct backend_result *r)
{
	struct uplink *u = owner;
	struct verdict v;

	u->attempt = NULL;
	if (r->outcome.reason == REASON_NONE) {
		take_end(u, r);
		return;
	}
	verdict_of_attempt(&v, r);
	failed(u, &v);
}

static void add_field(struct http_head *h, struct str name, struct str value)
{
	h->fields[h->n++] = (struct http_field){ name, value };
}

/* The request that a ws backend is opened for is our own. */
static struct attempt *open_attempt(struct uplink *u)
{
	const struct place *place = u->params.place;
	struct request request = { .path = str_of(place->path),
		.query = str_of(place->query),
		.secure = place->tls };
	struct backend_params p = { .worker = u->params.setup->worker,
		.client = &u->params.setup->client,
		.request = &request,
		.captures = &(struct captures){ .pattern = NULL },
		.client_fd = -1,
		.proxy = u->proxy.host ? &u->proxy : NULL,
		.own = true,
		.done = done,
		.owner = u };

	add_field(&request.head, STR("Sec-WebSocket-Protocol"),
		STR(CONF_ATTACH_PROTOCOL));
	add_field(&request.head, STR("User-Agent"), STR("wsrelayd/" VERSION));
	return backend_open(&p);
}

static void retry(struct timer *t)
{
	struct uplink *u = CONTAINER_OF(t, struct uplink, retry);
	struct verdict v = { .advice = REASON_LATER, .text = "no memory" };

	/* The end that was lost is still there: up_gone sees to it. */
	if (u->state != UPLINK_WAITING)
		return;
	set_state(u, UPLINK_OPENING);
	u->attempt = open_attempt(u);
	if (!u->attempt)
		failed(u, &v);
}

/* --- the end --------------------------------------------------------------*/

static void cut(struct uplink *u)
{
	if (u->attempt)
		backend_cancel(u->attempt);
	u->attempt = NULL;
	if (u->end)
		conn_close(u->end->conn);
}

static void deadline(struct timer *t)
{
	struct uplink *u = CONTAINER_OF(t, struct uplink, deadline);

	cut(u);
	u->never = true;
	if (!u->end)
		over(u);
}

void uplink_end(struct uplink *u, uint16_t code)
{
	if (u->state == UPLINK_OVER || u->end_code != 0)
		return;
	u->end_code = code;
	timer_set(u->loop, &u->deadline, loop_now(u->loop) + UPLINK_END_MS);
	if (is_open(u) || u->state == UPLINK_CLOSING) {
		work_soon(u);
	} else if (is_hopeless(u)) {
		cut(u);
		over(u);
	}
}

struct uplink *uplink_new(const struct uplink_params *p)
{
	struct uplink *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->params = *p;
	u->proxy = (struct tunnel_proxy){ .host = p->proxy->host,
		.port = p->proxy->port,
		.authorization = p->proxy->authorization };
	u->loop = p->setup->worker->loop;
	u->owner.cb = &up_cb;
	u->since_ms = loop_now(u->loop);
	if (timer_init(u->loop, &u->retry, retry) < 0 ||
		timer_init(u->loop, &u->deadline, deadline) < 0 ||
		timer_init(u->loop, &u->lost, say_lost) < 0) {
		uplink_free(u);
		return NULL;
	}
	outbox_init(
		&u->outbox, &p->setup->shared.budget, p->setup->client.route);
	timer_set(u->loop, &u->retry, u->since_ms);
	return u;
}

void uplink_free(struct uplink *u)
{
	if (!u)
		return;
	cut(u);
	if (u->end)
		u->end->owner = &end_unowned;
	loop_undefer(u->loop, &u->work);
	timer_fini(u->loop, &u->retry);
	timer_fini(u->loop, &u->deadline);
	timer_fini(u->loop, &u->lost);
	outbox_free(&u->outbox);
	buf_free(&u->kept);
	free(u);
}
