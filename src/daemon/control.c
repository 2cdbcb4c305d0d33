#include "daemon/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/conf.h"
#include "codec/control.h"
#include "daemon/caller.h"
#include "daemon/command.h"
#include "net/listener.h"
#include "net/loop.h"
#include "daemon/private.h"

#define CONTROL_MODE 0660
/* Of a tree of processes. */
#define DEPTH_MAX 64

struct place { /* one socket, bound */
	char *path;
	int fd; /* until the listener takes it */
	struct listener *listener;
	bool readonly;
	struct callers callers;
	int64_t told_ms;   /* when the last line about refused callers was */
	uint64_t not_told; /* such lines that were left out since */
};

struct control {
	struct place places[2]; /* path NULL: it is not there */
};

static void (*const runs[])(struct answer *a) = {
#define COMMAND(name, flags, arguments, help) command_##name,
#include "codec/control.def"
#undef COMMAND
};

/* The parent of a process; 0: it is none of ours, or not to be seen. */
static pid_t parent_of(pid_t pid)
{
	char path[40], text[512];
	const char *end;
	int parent = 0;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	/* "PID (NAME) STATE PARENT", and a name may be anything. */
	end = strrchr(text, ')');
	if (!end || sscanf(end, ") %*c %d", &parent) != 1)
		return 0;
	return parent;
}

/*
 * Whether it is a program of a route, or was started by one: a safeguard
 * against accidents, no wall. One that wants to can leave the tree.
 */
static bool descends_from_us(pid_t pid)
{
	pid_t us = getpid();

	for (int depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
		if (pid == us)
			return depth > 0;
		pid = parent_of(pid);
	}
	return false;
}

/* One line a second: a program of a route may try again and again. */
static void log_refusal(
	struct place *p, const struct ucred *who, const char *why)
{
	int64_t now = loop_now(p->callers.loop);

	if (p->told_ms > 0 && now - p->told_ms < 1000) {
		p->not_told++;
		return;
	}
	LOG(LOG_WARN, "control-refuse", F_INT("uid", who->uid),
		F_INT("pid", who->pid), F_STR("detail", why),
		p->not_told ? F_INT("suppressed", p->not_told) : F_NONE);
	p->told_ms = now;
	p->not_told = 0;
}

/* In place of a greeting; a new socket has room for it. */
static void turn_away(
	struct place *p, int fd, const struct ucred *who, const char *why)
{
	struct buf line = { 0 };

	log_refusal(p, who, why);
	if (JSON_LINE(&line, F_STR("wsrelayd", VERSION),
		    F_STR("status", CONTROL_REFUSED), F_STR("error", why)) == 0)
		(void)!write(fd, line.p, line.n);
	buf_free(&line);
	close(fd);
}

static void accepted(void *owner, int fd, const struct addr *peer)
{
	struct place *p = owner;
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t n = sizeof(who);

	(void)peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0) {
		close(fd);
		return;
	}
	if (descends_from_us(who.pid)) {
		turn_away(p, fd, &who,
			"programs that the relay has started may not command "
			"it");
		return;
	}
	if (p->callers.n >= CONTROL_CALLERS)
		turn_away(p, fd, &who, "16 callers are connected already");
	else if (caller_new(&p->callers, fd, &who, p->readonly) < 0)
		log_refusal(p, &who, "no memory");
}

static void accept_paused(void *owner, int error)
{
	const struct place *p = owner;

	LOG(LOG_ERROR, "accept-paused", F_STR("control", p->path),
		F_STR("detail", strerror(error)));
}

static const struct listener_cb place_cb = {
	.accepted = accepted,
	.paused = accept_paused,
};

/* --- life -----------------------------------------------------------------*/

/* -1: it complained. What is only a default may be missing. */
static int place_bind(struct place *p, const char *user, const char *key)
{
	if (!p->path || strcmp(p->path, "none") == 0)
		return 0;
	p->fd = daemon_bind_unix(p->path, CONTROL_MODE, user);
	if (p->fd >= 0)
		return 0;
	daemon_complain("wsrelayd: %s[server] %s: cannot listen on %s: %s\n",
		key ? "" : "warning: ", key ? key : "control", p->path,
		strerror(errno));
	free(p->path);
	p->path = NULL;
	return key ? -1 : 0;
}

/* path: of the configuration, or NULL. -1: no memory. */
static int place_init(struct place *p, struct daemon *d, const char *path)
{
	p->callers.daemon = d;
	p->callers.run = runs;
	LIST_INIT(&p->callers.list);
	p->path = path ? str_dup(str_of(path)) : NULL;
	return path && !p->path ? -1 : 0;
}

int control_bind(struct daemon *d, const struct conf *conf)
{
	const struct conf_server *s = &conf->server;
	struct control *control = calloc(1, sizeof(*control));
	struct place *all = control ? &control->places[0] : NULL;
	struct place *readonly = control ? &control->places[1] : NULL;

	d->control = control;
	if (control)
		all->fd = readonly->fd = -1;
	if (!control || place_init(all, d, s->control) < 0 ||
		place_init(readonly, d, s->control_readonly) < 0 ||
		(!s->control && conf_default_control(&all->path) < 0)) {
		daemon_complain("wsrelayd: no memory\n");
		return -1;
	}
	readonly->readonly = true;
	if (place_bind(all, s->user, s->control ? "control" : NULL) < 0)
		return -1;
	return place_bind(readonly, s->user, "control_readonly");
}

int control_start(struct daemon *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(d->control->places); i++) {
		struct place *p = &d->control->places[i];

		p->callers.loop = d->loop;
		if (p->fd < 0)
			continue;
		p->listener = listener_new(d->loop, p->fd, &place_cb, p);
		p->fd = -1; /* taken */
		if (!p->listener)
			return -1;
		LOG(LOG_INFO, "control-listen", F_STR("path", p->path),
			F_STR("access", p->readonly ? "read" : "all"));
	}
	return 0;
}

void control_stop(struct daemon *d)
{
	struct control *control = d->control;

	if (!control)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(control->places); i++) {
		struct place *p = &control->places[i];

		if (p->listener || p->fd >= 0)
			(void)unlink(p->path);
		listener_free(p->listener);
		p->listener = NULL;
		if (p->fd >= 0)
			close(p->fd);
		p->fd = -1;
		caller_leave_all(&p->callers);
	}
}

void control_free(struct daemon *d)
{
	struct control *control = d->control;

	if (!control)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(control->places); i++)
		free(control->places[i].path);
	free(control);
	d->control = NULL;
}
