/*
 * setup.h: what the connection to the relay needs around it: a configuration,
 * a text that is loaded as a file would be, with one route whose backend is the
 * relay; and one worker without a thread.
 */
#ifndef ATTACH_SETUP_H
#define ATTACH_SETUP_H

#include "base/compiler.h"
#include "worker/route_counters.h"
#include "worker/section.h"
#include "worker/worker.h"
#include "gate/client.h"

struct conf;
struct loop;
struct place;

struct setup {
	struct worker *worker;
	struct client client; /* ourselves: its route leads to the relay */
	/* Private to setup.c. */
	struct shared shared;
	struct worker *workers[1];
	struct route_records records;
	struct route_state route;
	struct listen_state listen;
	struct conf *conf;
};

/* The longest message either way. */
#define SETUP_MESSAGE (64u << 20)
/* Of all that waits. */
#define SETUP_MEMORY (256u << 20)

struct setup_params {
	const struct place *place;
	const char *ca;         /* a file; NULL: the system's */
	const char *token_file; /* NULL: the token is in the place's query */
	/* What gives way, as slow_text and slow_binary of wsrelayd.ini(5). */
	const char *slow_text, *slow_binary;
	unsigned queue_limit; /* likewise: how much waits with drop-old */
};

/* First; shared.budget is good from then on, for the loop. */
void setup_init(struct setup *s);
/* -1: it has said why. setup_free is called all the same. */
MUST_CHECK int setup_open(
	struct setup *s, struct loop *l, const struct setup_params *p);
void setup_free(struct setup *s);

#endif
