/*
 * command.h: what a command of the control socket is made with.
 *
 * A further command is a row in codec/control.def and a function here:
 *
 *   void command_NAME(struct answer *a);
 *
 * It runs on the main thread. What it wants to know is in a->request
 * (control_text, control_flag, control_number). It writes rows and ends:
 *
 *   ANSWER_ROW(a, F_STR("route", name), F_INT("clients", n));
 *   answer_end(a);                        or answer_refuse(a, "there is no ...");
 *
 * at once, or later. A long answer makes its rows in shares of the turn:
 *
 *   a->more = routes_more; a->state = where it is; answer_continue(a);
 *
 * more is then called in a later turn in which the caller has room, and writes
 * rows while answer_goes_on says so; then it calls answer_continue again, or
 * answer_end. What only workers know is asked with visit.h. a->left is the last
 * call, however the answer ends, also when the caller has left: it frees state.
 */
#ifndef DAEMON_COMMAND_H
#define DAEMON_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/log.h"
#include "codec/control.h"

struct conf;
struct daemon;

struct answer { /* to one request */
	struct daemon *daemon;
	const struct control_request *request;
	void (*more)(struct answer *a);
	void (*left)(struct answer *a); /* may be NULL */
	void *state;
	bool readonly;    /* it comes by control_readonly */
	int64_t uid, pid; /* of the caller, as the kernel has them */
	int64_t says_uid; /* where it does not know the user; else -1 */
	/*
	 * It goes on until the caller leaves, which it does by closing, and has
	 * nothing to say in between: the end of its stream is then the end.
	 */
	bool endless;
};

/* A row; without memory the caller is cut. */
void answer_row(
	struct answer *a, const struct log_field *fields, size_t fields_n);
#define ANSWER_ROW(a, ...)                                                     \
	do {                                                                   \
		const struct log_field row_[] = { __VA_ARGS__ };               \
		answer_row(a, row_, ARRAY_SIZE(row_));                         \
	} while (0)
/* Rows that are written already, each with its LF. */
void answer_add(struct answer *a, const void *rows, size_t n);
/* Whether the caller has room for another, and the share of the turn is left. */
MUST_CHECK bool answer_goes_on(struct answer *a);
void answer_continue(struct answer *a);

/*
 * An answer about the configuration, step by step: more finds its place in
 * a->state, and is called at once for the first time.
 */
struct answer_place {
	struct conf *conf; /* a reference: a reload may exchange the daemon's */
	size_t next;       /* of what more lists; 0 at first */
};
void answer_of_conf(struct answer *a, void (*more)(struct answer *a));

/* There is no memory for the rest of a row: the caller is cut. */
void answer_cut(struct answer *a);

/* The last line; a is gone when these return. */
void answer_end(struct answer *a);
void answer_refuse(struct answer *a, const char *format, ...) PRINTF_LIKE(2, 3);
void answer_usage(struct answer *a, const char *format, ...) PRINTF_LIKE(2, 3);

#define COMMAND(name, flags, arguments, help)                                  \
	void command_##name(struct answer *a);
#include "codec/control.def"
#undef COMMAND

#endif
