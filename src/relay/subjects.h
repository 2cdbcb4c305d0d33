/*
 * subjects.h: how many connections each subject of a route has, over all
 * workers. As many entries as subjects that are connected; one short lock; any
 * thread may call.
 */
#ifndef RELAY_SUBJECTS_H
#define RELAY_SUBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct subjects;

MUST_CHECK struct subjects *subjects_new(void);
void subjects_free(struct subjects *s);
/* One more: how many it has now. -1: no memory; nothing was counted. */
MUST_CHECK int64_t subjects_enter(
	struct subjects *s, size_t route, const char *subject);
/* One less, of those that were counted. */
void subjects_leave(struct subjects *s, size_t route, const char *subject);

#endif
