/*
 * log_kind.h: which lines are logged, beyond their level: the words of
 * log_events, and what they choose (log_kind.def).
 */
#ifndef BASE_LOG_KIND_H
#define BASE_LOG_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

/* A bit for each kind. */
typedef uint64_t log_kinds;

/* All words but the single kinds and events, for people. */
#define LOG_KIND_GROUPS                                                        \
	"all, connections, refusals, hubs, programs, pages, tokens, "          \
	"console"

/* The bit of this kind; 0: it is none, and always logged. */
log_kinds log_kind_find(const char *kind);
/*
 * Reads the words of a list one after the other into *hidden, which is 0 before
 * the first. "-word" hides what the word names, "word" shows it; a first word
 * without "-" hides all else. -1: there is no such word, *hidden is as it was.
 */
MUST_CHECK int log_kind_choose(log_kinds *hidden, struct str word, bool first);

#endif
