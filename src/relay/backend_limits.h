/*
 * backend_limits.h: what the sockets of all backends have in common.
 */
#ifndef RELAY_BACKEND_LIMITS_H
#define RELAY_BACKEND_LIMITS_H

/*
 * A backend whose machine has gone is noticed after the user timeout: of what
 * is under way, or of keepalive's questions when nothing is (it overrides their
 * number, see tcp(7)). It also ends a backend that has not read for so long, so
 * it is generous: a solver may compute for half a minute.
 */
#define BACKEND_KEEPALIVE_S     15
#define BACKEND_USER_TIMEOUT_MS 60000

#endif
