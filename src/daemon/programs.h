/*
 * programs.h: what programs of exec backends need besides themselves: the step
 * that starts them (net/step.h), and control groups where a route limits what one
 * may take (exec_memory, exec_cpu, exec_processes).
 */
#ifndef DAEMON_PROGRAMS_H
#define DAEMON_PROGRAMS_H

#include "base/compiler.h"

struct conf;
struct shared;

/*
 * For -t: 0, or an exit status behind a complaint. The group of the service
 * cannot be seen from another process's: what may only be missing here is a
 * warning.
 */
MUST_CHECK int programs_check(const struct conf *c);
/*
 * At the start, before the first thread and program, and again for each newer
 * configuration: s->step and, where a route needs them, s->groups, once each.
 * 0, or an exit status behind a complaint.
 */
MUST_CHECK int programs_prepare(struct shared *s, const struct conf *c);
void programs_free(struct shared *s);

#endif
