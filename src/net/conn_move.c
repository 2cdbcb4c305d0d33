/*
 * A connection that changes its thread: it leaves its loop, crosses in a
 * letter, and enters another loop.
 */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/conn_private.h"

static bool is_quiet(const struct conn *c)
{
	return c->state == CONN_OPEN && !conn_in_ended(c) &&
	       c->in == CONN_IN_OPEN && c->out == CONN_OUT_OPEN &&
	       c->queued == 0 && !c->two_fds && c->loop->cork.to != c &&
	       c->loop->reader != c && !c->drain_again;
}

bool conn_leave(struct conn *c)
{
	if (!is_quiet(c) || (c->transport->leave && !c->transport->leave(c)))
		return false;
	c->reading = false;
	conn_update(c);
	loop_undefer(c->loop, &c->deferred);
	timer_fini(c->loop, &c->timer);
	c->loop = NULL;
	return true;
}

int conn_enter(struct conn *c, struct loop *l)
{
	assert(!c->loop);
	if (timer_init(l, &c->timer, conn_linger_over) < 0)
		return -1;
	c->loop = l;
	if (c->transport->enter && c->transport->enter(c) < 0) {
		timer_fini(l, &c->timer);
		c->loop = NULL;
		return -1;
	}
	conn_watch_nothing(c);
	return 0;
}

void conn_forsake(struct conn *c, struct budget *budget)
{
	assert(!c->loop);
	close(c->fd);
	rest_drop(&c->rest, budget, SIZE_MAX);
	if (c->transport->free)
		c->transport->free(c);
	free(c);
}
