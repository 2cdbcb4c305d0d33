/*
 * control.h: the protocol of the control socket: what wsrelayctl asks a running
 * daemon, and the table of the commands (control.def).
 *
 *   -> {"wsrelayd":"0.1.0","protocol":1,"pid":42}        the daemon's greeting
 *   <- {"command":"clients","route":"sim"}               a request: one line
 *   -> {"id":"6d1f","route":"sim"}                       rows of the answer
 *   -> {"id":"6d20","route":"sim"}
 *   -> {"status":"ok"}                                   its last line
 *
 * "status" is ok, or refused or usage with "error" beside it; no row has a member
 * of this name. A caller may send the next request when it likes; they are
 * answered one by one. Every line is an object of JSON and ends in LF.
 *
 * A request names its command and its arguments, and who asks ("uid"), which
 * counts only where the kernel does not know it. Members that are not known are
 * errors, so that no limit or filter is silently left out.
 */
#ifndef CODEC_CONTROL_H
#define CODEC_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/str.h"

#define CONTROL_PROTOCOL 1
/* Of a request, its LF counted. */
#define CONTROL_LINE_MAX (64u * 1024)
#define CONTROL_WHY      256

/* Values of "status", and what is wrong with the request. */
#define CONTROL_OK      "ok"
#define CONTROL_REFUSED "refused" /* it can't be done, or not here */
#define CONTROL_USAGE   "usage"   /* the request is wrong */

enum control_type {
	CONTROL_TEXT,
	CONTROL_NUMBER, /* an integer, 0 or more */
	CONTROL_FLAG,   /* true or false */
	CONTROL_TEXTS,  /* an array of strings, not empty */
};

enum {
	/* of commands */
	CONTROL_CHANGES = 1 << 0,
	CONTROL_SHEET = 1 << 1,
	CONTROL_BY_TIME = 1 << 2,
	CONTROL_MESSAGES = 1 << 3,
	CONTROL_ENDLESS = 1 << 4,
	/* of arguments */
	CONTROL_REQUIRED = 1 << 0,
	CONTROL_PLAIN = 1 << 1,  /* wsrelayctl: a word, not an option */
	CONTROL_SECRET = 1 << 2, /* it is not logged */
	/* wsrelayctl: a time is given as 10m, or as 14:03, and sent as Unix
	 * milliseconds */
	CONTROL_SINCE = 1 << 3,
	/* wsrelayctl: a length of time, such as 10m, sent as milliseconds */
	CONTROL_TIME = 1 << 4,
	/* wsrelayctl: it is given as "-", and read from standard input */
	CONTROL_STDIN = 1 << 5,
};

struct control_argument {
	const char *name; /* NULL ends an array of them */
	enum control_type type;
	unsigned flags;
	const char *word; /* of its value in usages; NULL: it has none */
};

struct control_command {
	const char *name;
	unsigned flags;
	const struct control_argument *arguments;
	const char *help;
};

extern const struct control_command control_commands[];
extern const size_t control_commands_n;

/* NULL: there is none of this name. */
const struct control_command *control_find(struct str name);
const struct control_argument *control_find_argument(
	const struct control_command *c, struct str name);

struct json_t;

struct control_request {
	const struct control_command *command;
	struct json_t *object; /* owned */
	int64_t uid; /* of the caller, as it says itself; -1: it does not */
};

/*
 * The first line of n bytes. Returns how many it has, LF included, and *r, to be
 * freed; 0: it is not complete. -1 and why: it is longer than CONTROL_LINE_MAX;
 * then nothing that follows can be understood. When *r has no command the line
 * was no good: why says so, and the next may be.
 */
MUST_CHECK ssize_t control_read(struct control_request *r, const void *p,
	size_t n, char why[CONTROL_WHY]);
void control_request_free(struct control_request *r);

/* Borrowed from the request; NULL, false, -1: it was not given. */
const char *control_text(const struct control_request *r, const char *name);
bool control_flag(const struct control_request *r, const char *name);
int64_t control_number(const struct control_request *r, const char *name);
/* The i-th of CONTROL_TEXTS; NULL behind the last. */
const char *control_text_at(
	const struct control_request *r, const char *name, size_t i);

#endif
