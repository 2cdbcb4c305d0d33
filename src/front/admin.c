/*
 * What the relay says of itself: /healthz and /readyz on every listener, and
 * the paths of those with role = admin.
 */
#include "front/private.h"

#include "conf/conf.h"
#include "worker/worker.h"
#include "gate/request.h"
#include "page/way.h"
#include "front/answer.h"

bool front_answer_health(struct front *f, const struct request *r)
{
	if (!way_is_health(r))
		return false;
	if (str_eq(r->path, STR("/healthz")))
		front_answer_text(f, r, 200, STR("ok\n"));
	else if (atomic_load_explicit(
			 &f->worker->shared->leaving, memory_order_relaxed))
		front_answer_text(f, r, 503, STR("leaving\n"));
	else
		front_answer_text(f, r, 200, STR("ready\n"));
	return true;
}

void front_dispatch_admin(struct front *f, const struct request *r)
{
	if (str_eq(r->path, STR("/metrics")) && !r->upgrade)
		front_answer_metrics(f, r);
	else
		front_refuse(f, r, REASON_NOT_FOUND, NULL);
}
