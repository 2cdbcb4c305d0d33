/*
 * runs.h: the runs of an [attach]: its places with a simulation, or with what
 * is left of one. For whoever wants to see which there are (backend =
 * attached:NAME): hubs say what becomes of them, watches are told that
 * something has changed. Any thread, a short lock.
 */
#ifndef BACKEND_RUNS_H
#define BACKEND_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"

struct captures;
struct conf_attach;
struct runs;
struct runs_watch;
struct worker;

/* Part of a hub. Zeros are one that is in no list. */
struct run {
	LIST_ENTRY(run) next;
	struct runs *of;  /* the list that it is in; NULL: none */
	const char *path; /* of its hub, which lives as long as it is listed */
	int64_t since_ms; /* Unix time: its simulation attached first */
	size_t watchers;
	bool ended;
};

/* NULL: no memory. */
MUST_CHECK struct runs *runs_new(void);
/* No run and no watch is left. */
void runs_free(struct runs *s);

/*
 * What has become of a run, which may be a new one, or one of another list;
 * nothing is told where nothing has changed. runs_remove: also when it is in no
 * list.
 */
void runs_put(struct runs *s, struct run *r, const char *path, bool ended);
void runs_count(struct run *r, size_t watchers);
void runs_remove(struct run *r);

/*
 * Calls changed on the worker's thread some time after each change, once for
 * many, from now on until runs_unwatch. The runs outlive it. NULL: no memory.
 */
MUST_CHECK struct runs_watch *runs_watch(struct runs *s, struct worker *w,
	void (*changed)(void *owner), void *owner);
void runs_unwatch(struct runs_watch *w);

/*
 * JSON, see wsrelayd-attach(7): those whose captures equal the wanted ones of the
 * same names. Owned, terminated; NULL: no memory.
 */
MUST_CHECK char *runs_text(struct runs *s, const struct conf_attach *a,
	const struct captures *wanted);

#endif
