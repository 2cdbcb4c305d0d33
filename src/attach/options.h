/*
 * options.h: what is written behind wsrelayd --attach.
 */
#ifndef ATTACH_OPTIONS_H
#define ATTACH_OPTIONS_H

#include <stdbool.h>

#include "base/compiler.h"
#include "codec/framing.h"

enum attach_slow {
	ATTACH_SLOW_AUTO, /* text: drop-old, binary: latest */
	ATTACH_SLOW_LATEST,
	ATTACH_SLOW_DROP_OLD,
	ATTACH_SLOW_BLOCK,
};

struct attach_options { /* strings are those of argv */
	const char *uri;
	const char *token_file; /* NULL: the usual one */
	const char *ca;         /* NULL: the system's */
	const char *listen;     /* a Unix socket's path; NULL: a program */
	enum framing_id framing;
	enum attach_slow slow;
	bool quiet;
	char **argv; /* the program and its arguments, NULL-terminated */
};

/* -1: go on; else the exit status, and all is said. */
MUST_CHECK int attach_parse_options(
	struct attach_options *o, int argc, char **argv);

#endif
