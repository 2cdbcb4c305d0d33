/*
 * visit.h: what only workers know: a letter goes from one to the next, and comes
 * back to the main thread in between, with what it was told.
 *
 *   command -> visit -> worker 0: run: rows, for its share of a turn
 *                 ^                          |
 *                 '-- rows to the caller <---'    then again to this worker
 *                                                 while it has more; to the next
 *
 * So a list of 100,000 clients holds up no loop, and of its rows there are
 * VISIT_ROWS bytes at one time. When the caller has no room the visit waits on
 * the main thread. What it has on a worker meanwhile, a place in a list
 * (base/walk.h), is given up on that worker's thread.
 */
#ifndef DAEMON_VISIT_H
#define DAEMON_VISIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/walk.h"
#include "worker/letter.h"

struct answer;
struct visit;
struct worker;

/* Of one visit. */
#define VISIT_ROWS (32u * 1024)

struct visit_kind {
	size_t size; /* of the struct that begins with a struct visit */
	/*
	 * On w's thread: writes rows while visit_goes_on. True: there is more
	 * here. The first time at a worker v->walk is not active.
	 */
	bool (*run)(struct visit *v, struct worker *w);
	/*
	 * On the main thread: all were visited. NULL: the answer just ends. Of
	 * one that finishes, also when it has failed, or its caller has left:
	 * then a is NULL.
	 */
	void (*done)(struct visit *v, struct answer *a);
	/* What it has beside the walk and the rows; may be NULL. */
	void (*free)(struct visit *v);
	/*
	 * What it does must be done whole: it goes on when its caller has left,
	 * and without memory for rows (failed).
	 */
	bool finishes;
};

struct visit {
	struct letter letter;
	const struct visit_kind *kind;
	struct walk walk; /* on the worker that it is at */
	struct buf rows;
	bool failed;     /* no memory: the answer says so */
	bool enough;     /* no other worker is of interest */
	unsigned rounds; /* over all workers, if more than one; before begin */
	unsigned round;  /* this one, from 0 */
	/* Private to visit.c. */
	struct daemon *daemon;
	struct answer *answer; /* NULL: its caller has left; main thread */
	size_t at;             /* the worker */
	bool more;             /* there, as it said */
	bool away;             /* it is a letter now; main thread */
	bool finished;         /* it asks nothing more */
};

/*
 * A visit for this answer, zeros behind struct visit; visit_begin takes it. NULL
 * without memory: the answer has ended.
 */
struct visit *visit_new(struct answer *a, const struct visit_kind *kind);
/* The answer is the visit's from now on: its state, its more, its end. */
void visit_begin(struct visit *v);
/* It is not begun, or done. The answer has ended, or goes on without it. */
void visit_drop(struct visit *v);

/* In run: whether there is time and room for a further row. */
bool visit_goes_on(struct visit *v, struct worker *w);
/* A row; without memory the visit fails. */
#define VISIT_ROW(v, ...)                                                      \
	do {                                                                   \
		if (JSON_LINE(&(v)->rows, __VA_ARGS__) < 0)                    \
			(v)->failed = true;                                    \
	} while (0)

#endif
