/*
 * Requests whose token costs a verification, a millisecond of ES256, wait in a
 * line: of them as many are verified in a turn as its share allows, each with
 * one key, after everything else that is there; so a flood of tokens delays the
 * clients that sent them, not the messages that are relayed.
 *
 *   request -> gate: has this turn verified one? -- no --> verified at once
 *                         yes -> line -> the end of a later turn -> gate again
 *
 * Addresses over auth_failures wait in a second line, which moves when the
 * first is empty: a good token among their wrong ones is let in, but later than
 * those of others. Both are as long as max_connections lets them be.
 */
#include "net/conn.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "front/private.h"

static struct front *first(const struct fronts_here *here)
{
	struct front *f = TAILQ_FIRST(&here->line);

	return f ? f : TAILQ_FIRST(&here->late_line);
}

static void next_turn(struct deferred *d)
{
	struct fronts_here *here = CONTAINER_OF(
		d, struct fronts_here, line_turn);
	struct loop *l = here->worker->loop;
	struct front *f;

	loop_share_begin(l);
	while ((f = first(here)) && loop_share_left_now(l)) {
		here->verified = false;
		front_line_leave(f);
		front_resume(f);
	}
	here->verified = false;
	if (first(here)) /* what comes now does not overtake those that wait */
		front_line_verified(here->worker);
}

void front_line_verified(struct worker *w)
{
	w->fronts->verified = true;
	loop_defer_next(w->loop, &w->fronts->line_turn, next_turn);
}

void front_line_enter(struct front *f)
{
	struct worker *w = f->worker;

	f->line = admission_is_failing(w->shared, &f->client, loop_now(w->loop))
			  ? &w->fronts->late_line
			  : &w->fronts->line;
	TAILQ_INSERT_TAIL(f->line, f, in_line);
}

void front_line_leave(struct front *f)
{
	if (f->line)
		TAILQ_REMOVE(f->line, f, in_line);
	f->line = NULL;
}
