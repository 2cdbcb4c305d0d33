/*
 * number.h: counts, sizes, times, rates and modes, with their units and ranges.
 * Internal to value.c.
 */
#ifndef CONF_NUMBER_H
#define CONF_NUMBER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "conf/keys.h"
#include "conf/value.h"

struct conf_rate;

/* Sizes in bytes, times in milliseconds. -1 and why. */
MUST_CHECK int number_parse(const struct key_row *row, int64_t *out,
	struct str s, char why[VALUE_WHY]);
/* -1 without memory. */
MUST_CHECK int number_format(
	struct buf *out, const struct key_row *row, int64_t v);

/* At most so many in a time. */
#define NUMBER_RATE_MAX 100000

/* "20/m"; 0 is no limit. -1 and why. */
MUST_CHECK int number_parse_rate(
	struct conf_rate *out, struct str s, char why[VALUE_WHY]);
MUST_CHECK int number_format_rate(struct buf *out, const struct conf_rate *r);

/* "0660", or "660": the rights of a file. -1 and why. */
MUST_CHECK int number_parse_mode(
	int64_t *out, struct str s, char why[VALUE_WHY]);
MUST_CHECK int number_format_mode(struct buf *out, int64_t mode);

#endif
