/* The members of a hub, in order, and the driver. The home's thread. */
#include "hub/private.h"

#include <stdlib.h>
#include <string.h>

#include "base/message.h"
#include "conf/conf.h"
#include "worker/route_counters.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/identity.h"
#include "end/end.h"
#include "end/ending.h"
#include "hub/here.h"
#include "hub/member.h"

static void linger_over(struct timer *t);

void hub_seat_free(struct seat *s)
{
	hub_join_free(s->answer);
	free(s->identity);
	free(s);
}

/* The newest messages, by reference. -1 without memory. */
static int add_replay(const struct hub *h, struct hub_join *j)
{
	if (h->replay_n == 0)
		return 0;
	j->replay = calloc(h->replay_n, sizeof(struct message *));
	if (!j->replay)
		return -1;
	for (; j->replay_n < h->replay_n; j->replay_n++)
		j->replay[j->replay_n] = message_ref(
			h->replay[(h->replay_at + j->replay_n) % h->ring]);
	return 0;
}

void hub_tell_joined(struct hub *h, struct seat *s)
{
	struct hub_join *j = s->answer;

	/* What waits to be sent to all is in the replay already. */
	if (h->batch_n > 0)
		hub_fan_out(&h->fan);
	s->answer = NULL;
	s->told = true;
	j->letter.kind = &hub_letter_joined;
	j->hub = hub_ref(h);
	j->seat = s;
	j->protocol = h->protocol ? str_dup(str_of(h->protocol)) : NULL;
	j->no_memory = (h->protocol && !j->protocol) || add_replay(h, j) < 0;
	j->serial = h->messages_out;
	/*
	 * At home, too, what is published from now on must come behind this:
	 * while it is under way nothing is delivered past it.
	 */
	waiting_add(&hub_remote(h, s->worker)->posted, 0);
	worker_post(s->worker, &j->letter);
}

void hub_tell_refused(
	struct hub *h, struct hub_join *j, const struct ending *why, bool again)
{
	j->letter.kind = &hub_letter_refused;
	if (!j->hub)
		j->hub = hub_ref(h);
	j->again = again;
	j->reason = why->reason;
	j->detail = why->detail ? str_dup(str_of(why->detail)) : NULL;
	worker_post(j->from, &j->letter);
}

void hub_refuse_seat(struct hub *h, struct seat *s, const struct ending *why)
{
	struct hub_join *j = s->answer;

	s->answer = NULL;
	if (j)
		hub_tell_refused(h, j, why, false);
}

void hub_kick(struct hub *h, const struct seat *s, enum reason reason)
{
	struct hub_notice *n = hub_notice_new(h, &hub_letter_kick, NULL);

	if (!n)
		return;
	n->news.id = s->id;
	n->news.reason = reason;
	worker_post(s->worker, &n->letter);
}

static void choose_driver(struct hub *h)
{
	struct seat *s;

	if (h->driver)
		return;
	TAILQ_FOREACH (s, &h->seats, next)
		if (s->perm & JWT_WRITE)
			break;
	h->driver = s;
}

/*
 * A client with the driver's subject becomes the driver at once, before its old
 * seat times out.
 */
static void take_drivers_seat(struct hub *h, struct seat *s)
{
	const struct seat *d = h->driver;

	if (d && d->identity && s->identity && (s->perm & JWT_WRITE) &&
		strcmp(d->identity, s->identity) == 0)
		h->driver = s;
}

enum hub_driven hub_drive(struct hub *h, uint64_t id)
{
	struct seat *s = h->state == HUB_ENDING ? NULL : hub_seat_find(h, id);

	if (!s)
		return HUB_DRIVE_NOT_HERE;
	if (h->route->input != CONF_INPUT_DRIVER)
		return HUB_DRIVE_NO_DRIVERS;
	if (!(s->perm & JWT_WRITE))
		return HUB_DRIVE_NO_RIGHT;
	h->driver = s;
	hub_tagged_drained(h); /* tells of the driver, too */
	return HUB_DRIVE_DONE;
}

/* Takes the letter: the answer goes with it. */
static struct seat *add_seat(struct hub *h, struct hub_join *j)
{
	struct seat *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct seat){ .worker = j->from,
		.id = j->id,
		.perm = j->perm,
		.identity = j->identity,
		.subject = identity_subject(j->identity),
		.peer = j->peer };
	j->identity = NULL;
	/* The seat is the hub's own, and must not keep it. */
	s->answer = j;
	hub_unref(j->hub);
	j->hub = NULL;
	TAILQ_INSERT_TAIL(&h->seats, s, next);
	idmap_add(&h->seats_by_id, &s->by_id, s->id);
	if (++h->seats_n > h->seats_most)
		h->seats_most = h->seats_n;
	runs_count(&h->run, h->seats_n);
	hub_remote(h, s->worker)->seats++;
	if (!h->over) /* that runs from the end of the run */
		timer_clear(h->home->loop, &h->linger);
	take_drivers_seat(h, s);
	choose_driver(h);
	return s;
}

/* Called for the first member, or at the start for trunk = always. */
int hub_settle(struct hub *h)
{
	if (timer_init(h->home->loop, &h->linger, linger_over) < 0)
		return -1;
	if (hub_hold_init(h) < 0) {
		timer_fini(h->home->loop, &h->linger);
		return -1;
	}
	TAILQ_INSERT_TAIL(&h->home->hubs->list, h, home_next);
	h->at_home = true;
	counter_add(&worker_route(h->home, h->route)->hubs_begun, 1);
	hub_keeper_settled(h);
	/* The trunk counts as a connection that a stop waits for. */
	atomic_fetch_add_explicit(
		&h->home->connections, 1, memory_order_relaxed);
	return 0;
}

