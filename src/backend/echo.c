/* echo: the messages of a client come back to it. */
#include <stdlib.h>

#include "net/loop.h"
#include "worker/worker.h"
#include "end/stream.h"
#include "backend/kind.h"

struct echo_attempt {
	struct attempt attempt;
	struct deferred deferred;
};

static void echo_ready(struct deferred *d)
{
	struct echo_attempt *a = CONTAINER_OF(d, struct echo_attempt, deferred);
	struct backend_params p = a->attempt.params;
	struct backend_result r = { .end = echo_end_new(p.worker) };

	free(a);
	if (!r.end)
		r.outcome.reason = REASON_INTERNAL;
	backend_tell(&p, &r);
}

static struct attempt *echo_open(const struct backend_params *p)
{
	struct echo_attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->attempt.params = *p;
	loop_defer(p->worker->loop, &a->deferred, echo_ready);
	return &a->attempt;
}

static void echo_cancel(struct attempt *attempt)
{
	struct echo_attempt *a = CONTAINER_OF(
		attempt, struct echo_attempt, attempt);

	loop_undefer(attempt->params.worker->loop, &a->deferred);
	free(a);
}

const struct backend_kind backend_echo = {
	.open = echo_open,
	.cancel = echo_cancel,
};
