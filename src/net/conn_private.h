/*
 * conn_private.h: what the files of a connection share: conn.c (its life, what
 * is watched, reading, the end), conn_send.c (what waits for the peer and how
 * it leaves), conn_socket.c (what the kernel knows of its socket).
 */
#ifndef NET_CONN_PRIVATE_H
#define NET_CONN_PRIVATE_H

#include <event2/event.h>

#include "base/compiler.h"
#include "net/conn.h"

/* The states' edges: each is moved by its one function, which asserts them. */
void conn_move_in(struct conn *c, enum conn_in to);
void conn_move_out(struct conn *c, enum conn_out to);
/* Nothing more comes. */
static inline bool conn_in_ended(const struct conn *c)
{
	return c->in >= CONN_IN_ENDED;
}
/* Nothing more goes. */
static inline bool conn_out_ended(const struct conn *c)
{
	return c->out >= CONN_OUT_REFUSED;
}

/* See transport.wants. */
static inline short conn_wants(const struct conn *c, short events)
{
	return c->transport->wants ? c->transport->wants(c, events) : events;
}
/* Bytes that the transport has taken wait for the socket. */
static inline bool conn_holds(const struct conn *c)
{
	return conn_wants(c, 0) & EV_WRITE;
}
/* There is something to read, whatever the socket does. */
static inline bool conn_has_more(const struct conn *c)
{
	return conn_wants(c, 0) & CONN_MORE;
}

/* conn.c */
/* It is its loop's, which is to watch nothing of it yet. */
void conn_watch_nothing(struct conn *c);
/* The timer of FINISHING and LINGERING. */
void conn_linger_over(struct timer *t);
/* The one place where libevent is told what to watch for. */
void conn_update(struct conn *c);
/* At the end of the turn the owner is told what could not be told at once. */
void conn_defer(struct conn *c);
/* The peer takes no more bytes; error is an errno. What waits is dropped. */
void conn_write_failed(struct conn *c, int error);
/* Some of what waits was sent: the owner is told. */
void conn_queue_left(struct conn *c);

/* conn_send.c */
/* Sends what the running read has corked, for whichever connection. */
void conn_uncork(struct loop *l);
/* One write of what waits. -1: nothing was sent, or the connection broke. */
MUST_CHECK int conn_send_queue(struct conn *c);
void conn_queue_free(struct conn *c);

#endif
