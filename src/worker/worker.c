#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "conf/conf.h"
#include "worker/credentials.h"
#include "worker/route_counters.h"
#include "worker/section.h"

void worker_count_reason(struct worker *w, enum reason r)
{
	counter_add(&w->counters.reasons[r], 1);
}

struct route_counters *worker_route(
	const struct worker *w, const struct conf_route *r)
{
	struct route_counters *all = r ? r->state->counters
				       : w->shared->records->first->of;

	return &all[w->index];
}

bool worker_memory_full(const struct worker *w)
{
	return budget_is_full(&w->shared->budget);
}

bool worker_make_room(struct worker *w)
{
	return w->make_room && w->make_room(w);
}

void worker_random(struct worker *w, uint8_t *out, size_t n)
{
	if (w->random_n < n) {
		/* One call for a thousand masks. A kernel that has started
		 * always has some. */
		if (random_bytes(NULL, w->random, sizeof(w->random)) < 0)
			abort();
		w->random_n = sizeof(w->random);
	}
	w->random_n -= n;
	memcpy(out, w->random + w->random_n, n);
	memset(w->random + w->random_n, 0, n);
}

void worker_left(struct worker *w)
{
	atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
}

/* --- configuration ------------------------------------------------------------------*/

int worker_set_conf(struct worker *w, struct conf *conf)
{
	char text[TLS_TEXT];
	struct credentials *x = credentials_new(conf, text);

	if (!x) {
		LOG(LOG_ERROR, "credentials",
			F_STR("detail", text[0] ? text : "no memory"));
		return -1;
	}
	credentials_free(w->credentials);
	w->credentials = x;
	conf_unref(w->conf);
	w->conf = conf_ref(conf);
	return 0;
}

/* --- letters -------------------------------------------------------------------------*/

void worker_post(struct worker *w, struct letter *l)
{
	mailbox_post(&w->mailbox, l);
}

/* --- life ------------------------------------------------------------------------------*/

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	if (loop_run(w->loop) < 0)
		LOG(LOG_ERROR, "worker-failed",
			F_STR("detail", "the event loop failed"));
	return NULL;
}

int worker_start(struct worker *w, unsigned index)
{
	sigset_t all, before;
	char name[16];
	int error;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, worker_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		errno = error;
		return -1;
	}
	w->has_thread = true;
	snprintf(name, sizeof(name), "worker-%u", index);
	(void)pthread_setname_np(w->thread, name);
	return 0;
}

void worker_join(struct worker *w)
{
	if (!w->has_thread)
		return;
	loop_stop(w->loop);
	pthread_join(w->thread, NULL);
	w->has_thread = false;
}

struct worker *worker_new(
	struct shared *s, struct conf *conf, struct loop *main_loop)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->shared = s;
	w->loop = main_loop ? main_loop : loop_new(&s->budget);
	w->borrowed_loop = main_loop != NULL;
	if (!w->loop) {
		free(w);
		return NULL;
	}
	mailbox_init(&w->mailbox, w->loop, w);
	if (worker_set_conf(w, conf) < 0) {
		worker_free(w);
		return NULL;
	}
	return w;
}

void worker_free(struct worker *w)
{
	/* What is deferred may post. */
	mailbox_drop(&w->mailbox);
	if (!w->borrowed_loop)
		loop_run_deferred(w->loop);
	mailbox_fini(&w->mailbox);
	if (!w->borrowed_loop)
		loop_free(w->loop);
	credentials_free(w->credentials);
	conf_unref(w->conf);
	free(w);
}
