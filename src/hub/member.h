/*
 * member.h: a client of a hub, and the shard: the members that one worker has
 * of one hub. All of it belongs to that worker's thread.
 */
#ifndef HUB_MEMBER_H
#define HUB_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"

struct client;
struct end;
struct ending;
struct hub;
struct hub_joined;
struct member;
struct message;
struct seat;
struct shard;
struct worker;

/*
 * Takes client, its end, and what it joined with (join.h). NULL: no
 * memory; then nothing was taken.
 */
MUST_CHECK struct member *member_new(struct worker *w,
	const struct client *client, struct end *client_end,
	const struct hub_joined *joined);

/* From the home, on the members' worker; see also letters.h. */
void shard_deliver(
	struct hub *h, struct worker *w, struct message *const *v, size_t n);
/* A reload: the worker has a newer snapshot. */
void shards_renew(struct worker *w);
/* What is left is cut off. */
void shards_stop(struct worker *w);
/* Bytes that wait for the member that has most, and that member. */
size_t shards_largest(struct worker *w, struct member **largest);
void member_abort(struct member *m, enum reason reason);

#endif
