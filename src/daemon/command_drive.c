/*
 * drive ID: a client becomes the driver of its hub. Who drives is known at the
 * hub's home alone, so each worker is asked for a hub of its own with this
 * client; those without one look for it among their clients, to say why not.
 */
#include "daemon/command.h"

#include "conf/conf.h"
#include "daemon/visit.h"
#include "hub/hub.h"
#include "hub/info.h"
#include "pair/session.h"
#include "worker/worker.h"

struct drive {
	struct visit visit;
	uint64_t id;
	bool clients; /* the hubs of this worker are all asked */
	bool is_there;
	enum hub_driven driven;
};

static void add_row(struct visit *v, const struct hub *h, uint64_t before)
{
	struct hub_info i;
	char id[CLIENT_ID_TEXT], was[CLIENT_ID_TEXT];

	hub_info_get(h, &i);
	VISIT_ROW(v, F_STR("route", i.route->section.name),
		F_STR("hub", i.path),
		F_STR("driver",
			client_id(&(struct client){ .id = i.driver }, id)),
		before ? F_STR("before",
				 client_id(
					 &(struct client){ .id = before }, was))
		       : F_NONE);
}

static void ask(struct drive *x, struct hub *h)
{
	struct hub_info i;

	hub_info_get(h, &i);
	x->driven = hub_drive(h, x->id);
	x->visit.enough = x->driven != HUB_DRIVE_NOT_HERE;
	if (x->driven == HUB_DRIVE_DONE)
		add_row(&x->visit, h, i.driver);
}

static bool run_hubs(struct drive *x, struct worker *w)
{
	struct hub *h;

	do {
		h = hubs_next(w, &x->visit.walk);
		if (h)
			ask(x, h);
	} while (h && !x->visit.enough && visit_goes_on(&x->visit, w));
	return h && !x->visit.enough;
}

static bool run_clients(struct drive *x, struct worker *w)
{
	struct session *s;

	do {
		s = sessions_next(w, &x->visit.walk);
		if (s && s->client.id == x->id)
			x->is_there = true;
	} while (s && !x->is_there && visit_goes_on(&x->visit, w));
	return s && !x->is_there;
}

static bool run(struct visit *v, struct worker *w)
{
	struct drive *x = CONTAINER_OF(v, struct drive, visit);

	if (!x->clients) {
		if (run_hubs(x, w))
			return true;
		if (v->enough)
			return false;
		walk_end(&v->walk);
		x->clients = true;
	}
	if (run_clients(x, w))
		return true;
	x->clients = false; /* of the next worker */
	return false;
}

static void done(struct visit *v, struct answer *a)
{
	const struct drive *x = CONTAINER_OF(v, struct drive, visit);
	const char *id = control_text(a->request, "id");

	switch (x->driven) {
	case HUB_DRIVE_DONE:
		answer_end(a);
		return;
	case HUB_DRIVE_NO_DRIVERS:
		answer_refuse(a,
			"the hub of client %s has no driver: its route has "
			"input = all",
			id);
		return;
	case HUB_DRIVE_NO_RIGHT:
		answer_refuse(a, "client %s has no right to write", id);
		return;
	case HUB_DRIVE_NOT_HERE:
		if (x->is_there)
			answer_refuse(a, "client %s is in no hub", id);
		else
			answer_refuse(a, "there is no client %s", id);
		return;
	}
}

static const struct visit_kind kind = {
	.size = sizeof(struct drive),
	.run = run,
	.done = done,
};

void command_drive(struct answer *a)
{
	struct visit *v;
	struct drive *x;
	uint64_t id;

	if (client_parse_id(control_text(a->request, "id"), &id) < 0) {
		answer_usage(
			a, "id: expected one of the log, such as 6d2f0a1c");
		return;
	}
	v = visit_new(a, &kind);
	if (!v)
		return;
	x = CONTAINER_OF(v, struct drive, visit);
	x->id = id;
	x->driven = HUB_DRIVE_NOT_HERE;
	visit_begin(v);
}
