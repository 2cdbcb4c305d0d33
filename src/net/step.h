/*
 * step.h: wsrelayd-exec, the small step between fork and exec.
 *
 *   posix_spawn -> wsrelayd-exec: its group, oom_score_adj, limits -> program
 *
 * A process may not write its own files in /proc while it shares the daemon's
 * memory, which is hidden (prctl(2), PR_SET_DUMPABLE). So a program is started
 * by a program of a few lines that has a memory of its own. It is linked
 * statically: no variable of the environment that is meant for the program, such
 * as LD_PRELOAD, means anything to it.
 *
 *   wsrelayd-exec GROUP DIR NOFILE NOFILE-HARD CORE CORE-HARD PROGRAM ARGUMENT...
 *
 * GROUP is the directory of a control group, or empty; DIR where the program
 * begins.
 */
#ifndef NET_STEP_H
#define NET_STEP_H

#include "base/compiler.h"

/* Where it is installed; make knows. */
#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/local/libexec/wsrelayd"
#endif

enum step_argument {
	STEP_NAME,
	STEP_GROUP,
	STEP_DIR,
	STEP_LIMITS, /* four numbers */
	STEP_PROGRAM = STEP_LIMITS + 4,
};

/* What has failed. A step that has done its work says nothing. */
enum step_failed { STEP_FAILED_GROUP, STEP_FAILED_LIMITS, STEP_FAILED_EXEC };

/* What it writes to STEP_FD before it ends with an error. */
struct step_report {
	int failed; /* enum step_failed */
	int error;  /* errno */
};

#define STEP_FD 3

/*
 * How much higher than the daemon's a program's oom_score_adj is, at most up to
 * 1000: as if it used so many thousandths of the machine's memory more. When
 * memory runs out the kernel ends a program first.
 */
#define STEP_OOM_HIGHER 500

/*
 * A descriptor to start it by, however the file is replaced meanwhile: the one
 * beside the daemon's own file, else the installed one. -1 with errno.
 */
MUST_CHECK int step_open(void);

#endif
