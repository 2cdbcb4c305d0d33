/* here.h: what one worker has of hubs; its thread's alone. */
#ifndef HUB_HERE_H
#define HUB_HERE_H

#include <sys/queue.h>

#include "base/idmap.h"
#include "base/walk.h"

struct attached;
struct hub;
struct keeper;
struct shard;

struct hubs_here {
	TAILQ_HEAD(, hub) list;       /* those at home here */
	struct walks walks;           /* over these */
	TAILQ_HEAD(, keeper) keepers; /* of hubs that are always there */
	TAILQ_HEAD(, shard) shards;   /* members here, by hub */
	struct idmap joins;           /* clients that wait for a seat, by id */
	struct idmap attaches;        /* simulations that wait for a place */
	TAILQ_HEAD(, attached) attached; /* their connections, at home here */
};

#endif
