/*
 * uplink.h: the connection to the relay, over all its losses, for one run.
 *
 *   uplink_new -> WAITING --attempt--> OPENING --> GREETING -> OPEN
 *                    ^  back-off          |            |        |
 *                    '--------------------'------------'--lost--'
 *
 *   uplink_end, or what the table of reasons calls never -> OVER
 *
 * What happens is said on standard error. Its loop's thread only.
 */
#ifndef ATTACH_UPLINK_H
#define ATTACH_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct place;
struct place_proxy;
struct setup;
struct uplink;

/* None is called from within a function of this header. */
struct uplink_cb {
	/* A message from a client; the callback may change its bytes. */
	void (*input)(void *owner, uint8_t opcode, uint8_t *p, size_t n);
	/* What waits has become less, see uplink_is_full. */
	void (*room)(void *owner);
	/* It is over, for the reasons above; the owner calls uplink_free. */
	void (*over)(void *owner);
};

struct uplink_params { /* all of it outlives the uplink */
	struct setup *setup;
	const struct place *place;
	const struct place_proxy *proxy; /* its host is NULL: none */
	bool has_token_file; /* of the setup: read at each attempt */
	const struct uplink_cb *cb;
	void *owner;
};

/* NULL without memory. */
MUST_CHECK struct uplink *uplink_new(const struct uplink_params *p);
/* At any time; what is open is cut. */
void uplink_free(struct uplink *u);

/* A whole message of the run. */
void uplink_send(struct uplink *u, uint8_t opcode, const uint8_t *p, size_t n);
/* Messages that are not sent at all: see outbox.h. */
void uplink_count_too_long(struct uplink *u);
void uplink_count_not_text(struct uplink *u);
/* So much waits that for --slow block the run is to wait. */
bool uplink_is_full(const struct uplink *u);
/*
 * The run has ended (1000), or this program does without it (1001): what waits
 * is sent, then that. Where attempts have failed before there is nothing to wait
 * for, and it takes no longer than UPLINK_END_MS in any case.
 */
#define UPLINK_END_MS 5000
void uplink_end(struct uplink *u, uint16_t code);

#endif
