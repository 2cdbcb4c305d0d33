/*
 * A signal -> /readyz fails -> drain_delay -> listeners close, clients are told
 *          -> all connections and programs are gone, or drain_timeout has passed
 */
#include "daemon/private.h"

#include <stdio.h>

#include "base/log.h"
#include "worker/worker.h"
#include "pair/farewell.h"
#include "daemon/service.h"

#define IDLE_POLL_MS 10
/*
 * The service manager has a patience of its own (TimeoutStopSec): while the stop
 * goes on it is asked for more, so much at a time.
 */
#define EXTEND_MS     1000
#define EXTENSION_SEC 10

static size_t connections_of(const struct worker *w)
{
	return atomic_load_explicit(&w->connections, memory_order_relaxed);
}

static size_t connections(const struct daemon *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->workers_n; i++)
		n += connections_of(d->workers[i]);
	return n;
}

/* Nothing is left to wait for: no connection, no program. */
static bool is_idle(const struct daemon *d)
{
	return connections(d) == 0 && atomic_load_explicit(&d->shared.programs,
					      memory_order_relaxed) == 0;
}

static void drain(struct daemon *d, int64_t now)
{
	int64_t timeout = d->conf->server.drain_timeout;
	size_t all = connections(d);

	d->stop = STOP_DRAINS;
	daemon_close_listeners(d);
	for (size_t i = 0; i < d->workers_n; i++)
		daemon_worker_drain(d->workers[i],
			farewell_step(connections_of(d->workers[i]), all,
				timeout / 2));
	d->drain_until = now + timeout;
}

static void ask_for_time(struct daemon *d, int64_t now)
{
	char text[48];

	if (now < d->extend_at)
		return;
	d->extend_at = now + EXTEND_MS;
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%d",
		EXTENSION_SEC * 1000000);
	service_notify(text);
}

static void stop_timer(struct timer *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, stopper);
	int64_t now = loop_now(d->loop);

	if (d->stop == STOP_DELAYED && now >= d->drain_at)
		drain(d, now);
	if (d->stop == STOP_DRAINS && (is_idle(d) || now >= d->drain_until)) {
		loop_stop(d->loop);
		return;
	}
	ask_for_time(d, now);
	timer_set(d->loop, t, now + IDLE_POLL_MS);
}

int daemon_stop_init(struct daemon *d)
{
	return timer_init(d->loop, &d->stopper, stop_timer);
}

void daemon_stop(struct daemon *d, int sig)
{
	if (d->stop != STOP_NOT) {
		LOG(LOG_WARN, "stop-now", F_INT("signal", sig));
		loop_stop(d->loop);
		return;
	}
	d->stop = STOP_DELAYED;
	atomic_store(&d->shared.leaving, true);
	LOG(LOG_INFO, "stopping", sig ? F_INT("signal", sig) : F_NONE,
		F_INT("connections", connections(d)));
	service_notify("STOPPING=1");
	d->drain_at = loop_now(d->loop) + d->conf->server.drain_delay;
	stop_timer(&d->stopper);
}
