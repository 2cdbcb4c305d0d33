/*
 * store_file.h: a file that is there whole or not at all, in a directory that is
 * open. Its name is one component.
 */
#ifndef DAEMON_STORE_FILE_H
#define DAEMON_STORE_FILE_H

#include "base/compiler.h"
#include "base/str.h"

struct buf;

/* Bytes of one. */
#define STORE_FILE_MAX (64u << 20)

/*
 * Writes it beside, syncs, renames it and syncs the directory. -1 with errno:
 * the one that was there is as it was. Any thread.
 */
MUST_CHECK int store_file_write(int dir, const char *name, struct str bytes);
/* Appends it to out. -1 with errno: EFBIG: more than STORE_FILE_MAX. */
MUST_CHECK int store_file_read(int dir, const char *name, struct buf *out);
/* Renames it to NAME.damaged. -1 with errno. */
MUST_CHECK int store_file_set_aside(int dir, const char *name);
/* Removed for good when this returns 0; it need not be there. -1 with errno. */
MUST_CHECK int store_file_remove(int dir, const char *name);

#endif
