/*
 * private.h: what the files of this room share: question.c (the request),
 * explain.c (the steps), limits.c (what holds for the connection).
 */
#ifndef EXPLAIN_PRIVATE_H
#define EXPLAIN_PRIVATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/detail.h"
#include "gate/client.h"
#include "gate/gate.h"
#include "gate/request.h"
#include "page/way.h"
#include "explain/explain.h"

/* What was left out of the question is assumed. */
struct question {
	const struct explain_question *asked;
	struct str target; /* path and query */
	struct str host;
	bool host_assumed;
	struct addr peer;
	bool secure; /* it comes over TLS, or a trusted proxy says so */
};

struct explaining {
	const struct explain_question *asked;
	explain_fn *tell;
	void *arg;
	struct question question;
	struct client client;
	struct request request;
	struct buf head; /* what the request points into */
	struct detail detail;
	struct gate_check check;
	struct way way;
	bool no_memory;
};

/* question.c */
/* -1 and why. */
MUST_CHECK int question_init(struct question *q,
	const struct explain_question *asked, const char **why);
/* Appends a request for a WebSocket, or for a page. -1 without memory. */
MUST_CHECK int question_write(
	struct buf *out, const struct question *q, bool upgrade);

/* Name and detail may be NULL. */
static inline void explain_tell(struct explaining *x, const char *step,
	const char *says, const char *name, const char *detail)
{
	x->tell(x->arg, &(struct explain_line){ .step = step,
				.says = says,
				.name = name,
				.detail = detail });
}

/* limits.c: a line for each. */
void explain_backend(struct explaining *x);
void explain_limits(struct explaining *x);

#endif
