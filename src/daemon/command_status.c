/* status: what the relay is, and how busy it is. */
#include "daemon/command.h"

#include <unistd.h>

#include "base/budget.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/store.h"
#include "worker/route_counters.h"

struct sums {
	uint64_t accepted, opened, closed;
};

static void add_up(const struct daemon *d, struct sums *s)
{
	for (size_t i = 0; i < d->workers_n; i++) {
		const struct counters *c = &d->workers[i]->counters;

		s->accepted += c->accepted;
		s->opened += c->opened;
		s->closed += c->closed;
	}
}

static const char *state_of(const struct daemon *d)
{
	if (d->stop != STOP_NOT)
		return "stopping";
	return atomic_load(&d->shared.draining) ? "draining" : "running";
}

void command_status(struct answer *a)
{
	const struct daemon *d = a->daemon;
	const struct shared *s = &d->shared;
	int64_t now = clock_unix_ms();
	struct route_traffic t = route_records_traffic(s->records);
	struct sums n = { 0 };

	add_up(d, &n);
	ANSWER_ROW(a, F_STR("version", VERSION), F_INT("pid", getpid()),
		F_INT("started_at", s->started_ms),
		F_INT("age_ms", now - s->started_ms),
		F_STR("state", state_of(d)),
		F_STR("state_directory", store_path(d)),
		F_INT("workers", d->workers_n),
		F_INT("routes", d->conf->routes_n),
		F_INT("connections", s->connections),
		F_INT("max_connections", atomic_load(&s->max_connections)),
		F_INT("sessions", n.opened - n.closed),
		F_INT("programs", s->programs),
		F_INT("queued_bytes", budget_used(&s->budget)),
		F_INT("max_memory_bytes", d->conf->server.max_memory),
		F_INT("accepted", n.accepted), F_INT("opened", n.opened),
		F_INT("closed", n.closed),
		F_INT("client_messages", t.messages[COUNT_CLIENT]),
		F_INT("client_bytes", t.bytes[COUNT_CLIENT]),
		F_INT("backend_messages", t.messages[COUNT_BACKEND]),
		F_INT("backend_bytes", t.bytes[COUNT_BACKEND]),
		F_INT("log_dropped", log_dropped()));
	answer_end(a);
}
