/* The built-in backend: what the client says comes back, piece by piece. */
#include "end/stream.h"

#include <stdlib.h>

#include "net/loop.h"
#include "worker/worker.h"

struct echo_end {
	struct end end;
	struct loop *loop;
	struct deferred deferred;
};

static enum reason echo_end_send(struct end *end, const struct piece *p)
{
	end->owner->cb->input(end, p);
	return REASON_NONE;
}

/* Nothing is read here: the pair pauses the client itself. */
static void echo_end_flow(struct end *end, bool on)
{
	(void)end;
	(void)on;
}

static void echo_end_gone(struct deferred *d)
{
	struct echo_end *e = CONTAINER_OF(d, struct echo_end, deferred);

	e->end.owner->cb->gone(&e->end);
	free(e);
}

static void echo_end_close(struct end *end, uint16_t code, struct str text)
{
	struct echo_end *e = CONTAINER_OF(end, struct echo_end, end);

	(void)code;
	(void)text;
	loop_defer(e->loop, &e->deferred, echo_end_gone);
}

static const struct end_ops echo_end_ops = {
	.send = echo_end_send,
	.flow = echo_end_flow,
	.close = echo_end_close,
};

struct end *echo_end_new(struct worker *w)
{
	struct echo_end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->loop = w->loop;
	e->end = (struct end){
		.ops = &echo_end_ops, .owner = &end_unowned, .side = END_BACKEND
	};
	return &e->end;
}
