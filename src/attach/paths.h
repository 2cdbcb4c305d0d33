/*
 * paths.h: names of files, as a configuration has them: absolute.
 */
#ifndef ATTACH_PATHS_H
#define ATTACH_PATHS_H

#include "base/compiler.h"

/* Below the working directory, unless it is absolute; owned. NULL: no memory. */
MUST_CHECK char *paths_absolute(const char *path);
/*
 * "~/.config/wsrelay/token", or below XDG_CONFIG_HOME; owned. NULL: there is
 * neither of them nor a HOME, or no memory.
 */
MUST_CHECK char *paths_of_token(void);

#endif
