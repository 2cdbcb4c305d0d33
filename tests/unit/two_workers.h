/*
 * two_workers.h: two workers in one thread, whose loops a test turns by hand, so
 * that letters between them are opened in the order that the test wants.
 *
 *	open_letter(0);    worker 0 opens its first letter, no more
 *	turn(1);           a turn of worker 1's loop, which opens none
 *	settle();          all that is under way arrives
 *
 * Both are of one configuration. When a test closes its world nothing may be
 * left of any client or hub.
 */
#ifndef TESTS_TWO_WORKERS_H
#define TESTS_TWO_WORKERS_H

#ifndef SCRIPTS
#define SCRIPTS 64
#endif

#include "gate_support.h"

#include "base/log.h"
#include "no_memory.h"
#include "worker/letter.h"
#include "hub/here.h"
#include "hub/member.h"
#include "hub/private.h"
#include "pair/session.h"
#include "scripted_transport.h"

#define HUB(backend, linger)                                                   \
	"[listen main]\n[route r]\n"                                           \
	"path = /{id}\nbackend = " backend "\nmode = hub\nauth = none\n"       \
	"linger = " linger "\n"
#define ROOM_LINGER(time) HUB("room:", time)
#define ROOM              ROOM_LINGER("1h")

static struct {
	struct gate gate;
	struct worker *workers[2];
	bool is_open;
	uint64_t clients;     /* so far: their ids */
	int listening, trunk; /* the test's own ends of the hub's; -1 = none */
	/* Called before a letter is opened; may be NULL. */
	void (*on_letter)(size_t worker, const struct letter *l);
} world;

/* --- two workers ------------------------------------------------------------*/

static inline void opens_nothing(struct waker *w)
{
	(void)w;
}

static inline void world_open(const char *ini)
{
	struct shared *s = &world.gate.shared;
	struct conf *conf = load_warned(ini);

	log_set_level(LOG_ERROR);
	world.is_open = true;
	world.clients = 0;
	world.on_letter = NULL;
	world.listening = world.trunk = -1;
	gate_open(&world.gate, conf);
	budget_init(&s->budget, SIZE_MAX);
	s->workers = world.workers;
	s->workers_n = 2;
	for (size_t i = 0; i < 2; i++) {
		struct worker *w = worker_new(s, conf, NULL);

		assert_non_null(w);
		w->index = i;
		assert_int_equal(sessions_init(w), 0);
		assert_int_equal(hubs_init(w), 0);
		w->make_room = hubs_give_replay;
		/* Letters are opened by open_letter alone. */
		w->mailbox.waker.woken = opens_nothing;
		world.workers[i] = w;
	}
}

static inline const struct letter *first_letter(size_t worker)
{
	return STAILQ_FIRST(&world.workers[worker]->mailbox.letters);
}

static inline size_t letters_of(size_t worker)
{
	const struct letter *l;
	size_t n = 0;

	STAILQ_FOREACH (l, &world.workers[worker]->mailbox.letters, next)
		n++;
	return n;
}

/* Opens the first letter of a worker. False: it has none. */
static inline bool open_letter_in_turn(size_t worker)
{
	struct worker *w = world.workers[worker];
	struct letter *l = STAILQ_FIRST(&w->mailbox.letters);

	if (!l)
		return false;
	if (world.on_letter)
		world.on_letter(worker, l);
	STAILQ_REMOVE_HEAD(&w->mailbox.letters, next);
	loop_share_begin(w->loop);
	l->kind->open(w, l);
	return true;
}

static inline void end_turn(size_t worker)
{
	loop_run_deferred(world.workers[worker]->loop);
}

/* The same, and its worker's turn is over. */
static inline bool open_letter(size_t worker)
{
	bool opened = open_letter_in_turn(worker);

	end_turn(worker);
	return opened;
}

static inline void open_letters_of(size_t worker)
{
	while (open_letter(worker))
		;
}

struct turn {
	struct deferred deferred;
	struct loop *loop;
};

static inline void turn_over(struct deferred *d)
{
	atomic_store(
		&CONTAINER_OF(d, struct turn, deferred)->loop->stopped, true);
}

/* A turn of its loop, which waits for nothing and opens no letter. */
static inline void turn(size_t worker)
{
	struct turn t = { .loop = world.workers[worker]->loop };

	atomic_store(&t.loop->stopped, false);
	loop_defer_next(t.loop, &t.deferred, turn_over);
	assert_int_equal(loop_run(t.loop), 0);
}

static inline bool is_quiet(void)
{
	for (size_t i = 0; i < 2; i++)
		if (first_letter(i) ||
			!STAILQ_EMPTY(&world.workers[i]->loop->deferred) ||
			!STAILQ_EMPTY(&world.workers[i]->loop->deferred_next))
			return false;
	return true;
}

/*
 * Until nothing is under way. Sockets have room and are readable at once here,
 * so a few turns in which nothing happens are enough.
 */
static inline void settle(void)
{
	int turns = 0;

	for (int quiet = 0; quiet < 4; quiet = is_quiet() ? quiet + 1 : 0) {
		assert_true(++turns < 100000);
		open_letters_of(0);
		open_letters_of(1);
		turn(0);
		turn(1);
	}
}

/* The hub of a path, on whatever worker; NULL = there is none. */
static inline struct hub *hub_at(const char *path)
{
	struct hub *h;

	for (size_t i = 0; i < 2; i++)
		TAILQ_FOREACH (h, &world.workers[i]->hubs->list, home_next)
			if (strcmp(h->path, path) == 0)
				return h;
	return NULL;
}

/* How many of this worker's members, and hubs, ended for a reason. */
static inline int closed_as(size_t worker, enum reason r)
{
	return (int)atomic_load(&world.workers[worker]->counters.reasons[r]);
}

static inline void world_close(void)
{
	struct shared *s = &world.gate.shared;

	if (!world.is_open)
		return; /* it has failed in here */
	world.is_open = false;
	no_memory_at(0);
	settle();
	if (world.trunk >= 0)
		close(world.trunk);
	if (world.listening >= 0)
		close(world.listening);
	for (size_t i = 0; i < 2; i++) {
		shards_stop(world.workers[i]);
		hubs_stop(world.workers[i]);
	}
	settle();
	for (size_t i = 0; i < 2; i++) {
		struct worker *w = world.workers[i];

		assert_int_equal(atomic_load(&w->connections), 0);
		hubs_fini(w);
		sessions_fini(w);
		worker_free(w);
	}
	scripts_free();
	assert_int_equal(budget_used(&s->budget), 0);
	gate_close(&world.gate);
}

#endif
