/*
 * exec:/path/to/program arg {id}: one process per client, its standard input
 * and output with the framing, its standard error line by line to the log. No
 * shell: each word is one argument.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/framing.h"
#include "codec/token/jwt.h"
#include "conf/conf.h"
#include "conf/hidden.h"
#include "net/cgroup.h"
#include "net/conn.h"
#include "net/proc.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/client.h"
#include "gate/request.h"
#include "end/end.h"
#include "end/stream.h"
#include "backend/kind.h"

#define STDERR_LINES 20 /* logged per second of a process */
#define SILENCE_MS   5000
#define DETAIL_MAX   256

/*
 * Lives until done was called, and as long as its process and what that leaves
 * in its process group: so long it has its place in max_processes.
 */
struct exec_attempt {
	struct attempt attempt;         /* its params until done */
	TAILQ_ENTRY(exec_attempt) next; /* in programs_here.list */
	char **argv, **envp;            /* until it is started */
	struct worker *worker;
	const struct conf_route *route;
	struct conf *conf; /* a reference, for route */
	struct proc *proc; /* until nothing of it is left */
	pid_t pid;
	int64_t started_ms;
	struct end *end;         /* until the process has ended */
	uint64_t id;             /* the client's */
	enum reason reason;      /* of a failed open */
	char detail[DETAIL_MAX]; /* why, in words; or "" */
	bool counted;            /* as a process of its route */
	bool cancelled;
	bool told; /* done was called, or will never be */
	struct timer silence;
	int64_t second; /* of the count below */
	unsigned lines, hidden;
};

static void strings_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

static void exec_free(struct exec_attempt *a)
{
	struct shared *s = a->worker->shared;

	if (a->counted) {
		admission_leave_process(a->route);
		counter_add(
			&worker_route(a->worker, a->route)->programs_over, 1);
		atomic_fetch_sub_explicit(
			&s->programs, 1, memory_order_relaxed);
	}
	timer_fini(a->worker->loop, &a->silence);
	strings_free(a->argv);
	strings_free(a->envp);
	conf_unref(a->conf);
	free(a);
}

static void free_when_over(struct exec_attempt *a)
{
	if (a->told && !a->proc)
		exec_free(a);
}

/* --- standard error --------------------------------------------------------------*/

static void log_hidden(struct exec_attempt *a, const char *id)
{
	if (a->hidden > 0)
		LOG(LOG_INFO, "stderr-suppressed", F_STR("id", id),
			F_STR("route", a->route->section.name),
			F_INT("count", a->hidden));
	a->hidden = 0;
}

static void stderr_line(void *owner, const char *p, size_t n)
{
	struct exec_attempt *a = owner;
	struct client who = { .id = a->id };
	char id[CLIENT_ID_TEXT];
	int64_t second = loop_now(a->worker->loop) / 1000;

	client_id(&who, id);
	if (second != a->second) {
		a->second = second;
		a->lines = 0;
		log_hidden(a, id);
	}
	if (++a->lines > STDERR_LINES) {
		a->hidden++;
		return;
	}
	LOG(LOG_INFO, "stderr", F_STR("id", id),
		F_STR("route", a->route->section.name),
		F_VIEW("line", ((struct str){ p, n })));
}

/*
 * The most common trouble of a first try: a program whose output is buffered,
 * because it is no terminal that it writes to.
 */
static void silence_timer(struct timer *t)
{
	struct exec_attempt *a = CONTAINER_OF(t, struct exec_attempt, silence);
	struct client who = { .id = a->id };
	char id[CLIENT_ID_TEXT];

	if (!a->end || stream_end_heard(a->end))
		return;
	if (!stream_end_spoken_to(a->end)) {
		timer_set(a->worker->loop, &a->silence,
			loop_now(a->worker->loop) + SILENCE_MS);
		return;
	}
	LOG(LOG_WARN, "backend-silent", F_STR("id", client_id(&who, id)),
		F_STR("route", a->route->section.name),
		F_STR("detail",
			"the program has got input but printed nothing for 5 "
			"seconds: is its output buffered? (flush after each "
			"line)"));
}

/* --- what the program is told -------------------------------------------------------*/

