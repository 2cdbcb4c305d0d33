/*
 * control.h: the control sockets, on the main thread's loop.
 *
 *   listener -> caller: greeting -> line -> codec/control: a request
 *            -> its command (command.h) -> rows -> the line with its status
 *
 * Callers are few and a line is short, an answer is as long as it likes: its
 * rows come in shares of a turn, and none is made while much waits for the
 * caller. One that does not read is cut.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <stdbool.h>

#include "base/compiler.h"

struct conf;
struct control;
struct daemon;

#define CONTROL_CALLERS 16 /* of each socket, at one time */

/*
 * Binds what the configuration names, as the user who may: before privileges are
 * dropped. -1: it complained. d->control has what was bound; NULL: nothing is.
 */
MUST_CHECK int control_bind(struct daemon *d, const struct conf *conf);
/* Listens from now on. -1 with errno. */
MUST_CHECK int control_start(struct daemon *d);
/*
 * No loop runs any more: the sockets are gone, callers are left, and so is what
 * they had asked of workers. May be called again.
 */
void control_stop(struct daemon *d);
/* Behind control_stop and the end of the loop, in which callers are freed. */
void control_free(struct daemon *d);

#endif
