/*
 * verdict.h: why the relay refused or ended a connection, in words for people,
 * and whether to come back: what its table of reasons says (base/reason.def).
 */
#ifndef ATTACH_VERDICT_H
#define ATTACH_VERDICT_H

#include "base/reason.h"
#include "attach/say.h"

struct backend_result;
struct ending;

struct verdict {
	enum reason_advice advice; /* LATER when the words are none of ours */
	char text[SAY_MAX];
};

/* It was not opened. */
void verdict_of_attempt(struct verdict *v, const struct backend_result *r);
/* It was open. */
void verdict_of_end(struct verdict *v, const struct ending *why);

#endif