static char **make_argv(
	const struct conf_backend *to, const struct captures *captures)
{
	char **argv = calloc(to->argc + 1, sizeof(*argv));

	for (size_t i = 0; argv && i < to->argc; i++) {
		argv[i] = backend_expand(to->argv[i], captures);
		if (!argv[i]) {
			strings_free(argv);
			return NULL;
		}
	}
	return argv;
}

static int env_add(char **env, size_t *n, const char *name, struct str value)
{
	struct buf b = { 0 };
	int failed = buf_add_printf(
		&b, "%s=%.*s", name, (int)value.n, value.p ? value.p : "");

	env[*n] = failed ? NULL : str_dup(buf_str(&b));
	buf_free(&b);
	if (!env[*n])
		return -1;
	(*n)++;
	return 0;
}

static struct str inherited(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return str_of(value && *value ? value : otherwise);
}

#define ENV_FIXED 13

static char **make_env(const struct backend_params *p, struct str query)
{
	const struct client *c = p->client;
	const struct conf_route *r = c->route;
	char **env = calloc(ENV_FIXED + r->exec_env.n + 1, sizeof(*env));
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];
	const struct {
		const char *name;
		struct str value;
	} fixed[ENV_FIXED] = {
		{ "PATH", inherited("PATH", "/usr/local/bin:/usr/bin:/bin") },
		{ "HOME", inherited("HOME", "/") },
		{ "LANG", inherited("LANG", "C.UTF-8") },
		{ "PYTHONUNBUFFERED", STR("1") },
		{ "WSRELAY_ID", str_of(client_id(c, id)) },
		{ "WSRELAY_ROUTE", str_of(r->section.name) },
		{ "WSRELAY_PATH", p->request->path },
		{ "WSRELAY_QUERY", query },
		{ "WSRELAY_SUBJECT", str_of(client_subject(c)) },
		{ "WSRELAY_CLIENT_CERT", str_of(c->certificate) },
		{ "WSRELAY_PERM",
			str_of(jwt_perm_word((enum jwt_perm)c->verdict.perm)) },
		{ "WSRELAY_FRAMING",
			str_of(framing_get((enum framing_id)r->framing)
					->name) },
		{ "REMOTE_ADDR", str_of(addr_format_ip(&c->peer, peer)) },
	};
	size_t n = 0;

	if (!env)
		return NULL;
	for (size_t i = 0; i < ENV_FIXED; i++)
		if (env_add(env, &n, fixed[i].name, fixed[i].value) < 0)
			goto fail;
	for (size_t i = 0; i < r->exec_env.n; i++) {
		env[n] = str_dup(str_of(r->exec_env.v[i]));
		if (!env[n++])
			goto fail;
	}
	return env;
fail:
	strings_free(env);
	return NULL;
}

/* --- life -----------------------------------------------------------------------------*/

static void log_started(const struct exec_attempt *a)
{
	struct client who = { .id = a->id };
	char id[CLIENT_ID_TEXT];

	LOG(LOG_INFO, "program-start", F_STR("id", client_id(&who, id)),
		F_STR("route", a->route->section.name), F_INT("pid", a->pid));
}

static void exec_killed(void *owner, bool leftover)
{
	struct exec_attempt *a = owner;
	struct client who = { .id = a->id };
	char id[CLIENT_ID_TEXT];

	LOG(LOG_WARN, "program-kill", F_STR("id", client_id(&who, id)),
		F_STR("route", a->route->section.name), F_INT("pid", a->pid),
		F_STR("detail",
			leftover ? "SIGKILL to what it left in its process "
				   "group"
				 : "SIGKILL: it did not end"));
}

static void exec_exited(void *owner, int status, int signal)
{
	struct exec_attempt *a = owner;
	struct client who = { .id = a->id };
	struct end *end = a->end;
	char id[CLIENT_ID_TEXT];

	log_hidden(a, client_id(&who, id));
	LOG(LOG_INFO, "program-exit", F_STR("id", id),
		F_STR("route", a->route->section.name), F_INT("pid", a->pid),
		signal ? F_INT("signal", signal) : F_INT("status", status),
		F_INT("age_ms", loop_now(a->worker->loop) - a->started_ms),
		F_STR("detail", proc_ran_out(a->proc)
					? "it has used up exec_memory"
					: NULL));
	a->end = NULL;
	if (end)
		stream_end_exited(end, signal ? 128 + signal : status);
}

