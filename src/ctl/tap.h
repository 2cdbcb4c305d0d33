/*
 * tap.h: answers that go on until the user has had enough: control-C, or the
 * daemon's last line.
 */
#ifndef CTL_TAP_H
#define CTL_TAP_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/str.h"
#include "ctl/ctl.h"

struct call;

/* SIGINT, SIGTERM and SIGHUP end c: call_line gives up from then on. */
void tap_catch_signals(struct call *c);
/*
 * The next line of the answer, valid until the next call of this. False: there
 * is none; *status says how it ended, and what went wrong was complained about.
 */
MUST_CHECK bool tap_line(
	struct call *c, struct str *line, enum ctl_status *status);

/* Shows messages as they come, or the daemon's own lines. */
enum ctl_status tap_show(struct call *c, bool json);

#endif
