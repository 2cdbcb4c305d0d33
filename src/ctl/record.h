/* record.h: wsrelayctl record: the answer to "record" -> a file. */
#ifndef CTL_RECORD_H
#define CTL_RECORD_H

#include <stdbool.h>

#include "ctl/ctl.h"

struct call;

/*
 * Until the user has had enough, or the daemon. The file must not exist; "-" is
 * standard output. json: what came of it is told as a line of JSON.
 */
enum ctl_status record_write(struct call *c, const char *file, bool json);

#endif
