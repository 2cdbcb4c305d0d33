#include "daemon/programs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "net/cgroup.h"
#include "net/step.h"
#include "worker/worker.h"
#include "daemon/private.h"

/* The key of a route that needs a control group, or NULL. */
static const char *limit_of(const struct conf_route *r)
{
	return r->exec_memory > 0      ? "exec_memory"
	       : r->exec_cpu > 0       ? "exec_cpu"
	       : r->exec_processes > 0 ? "exec_processes"
				       : NULL;
}

/* The first of them: what is wrong with one is wrong with all. */
static const struct conf_route *find_exec(const struct conf *c, bool limited)
{
	for (size_t i = 0; i < c->routes_n; i++)
		if (c->routes[i].to.kind == BACKEND_EXEC &&
			(!limited || limit_of(&c->routes[i])))
			return &c->routes[i];
	return NULL;
}

/* As a complaint of the configuration is written (conf.h). */
static int complain(const struct conf_route *r, const char *key,
	const char *warning, const char *why)
{
	daemon_complain("%s:%d: %s[route %s] %s: %s\n", r->section.file,
		r->section.line, warning, r->section.name, key, why);
	return EX_CONFIG;
}

static int open_step(int *step, const struct conf *c)
{
	const struct conf_route *r = find_exec(c, false);
	char why[CGROUP_WHY];

	*step = step_open();
	if (*step >= 0 || !r)
		return 0;
	snprintf(why, sizeof(why),
		"wsrelayd-exec, which starts programs: %s, expected it beside "
		"wsrelayd or in " LIBEXECDIR,
		strerror(errno));
	return complain(r, "backend", "", why);
}

int programs_check(const struct conf *c)
{
	const struct conf_route *r = find_exec(c, true);
	char why[CGROUP_WHY];
	int step;
	int status = open_step(&step, c);

	if (step >= 0)
		close(step);
	if (status || !r)
		return status;
	switch (cgroup_check(&cgroup_usual_place, why)) {
	case CGROUP_GOOD:
		break;
	case CGROUP_NOT_HERE:
		(void)complain(r, limit_of(r), "warning: ", why);
		break;
	case CGROUP_IMPOSSIBLE:
		status = complain(r, limit_of(r), "", why);
		break;
	}
	return status;
}

int programs_prepare(struct shared *s, const struct conf *c)
{
	const struct conf_route *r = find_exec(c, true);
	char why[CGROUP_WHY];
	int status = s->step < 0 ? open_step(&s->step, c) : 0;

	if (status || !r || s->groups)
		return status;
	s->groups = cgroup_take(&cgroup_usual_place, why);
	return s->groups ? 0 : complain(r, limit_of(r), "", why);
}

void programs_free(struct shared *s)
{
	if (s->step >= 0)
		close(s->step);
	s->step = -1;
	cgroup_free(s->groups);
	s->groups = NULL;
}
