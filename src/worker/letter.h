/*
 * letter.h: what one thread asks of another. A letter is a small struct of its
 * own kind that begins with this one; the room that understands it has the
 * kind. Posted by worker_post, opened in order on the worker's thread.
 *
 * Only letters, references to messages and configurations, and what worker.h
 * calls shared cross threads.
 */
#ifndef WORKER_LETTER_H
#define WORKER_LETTER_H

#include <sys/queue.h>

struct letter;
struct worker;

struct letter_kind {
	/* Does what it asks for; takes it. */
	void (*open)(struct worker *w, struct letter *l);
	/* Frees it unread, with all that it owns: its worker reads no more. */
	void (*free)(struct letter *l);
};

struct letter {
	STAILQ_ENTRY(letter) next;
	const struct letter_kind *kind;
};

#endif
