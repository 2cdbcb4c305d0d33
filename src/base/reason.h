/*
 * reason.h: why a connection was refused or ended; see reason.def.
 */
#ifndef BASE_REASON_H
#define BASE_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum reason {
	REASON_NONE, /* it lives */
#define REASON(name, word, status, code, what, text) REASON_##name,
#include "base/reason.def"
#undef REASON
	REASON_COUNT
};

enum reason_advice { REASON_NEVER, REASON_TOKEN, REASON_LATER };

struct reason_info {
	const char *word; /* in logs, counters and refusals */
	uint16_t status;  /* HTTP, 0 = not before the upgrade */
	uint16_t code;    /* WebSocket close code, 0 = none is sent */
	uint8_t advice;   /* enum reason_advice: what a page should do */
	const char *text; /* one line for people */
};

/* Never NULL; lives forever. */
const struct reason_info *reason_get(enum reason r);
/* By its word; REASON_NONE: it is none of ours. */
enum reason reason_find(struct str word);
/* Whether one of both sides, or the relay's own stop, ended it as it should. */
bool reason_is_orderly(enum reason r);

#endif
