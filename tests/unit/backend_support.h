/*
 * backend_support.h: a worker with a loop, a client of a route, and a backend
 * that the test plays: a socket that listens on loopback, and what the first
 * connection to it brings.
 */
#ifndef TESTS_BACKEND_SUPPORT_H
#define TESTS_BACKEND_SUPPORT_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/buf.h"
#include "codec/pattern.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "worker/route_counters.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/client.h"
#include "gate/request.h"
#include "backend/backend.h"
#include "support.h"

struct backend_world {
	struct budget budget;
	struct loop *loop;
	struct timer watch;
	bool (*done)(void);
	int ticks;

	struct worker worker;
	struct conf_route route;
	struct route_state state;
	struct route_counters counters;
	struct conf conf;
	struct client client;
	struct request request;
	struct captures captures;
	char port[6];

	int listening, connection; /* -1 = none yet */
	struct buf heard;
	bool ended; /* it has heard the end of the stream */
	bool deaf;  /* accepts, and does not read */
};

static struct backend_world world;

static inline void backend_look(void)
{
	char room[4096];
	ssize_t n;

	if (world.connection < 0 && world.listening >= 0)
		world.connection = accept4(
			world.listening, NULL, NULL, SOCK_NONBLOCK);
	if (world.connection < 0 || world.deaf)
		return;
	n = recv(world.connection, room, sizeof(room), 0);
	if (n > 0)
		assert_int_equal(
			buf_add(&world.heard, room, (size_t)n, SIZE_MAX), 0);
	else if (n == 0 || errno != EAGAIN)
		world.ended = true;
}

static inline void backend_tick(struct timer *t)
{
	backend_look();
	if (world.done() || ++world.ticks > 20000)
		loop_stop(world.loop);
	else
		timer_set(world.loop, t, loop_now(world.loop) + 1);
}

/* Turns the loop until it is so. */
static inline void backend_run(bool (*is)(void))
{
	world.done = is;
	world.ticks = 0;
	atomic_store(&world.loop->stopped, false);
	timer_set(world.loop, &world.watch, loop_now(world.loop));
	assert_int_equal(loop_run(world.loop), 0);
	assert_true(is());
}

static inline bool backend_after_turns(void)
{
	return world.ticks >= 5;
}

static inline bool backend_accepted(void)
{
	return world.connection >= 0;
}

static inline bool backend_heard_end(void)
{
	return world.ended;
}

/* A socket on a port of its own; without listen, connecting to it is refused. */
static inline int backend_bind(char port[6])
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	snprintf(port, 6, "%u", (unsigned)ntohs(in.sin_port));
	return fd;
}

/* A route to tcp://127.0.0.1:PORT, where the test listens. */
static inline void backend_setup(void)
{
	world = (struct backend_world){ .connection = -1 };
	budget_init(&world.budget, SIZE_MAX);
	world.loop = loop_new(&world.budget);
	assert_non_null(world.loop);
	assert_int_equal(timer_init(world.loop, &world.watch, backend_tick), 0);
	world.listening = backend_bind(world.port);
	assert_int_equal(listen(world.listening, 8), 0);
	world.route = (struct conf_route){
		.section.name = (char *)"test",
		.connect_timeout = 60000,
		.to = { .kind = BACKEND_TCP,
			.host = (char *)"127.0.0.1",
			.port = world.port,
			.path = (char *)"/" },
	};
	world.route.state = &world.state;
	world.state.counters = &world.counters;
	world.conf = (struct conf){ .routes = &world.route, .routes_n = 1 };
	world.worker.loop = world.loop;
	world.client = (struct client){ .conf = &world.conf,
		.route = &world.route,
		.peer = { .family = ADDR_IPV4,
			.ip = { 203, 0, 113, 9 },
			.port = 4711 } };
}

static inline void backend_teardown(void)
{
	if (world.connection >= 0)
		close(world.connection);
	close(world.listening);
	loop_run_deferred(world.loop);
	assert_int_equal(budget_used(&world.budget), 0);
	timer_fini(world.loop, &world.watch);
	loop_free(world.loop);
	buf_free(&world.heard);
}

#endif
