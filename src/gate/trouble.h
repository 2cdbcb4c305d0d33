/*
 * trouble.h: the last trouble that a route had with its backend, for "wsrelayctl
 * backends". A part of the route's state (worker/section.h); any thread, a short
 * lock, taken when something goes wrong.
 */
#ifndef GATE_TROUBLE_H
#define GATE_TROUBLE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"

struct conf_route;
struct trouble;

#define TROUBLE_TEXT 160

struct trouble_last {
	int64_t at_ms; /* Unix time; 0: there was none */
	uint64_t n;    /* so far */
	enum reason reason;
	char detail[TROUBLE_TEXT]; /* "" = none */
};

MUST_CHECK struct trouble *trouble_new(void);
void trouble_free(struct trouble *t);

/* Reasons that are not a backend's fault are ignored. detail may be NULL. */
void trouble_note(
	const struct conf_route *route, enum reason reason, const char *detail);
void trouble_get(struct trouble *t, struct trouble_last *out);

#endif
