#include "net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "net/loop.h"

#define BACKLOG      4096
#define ACCEPT_BATCH 64
#define PAUSE_MS     250

struct listener {
	struct loop *loop;
	const struct listener_cb *cb;
	void *owner;
	int fd;
	struct event *event;
	struct timer pause;
};

int listener_bind_tcp(const struct addr *a)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} u = { 0 };
	socklen_t n;
	int on = 1;
	int error;
	int fd;

	if (a->family == ADDR_IPV4) {
		u.in.sin_family = AF_INET;
		u.in.sin_port = htons(a->port);
		memcpy(&u.in.sin_addr, a->ip, 4);
		n = sizeof(u.in);
	} else {
		u.in6.sin6_family = AF_INET6;
		u.in6.sin6_port = htons(a->port);
		memcpy(&u.in6.sin6_addr, a->ip, 16);
		n = sizeof(u.in6);
	}
	fd = socket(
		u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		(a->family == ADDR_IPV6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on,
				sizeof(on)) < 0) ||
		bind(fd, &u.sa, n) < 0 || listen(fd, BACKLOG) < 0) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* A socket file whose listener is dead may go; a live one is EADDRINUSE. */
static int replace_stale(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	int dead;

	if (fd < 0)
		return -1;
	dead = connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 &&
	       errno == ECONNREFUSED;
	close(fd);
	if (!dead || stat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode) ||
		unlink(un->sun_path) < 0) {
		errno = EADDRINUSE;
		return -1;
	}
	return 0;
}

/* With this mode, which a chmod behind it would give too late. */
static int bind_with_mode(int fd, const struct sockaddr_un *un, mode_t mode)
{
	mode_t mask = umask(0777 & ~mode);
	int r = bind(fd, (const struct sockaddr *)un, sizeof(*un));
	int error = errno;

	umask(mask);
	errno = error;
	return r;
}

int listener_bind_unix(const char *path, mode_t mode)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int error;
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (bind_with_mode(fd, &un, mode) < 0 &&
		(errno != EADDRINUSE || replace_stale(&un) < 0 ||
			bind_with_mode(fd, &un, mode) < 0))
		goto fail;
	if (listen(fd, BACKLOG) < 0)
		goto fail;
	return fd;
fail:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

void listener_address(int fd, struct addr *a)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss);

	*a = (struct addr){ 0 };
	if (getsockname(fd, (struct sockaddr *)&ss, &n) == 0)
		addr_from_sockaddr(a, (struct sockaddr *)&ss);
}

static void accept_pause(struct listener *s, int error)
{
	event_del(s->event);
	timer_set(s->loop, &s->pause, loop_now(s->loop) + PAUSE_MS);
	s->cb->paused(s->owner, error);
}

/* The pause is over; if it helped nothing, the next accept pauses again. */
static void accept_resume(struct timer *t)
{
	struct listener *s = CONTAINER_OF(t, struct listener, pause);

	event_add(s->event, NULL);
}

/* Whether more may wait. */
static bool accept_batch(struct listener *s)
{
	int fd = s->fd;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage ss = { 0 };
		socklen_t n = sizeof(ss);
		struct addr peer;
		int client = accept4(fd, (struct sockaddr *)&ss, &n,
			SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client < 0) {
			if (errno == EMFILE || errno == ENFILE ||
				errno == ENOBUFS || errno == ENOMEM)
				accept_pause(s, errno);
			/* others concern a connect that went away */
			return errno == ECONNABORTED || errno == EINTR;
		}
		addr_from_sockaddr(&peer, (struct sockaddr *)&ss);
		if (ss.ss_family == AF_UNIX)
			peer = (struct addr){ .family = ADDR_UNIX };
		s->cb->accepted(s->owner, client, &peer);
	}
	return true;
}

static void accept_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)accept_batch(arg);
}

struct listener *listener_new(
	struct loop *l, int fd, const struct listener_cb *cb, void *owner)
{
	struct listener *s = calloc(1, sizeof(*s));

	if (!s)
		goto fail;
	*s = (struct listener){ .loop = l, .cb = cb, .owner = owner, .fd = fd };
	if (timer_init(l, &s->pause, accept_resume) < 0)
		goto fail;
	s->event = event_new(
		l->base, fd, EV_READ | EV_PERSIST, accept_ready, s);
	if (!s->event || event_add(s->event, NULL) < 0) {
		if (s->event)
			event_free(s->event);
		timer_fini(l, &s->pause);
		goto fail;
	}
	return s;
fail:
	free(s);
	close(fd);
	return NULL;
}

void listener_free(struct listener *s)
{
	if (!s)
		return;
	/*
	 * A client in the kernel's queue has been told "connected": accept it.
	 */
	for (int i = 0; i <= BACKLOG / ACCEPT_BATCH && accept_batch(s); i++)
		;
	event_free(s->event);
	timer_fini(s->loop, &s->pause);
	close(s->fd);
	free(s);
}
