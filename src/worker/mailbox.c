#include "worker/mailbox.h"

#include "worker/letter.h"

static struct letter *take(struct mailbox *m)
{
	struct letter *l;

	pthread_mutex_lock(&m->lock);
	l = STAILQ_FIRST(&m->letters);
	if (l)
		STAILQ_REMOVE_HEAD(&m->letters, next);
	pthread_mutex_unlock(&m->lock);
	return l;
}

/* As many as a share of the turn allows; the rest in the next. */
static void open_letters(struct waker *waker)
{
	struct mailbox *m = CONTAINER_OF(waker, struct mailbox, waker);
	struct letter *l;

	loop_share_begin(m->loop);
	while (loop_share_left_now(m->loop)) {
		l = take(m);
		if (!l)
			return;
		l->kind->open(m->worker, l);
	}
	loop_wake(m->loop);
}

void mailbox_init(struct mailbox *m, struct loop *loop, struct worker *worker)
{
	m->loop = loop;
	m->worker = worker;
	pthread_mutex_init(&m->lock, NULL);
	STAILQ_INIT(&m->letters);
	loop_on_wake(loop, &m->waker, open_letters);
}

void mailbox_fini(struct mailbox *m)
{
	mailbox_drop(m);
	loop_on_wake_no_more(&m->waker);
	pthread_mutex_destroy(&m->lock);
}

void mailbox_post(struct mailbox *m, struct letter *l)
{
	bool first;

	pthread_mutex_lock(&m->lock);
	first = STAILQ_EMPTY(&m->letters);
	STAILQ_INSERT_TAIL(&m->letters, l, next);
	pthread_mutex_unlock(&m->lock);
	if (first)
		loop_wake(m->loop);
}

void mailbox_drop(struct mailbox *m)
{
	struct letter *l;

	while ((l = take(m)))
		l->kind->free(l);
}
