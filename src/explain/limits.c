/* What would be opened for the client, and within which limits. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "codec/pattern.h"
#include "conf/keys.h"
#include "conf/value.h"
#include "worker/section.h"
#include "explain/private.h"

static void add_terminator(struct explaining *x, struct buf *text)
{
	if (buf_add(text, "", 1, SIZE_MAX) < 0)
		x->no_memory = true;
}

/* The simulation is its client. */
static void tell_place(struct explaining *x, const struct conf_attach *a)
{
	explain_tell(x, "place", "simulation", a->serves->section.name,
		"it becomes the backend of a hub of this route");
}

void explain_backend(struct explaining *x)
{
	const struct conf_route *r = x->way.route;
	struct buf to = { 0 }, detail = { 0 };
	bool hub = r->mode == CONF_MODE_HUB;

	if (r->attach) {
		tell_place(x, r->attach);
		return;
	}
	/* Each part of it is a template, and so is the whole. */
	if (template_expand(&to, str_of(r->backend), &x->way.captures) < 0 ||
		buf_add_printf(&detail,
			hub ? "one for all clients of %.*s"
			    : "one for each client",
			(int)x->request.path.n, x->request.path.p) < 0)
		x->no_memory = true;
	add_terminator(x, &to);
	add_terminator(x, &detail);
	if (!x->no_memory)
		explain_tell(x, "backend", (const char *)to.p,
			hub ? "hub" : "pair", (const char *)detail.p);
	buf_free(&to);
	buf_free(&detail);
}

enum of { OF_ALL, OF_HUBS, OF_PROGRAMS };

/* Every size, time and count of a route. */
static const struct {
	const char *key;
	enum of of;
} limits[] = {
	{ "max_message", OF_ALL },
	{ "max_backend_message", OF_ALL },
	{ "queue_limit", OF_ALL },
	{ "message_rate", OF_ALL },
	{ "byte_rate", OF_ALL },
	{ "max_connections", OF_ALL },
	{ "max_connections_per_subject", OF_ALL },
	{ "connect_timeout", OF_ALL },
	{ "idle_timeout", OF_ALL },
	{ "backend_idle_timeout", OF_ALL },
	{ "max_session", OF_ALL },
	{ "ping_interval", OF_ALL },
	{ "ping_timeout", OF_ALL },
	{ "close_timeout", OF_ALL },
	{ "max_hubs", OF_HUBS },
	{ "linger", OF_HUBS },
	{ "hold_timeout", OF_HUBS },
	{ "replay", OF_HUBS },
	{ "replay_bytes", OF_HUBS },
	{ "max_rate", OF_HUBS },
	{ "max_processes", OF_PROGRAMS },
	{ "exec_memory", OF_PROGRAMS },
	{ "exec_cpu", OF_PROGRAMS },
	{ "exec_processes", OF_PROGRAMS },
};

static bool holds(const struct conf_route *r, enum of of)
{
	switch (of) {
	case OF_ALL:
		break;
	case OF_HUBS:
		return r->mode == CONF_MODE_HUB;
	case OF_PROGRAMS:
		return r->to.kind == BACKEND_EXEC;
	}
	return true;
}

/* How much of it is used now; -1: that is not known. */
static int64_t used(const struct conf_route *r, const char *key)
{
	if (!r->state)
		return -1;
	if (strcmp(key, "max_connections") == 0)
		return atomic_load_explicit(
			&r->state->connections, memory_order_relaxed);
	if (strcmp(key, "max_processes") == 0)
		return atomic_load_explicit(
			&r->state->processes, memory_order_relaxed);
	return -1;
}

void explain_limits(struct explaining *x)
{
	const struct conf_route *r = x->way.route;

	for (size_t i = 0; i < ARRAY_SIZE(limits) && !x->no_memory; i++) {
		const char *key = limits[i].key;
		const struct key_row *row = keys_find(
			SECTION_ROUTE, str_of(key));
		struct buf value = { 0 };
		char now[40];
		int64_t n = used(r, key);

		assert(row);
		snprintf(now, sizeof(now), "%lld now", (long long)n);
		if (value_format(&value, row, r, 0) < 0)
			x->no_memory = true;
		add_terminator(x, &value);
		/* 0 is no limit. */
		if (!x->no_memory && holds(r, limits[i].of) &&
			strcmp((const char *)value.p, "0") != 0)
			explain_tell(x, key, (const char *)value.p, NULL,
				n < 0 ? NULL : now);
		buf_free(&value);
	}
}