static void exec_gone(void *owner)
{
	struct exec_attempt *a = owner;
	struct client who = { .id = a->id };
	char id[CLIENT_ID_TEXT];

	log_hidden(a, client_id(&who, id));
	a->proc = NULL;
	free_when_over(a);
}

static const struct proc_cb exec_cb = {
	.stderr_line = stderr_line,
	.killed = exec_killed,
	.exited = exec_exited,
	.gone = exec_gone,
};

static void exec_ready(struct exec_attempt *a)
{
	struct backend_params p = a->attempt.params;
	struct backend_result r = { .outcome.reason = a->reason,
		.end = a->end };
	bool cancelled = a->cancelled;
	char detail[DETAIL_MAX];

	memcpy(detail, a->detail, sizeof(detail));
	if (detail[0])
		r.outcome.detail = detail;
	a->told = true;
	free_when_over(a); /* before the answer: its reader may come again */
	if (!cancelled)
		backend_tell(&p, &r);
	else if (r.end)
		end_discard(r.end); /* exec_exited follows */
}

static void unowned_closed(struct conn *c)
{
	(void)c;
}

static const struct conn_cb unowned = { .closed = unowned_closed };

/* The usual errors of a first script are explained in full. */
static const char *spawn_error(int error)
{
	switch (error) {
	case ENOEXEC:
		return "Exec format error: a script needs a first line such as "
		       "#!/usr/bin/env python3";
	case ENOENT: /* that they were there was checked at the start */
		return "No such file or directory: the program, its exec_dir, "
		       "or what its first line names behind #!";
	default:
		return strerror(error);
	}
}

