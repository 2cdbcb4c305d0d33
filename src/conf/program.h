/*
 * program.h: where a program is that is named without a path.
 */
#ifndef CONF_PROGRAM_H
#define CONF_PROGRAM_H

#include "base/compiler.h"
#include "base/str.h"

/*
 * The file that a directory of PATH has under this name, owned: a regular file
 * that this process may execute. Directories that are not absolute are passed
 * over, for they depend on where a process runs. NULL: none, or no memory.
 */
MUST_CHECK char *program_find(struct str name);
/* The PATH that is looked through. */
const char *program_path(void);

#endif
