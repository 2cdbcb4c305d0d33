#include "backend/backend.h"

#include "conf/conf.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "backend/kind.h"

static const struct backend_kind *const kinds[] = {
	[BACKEND_TCP] = &backend_socket,
	[BACKEND_UNIX] = &backend_socket,
	[BACKEND_WS] = &backend_ws,
	[BACKEND_EXEC] = &backend_exec,
	[BACKEND_ECHO] = &backend_echo,
	[BACKEND_ATTACHED] = &backend_attached,
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

void backend_cancel(struct attempt *a)
{
	a->kind->cancel(a);
}
