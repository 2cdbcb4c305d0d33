/*
 * private.h: a hub's own structure, for its files: directory.c (how it
 * is found), hub.c (trunk, life), seats.c (members, driver), fan.c
 * (from the trunk to all members), input.c (from members to the trunk),
 * tagged.c (what a backend that knows its clients is told of them, and what
 * it says), tap.c (what is shown to those that look on).
 */
#ifndef HUB_PRIVATE_H
#define HUB_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "base/backoff.h"
#include "base/buf.h"
#include "base/idmap.h"
#include "base/reason.h"
#include "base/table.h"
#include "base/waiting.h"
#include "codec/tagged.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "worker/section.h"
#include "gate/client.h"
#include "end/end.h"
#include "backend/runs.h"
#include "hub/backlog.h"
#include "hub/hub.h"
#include "hub/letters.h"

struct attached;
struct attempt;
struct route_state;

#define HUB_BATCH 64

/* addressing = tagged: whether the backend was told of a seat. */
enum seat_known {
	SEAT_UNKNOWN,
	SEAT_JOIN_WAITS, /* in hub_tagged.waiting */
	SEAT_KNOWN,
	SEAT_LEAVE_WAITS, /* likewise; it is in no other list any more */
};

enum hub_state { HUB_NEW, HUB_OPENING, HUB_OPEN, HUB_HELD, HUB_ENDING };

struct seat { /* a client, as its hub's home knows it */
	TAILQ_ENTRY(seat) next;
	struct worker *worker;
	uint64_t id;
	uint8_t perm;
	bool told;               /* JOINED was sent */
	struct hub_join *answer; /* what it is told with, until it is */
	atomic_uint denied;      /* messages that it had no right to send */
	char *identity;          /* see identity.h; NULL = no sub */
	const char *subject;     /* in identity */
	struct idmap_entry by_id;
	size_t waiting_n; /* its messages in hub_hold.waiting */
	bool gone;        /* it has left, but some of them wait */
	enum reason left; /* why */
	/* addressing = tagged */
	TAILQ_ENTRY(seat) waiting_next;
	enum seat_known known;
	bool kicked;
	uint64_t sent; /* messages for it alone */
	struct addr peer;
};

struct hub_tagged {
	TAILQ_HEAD(, seat) waiting; /* the backend is to be told of these */
	struct deferred tell;
	uint64_t driver; /* the driver that it was told; 0 = none */
	uint64_t sent;   /* messages for single clients */
	uint64_t unknown, malformed[TAGGED_ERRORS];
	bool skipping; /* the rest of a message that is too long */
};

struct hub_hold {              /* on_backend_loss = hold */
	struct timer retry;    /* when the trunk is opened again */
	struct timer deadline; /* when members have waited enough */
	struct backoff backoff;
	int64_t lost_ms; /* when the last trunk was lost, 0 = none was */
	int64_t due;     /* of deadline, over several losses; 0 = not set */
	STAILQ_HEAD(, held_input) waiting; /* for the trunk */
	struct waiting cost;               /* of what waits */
	size_t waiting_n;
	uint64_t dropped; /* messages of members that were lost */
	bool partial;     /* the last one sent has not left wholly */
	bool reached;     /* a trunk has been open */
};

struct remote { /* a worker that has members */
	size_t seats;
	struct backlog held;      /* for it, while too much is posted to it */
	struct waiting posted;    /* messages; a hub_join is an item */
	atomic_bool ready_wanted; /* tell the home when they are read */
	/* To it or by it, for want of memory. */
	struct hub_notice ready, resume, end;
};

struct hub {
	/* In the directory, under its lock. */
	struct table_entry by_path;
	bool listed;
	struct addr maker;             /* the address that it was made for */
	struct hub_maker *lingers_for; /* it is empty and may give way */
	TAILQ_ENTRY(hub) lingering_next;
	unsigned joins; /* seats asked for that the home has not seen */

	atomic_uint references;
	struct shared *shared;
	struct conf *conf; /* a reference, for route */
	const struct conf_route *route;
	char *path;
	struct worker *home;
	struct waiting inflight;   /* input that is posted to the home */
	atomic_size_t queue_limit; /* route's, for any thread */
	atomic_bool trunk_full;
	atomic_bool resume_wanted; /* a member is not read */

