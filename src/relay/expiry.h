/*
 * expiry.h: when a client's connection ends by itself: the route's
 * max_session, or its token's expire_at, whichever comes first.
 */
#ifndef RELAY_EXPIRY_H
#define RELAY_EXPIRY_H

#include <stdint.h>

#include "base/reason.h"

struct client;

/* The time, by the loop's clock (now_ms); INT64_MAX = never. *as: the reason. */
int64_t expiry_of(const struct client *c, int64_t now_ms, enum reason *as);

#endif
