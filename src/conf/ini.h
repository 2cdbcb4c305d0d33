/*
 * ini.h: one INI file, line by line, through inih.
 *
 * inih gives no line numbers, cuts long lines and section names, and joins
 * indented lines; so a reader of our own stands in front of it: it takes whole
 * physical lines, counts them, and refuses what inih would misread.
 */
#ifndef CONF_INI_H
#define CONF_INI_H

#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#define INI_LINE_MAX 199 /* bytes; Debian's inih holds 200 with the NUL */
#define INI_FILE_MAX (1u << 20) /* bytes */

struct ini_handler {
	/* A section header, also of an empty section. */
	void (*section)(void *data, int line, const char *section);
	void (*pair)(void *data, int line, const char *key, const char *value);
	/* A complaint of the reader; reading goes on. */
	void (*error)(void *data, int line, const char *what);
	void *data;
};

/* Reads the text of one file. */
void ini_read(struct str text, const struct ini_handler *h);

#endif
