#include "net/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define FILE_MAX 4096
#define ENDING   "delegate it: see exec-limits.conf"

struct cgroups {
	char path[PATH_MAX];        /* of the delegated group */
	atomic_uint_least64_t last; /* number of a program's */
};

const struct cgroup_place cgroup_usual_place = {
	.mount = "/sys/fs/cgroup",
	.self = "/proc/self/cgroup",
};

static const char *const controllers[] = { "memory", "cpu", "pids" };

/* --- files ----------------------------------------------------------------------*/

static int say(char why[CGROUP_WHY], const char *format, ...) PRINTF_LIKE(2, 3);

static int say(char why[CGROUP_WHY], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, CGROUP_WHY, format, ap);
	va_end(ap);
	return -1;
}

/* -1 with ENAMETOOLONG when it does not fit. */
static int join(char out[PATH_MAX], const char *folder, const char *name)
{
	if (snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

static int read_file(char out[FILE_MAX], const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, out, FILE_MAX - 1);
	close(fd);
	if (n < 0)
		return -1;
	out[n] = '\0';
	return 0;
}

static int read_in(char out[FILE_MAX], const char *group, const char *name)
{
	char path[PATH_MAX];

	return join(path, group, name) < 0 ? -1 : read_file(out, path);
}

static int write_in(const char *group, const char *name, const char *text)
{
	char path[PATH_MAX];
	ssize_t written;
	int fd, error;

	if (join(path, group, name) < 0)
		return -1;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	written = write(fd, text, strlen(text));
	error = errno;
	close(fd);
	errno = error;
	return written < 0 ? -1 : 0;
}

/* Whether a word is in a line of words. */
static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += n)
		if ((p == words || p[-1] == ' ') &&
			(p[n] == ' ' || p[n] == '\n' || p[n] == '\0'))
			return true;
	return false;
}

/* The number behind a word at the beginning of a line; 0: none. */
static uint64_t count_in(const char *group, const char *name, const char *word)
{
	char text[FILE_MAX];
	size_t n = strlen(word);

	if (read_in(text, group, name) < 0)
		return 0;
	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, word, n) == 0 && p[n] == ' ')
			return strtoull(p + n, NULL, 10);
	}
	return 0;
}

/* --- the delegated group ----------------------------------------------------------*/

/* Takes a last segment off the path. */
static void strip(char *path, const char *segment)
{
	size_t n = strlen(path), k = strlen(segment);

	if (n >= k && strcmp(path + n - k, segment) == 0)
		path[n - k] = '\0';
}

/*
 * The directory of this process's group, from the line "0::/path". systemd puts
 * what ExecReload= runs into .control of a delegated group, and we ourselves go
 * into relay.
 */
static int find_group(char out[PATH_MAX], const struct cgroup_place *place)
{
	char text[FILE_MAX];
	char *path, *end;

	if (read_file(text, place->self) < 0)
		return -1;
	path = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
	if (!path)
		return -1;
	path = strchr(path, '/');
	end = strchr(path, '\n');
	if (end)
		*end = '\0';
	strip(path, "/.control");
	strip(path, "/relay");
	strip(path, "/");
	return snprintf(out, PATH_MAX, "%s%s", place->mount, path) < PATH_MAX
		       ? 0
		       : -1;
}

/* Whether the system has all that is needed, somewhere. */
static int check_system(const struct cgroup_place *place, char why[CGROUP_WHY])
{
	char words[FILE_MAX];

	if (read_in(words, place->mount, "cgroup.controllers") < 0)
		return say(why,
			"there are no control groups of version 2 at %s on "
			"this system",
			place->mount);
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (!has_word(words, controllers[i]))
			return say(why,
				"the kernel has no controller \"%s\" in %s",
				controllers[i], place->mount);
	return 0;
}

