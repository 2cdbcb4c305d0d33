/*
 * read.h: files into the builder, value by value. Internal to conf/.
 */
#ifndef CONF_READ_H
#define CONF_READ_H

#include "base/compiler.h"
#include "base/str.h"
#include "conf/build.h"

/* The defaults of [server], which needs no section. -1 without memory. */
MUST_CHECK int read_begin(struct builder *b);
/* A file, or text in place of one, with all that it includes. */
void read_from_file(struct builder *b, const char *name);
void read_from_text(struct builder *b, const char *name, struct str text);

#endif