	/* Below: the home's thread only, but shards. */
	TAILQ_ENTRY(hub) home_next; /* in home->hubs->list */
	enum hub_state state;
	struct attempt *attempt;
	struct end *trunk;
	/* backend = attach: whose end the trunk is; NULL: there is none. */
	struct attached *attached;
	uint64_t
		claimed; /* the place is kept for this simulation; 0: for none */
	struct run run;  /* attach: what the others are told of it */
	bool over; /* HELD: its run has ended, no simulation is waited for */
	struct end_owner trunk_owner;
	struct client trunk_client;
	uint8_t hops;             /* of the client that it was opened for */
	TAILQ_HEAD(, seat) seats; /* in order of joining */
	size_t seats_n, seats_most;
	struct idmap seats_by_id;
	struct hub_tagged tagged;
	struct seat *driver;
	struct timer linger;
	struct hub_hold hold;
	struct deferred fan;
	size_t batch_n, batch_max;
	struct message **batch;  /* of batch_max */
	struct message **replay; /* a ring, with one place more than it holds */
	size_t ring;             /* its places */
	size_t replay_at, replay_n, replay_bytes;
	char *protocol;
	struct buf whole; /* a trunk message in the making */
	int64_t opened_ms;
	int64_t last_ms; /* of its backend's last data */
	struct {
		enum reason reason; /* NONE: never */
		int64_t ms;
		char detail[120];
	} loss; /* of its trunk, the last, or a failure to open it */
	uint64_t messages_in, messages_out;
	unsigned samples; /* messages, for message.sampled_ns */
	struct hub_notice give_way;
	/* What the trunk was opened under, if not conf: until it is gone. */
	struct conf *former;
	bool holds;             /* on_backend_loss = hold, since it was made */
	bool removed;           /* a reload took the route away */
	bool at_home;           /* in that list */
	bool trunk_paused;      /* until the batch is delivered */
	struct remote *remotes; /* by worker index */
	struct shard *shards[]; /* by worker index, each its worker's own */
};

/* directory.c */
/* The hub of a route with trunk = always, made when there is none; a reference. */
MUST_CHECK struct hub *hubs_get_kept(
	struct worker *w, const struct conf_route *route);
/* It is empty: it may give way to another hub of its route. */
void hub_lingers(struct hub *h);
/*
 * Out of the directory. Unless force is said, not while a client is on the way
 * in. Returns whether it is out.
 */
bool hub_unlist(struct hub *h, bool force);
/* A client that hubs_join counted has come in. */
void hub_join_seen(struct hub *h);

/* hub.c */
/* The one reference is the directory's. NULL without memory. */
MUST_CHECK struct hub *hub_new(struct worker *home, struct conf *conf,
	const struct conf_route *route, struct str path);
/* any: one that only lingers is out of the directory: it is to end. */
void hub_tell_home_to_give_way(struct hub *h);
struct remote *hub_remote(struct hub *h, const struct worker *w);
/* To every worker that has members: members that hub_input paused go on. */
void hub_tell_resume(struct hub *h);
void hub_open_trunk(struct hub *h);
/* Tells the trunk's end to close; that it is gone follows. */
void hub_close_trunk(struct hub *h, const struct ending *why);
/* Whether a client that comes becomes a member at once. */
bool hub_lets_in(const struct hub *h);

/* NEW: its own identity, in the log and for its backend. */
void hub_name_trunk(struct hub *h);
/* Takes ownership; its owner is the hub's, or whoever stands between them. */
void hub_take_trunk(struct hub *h, struct end *e);
/* It has one that is open, or needs none: OPEN; who waits is let in. */
void hub_trunk_open(struct hub *h);
/* What its backend sent last is still for all. */
void hub_say_last(struct hub *h);
/* All members are told that they end, and why. */
void hub_end_members(struct hub *h, const struct ending *why);
/* What the trunk's end says, to the hub. */
void hub_trunk_ended(struct hub *h, const struct ending *why);
void hub_trunk_gone(struct hub *h);
/*
 * A simulation is its trunk from now on, in place of any other. It is told first
 * where it is, if place is not NULL: its own path.
 */
