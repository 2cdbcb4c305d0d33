/*
 * dump.h: one value as conf_dump writes it. Internal to conf/.
 */
#ifndef CONF_DUMP_H
#define CONF_DUMP_H

#include "base/buf.h"
#include "base/compiler.h"
#include "conf/keys.h"

/* Appends the lines of a key of a section's object. -1 without memory. */
MUST_CHECK int dump_value(
	struct buf *out, const struct key_row *row, const void *object);

#endif
