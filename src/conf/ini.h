/*
 * ini.h: one INI file, line by line, through inih.
 *
 * inih gives no line numbers, cuts long lines and section names, and joins
 * indented lines; so a reader of our own comes before it: it takes whole
 * physical lines, counts them, and refuses what inih would misread.
 *
 * A comment is a line that begins with ';' or '#' (white space before it is
 * fine), or a ';' after white space to the end of a line.
 */
#ifndef CONF_INI_H
#define CONF_INI_H

#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#define INI_LINE_MAX    199 /* bytes; Debian's inih holds 200 with the NUL */
#define INI_SECTION_MAX 49  /* bytes; inih cuts longer names */
#define INI_FILE_MAX    (1u << 20) /* bytes */

struct ini_handler {
	/*
	 * A section header, also of an empty section; its text between the
	 * brackets, trimmed. NULL: it could not be read (there was an error
	 * call), so pairs up to the next header belong nowhere.
	 */
	void (*section)(void *data, int line, const char *section);
	void (*pair)(void *data, int line, const char *key, const char *value);
	/* A complaint of the reader; reading goes on. */
	void (*error)(void *data, int line, const char *what);
	void *data;
};

/*
 * Reads the text of one file. Lines end in LF or CR LF. Keys and values come
 * trimmed, valid UTF-8 without control characters; a key is not empty.
 */
void ini_read(struct str text, const struct ini_handler *h);

#endif