void hub_linger_when_empty(struct hub *h)
{
	if (h->seats_n > 0 || h->state == HUB_ENDING)
		return;
	hub_hold_empty(h);
	if (h->home->draining) {
		hub_end(h, &(struct ending){ .reason = REASON_SHUTDOWN });
	} else if (h->removed) {
		hub_end(h, &(struct ending){ .reason = REASON_ROUTE_REMOVED });
	} else if (hub_is_for_attach(h)) {
		hub_linger_if_left(h);
	} else if (!hub_is_kept(h)) {
		timer_set(h->home->loop, &h->linger,
			loop_now(h->home->loop) + h->route->linger);
		hub_lingers(h);
	}
}

void hub_not_joined(struct hub *h)
{
	if (h->at_home)
		hub_linger_when_empty(h);
	else if (hub_unlist(h, false))
		hub_unref(h); /* the directory's */
}

static void turn_away(
	struct hub *h, struct hub_join *j, const struct ending *why)
{
	hub_tell_refused(h, j, why, false);
	hub_not_joined(h);
}

static void read_join(struct hub *h, struct hub_join *j)
{
	static const struct ending over = { .reason = REASON_BACKEND_CLOSE };
	static const struct ending memory = { .reason = REASON_INTERNAL };
	static const struct ending removed = { .reason = REASON_ROUTE_REMOVED };
	static const struct ending paused = { .reason = REASON_PAUSED };
	struct seat *s;

	hub_join_seen(h);
	if (h->state == HUB_ENDING) {
		hub_tell_refused(h, j, &over, true);
		return;
	}
	if (!route_state_lets_in(h->route->state)) {
		turn_away(h, j, &paused);
		return;
	}
	if (!h->at_home && hub_settle(h) < 0) {
		turn_away(h, j, &memory);
		return;
	}
	hub_renew(h); /* it may have been made before a reload */
	if (h->removed || h->state == HUB_ENDING) {
		hub_tell_refused(
			h, j, h->removed ? &removed : &over, !h->removed);
		hub_linger_when_empty(h); /* made for this client: it ends */
		return;
	}
	if (h->state == HUB_NEW)
		h->hops = j->hops;
	s = add_seat(h, j);
	if (!s) {
		turn_away(h, j, &memory);
		return;
	}
	if (h->state == HUB_NEW) {
		hub_open_trunk(h);
		return;
	}
	if (hub_lets_in(h))
		hub_tagged_joined(h, s);
	if (hub_lets_in(h)) /* it may have ended of that */
		hub_tell_joined(h, s);
	if (h->state == HUB_HELD)
		hub_hold_joined(h);
}

static void open_join(struct worker *w, struct letter *l)
{
	struct hub_join *j = CONTAINER_OF(l, struct hub_join, letter);
	struct hub *h = hub_ref(j->hub);

	(void)w;
	read_join(h, j);
	hub_unref(h);
}

const struct letter_kind hub_letter_join = {
	.open = open_join,
	.free = hub_letter_free_join,
};

void hub_ask_seat(struct hub *h, struct hub_join *j)
{
	j->hub = hub_ref(h);
	worker_post(h->home, &j->letter);
}

struct seat *hub_seat_find(const struct hub *h, uint64_t id)
{
	struct idmap_entry *e = idmap_find(&h->seats_by_id, id);

	return e ? CONTAINER_OF(e, struct seat, by_id) : NULL;
}

static void remove_seat(struct hub *h, struct seat *s, enum reason reason)
{
	TAILQ_REMOVE(&h->seats, s, next);
	idmap_remove(&h->seats_by_id, &s->by_id);
	h->seats_n--;
	runs_count(&h->run, h->seats_n);
	hub_remote(h, s->worker)->seats--;
	if (h->driver == s) {
		h->driver = NULL;
		choose_driver(h);
	}
	s->left = reason;
	s->gone = true;
	if (s->waiting_n == 0)
		hub_tagged_left(h, s);
}

void hub_refuse_untold(struct hub *h, const struct ending *why)
{
	struct seat *s, *next;

	for (s = TAILQ_FIRST(&h->seats); s; s = next) {
		next = TAILQ_NEXT(s, next);
		if (s->told)
			continue;
		hub_refuse_seat(h, s, why);
		remove_seat(h, s, why->reason);
	}
	hub_linger_when_empty(h);
}

static void open_leave(struct worker *w, struct letter *letter)
{
	struct hub_leave *l = CONTAINER_OF(letter, struct hub_leave, letter);
	struct seat *s = l->seat ? l->seat : hub_seat_find(l->hub, l->id);

	(void)w;
	if (s) {
		remove_seat(l->hub, s, l->reason);
		hub_linger_when_empty(l->hub);
	}
	hub_letter_free_leave(letter);
}

const struct letter_kind hub_letter_leave = {
	.open = open_leave,
	.free = hub_letter_free_leave,
};

void hub_leave(struct hub *h, struct hub_leave *l, struct seat *seat,
	enum reason reason)
{
	l->hub = hub_ref(h);
	l->seat = seat;
	l->reason = reason;
	worker_post(h->home, &l->letter);
}

static void linger_over(struct timer *t)
{
	struct hub *h = CONTAINER_OF(t, struct hub, linger);

	if (h->over && h->seats_n > 0) {
		hub_end(h, &(struct ending){ .reason = REASON_ATTACH_MISSING,
				   .detail = "linger has passed since the "
					     "last run" });
		return;
	}
	if (h->seats_n == 0 && !hub_is_kept(h) && hub_unlist(h, false))
		hub_end(h, &(struct ending){ .reason = REASON_LINGER });
}
