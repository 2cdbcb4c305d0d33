/*
 * cgroup.h: control groups of version 2 (cgroups(7)): one for each program that
 * has limits, in the group that the service manager has delegated to the daemon.
 *
 *   /sys/fs/cgroup/system.slice/wsrelayd.service   delegated (Delegate=)
 *       relay/       the daemon: a group whose groups have controllers must not
 *                    have processes of its own
 *       program-N/   a program and all that it starts, wherever that goes
 *
 * Groups are files: all functions are system calls on small ones, and none waits
 * for a process.
 */
#ifndef NET_CGROUP_H
#define NET_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct cgroups;

/* Where the kernel shows them; tests have a tree of their own. */
struct cgroup_place {
	const char *mount; /* /sys/fs/cgroup */
	const char *self;  /* /proc/self/cgroup */
};

extern const struct cgroup_place cgroup_usual_place;

/* 0 is no limit. */
struct cgroup_limits {
	int64_t memory;    /* bytes; over it all of the program is killed */
	int64_t cpu;       /* percent of one processor */
	int64_t processes; /* threads count, too */
};

#define CGROUP_WHY 512

enum cgroup_verdict {
	CGROUP_GOOD,
	CGROUP_NOT_HERE,  /* not in this process's group; elsewhere perhaps */
	CGROUP_IMPOSSIBLE /* not on this system */
};

/*
 * Whether programs of this process could have limits; changes nothing. why, for
 * people, when it is not CGROUP_GOOD.
 */
MUST_CHECK enum cgroup_verdict cgroup_check(
	const struct cgroup_place *place, char why[CGROUP_WHY]);
/*
 * Takes the group that this process is in: moves it (all of its threads) into
 * relay/, and hands the controllers on. Once, before the first program starts.
 * NULL and why.
 */
MUST_CHECK struct cgroups *cgroup_take(
	const struct cgroup_place *place, char why[CGROUP_WHY]);
void cgroup_free(struct cgroups *g);

/*
 * Any thread. A new group with these limits: its directory, free() it behind
 * cgroup_remove. NULL: errno.
 */
MUST_CHECK char *cgroup_add(
	struct cgroups *g, const struct cgroup_limits *limits);
/* Whether something in it lives. */
bool cgroup_lives(const char *group);
/* SIGKILL to all that is in it, whatever it forks meanwhile. */
void cgroup_kill(const char *group);
/* Whether the memory limit has killed it, or something in it. */
bool cgroup_ran_out(const char *group);
/* -1: something in it lives yet. */
int cgroup_remove(const char *group);

#endif
