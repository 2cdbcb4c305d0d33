/*
 * backend_limits.h: what the sockets of all backends have in common.
 */
#ifndef RELAY_BACKEND_LIMITS_H
#define RELAY_BACKEND_LIMITS_H

/*
 * A backend whose machine has gone is noticed by keepalive when nothing is
 * under way, by the user timeout when something is. The second also ends a
 * backend that has not read for so long, so it is generous: a solver may well
 * think for half a minute.
 */
#define BACKEND_KEEPALIVE_S 15
#define BACKEND_USER_TIMEOUT_MS 60000

#endif
