/*
 * diff.h: what a new configuration changes, section by section. A section is
 * known by its kind and name; what the files hold that its keys name is not
 * looked at.
 */
#ifndef CONF_DIFF_H
#define CONF_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "conf/keys.h"

struct conf;

enum diff_kind {
	DIFF_ADDED,
	DIFF_REMOVED,
	DIFF_CHANGED,
	/* Those that both have come in another order: only of routes, pages. */
	DIFF_ORDER,
};

struct diff_change {
	enum diff_kind kind;
	enum keys_section section;
	const char *name; /* "" of [server], and of ORDER */
	/* Places among their kind; SIZE_MAX where there is none. */
	size_t before, after;
	/* CHANGED: the keys that differ, between blanks. */
	const char *keys;
	/* Of these: whether a reload has no effect on one or all. */
	bool at_start;
};

/* "added", "removed", "changed" or "order". */
const char *diff_kind_word(enum diff_kind k);

typedef void diff_fn(void *arg, const struct diff_change *c);

/*
 * Calls change for each section that differs, those of a first and in its
 * order; what is passed is borrowed. -1 without memory: not all were told.
 */
MUST_CHECK int diff_each(
	const struct conf *a, const struct conf *b, diff_fn *change, void *arg);
/* Whether the value of this key differs: 1 or 0; -1 without memory. */
MUST_CHECK int diff_key(
	const struct key_row *row, const void *a, const void *b);

#endif
