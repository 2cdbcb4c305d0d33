/*
 * attached:NAME: which runs of [attach NAME] there are, as a JSON text, and
 * again when that has changed. What the client says is not looked at.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/pattern.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "gate/request.h"
#include "end/end.h"
#include "end/ending.h"
#include "backend/kind.h"
#include "backend/runs.h"

/* Changes of so long go together. */
#define TOGETHER_MS 200

struct attached_end {
	struct end end;
	struct loop *loop;
	const struct conf_route *route; /* its owner keeps it alive */
	struct runs_watch *watch;
	char *path; /* of the client: its captures say which runs */
	struct timer timer;
	struct deferred deferred;
	int64_t said_ms;
	bool reading, due;
};

static struct attached_end *attached_of(struct end *e)
{
	return CONTAINER_OF(e, struct attached_end, end);
}

static void say(struct attached_end *e)
{
	const struct conf_attach *a = e->route->to.attach;
	const struct end_cb *cb = e->end.owner->cb;
	struct captures wanted;
	char *text;

	e->due = false;
	e->said_ms = loop_now(e->loop);
	if (!pattern_match(e->route->pattern, str_of(e->path), &wanted)) {
		cb->ended(&e->end,
			&(struct ending){ .reason = REASON_ROUTE_CHANGED });
		return;
	}
	text = runs_text(a->entrance.state->runs, a, &wanted);
	if (!text) {
		cb->ended(
			&e->end, &(struct ending){ .reason = REASON_INTERNAL });
		return;
	}
	cb->input(&e->end, &(struct piece){ .opcode = WS_TEXT,
				   .first = true,
				   .last = true,
				   .brief = true,
				   .data = (uint8_t *)text,
				   .n = strlen(text) });
	free(text);
}

static void say_in_time(struct timer *t)
{
	struct attached_end *e = CONTAINER_OF(t, struct attached_end, timer);

	if (e->reading && e->due)
		say(e);
}

static void say_soon(struct attached_end *e)
{
	int64_t now = loop_now(e->loop), due = e->said_ms + TOGETHER_MS;

	if (e->reading && e->due)
		timer_set(e->loop, &e->timer, due > now ? due : now);
}

static void runs_changed(void *owner)
{
	struct attached_end *e = owner;

	e->due = true;
	say_soon(e);
}

static enum reason attached_send(struct end *end, const struct piece *p)
{
	(void)end;
	(void)p;
	return REASON_NONE;
}

static void attached_flow(struct end *end, bool on)
{
	struct attached_end *e = attached_of(end);

	e->reading = on;
	say_soon(e);
}

static void attached_gone(struct deferred *d)
{
	struct attached_end *e = CONTAINER_OF(d, struct attached_end, deferred);

	e->end.owner->cb->gone(&e->end);
	timer_fini(e->loop, &e->timer);
	free(e->path);
	free(e);
}

static void attached_close(struct end *end, uint16_t code, struct str text)
{
	struct attached_end *e = attached_of(end);

	(void)code;
	(void)text;
	timer_clear(e->loop, &e->timer);
	e->reading = false;
	if (e->watch)
		runs_unwatch(e->watch);
	e->watch = NULL;
	loop_defer(e->loop, &e->deferred, attached_gone);
}

static void attached_renew(struct end *end, const struct conf_route *route)
{
	attached_of(end)->route = route;
}

static const struct end_ops attached_ops = {
	.send = attached_send,
	.flow = attached_flow,
	.close = attached_close,
	.renew = attached_renew,
};

static struct end *attached_new(const struct backend_params *p)
{
	const struct conf_route *route = p->client->route;
	struct attached_end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->end = (struct end){
		.ops = &attached_ops, .owner = &end_unowned, .side = END_BACKEND
	};
	e->loop = p->worker->loop;
	e->route = route;
	e->due = true;
	e->path = str_dup(p->request->path);
	if (!e->path || timer_init(e->loop, &e->timer, say_in_time) < 0) {
		free(e->path);
		free(e);
		return NULL;
	}
	e->watch = runs_watch(route->to.attach->entrance.state->runs, p->worker,
		runs_changed, e);
	if (e->watch)
		return &e->end;
	timer_fini(e->loop, &e->timer);
	free(e->path);
	free(e);
	return NULL;
}

static struct attempt *attached_open(const struct backend_params *p)
{
	return backend_open_builtin(p, attached_new(p));
}

const struct backend_kind backend_attached = {
	.open = attached_open,
	.cancel = backend_cancel_builtin,
};
