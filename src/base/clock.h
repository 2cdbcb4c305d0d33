/*
 * clock.h: the time of day, and time that passes where there is no loop
 * (net/loop.h).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970, UTC. */
int64_t clock_unix_ms(void);
/* The same in microseconds. */
int64_t clock_unix_us(void);
/* Microseconds of CLOCK_MONOTONIC. */
int64_t clock_monotonic_us(void);

#endif