/* What the first line of a script names behind #!; "" of anything else. */
static void read_interpreter(const char *program, char out[DETAIL_MAX])
{
	char line[DETAIL_MAX] = "";
	int fd = open(program, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	out[0] = '\0';
	if (fd < 0)
		return;
	if (read(fd, line, sizeof(line) - 1) > 0 && line[0] == '#' &&
		line[1] == '!') {
		char *path = line + 2 + strspn(line + 2, " \t");

		path[strcspn(path, " \t\n")] = '\0';
		strcpy(out, path);
	}
	close(fd);
}

static void say_spawn_error(
	struct exec_attempt *a, int error, const char *failed)
{
	const char *program = a->route->to.argv[0];
	const char *dir = a->route->exec_dir;
	const char *note = hidden_note(program, error);
	char interpreter[DETAIL_MAX];

	if (failed) {
		snprintf(a->detail, sizeof(a->detail), "%s: %s", failed,
			strerror(error));
		return;
	}
	if (!*note && dir)
		note = hidden_note(dir, error);
	if (!*note) {
		read_interpreter(program, interpreter);
		note = hidden_note(interpreter, error);
	}
	snprintf(
		a->detail, sizeof(a->detail), "%s%s", spawn_error(error), note);
}

/*
 * Whether it starts within the limits that its route has: -1 with errno, and no
 * program is started without them.
 */
static int make_group(const struct exec_attempt *a, char **group)
{
	const struct conf_route *r = a->route;
	struct cgroups *groups = a->worker->shared->groups;

	*group = NULL;
	if (r->exec_memory == 0 && r->exec_cpu == 0 && r->exec_processes == 0)
		return 0;
	errno = EPERM;
	if (groups)
		*group = cgroup_add(groups,
			&(struct cgroup_limits){ .memory = r->exec_memory,
				.cpu = r->exec_cpu,
				.processes = r->exec_processes });
	return *group ? 0 : -1;
}

static struct proc *start_process(
	struct exec_attempt *a, int *in, int *out, const char **failed)
{
	struct proc_params params = { .argv = a->argv,
		.envp = a->envp,
		.dir = a->route->exec_dir,
		.step = a->worker->shared->step,
		.limits = &a->worker->shared->limits,
		.grace_ms = a->route->close_timeout,
		.cb = &exec_cb,
		.owner = a };
	struct proc *p;
	int error;

	*failed = "its control group";
	if (make_group(a, &params.group) < 0)
		return NULL;
	p = proc_start(a->worker->loop, &params, in, out, failed);
	if (!p && params.group) {
		error = errno;
		(void)cgroup_remove(params.group);
		free(params.group);
		errno = error;
	}
	return p;
}

/* Starts the process and its end. REASON_NONE, or why not. */
static enum reason start_program(struct exec_attempt *a)
{
	const char *failed;
	struct conn *c;
	int in, out;

	a->proc = start_process(a, &in, &out, &failed);
	if (!a->proc) {
		int error = errno;

		say_spawn_error(a, error, failed);
		return error == EMFILE || error == ENFILE || error == ENOMEM
			       ? REASON_INTERNAL
			       : REASON_BACKEND_SPAWN;
	}
	a->pid = proc_pid(a->proc);
	a->started_ms = loop_now(a->worker->loop);
	log_started(a);
	c = conn_new(a->worker->loop, out, in, &unowned, NULL);
	a->end = c ? stream_end_new(a->worker, c, a->route) : NULL;
	if (!a->end) {
		if (c)
			conn_close(c);
		proc_end_after(a->proc, 0);
		return REASON_INTERNAL;
	}
	stream_end_set_proc(a->end, a->proc);
	timer_set(a->worker->loop, &a->silence,
		loop_now(a->worker->loop) + SILENCE_MS);
	return REASON_NONE;
}

struct programs_here { /* of one worker */
	struct worker *worker;
	TAILQ_HEAD(, exec_attempt) list; /* to be started, in order */
	struct deferred turn;
};

int backend_programs_init(struct worker *w)
{
	struct programs_here *here = calloc(1, sizeof(*here));

	if (!here)
		return -1;
	here->worker = w;
	TAILQ_INIT(&here->list);
	w->programs = here;
	return 0;
}

void backend_programs_fini(struct worker *w)
{
	if (!w->programs)
		return;
	loop_undefer(w->loop, &w->programs->turn);
	free(w->programs);
	w->programs = NULL;
}

/*
 * To start a program takes a millisecond or more: as many are started in a turn
 * as a share of it allows, and a flood of requests waits for its own programs.
 * Behind open, in which done may not be called.
 */
static void start_programs(struct deferred *d)
{
	struct programs_here *here = CONTAINER_OF(
		d, struct programs_here, turn);
	struct worker *w = here->worker;
	struct exec_attempt *a;

	loop_share_begin(w->loop);
	while ((a = TAILQ_FIRST(&here->list))) {
		/* What exec_ready frees is not in the list any more.
		   NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (w->draining && a->reason == REASON_NONE)
			a->reason = REASON_SHUTDOWN;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (a->reason == REASON_NONE && !a->cancelled) {
			if (!loop_share_left_now(w->loop)) {
				loop_defer_next(w->loop, d, start_programs);
				return;
			}
			a->reason = start_program(a);
		}
		TAILQ_REMOVE(&here->list, a, next);
		exec_ready(a);
	}
}

/* What the program is told, while the request is there. -1 without memory. */
static int prepare_program(
	struct exec_attempt *a, const struct backend_params *p)
{
	char *query = backend_query(p);

	a->argv = make_argv(&a->route->to, p->captures);
	a->envp = query ? make_env(p, str_of(query)) : NULL;
	free(query);
	return a->argv && a->envp ? 0 : -1;
}

static struct attempt *exec_open(const struct backend_params *p)
{
	struct exec_attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	if (timer_init(p->worker->loop, &a->silence, silence_timer) < 0) {
		free(a);
		return NULL;
	}
	a->attempt.params = *p;
	a->worker = p->worker;
	a->route = p->client->route;
	a->conf = conf_ref(p->client->conf);
	a->id = p->client->id;
	a->reason = admission_enter_process(a->route);
	a->counted = a->reason == REASON_NONE;
	if (a->counted) {
		counter_add(
			&worker_route(a->worker, a->route)->programs_begun, 1);
		atomic_fetch_add_explicit(
			&p->worker->shared->programs, 1, memory_order_relaxed);
		if (prepare_program(a, p) < 0)
			a->reason = REASON_INTERNAL;
	}
	TAILQ_INSERT_TAIL(&p->worker->programs->list, a, next);
	loop_defer_next(
		p->worker->loop, &p->worker->programs->turn, start_programs);
	return &a->attempt;
}

static void exec_cancel(struct attempt *attempt)
{
	CONTAINER_OF(attempt, struct exec_attempt, attempt)->cancelled = true;
}

const struct backend_kind backend_exec = {
	.open = exec_open,
	.cancel = exec_cancel,
};
