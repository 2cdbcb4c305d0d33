/*
 * What a hub's messages are for those that look on (end/tap.h): each is seen
 * once, at home. In a room that is what a member says and the others get; else
 * what members say is on its way to the backend, what the backend says on its
 * way to one member or all.
 */
#include "hub/private.h"

#include "base/message.h"
#include "codec/token/jwt.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "worker/worker.h"
#include "end/tap.h"

void hub_show_input(struct hub *h, const struct seat *s, const struct piece *p)
{
	tap_piece(h->home,
		&(struct tap_source){ .route = h->route,
			.from = END_CLIENT,
			.id = s->id,
			.hub = h->path },
		p);
}

static bool reaches(const void *hub, uint64_t client)
{
	const struct seat *s = hub_seat_find(hub, client);

	return s && (s->perm & JWT_READ);
}

void hub_show_output(struct hub *h, struct message *m)
{
	bool room = h->route->to.kind == BACKEND_ROOM;

	if (m->opcode == WS_CLOSE)
		return;
	tap_message(h->home,
		&(struct tap_source){ .route = h->route,
			.from = room ? END_CLIENT : END_BACKEND,
			.id = room ? m->except : m->to,
			.hub = h->path,
			.for_all = !m->to,
			.reaches = m->to ? NULL : reaches,
			.arg = h },
		m);
}
