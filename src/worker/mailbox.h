/*
 * mailbox.h: where letters (letter.h) to a thread wait until its loop opens
 * them: each worker has one, and the main thread has one of its own, which is
 * another even where its loop is that of the only worker.
 */
#ifndef WORKER_MAILBOX_H
#define WORKER_MAILBOX_H

#include <pthread.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "net/loop.h"

struct letter;
struct worker;

struct mailbox {
	struct loop *loop;
	struct worker *worker; /* what a letter is opened with; may be NULL */
	pthread_mutex_t lock;
	STAILQ_HEAD(, letter) letters;
	struct waker waker;
};

/* worker NULL: the main thread's own. The loop outlives it. */
void mailbox_init(struct mailbox *m, struct loop *loop, struct worker *worker);
/* Nothing is posted any more: what was not opened is freed. */
void mailbox_fini(struct mailbox *m);

/* Any thread. Takes l: it is opened on the thread of the loop, in order. */
void mailbox_post(struct mailbox *m, struct letter *l);
/* The loop must not be running: what was posted and not opened is freed. */
void mailbox_drop(struct mailbox *m);

#endif
