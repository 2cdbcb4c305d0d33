/* routes: in the order of the file, a few each turn. */
#include "daemon/command.h"

#include <stdlib.h>

#include "conf/conf.h"
#include "daemon/private.h"
#include "hub/hub.h"
#include "worker/route_counters.h"
#include "worker/section.h"

/* Of all workers. */
static struct route_traffic traffic_of(
	const struct route_state *s, size_t workers)
{
	struct route_traffic t = { 0 };

	for (size_t i = 0; i < workers; i++)
		for (int side = 0; side < 2; side++) {
			const struct route_counters *c = &s->counters[i];

			t.messages[side] += histogram_count(&c->messages[side]);
			t.bytes[side] += counter_read(&c->bytes[side]);
		}
	return t;
}

static void add_route(struct answer *a, const struct conf_route *r)
{
	const struct route_state *s = r->state;
	struct route_traffic t = traffic_of(s, a->daemon->workers_n);
	bool hub = r->mode == CONF_MODE_HUB;

	ANSWER_ROW(a, F_STR("route", r->section.name), F_STR("path", r->path),
		F_STR("mode", hub ? "hub" : "pair"),
		F_STR("backend", r->backend),
		F_STR("auth", r->auth == CONF_AUTH_TOKEN ? "token" : "none"),
		F_STR("state", route_state_word(s)),
		F_INT("clients", s->connections),
		F_INT("max_clients", r->max_connections),
		hub ? F_INT("hubs", hub_route_count(s->hubs)) : F_NONE,
		F_INT("programs", s->processes),
		F_INT("client_messages", t.messages[COUNT_CLIENT]),
		F_INT("client_bytes", t.bytes[COUNT_CLIENT]),
		F_INT("backend_messages", t.messages[COUNT_BACKEND]),
		F_INT("backend_bytes", t.bytes[COUNT_BACKEND]));
}

static void more(struct answer *a)
{
	struct answer_place *p = a->state;

	while (p->next < p->conf->routes_n) {
		if (!answer_goes_on(a)) {
			answer_continue(a);
			return;
		}
		add_route(a, &p->conf->routes[p->next++]);
	}
	answer_end(a);
}

void command_routes(struct answer *a)
{
	answer_of_conf(a, more);
}