void hub_take_attached(struct hub *h, struct attached *a, const char *place);
/* The simulation that its place was kept for does not come. */
void hub_is_not_attached(struct hub *h);
/* Whether a simulation has its place. */
bool hub_is_attached(const struct hub *h);
/* It waits for simulations to come, and is there behind their end. */
bool hub_is_for_attach(const struct hub *h);
/*
 * attach: the run has ended, or is not waited for any longer. The members are
 * told why; the hub stays for linger, with its replay, for a new run.
 */
void hub_run_over(struct hub *h, const struct ending *why);
/* attach: its route may be another [attach]'s. */
void hub_renew_run(struct hub *h);
/* attach: without members and a simulation it does not stay for ever. */
void hub_linger_if_left(struct hub *h);

/* Its trunk was open for so long that its end is no failure to open. */
bool hub_is_steady(const struct hub *h);
/*
 * The hub of a route with trunk = always, on its home: made when there is none.
 * -1 without memory, or while one that is older than the key lives elsewhere.
 */
MUST_CHECK int hubs_open_kept(
	struct worker *w, const struct route_state *route);

/* keep.c */
/* A reload: which hubs are kept may have changed. */
void hubs_renew_kept(struct worker *w);
/* A route that is not paused any more: its hub is there again. */
void hubs_resume_kept(struct worker *w, const struct route_state *route);
void hubs_keep_no_more(struct worker *w);
/* Whether it is there from the start, with members or without. */
bool hub_is_kept(const struct hub *h);
/* The home of such a route's hub. */
struct worker *hub_keeper_home(
	const struct shared *s, const struct conf_route *route);
/*
 * A hub has its home; it ends: the ms until it is opened again, -1: it is not,
 * and whether that deserves a line; its trunk is gone.
 */
void hub_keeper_settled(struct hub *h);
int64_t hub_keeper_ends(struct hub *h, bool *loud);
void hub_keeper_over(struct hub *h);

/* info.c */
/* Its trunk was lost or could not be opened. */
void hub_note_loss(struct hub *h, const struct ending *why);

/* hold.c: what all but hub_holds do is for hubs that do. */
bool hub_holds(const struct hub *h);
/* At home. -1 without memory. */
MUST_CHECK int hub_hold_init(struct hub *h);
void hub_hold_fini(struct hub *h);
/*
 * The trunk ended, or could not be opened: whether members are held. Then the
 * hub is HELD, and a trunk that is there is still to be closed.
 */
MUST_CHECK bool hub_hold_lost(struct hub *h, const struct ending *why);
/* It may have ended of a reload, and be gone, even so. */
MUST_CHECK bool hub_hold_failed(struct hub *h, const struct ending *why);
/* HELD: the old trunk is closed. */
void hub_hold_trunk_gone(struct hub *h);
/*
 * Its route is paused: it has lost its trunk, or gives up trying, and clients
 * that were not let in yet are refused. Its route is not paused any more: it
 * tries again. Both may end an empty one, and change nothing when repeated.
 */
void hub_hold_pause(struct hub *h);
void hub_hold_resume(struct hub *h);
/* Whether a new trunk's subprotocol is what the members were told. */
bool hub_hold_fits(const struct hub *h, struct str protocol);
/* It is OPEN: what waits is sent. */
void hub_hold_opened(struct hub *h);
/* HELD: a member came; the last has left. */
void hub_hold_joined(struct hub *h);
void hub_hold_empty(struct hub *h);
/* A member's message: sent now, or later, even if its seat is left by then. */
void hub_hold_input(struct hub *h, struct seat *s, const struct piece *p);
/*
 * The hub ends and its trunk is good: what waits is given to the trunk's
 * connection, in order, and leaves before that closes.
 */
void hub_hold_hand_over(struct hub *h);
/*
 * The trunk is a new one: it was not told of clients that have left and still
 * wait.
 */
void hub_hold_forget_known(struct hub *h);
/* The trunk's queue is empty: whether members may go on. */
MUST_CHECK bool hub_hold_drained(struct hub *h);
/* Nothing will be sent any more. */
void hub_hold_ends(struct hub *h);
void hub_hold_free(struct hub *h);

