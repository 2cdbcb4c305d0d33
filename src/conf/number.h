/*
 * number.h: counts, sizes and times, with their units and ranges. Internal
 * to value.c.
 */
#ifndef CONF_NUMBER_H
#define CONF_NUMBER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "conf/keys.h"
#include "conf/value.h"

/* Sizes in bytes, times in milliseconds. -1 and why. */
MUST_CHECK int number_parse(const struct key_row *row, int64_t *out,
	struct str s, char why[VALUE_WHY]);
/* -1 without memory. */
MUST_CHECK int number_format(
	struct buf *out, const struct key_row *row, int64_t v);

#endif
