/* Listening sockets, and which worker gets what they accept. */
#include "daemon/private.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int daemon_bind(struct daemon *d, const struct conf *conf)
{
	struct service_fds fds;
	size_t n = 0;
	int result = 0;

	for (size_t i = 0; i < conf->listens_n; i++)
		n += conf->listens[i].address.n;
	d->bound = calloc(n ? n : 1, sizeof(*d->bound));
	if (!d->bound || service_listen_fds(&fds) < 0)
		return -1;
	for (size_t i = 0; i < conf->listens_n; i++) {
		const struct conf_listen *l = &conf->listens[i];

		for (size_t k = 0; k < l->address.n; k++) {
			struct bound *b = &d->bound[d->bound_n++];

			b->daemon = d;
			b->address = &l->address.v[k];
			b->fd = bind_address(conf, l, &l->address.v[k], &fds);
			if (b->fd >= 0)
				continue;
			daemon_complain(
				"%s:%d: [listen %s] address: cannot listen on "
				"%s: %s\n",
				l->section.file, l->section.line,
				l->section.name, l->address.v[k].text,
				l->address.v[k].kind == LISTEN_FD
					? "no socket of this name was handed "
					  "over"
					: strerror(errno));
			result = -1;
		}
	}
	service_fds_free(&fds);
	return result;
}

static void assign(struct bound *b, const struct conf_listen *listen,
	const struct conf_address *address)
{
	b->listen = listen;
	/* What was handed over stays what it is. */
	if (b->address != &b->passed)
		b->address = address;
}

int daemon_assign_listens(struct daemon *d, const struct conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->listens_n; i++)
		n += conf->listens[i].address.n;
	if (n != d->bound_n)
		return -1;
	n = 0;
	for (size_t i = 0; i < conf->listens_n; i++)
		for (size_t k = 0; k < conf->listens[i].address.n; k++)
			assign(&d->bound[n++], &conf->listens[i],
				&conf->listens[i].address.v[k]);
	return 0;
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

int daemon_listen(struct daemon *d)
{
	for (size_t i = 0; i < d->bound_n; i++) {
		struct bound *b = &d->bound[i];
		struct addr local;
		const char *name = b->address->text;
		char text[ADDR_TEXT];

		listener_address(b->fd, &local);
		if (b->address->kind == LISTEN_FD)
			know_passed(b, &local);
		b->listener = listener_new(d->loop, b->fd, &listener_cb, b);
		b->fd = -1; /* taken */
		if (!b->listener)
			return -1;
		LOG(LOG_INFO, "listen",
			F_STR("listen", b->listen->section.name),
			F_STR("address",
				local.family == ADDR_IPV4 ||
						local.family == ADDR_IPV6
					? addr_format(&local, text)
					: name));
	}
	return 0;
}

void daemon_close_listeners(struct daemon *d)
{
	for (size_t i = 0; i < d->bound_n; i++) {
		struct bound *b = &d->bound[i];
		bool open = b->listener || b->fd >= 0;

		listener_free(b->listener);
		b->listener = NULL;
		if (b->fd >= 0)
			close(b->fd);
		b->fd = -1;
		/*
		 * Only once: the file may be the next daemon's by now. A socket
		 * that was handed over belongs to the service manager.
		 */
		if (open && b->address && b->address != &b->passed &&
			b->address->kind == LISTEN_UNIX)
			(void)unlink(b->address->path);
	}
}
