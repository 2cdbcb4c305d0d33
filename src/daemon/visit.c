#include "daemon/visit.h"

#include <stdlib.h>

#include "daemon/command.h"
#include "daemon/private.h"
#include "net/loop.h"
#include "worker/mailbox.h"
#include "worker/worker.h"

static const struct letter_kind to_worker, to_main;

static struct visit *visit_of(struct letter *l)
{
	return CONTAINER_OF(l, struct visit, letter);
}

/* On the thread of the worker that has its walk, or when that has ended. */
static void visit_free(struct visit *v)
{
	walk_end(&v->walk);
	if (v->kind->free)
		v->kind->free(v);
	buf_free(&v->rows);
	free(v);
}

static void free_letter(struct letter *l)
{
	visit_free(visit_of(l));
}

/* --- there ----------------------------------------------------------------*/

bool visit_goes_on(struct visit *v, struct worker *w)
{
	return (!v->failed || v->kind->finishes) && v->rows.n < VISIT_ROWS &&
	       loop_share_left(w->loop);
}

/* A letter's turn is a share of its own already (worker/mailbox.c). */
static void open_there(struct worker *w, struct letter *l)
{
	struct visit *v = visit_of(l);

	v->more = v->kind->run(v, w);
	if (!v->more)
		walk_end(&v->walk);
	l->kind = &to_main;
	mailbox_post(&v->daemon->mailbox, l);
}

static const struct letter_kind to_worker = {
	.open = open_there,
	.free = free_letter,
};

/* Its caller has left: only its walk is to be forgotten. */
static void open_to_end(struct worker *w, struct letter *l)
{
	(void)w;
	visit_free(visit_of(l));
}

static const struct letter_kind to_end = {
	.open = open_to_end,
	.free = free_letter,
};

/* --- here -----------------------------------------------------------------*/

static void post(struct visit *v, const struct letter_kind *kind)
{
	v->letter.kind = kind;
	v->away = true;
	worker_post(v->daemon->workers[v->at], &v->letter);
}

/* It is here, and nothing asks for it any more. */
static void give_up(struct visit *v)
{
	if (v->walk.active)
		post(v, &to_end);
	else
		visit_free(v);
}

static void finish(struct visit *v)
{
	struct answer *a = v->answer;

	v->finished = true;
	if (v->kind->done &&
		(a ? !v->failed || v->kind->finishes : v->kind->finishes))
		v->kind->done(v, a);
	else if (a && v->failed)
		answer_refuse(a, "no memory");
	else if (a)
		answer_end(a);
	if (!a)
		visit_free(v);
}

/* To the worker where it has more, the next, or once more to the first. */
static void next_stop(struct visit *v)
{
	bool failed = v->failed && !v->kind->finishes;

	if (!v->more) {
		v->at++;
		v->more = true;
	}
	if (v->at == v->daemon->workers_n && v->round + 1 < v->rounds) {
		v->round++;
		v->at = 0;
	}
	if (v->at < v->daemon->workers_n && !failed && !v->enough)
		post(v, &to_worker);
	else
		finish(v);
}

static void go_on(struct answer *a)
{
	next_stop(a->state);
}

static void go_on_alone(struct visit *v)
{
	if (v->kind->finishes && !v->finished)
		next_stop(v);
	else
		give_up(v);
}

static void open_here(struct worker *w, struct letter *l)
{
	struct visit *v = visit_of(l);

	(void)w; /* none: it is the main thread's mailbox */
	v->away = false;
	if (v->answer) {
		answer_add(v->answer, v->rows.p, v->rows.n);
		v->rows.n = 0;
		answer_continue(v->answer);
		return;
	}
	v->rows.n = 0;
	go_on_alone(v);
}

static const struct letter_kind to_main = {
	.open = open_here,
	.free = free_letter,
};

static void left(struct answer *a)
{
	struct visit *v = a->state;

	v->answer = NULL;
	if (!v->away) /* else it finds that out when it comes back */
		go_on_alone(v);
}

struct visit *visit_new(struct answer *a, const struct visit_kind *kind)
{
	struct visit *v = calloc(1, kind->size);

	if (!v) {
		answer_refuse(a, "no memory");
		return NULL;
	}
	v->kind = kind;
	v->daemon = a->daemon;
	v->answer = a;
	return v;
}

void visit_begin(struct visit *v)
{
	struct answer *a = v->answer;

	a->state = v;
	a->more = go_on;
	a->left = left;
	v->more = true;
	answer_continue(a);
}

void visit_drop(struct visit *v)
{
	visit_free(v);
}
