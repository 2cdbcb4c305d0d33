/*
 * say.h: what wsrelayd --attach says on standard error, which is the run's,
 * too: lines for people, and never at the price of the run. A line for which
 * there is no room at once is not written.
 */
#ifndef ATTACH_SAY_H
#define ATTACH_SAY_H

#include "base/compiler.h"
#include "base/str.h"

#define SAY_MAX 1024

/* "wsrelayd: ...", with an LF behind it. */
void say(const char *format, ...) PRINTF_LIKE(1, 2);
/* A line as it is, for programs to find. */
void say_plain(const char *format, ...) PRINTF_LIKE(1, 2);
/*
 * Words of the other side, as they may be shown: the first line, printable
 * ASCII and UTF-8, cut; what looks like a token is hidden.
 */
const char *say_clean(char text[SAY_MAX], struct str words);

#endif
