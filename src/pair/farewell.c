#include "pair/farewell.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/walk.h"
#include "net/loop.h"
#include "worker/worker.h"
#include "end/end.h"
#include "end/ending.h"
#include "pair/session.h"

struct farewell { /* of one worker */
	struct worker *worker;
	struct timer timer; /* of the next step */
	struct deferred more;
	struct walk walk;  /* over its sessions: whose turn is next */
	size_t step, left; /* to be told in each; in this one */
};

size_t farewell_step(size_t mine, size_t all, int64_t within_ms)
{
	uint64_t rate = FAREWELL_RATE, step;

	if (within_ms <= 0)
		return SIZE_MAX;
	if ((uint64_t)all * 1000 / (uint64_t)within_ms > rate)
		rate = (uint64_t)all * 1000 / (uint64_t)within_ms + 1;
	if (all == 0)
		all = 1;
	step = rate * mine * FAREWELL_STEP_MS / 1000 / all;
	return (size_t)step + 1; /* what was rounded off would come too late */
}

static void tell(struct session *s)
{
	struct end *e = s->sides[END_CLIENT].end;

	if (session_is_open(s))
		e->owner->cb->ended(
			e, &(struct ending){ .reason = REASON_SHUTDOWN });
}

static void go_on(struct farewell *f);

static void go_on_later(struct deferred *d)
{
	go_on(CONTAINER_OF(d, struct farewell, more));
}

/* As many as a share of the turn allows; the rest of the step in the next. */
static void go_on(struct farewell *f)
{
	struct loop *l = f->worker->loop;
	struct session *s;

	loop_share_begin(l);
	while (f->left > 0 && (s = f->walk.at)) {
		if (!loop_share_left_now(l)) {
			loop_defer_next(l, &f->more, go_on_later);
			return;
		}
		f->walk.at = TAILQ_NEXT(s, next);
		f->left--;
		tell(s);
	}
}

static void next_step(struct timer *t)
{
	struct farewell *f = CONTAINER_OF(t, struct farewell, timer);
	struct loop *l = f->worker->loop;

	f->left = f->step;
	go_on(f);
	if (f->walk.at)
		timer_set(l, t, loop_now(l) + FAREWELL_STEP_MS);
}

void farewell_begin(struct worker *w, size_t step)
{
	struct farewell *f = w->farewell;

	f->step = step;
	walk_begin(
		&w->sessions->walks, &f->walk, TAILQ_FIRST(&w->sessions->list));
	next_step(&f->timer);
}

int farewell_init(struct worker *w)
{
	struct farewell *f = calloc(1, sizeof(*f));

	if (!f || timer_init(w->loop, &f->timer, next_step) < 0) {
		free(f);
		return -1;
	}
	f->worker = w;
	w->farewell = f;
	return 0;
}

void farewell_fini(struct worker *w)
{
	struct farewell *f = w->farewell;

	if (!f)
		return;
	walk_end(&f->walk);
	loop_undefer(w->loop, &f->more);
	timer_fini(w->loop, &f->timer);
	free(f);
	w->farewell = NULL;
}
