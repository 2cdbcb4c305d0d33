/*
 * backend_hub.h: how a client joins a hub: to the front it is a backend that
 * opens when the hub's home has given it a seat.
 */
#ifndef RELAY_BACKEND_HUB_H
#define RELAY_BACKEND_HUB_H

#include <stddef.h>
#include <stdint.h>

struct hub;
struct mail;
struct message;
struct seat;
struct worker;

/* What a joined client becomes a member with; borrowed until done returns. */
struct hub_joined {
	struct hub *hub; /* the receiver takes the reference */
	struct seat *seat;
	struct mail *leave; /* hub_letters.leave: the receiver's */
	struct message *const *replay;
	size_t replay_n;
	uint64_t since; /* the serial of the newest that it has, or missed */
};

/* From the mail: the home's answer. */
void backend_hub_joined(struct worker *w, const struct mail *m);
void backend_hub_refused(struct worker *w, const struct mail *m);

#endif
