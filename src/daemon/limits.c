/* What the daemon may open, what others see of it, what its programs get. */
#include "daemon/private.h"

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"

/*
 * Descriptors: of a connection (a client's and a backend's), of a program
 * beyond that (two pipes, its pidfd), of a worker behind its start (name
 * servers), and for whatever else comes (files that are read).
 */
#define CONNECTION_FDS 2
#define PROGRAM_FDS    3
#define WORKER_FDS     4
#define SPARE_FDS      16
#define USUAL_FDS      64 /* open at the start, where they cannot be counted */

/*
 * There are keys and messages in it: no debugger, no core file, and /proc/PID
 * for root alone (prctl(2)). A change of user undoes this. The variants of the
 * build that tests and benchmarks look into from outside leave it.
 */
void daemon_hide_memory(void)
{
#ifndef WSRELAY_DUMPABLE
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/*
 * As many descriptors as we may have, and no core files, which would hold keys
 * and messages: what programs get is what we had. The hard limit of core files
 * stays, for without it theirs could not be restored.
 */
void daemon_set_limits(struct proc_limits *original)
{
	struct rlimit wanted;

	if (getrlimit(RLIMIT_NOFILE, &original->nofile) < 0 ||
		getrlimit(RLIMIT_CORE, &original->core) < 0)
		return;
	wanted = original->nofile;
	wanted.rlim_cur = wanted.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &wanted);
	wanted = original->core;
	wanted.rlim_cur = 0;
	(void)setrlimit(RLIMIT_CORE, &wanted);
}

/* Some more than there are, for the directory's own entries count, too. */
static int64_t used_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int64_t n = 0;

	if (!dir)
		return USUAL_FDS;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* What is wanted, a quarter of the room at the most. */
static int64_t quarter(int64_t wanted, int64_t room)
{
	return wanted < room / 4 ? wanted : room / 4;
}

/*
 * As many connections as there are descriptors for, so that a client that is
 * one too many gets a 503, and does not wait in the kernel's backlog. Those
 * whose request is awaited have descriptors of their own, and so have programs.
 */
void daemon_limit_connections(struct daemon *d)
{
	const struct conf *c = d->conf;
	int64_t wanted = c->server.max_connections, allowed;
	int64_t pending = 0, programs = 0, room, need;
	bool first = d->own_fds == 0;
	struct rlimit limit;

	if (first) /* later there are connections among them */
		d->own_fds = used_fds();
	for (size_t i = 0; i < c->listens_n; i++)
		pending += c->listens[i].max_pending;
	for (size_t i = 0; i < c->routes_n; i++)
		if (c->routes[i].to.kind == BACKEND_EXEC)
			programs += PROGRAM_FDS * c->routes[i].max_processes;
	atomic_store(&d->shared.max_connections, (size_t)wanted);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
		return;
	room = (int64_t)limit.rlim_cur - d->own_fds - SPARE_FDS -
	       WORKER_FDS * (int64_t)d->workers_n;
	need = CONNECTION_FDS * wanted + pending + programs;
	if (need <= room)
		return;
	allowed = (room - quarter(pending, room) - quarter(programs, room)) /
		  CONNECTION_FDS;
	if (allowed < 1)
		allowed = 1;
	if (allowed > wanted)
		allowed = wanted;
	atomic_store(&d->shared.max_connections, (size_t)allowed);
	if (!first && need == d->needed_fds)
		return; /* it was said */
	d->needed_fds = need;
	LOG(LOG_WARN, "descriptors", F_INT("limit", limit.rlim_cur),
		F_INT("needed", need - room + (int64_t)limit.rlim_cur),
		F_INT("max_connections", allowed),
		F_STR("detail",
			"these are not enough for what the configuration "
			"allows: clients over this max_connections get 503; "
			"raise LimitNOFILE, or lower the key"));
}
