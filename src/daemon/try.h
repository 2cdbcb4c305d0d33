/*
 * try.h: wsrelayd --try COMMAND: puts a program that reads and writes lines
 * behind a browser, without a configuration file.
 */
#ifndef DAEMON_TRY_H
#define DAEMON_TRY_H

#include <stdbool.h>

#include "base/compiler.h"
#include "daemon/daemon.h"

struct try_setup;

struct try_params {
	const char *command; /* words, split at spaces; no shell */
	const char *root;    /* a directory of pages; NULL = the built-in one */
	/*
	 * true: for -T: the configuration names files where a kept one should
	 * have them, and is not run.
	 */
	bool keep;
};

/* NULL: it has complained on stderr. */
MUST_CHECK struct try_setup *try_new(const struct try_params *params);
/* Removes what it made. */
void try_free(struct try_setup *t);
void try_source(struct try_setup *t, struct daemon_source *source);
/* The INI file that it is the short form of, with comments. */
const char *try_ini(const struct try_setup *t);

#endif
