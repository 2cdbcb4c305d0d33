/*
 * stream.h: a backend that speaks bytes with a framing (framing.h): a TCP
 * or Unix socket, or the standard streams of a process. And the built-in
 * echo.
 */
#ifndef END_STREAM_H
#define END_STREAM_H

#include <stdbool.h>

#include "base/compiler.h"
#include "end/end.h"

struct conf_route;
struct conn;
struct worker;

/*
 * Takes the connection. NULL: no memory; the connection is still the
 * caller's.
 */
MUST_CHECK struct end *stream_end_new(
	struct worker *w, struct conn *c, const struct conf_route *route);
MUST_CHECK struct end *echo_end_new(struct worker *w);

/*
 * For a process behind the end: it is kept until the process is gone, and
 * told of its end (exit status, or 128 + signal).
 */
struct proc;
void stream_end_set_proc(struct end *e, struct proc *p);
void stream_end_exited(struct end *e, int status);
/* Whether it has ever sent something; whether it was ever sent something. */
bool stream_end_heard(const struct end *e);
bool stream_end_spoken_to(const struct end *e);

#endif
