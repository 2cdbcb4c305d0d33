/*
 * reload.c: wsrelayctl reload where the daemon has no socket that answers: by
 * control = none, or because the file names another one than it has.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

/* The service manager tells it to the commands of a unit. 0: it did not. */
static pid_t main_pid(void)
{
	const char *text = getenv("MAINPID");
	char *end;
	long pid;

	if (!text)
		return 0;
	pid = strtol(text, &end, 10);
	return end != text && !*end && pid > 1 && pid == (pid_t)pid ? (pid_t)pid
								    : 0;
}

bool ctl_reload_can_signal(void)
{
	return main_pid() > 0;
}

enum ctl_status ctl_reload_by_signal(const char *file)
{
	struct buf errors = { 0 };
	struct conf *conf;

	if (kill(main_pid(), SIGHUP) < 0) {
		ctl_complain("SIGHUP: %s", strerror(errno));
		return CTL_UNREACHABLE;
	}
	ctl_complain("the daemon is told by SIGHUP, and says in its log what "
		     "came of it; here its file is checked");
	/* Behind it: a fault keeps no renewed certificate out. */
	conf = conf_load(file ? file : CTL_DEFAULT_FILE, &errors);
	fwrite(errors.p ? (char *)errors.p : "", 1, errors.n, stderr);
	buf_free(&errors);
	if (!conf)
		return CTL_REFUSED;
	conf_unref(conf);
	return CTL_OK;
}
