#include "backend/kind.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/http/uri.h"
#include "codec/pattern.h"
#include "conf/conf.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "gate/request.h"
#include "end/end.h"

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

char *backend_expand(const char *template, const struct captures *c)
{
	struct buf b = { 0 };

	if (template_expand(&b, str_of(template), c) < 0 ||
		buf_add(&b, "", 1, SIZE_MAX) < 0) {
		buf_free(&b);
		return NULL;
	}
	return (char *)b.p;
}

char *backend_query(const struct backend_params *p)
{
	struct str query = p->request->query;
	char *out = malloc(query.n + 1);

	size_t n = query.n;

	if (!out)
		return NULL;
	/*
	 * On a route without tokens the parameter is the backend's: many have
	 * one.
	 */
	if (p->client->route->auth == CONF_AUTH_TOKEN)
		n = uri_query_without(
			out, query, str_of(p->client->route->token_param));
	else if (n > 0)
		memcpy(out, query.p, n);
	out[n] = '\0';
	return out;
}

/* --- what is built in -----------------------------------------------------*/

struct builtin_attempt {
	struct attempt attempt;
	struct end *end;
	struct deferred deferred;
};

static void builtin_ready(struct deferred *d)
{
	struct builtin_attempt *a = CONTAINER_OF(
		d, struct builtin_attempt, deferred);
	struct backend_params p = a->attempt.params;
	struct backend_result r = { .end = a->end };

	free(a);
	backend_tell(&p, &r);
}

struct attempt *backend_open_builtin(
	const struct backend_params *p, struct end *e)
{
	struct builtin_attempt *a = e ? calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		if (e)
			end_discard(e);
		return NULL;
	}
	a->attempt.params = *p;
	a->end = e;
	loop_defer(p->worker->loop, &a->deferred, builtin_ready);
	return &a->attempt;
}

void backend_cancel_builtin(struct attempt *attempt)
{
	struct builtin_attempt *a = CONTAINER_OF(
		attempt, struct builtin_attempt, attempt);

	loop_undefer(attempt->params.worker->loop, &a->deferred);
	end_discard(a->end);
	free(a);
}
