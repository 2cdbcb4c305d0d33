/* Listening sockets, and which worker gets what they accept. */
#include "daemon/private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "net/listener.h"
#include "front/front.h"
#include "daemon/service.h"

/*
 * WebSockets live long: what counts is how many a worker has, not whose turn
 * it is.
 */
static struct worker *least_loaded(const struct daemon *d)
{
	struct worker *best = d->workers[0];
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < d->workers_n; i++) {
		size_t n = atomic_load_explicit(
			&d->workers[i]->connections, memory_order_relaxed);

		if (n < least) {
			least = n;
			best = d->workers[i];
		}
	}
	return best;
}

static void accepted(void *owner, int fd, const struct addr *peer)
{
	struct bound *b = owner;
	struct daemon *d = b->daemon;
	struct accepted a = { fd, *peer, d->conf, b->listen, b->address };

	daemon_worker_accepted(least_loaded(d), &a);
}

static void accept_paused(void *owner, int error)
{
	struct bound *b = owner;

	LOG(LOG_ERROR, "accept-paused",
		F_STR("listen", b->listen->section.name),
		F_STR("detail", strerror(error)));
}

static const struct listener_cb listener_cb = {
	.accepted = accepted,
	.paused = accept_paused,
};

/*
 * The group that socket_mode speaks of is the service user's, not root's, when
 * root binds for it.
 */
static int give_to_user(const char *path, const char *user)
{
	const struct passwd *pw;

	if (!user || geteuid() != 0)
		return 0;
	pw = getpwnam(user);
	if (!pw) {
		errno = ENOENT;
		return -1;
	}
	return lchown(path, pw->pw_uid, pw->pw_gid);
}

int daemon_bind_unix(const char *path, mode_t mode, const char *user)
{
	int fd = listener_bind_unix(path, mode);
	int error;

	if (fd >= 0 && give_to_user(path, user) < 0) {
		error = errno;
		close(fd);
		(void)unlink(path);
		errno = error;
		return -1;
	}
	return fd;
}

static int bind_address(const struct conf *conf, const struct conf_listen *l,
	const struct conf_address *a, struct service_fds *fds)
{
	int fd;

	switch (a->kind) {
	case LISTEN_TCP:
		return listener_bind_tcp(&a->addr);
	case LISTEN_UNIX:
		return daemon_bind_unix(
			a->path, (mode_t)l->socket_mode, conf->server.user);
	case LISTEN_FD:
		fd = service_take_fd(fds, a->path);
		if (fd < 0)
			errno = ENOENT;
		else if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
			 fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -1;
		return fd;
	}
	return -1;
}

/* --- what is bound --------------------------------------------------------*/

/*
 * What is bound to this address and free for it: that of the same section
 * first, for port 0 may be in several. NULL: nothing is.
 */
static struct bound *find_bound(const struct daemon *d,
	const struct conf_listen *l, const struct conf_address *a)
{
	struct bound *b, *other = NULL;

	TAILQ_FOREACH (b, &d->bound, next) {
		if (b->next_listen || strcmp(b->text, a->text) != 0)
			continue;
		if (strcmp(b->listen->section.name, l->section.name) == 0)
			return b;
		if (!other)
			other = b;
	}
	return other;
}

static void bound_free(struct bound *b)
{
	free(b->text);
	free(b->path);
	free(b);
}

/*
 * Its file is removed only here: it may be the next daemon's soon. A socket that
 * was handed over belongs to the service manager.
 */
static void bound_close(struct bound *b)
{
	struct daemon *d = b->daemon;

	TAILQ_REMOVE(&d->bound, b, next);
	listener_free(b->listener);
	b->listener = NULL;
	if (b->fd >= 0)
		close(b->fd);
	if (b->path)
		(void)unlink(b->path);
	if (b->address == &b->passed) /* connections know it */
		TAILQ_INSERT_TAIL(&d->gone, b, next);
	else
		bound_free(b);
}

void daemon_forget_listeners(struct daemon *d)
{
	struct bound *b;

	while ((b = TAILQ_FIRST(&d->gone))) {
		TAILQ_REMOVE(&d->gone, b, next);
		bound_free(b);
	}
}

/* NULL with errno. */
static struct bound *bound_new(struct daemon *d, const struct conf *conf,
	const struct conf_listen *l, const struct conf_address *a,
	struct service_fds *fds)
{
	struct bound *b = calloc(1, sizeof(*b));
	int error;

	if (!b)
		return NULL;
	b->text = str_dup(str_of(a->text));
	if (a->kind == LISTEN_UNIX)
		b->path = str_dup(str_of(a->path));
	if (!b->text || (a->kind == LISTEN_UNIX && !b->path)) {
		bound_free(b);
		errno = ENOMEM;
		return NULL;
	}
	b->fd = bind_address(conf, l, a, fds);
	if (b->fd < 0) {
		error = errno;
		bound_free(b);
		errno = error;
		return NULL;
	}
	b->daemon = d;
	b->listen = l;
	b->address = a;
	TAILQ_INSERT_TAIL(&d->bound, b, next);
	return b;
}