static int check_group(const char *group, char why[CGROUP_WHY])
{
	static const char *const files[] = { "cgroup.procs",
		"cgroup.subtree_control" };
	char words[FILE_MAX], path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (join(path, group, files[i]) < 0 || access(path, W_OK) < 0)
			return say(why,
				"the control group %s may not be changed "
				"(%s); " ENDING,
				group, strerror(errno));
	if (read_in(words, group, "cgroup.controllers") < 0)
		words[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (!has_word(words, controllers[i]))
			return say(why,
				"the control group %s has no controller "
				"\"%s\"; " ENDING,
				group, controllers[i]);
	return 0;
}

enum cgroup_verdict cgroup_check(
	const struct cgroup_place *place, char why[CGROUP_WHY])
{
	char group[PATH_MAX];

	if (check_system(place, why) < 0)
		return CGROUP_IMPOSSIBLE;
	if (find_group(group, place) < 0) {
		(void)say(why, "%s names no control group of version 2",
			place->self);
		return CGROUP_IMPOSSIBLE;
	}
	return check_group(group, why) < 0 ? CGROUP_NOT_HERE : CGROUP_GOOD;
}

static int make_group(const char *path)
{
	return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -1;
}

/* Those that an earlier daemon has left, as far as they are empty. */
static void remove_old(const char *group)
{
	DIR *dir = opendir(group);
	const struct dirent *entry;
	char path[PATH_MAX];

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, "program-", 8) == 0 &&
			join(path, group, entry->d_name) == 0)
			(void)cgroup_remove(path);
	closedir(dir);
}

static int move_and_enable(const char *group, char why[CGROUP_WHY])
{
	char relay[PATH_MAX], path[PATH_MAX];

	if (join(relay, group, "relay") < 0 || make_group(relay) < 0 ||
		write_in(relay, "cgroup.procs", "0") < 0)
		return say(why, "%s/relay cannot be entered (%s); " ENDING,
			group, strerror(errno));
	if (write_in(group, "cgroup.subtree_control", "+memory +cpu +pids") < 0)
		return say(why, "%s cannot be divided (%s%s)", group,
			strerror(errno),
			errno == EBUSY ? ": other processes are in it" : "");
	/* Linux 5.14; groups could not be emptied without it. */
	if (join(path, relay, "cgroup.kill") < 0 || access(path, F_OK) < 0)
		return say(why, "the kernel is older than 5.14");
	return 0;
}

struct cgroups *cgroup_take(
	const struct cgroup_place *place, char why[CGROUP_WHY])
{
	struct cgroups *g = calloc(1, sizeof(*g));

	if (!g) {
		(void)say(why, "no memory");
		return NULL;
	}
	if (cgroup_check(place, why) != CGROUP_GOOD ||
		find_group(g->path, place) < 0 ||
		move_and_enable(g->path, why) < 0) {
		free(g);
		return NULL;
	}
	remove_old(g->path);
	return g;
}

void cgroup_free(struct cgroups *g)
{
	free(g);
}

/* --- a program's ----------------------------------------------------------------------*/

#define CPU_PERIOD_US 100000
#define TRIES         1000

static int set_number(const char *group, const char *name, int64_t n)
{
	char text[24];

	if (n == 0)
		return 0;
	snprintf(text, sizeof(text), "%" PRId64, n);
	return write_in(group, name, text);
}

static int set_limits(const char *group, const struct cgroup_limits *l)
{
	char cpu[48];

	/* One that has lost a process is no use to its client. */
	if (set_number(group, "memory.max", l->memory) < 0 ||
		write_in(group, "memory.oom.group", "1") < 0 ||
		set_number(group, "pids.max", l->processes) < 0)
		return -1;
	if (l->cpu == 0)
		return 0;
	snprintf(cpu, sizeof(cpu), "%" PRId64 " %d",
		l->cpu * (CPU_PERIOD_US / 100), CPU_PERIOD_US);
	return write_in(group, "cpu.max", cpu);
}

/* One that an earlier daemon has left, and that lives, keeps its number. */
static int make_next(struct cgroups *g, char path[PATH_MAX])
{
	char name[32];

	for (int i = 0; i < TRIES; i++) {
		snprintf(name, sizeof(name), "program-%" PRIu64,
			atomic_fetch_add(&g->last, 1) + 1);
		if (join(path, g->path, name) < 0 || make_group(path) < 0)
			return -1;
		if (!cgroup_lives(path))
			return 0;
	}
	errno = EBUSY;
	return -1;
}

char *cgroup_add(struct cgroups *g, const struct cgroup_limits *limits)
{
	char path[PATH_MAX];
	char *group = NULL;
	int error;

	if (make_next(g, path) < 0)
		return NULL;
	if (set_limits(path, limits) == 0)
		group = str_dup(str_of(path));
	if (!group) {
		error = errno;
		(void)cgroup_remove(path);
		errno = error;
	}
	return group;
}

bool cgroup_lives(const char *group)
{
	return count_in(group, "cgroup.events", "populated") > 0;
}

void cgroup_kill(const char *group)
{
	(void)!write_in(group, "cgroup.kill", "1");
}

bool cgroup_ran_out(const char *group)
{
	return count_in(group, "memory.events", "oom_kill") > 0;
}

int cgroup_remove(const char *group)
{
	return rmdir(group);
}
