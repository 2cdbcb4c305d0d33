/*
 * clock.h: the time of day. Time that passes is the loop's (net/loop.h).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970, UTC. */
int64_t clock_unix_ms(void);
/* The same in microseconds. */
int64_t clock_unix_us(void);

#endif
