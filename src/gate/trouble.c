#include "gate/trouble.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "worker/section.h"

struct trouble {
	pthread_mutex_t lock;
	struct trouble_last last;
};

struct trouble *trouble_new(void)
{
	struct trouble *t = calloc(1, sizeof(*t));

	if (t && pthread_mutex_init(&t->lock, NULL) != 0) {
		free(t);
		return NULL;
	}
	return t;
}

void trouble_free(struct trouble *t)
{
	if (t)
		pthread_mutex_destroy(&t->lock);
	free(t);
}

static bool is_of_backend(enum reason r)
{
	static const enum reason all[] = { REASON_BACKEND_REFUSED,
		REASON_BACKEND_RESOLVE, REASON_BACKEND_FORBIDDEN,
		REASON_BACKEND_TIMEOUT, REASON_BACKEND_HANDSHAKE,
		REASON_BACKEND_TLS, REASON_BACKEND_CERTIFICATE,
		REASON_BACKEND_STATUS, REASON_BACKEND_SPAWN,
		REASON_BACKEND_RESET, REASON_BACKEND_EXIT, REASON_BACKEND_IDLE,
		REASON_BACKEND_PROTOCOL };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i] == r)
			return true;
	return false;
}

void trouble_note(
	const struct conf_route *route, enum reason reason, const char *detail)
{
	struct trouble *t = route->state ? route->state->trouble : NULL;

	if (!t || !is_of_backend(reason))
		return;
	pthread_mutex_lock(&t->lock);
	t->last.at_ms = clock_unix_ms();
	t->last.n++;
	t->last.reason = reason;
	snprintf(t->last.detail, sizeof(t->last.detail), "%s",
		detail ? detail : "");
	pthread_mutex_unlock(&t->lock);
}

void trouble_get(struct trouble *t, struct trouble_last *out)
{
	pthread_mutex_lock(&t->lock);
	*out = t->last;
	pthread_mutex_unlock(&t->lock);
}
