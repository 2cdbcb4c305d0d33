/*
 * call.h: one call of a running daemon (codec/control.h): connect, ask, read
 * what it answers.
 */
#ifndef CTL_CALL_H
#define CTL_CALL_H

#include <signal.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#define CALL_DEFAULT_SOCKET "/run/wsrelayd/control.sock"

struct json_t;

struct call {
	int fd;
	struct buf in;
	size_t used;    /* of in: lines that were given out */
	size_t scanned; /* of in: no line ends from used to there */
	size_t line_max;
	/* Set by a signal: call_line gives up, and does not complain. */
	const volatile sig_atomic_t *stop; /* or NULL */
};

/*
 * Connects and reads the greeting. -1: it complained. A call of zeros with fd -1
 * may be closed, too.
 */
MUST_CHECK int call_open(struct call *c, const char *path);
void call_close(struct call *c);
/* Sends a request, with our uid in it. -1: it complained. */
MUST_CHECK int call_ask(struct call *c, struct json_t *request);
/*
 * The next line, LF included, valid until the next call of this; waits for it.
 * -1: there is none, and it complained.
 */
MUST_CHECK int call_line(struct call *c, struct str *line);
/* Whether that would not wait. */
MUST_CHECK bool call_has_line(struct call *c);

#endif
