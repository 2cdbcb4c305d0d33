/*
 * letters.h: what the home of a hub and the workers of its members write to
 * each other. Each kind is defined where it is opened. While it is under way
 * each letter has a reference to the hub.
 *
 *   client's worker --join, leave, input, ready--> home
 *                   <--joined, refused, messages, resume, end, kick--
 */
#ifndef HUB_LETTERS_H
#define HUB_LETTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "worker/letter.h"

struct client;
struct hub;
struct message;
struct piece;
struct seat;
struct worker;

/* to the home */
extern const struct letter_kind hub_letter_join, hub_letter_leave,
	hub_letter_input, hub_letter_ready, hub_letter_give_way;
/* from the home */
extern const struct letter_kind hub_letter_joined, hub_letter_refused,
	hub_letter_messages, hub_letter_resume, hub_letter_end, hub_letter_kick;

/* A client asks for a seat; the same letter brings the answer. */
struct hub_join {
	struct letter letter;
	struct hub *hub;
	struct worker *from;
	uint64_t id; /* the client's */
	uint8_t perm;
	uint8_t hops;
	struct addr peer;
	char *identity; /* owned until its seat has it; see identity.h */
	/* joined */
	struct seat *seat;
	char *protocol;          /* owned; NULL: none is selected */
	struct message **replay; /* owned, and a reference each */
	size_t replay_n;
	uint64_t serial; /* of the newest message that it must not get */
	bool no_memory;  /* for these: it is to leave the seat again */
	/* refused */
	enum reason reason;
	char *detail; /* owned; may be NULL */
	bool again;   /* the hub has ended: another may be joined */
};

/*
 * A client has left its seat. That must not fail for want of memory, or its
 * count or its seat would stay for ever: the letter is made before it joins.
 */
struct hub_leave {
	struct letter letter;
	struct hub *hub;
	uint64_t id;
	struct seat *seat; /* NULL: it was not told that it has one */
	enum reason reason;
};

/* A whole message of a client. */
struct hub_input_letter {
	struct letter letter;
	struct hub *hub;
	struct seat *seat;
	uint8_t opcode;
	size_t n;
	uint8_t bytes[];
};

struct hub_messages { /* for the members of one worker */
	struct letter letter;
	struct hub *hub;
	size_t n;
	struct message *v[]; /* a reference each */
};

/* All others. */
struct hub_news {
	struct hub *hub;
	struct worker *from; /* ready: it has read its messages */
	uint64_t id;         /* kick: the client's */
	enum reason reason;  /* end, kick */
	uint16_t code;       /* end; 0: the reason's own */
	char *text;          /* end; owned, may be NULL */
};

struct hub_notice {
	struct letter letter;
	struct hub_news news;
	/* A part of the hub, for what must be said without memory. */
	bool spare;
	atomic_bool posted; /* it is a spare one, and under way */
};

/* NULL without memory. */
MUST_CHECK struct hub_join *hub_join_new(
	struct worker *from, const struct client *c);
void hub_join_free(struct hub_join *j);
MUST_CHECK struct hub_leave *hub_leave_new(const struct client *c);
MUST_CHECK struct hub_input_letter *hub_input_letter_new(
	struct hub *h, struct seat *s, const struct piece *whole);
MUST_CHECK struct hub_messages *hub_messages_new(
	struct hub *h, struct message *const *v, size_t n);
/*
 * Without memory the spare one, which may be NULL. NULL: that
 * is under way, so what it says will be read, or there is none.
 */
MUST_CHECK struct hub_notice *hub_notice_new(struct hub *h,
	const struct letter_kind *kind, struct hub_notice *spare);
/*
 * Takes what it says out of it and frees it. A spare one may be posted again
 * while that is being done.
 */
struct hub_news hub_notice_take(struct letter *l);
void hub_news_free(struct hub_news *n);

/* For the kinds' tables. */
void hub_letter_free_join(struct letter *l);
void hub_letter_free_leave(struct letter *l);
void hub_letter_free_input(struct letter *l);
void hub_letter_free_messages(struct letter *l);
void hub_letter_free_notice(struct letter *l);

#endif