/* seats.c */
/* The home's own part is made. -1 without memory. */
MUST_CHECK int hub_settle(struct hub *h);
void hub_tell_joined(struct hub *h, struct seat *s);
void hub_linger_when_empty(struct hub *h);
/* What was on its way is refused: one that was made for that alone ends. */
void hub_not_joined(struct hub *h);
/* It lives on: those that have a seat and were not told lose it. */
void hub_refuse_untold(struct hub *h, const struct ending *why);
/* The same for one that has a seat, and is not told of it: it leaves it. */
void hub_refuse_seat(struct hub *h, struct seat *s, const struct ending *why);
void hub_tell_refused(struct hub *h, struct hub_join *answer,
	const struct ending *why, bool again);
/* Its member is to end, for what it sent. */
void hub_kick(struct hub *h, const struct seat *s, enum reason reason);
void hub_seat_free(struct seat *s);
/* NULL: no seat has this id. */
struct seat *hub_seat_find(const struct hub *h, uint64_t id);

/* input.c */
/* Whether more waits for the backend than queue_limit. */
bool hub_trunk_is_full(struct hub *h);
/* A message of a member, which may have left (seat.gone). */
void hub_send_to_trunk(struct hub *h, struct seat *s, const struct piece *p);
/* What waits in front of the trunk has left. */
void hub_trunk_drained(struct hub *h);
/* Its members are read again, if what has paused them is over. */
void hub_resume_when_empty(struct hub *h);

/* fan.c */
/* A piece of a message came from the trunk. */
void hub_trunk_input(struct hub *h, const struct piece *piece);
/* A message for all, but for the client except (0: none). */
void hub_publish(struct hub *h, uint8_t opcode, const uint8_t *p, size_t n,
	uint64_t except);
/* The same for a message that is made; takes the reference. */
void hub_push(struct hub *h, struct message *m);
/* What came together leaves together: h->fan, at the end of the turn. */
void hub_fan_out(struct deferred *d);
/* That worker has room for what was held back. */
void hub_flush_held(struct hub *h, struct worker *w);
/* any: a worker has opened messages, or an answer, of this hub. */
void hub_letters_opened(struct hub *h, struct worker *w);
/* All of its replay gives way. */
void hub_drop_replay(struct hub *h);
/* Its route is another: what is kept is what that allows. */
void hub_resize_replay(struct hub *h);
/* The hub ends: what was held for busy workers goes to them now. */
void hub_flush_all_held(struct hub *h);

/* tagged.c: all but hub_is_tagged do nothing when the hub is not. */
bool hub_is_tagged(const struct hub *h);
/*
 * The trunk has opened (again): it is told of all that are present, then which
 * drives. Before anything of theirs is sent.
 */
void hub_tagged_announce(struct hub *h);
void hub_tagged_joined(struct hub *h, struct seat *s);
/*
 * Takes the seat, which is in no list any more and has no message that waits;
 * for any hub.
 */
void hub_tagged_left(struct hub *h, struct seat *s);
/* Before a message of this seat is sent. */
void hub_tagged_before_input(struct hub *h, struct seat *s);
/* "> ID " for a piece; returns its length, 0 when the hub is not tagged. */
size_t hub_tagged_prefix(const struct hub *h, const struct seat *s,
	uint8_t out[TAGGED_PREFIX_MAX]);
/* A piece of a message of the backend; for tagged hubs only. */
void hub_tagged_input(struct hub *h, const struct piece *p);
/* A message of the backend is too long, and passed over; likewise. */
void hub_tagged_too_big(struct hub *h);
/* The hub ends: what waits is told, however full the trunk is. */
void hub_tagged_tell_all(struct hub *h);
/* There is room for what has waited. */
void hub_tagged_drained(struct hub *h);
void hub_tagged_free(struct hub *h);

/* pause.c */
/* Its route is paused, and it has a backend, which is not opened then. */
static inline bool hub_is_paused(const struct hub *h)
{
	return h->route->to.kind != BACKEND_ROOM &&
	       atomic_load(&h->route->state->paused);
}
/* Does what its route's being paused, or not, means for it; it may end. */
void hub_heed_pause(struct hub *h);

/* tap.c: only while h->home->tapped */
/* A member's message, that its backend gets: p is whole. */
void hub_show_input(struct hub *h, const struct seat *s, const struct piece *p);
/* What one member gets, or all do. */
void hub_show_output(struct hub *h, struct message *m);

/* renew.c */
/* Its home has a newer snapshot: it goes on under that, if it can. */
void hub_renew(struct hub *h);
/* The trunk that was opened under an older one is gone. */
void hub_forget_former(struct hub *h);

#endif