static void complain_of_address(struct buf *errors, const struct conf_listen *l,
	const struct conf_address *a)
{
	const char *why = a->kind == LISTEN_FD
				  ? "no socket of this name was handed over"
				  : strerror(errno);

	if (buf_add_printf(errors,
		    "%s:%d: [listen %s] address: cannot listen on %s: %s\n",
		    l->section.file, l->section.line, l->section.name, a->text,
		    why) < 0)
		return; /* the complaint is missing, not the refusal */
}

void daemon_unbind(struct daemon *d)
{
	struct bound *b, *next;

	for (b = TAILQ_FIRST(&d->bound); b; b = next) {
		next = TAILQ_NEXT(b, next);
		if (!b->listener)
			bound_close(b);
	}
}

static int bind_one(struct daemon *d, const struct conf *conf,
	const struct conf_listen *l, const struct conf_address *a,
	struct service_fds *fds)
{
	struct bound *b = find_bound(d, l, a);

	if (!b)
		b = bound_new(d, conf, l, a, fds);
	/* A word such as localhost: this family is not on this machine. */
	if (!b && a->if_ipv6 &&
		(errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		return 0;
	if (!b)
		return -1;
	b->next_listen = l;
	b->next_address = a;
	return 0;
}

int daemon_bind(struct daemon *d, const struct conf *conf, struct buf *errors)
{
	struct service_fds fds;
	struct bound *b;
	int result = 0;

	if (service_listen_fds(&fds) < 0)
		return -1;
	TAILQ_FOREACH (b, &d->bound, next)
		b->next_listen = NULL;
	for (size_t i = 0; i < conf->listens_n; i++) {
		const struct conf_listen *l = &conf->listens[i];

		for (size_t k = 0; k < l->address.n; k++) {
			const struct conf_address *a = &l->address.v[k];

			if (bind_one(d, conf, l, a, &fds) == 0)
				continue;
			complain_of_address(errors, l, a);
			result = -1;
		}
	}
	service_fds_free(&fds);
	if (result < 0)
		daemon_unbind(d);
	return result;
}

static void assign_next(struct bound *b)
{
	const struct conf_listen *l = b->next_listen;

	assert(l); /* those without are closed */
	if (b->path && b->listen->socket_mode != l->socket_mode)
		(void)chmod(b->path, (mode_t)l->socket_mode);
	b->listen = l;
	/* What was handed over stays what it is. */
	if (b->address != &b->passed)
		b->address = b->next_address;
	b->next_listen = NULL;
}

void daemon_assign_listens(struct daemon *d, struct conf *conf)
{
	struct bound *b, *next;

	/* What these accept last comes under the configuration of before. */
	for (b = TAILQ_FIRST(&d->bound); b; b = next) {
		next = TAILQ_NEXT(b, next);
		if (!b->next_listen)
			bound_close(b);
	}
	d->conf = conf;
	/* Those that were closed are not in the list. */
	TAILQ_FOREACH (b, &d->bound, next)
		assign_next(b); /* NOLINT(clang-analyzer-unix.Malloc) */
}

/*
 * Which Hosts it answers by default depends on where it listens: that of a
 * socket that was handed over is asked of the socket.
 */
static void know_passed(struct bound *b, const struct addr *local)
{
	bool tcp = local->family == ADDR_IPV4 || local->family == ADDR_IPV6;

	b->passed = *b->address;
	b->passed.addr = *local;
	b->passed.kind = tcp ? LISTEN_TCP : LISTEN_UNIX;
	/* They would outlive their configuration. */
	b->passed.path = b->passed.text = NULL;
	b->address = &b->passed;
}

static int begin_accepting(struct bound *b)
{
	struct addr local;
	char text[ADDR_TEXT];
	bool tcp;

	listener_address(b->fd, &local);
	tcp = local.family == ADDR_IPV4 || local.family == ADDR_IPV6;
	if (b->address->kind == LISTEN_FD)
		know_passed(b, &local);
	b->listener = listener_new(b->daemon->loop, b->fd, &listener_cb, b);
	b->fd = -1; /* taken */
	if (!b->listener)
		return -1;
	LOG(LOG_INFO, "listen", F_STR("listen", b->listen->section.name),
		F_STR("address", tcp ? addr_format(&local, text) : b->text));
	return 0;
}

int daemon_listen(struct daemon *d)
{
	struct bound *b;

	TAILQ_FOREACH (b, &d->bound, next)
		if (!b->listener && begin_accepting(b) < 0)
			return -1;
	return 0;
}

void daemon_close_listeners(struct daemon *d)
{
	struct bound *b, *next;

	for (b = TAILQ_FIRST(&d->bound); b; b = next) {
		next = TAILQ_NEXT(b, next);
		bound_close(b);
	}
}
