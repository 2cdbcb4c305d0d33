/*
 * mail.h: what one thread may ask of a worker: everything that crosses
 * threads, named in one place. Posted by worker_post, read by worker.c.
 */
#ifndef RELAY_MAIL_H
#define RELAY_MAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "base/reason.h"

struct conf;
struct conf_address;
struct conf_listen;
struct hub;
struct message;
struct seat;
struct worker;

enum mail_kind {
	/* from the main thread */
	MAIL_ACCEPTED, /* fd, peer, conf, listen, address */
	MAIL_KEEP,     /* hubs with trunk = always */
	MAIL_CONF,     /* conf */
	MAIL_DRAIN,
	/* to a hub's home: hub, from */
	MAIL_HUB_JOIN,     /* id, perm, peer, text: identity (owned) */
	MAIL_HUB_LEAVE,    /* id, seat (NULL: none was given yet), reason */
	MAIL_HUB_INPUT,    /* id, seat, opcode, bytes (owned), n */
	MAIL_HUB_READY,    /* the worker has read its messages */
	MAIL_HUB_GIVE_WAY, /* it is empty, and its place is another's now */
	/* from a hub's home: hub */
	MAIL_HUB_JOINED,   /* id, seat, text: protocol (owned); replay: list, n
			      (owned, a reference each); serial; again: there
			      was no memory for these */
	MAIL_HUB_REFUSED,  /* id, reason, text: detail (owned), again */
	MAIL_HUB_MESSAGES, /* v, n: one reference each */
	MAIL_HUB_RESUME,
	MAIL_HUB_END,  /* reason, code, text (owned) */
	MAIL_HUB_KICK, /* id, reason */
};

struct mail {
	STAILQ_ENTRY(mail) next;
	enum mail_kind kind;
	uint8_t perm, opcode;
	bool again;
	uint16_t code;
	enum reason reason;
	int fd;
	struct addr peer;
	struct conf *conf; /* a reference */
	const struct conf_listen *listen;
	const struct conf_address *address;
	struct hub *hub; /* a reference */
	struct worker *from;
	struct seat *seat;
	uint64_t id;
	uint64_t serial; /* of the newest message that it must not get */
	char *text;
	uint8_t *bytes;
	size_t n;
	struct message **list; /* in place of v, allocated by itself; or NULL */
	/* Part of its owner's memory: for what must be said without any left. */
	bool lent;
	atomic_bool posted; /* it is lent, and under way */
	struct message **v; /* the memory behind it, as mail_new was told */
};

/*
 * Room for n messages; NULL without memory. Freed by the worker that reads it.
 */
struct mail *mail_new(enum mail_kind kind, size_t n);
/* Makes one that is lent, and not under way, as mail_new makes others. */
void mail_reset(struct mail *m, enum mail_kind kind);
/* Moves what one that is lent says to another, and gives it back. */
void mail_move(struct mail *to, struct mail *lent);
/* Frees it with all that it owns; one that is lent becomes free for use. */
void mail_free(struct mail *m);

#endif
