#include "backend/backend.h"

#include "conf/conf.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "backend/kind.h"

static const struct backend_kind *const kinds[] = {
	[BACKEND_TCP] = &backend_socket,
	[BACKEND_UNIX] = &backend_socket,
	[BACKEND_WS] = &backend_ws,
	[BACKEND_EXEC] = &backend_exec,
	[BACKEND_ECHO] = &backend_echo,
};

struct attempt *backend_open(const struct backend_params *p)
{
	const struct backend_kind *kind = kinds[p->client->route->to.kind];
	struct backend_params params = *p;
	struct attempt *a;

	params.begun_ms = loop_now(p->worker->loop);
	a = kind->open(&params);
	if (a)
		a->kind = kind;
	return a;
}

void backend_tell(
	const struct backend_params *p, const struct backend_result *r)
{
	struct route_counters *c = worker_route(p->worker, p->client->route);
	bool ok = r->outcome.reason == REASON_NONE;

	counter_add(&c->connects[ok ? COUNT_OK : COUNT_FAILED], 1);
	if (ok)
		histogram_add_ms(&c->connect_times, &histogram_waits,
			loop_now(p->worker->loop) - p->begun_ms);
	p->done(p->owner, r);
}

void backend_cancel(struct attempt *a)
{
	a->kind->cancel(a);
}
