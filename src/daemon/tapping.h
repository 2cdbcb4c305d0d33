/*
 * tapping.h: what tap and record answer with: a row for each message that fits,
 * as it passes, until the caller leaves (end/tap.h).
 *
 *   tap: queue -> a row: its head, then its payload in shares of the turn
 *
 * A row has "at_us", "direction", "route", "hub" of a hub's, "id" of the client
 * (none: it is for all of the hub), "opcode", "size_bytes", "cut_bytes" when not
 * all of it is shown, and "text", or "base64" of a binary message. In front of
 * the first is "began_us": from then on no message is missed. Between them may
 * be "dropped", how many messages were not shown because the caller did not read
 * as fast, and "left_out", the routes that are not shown.
 */
#ifndef DAEMON_TAPPING_H
#define DAEMON_TAPPING_H

struct answer;
struct daemon;
struct tap_filter;

/* At one time, over all callers. */
#define TAPPINGS_MAX 4

/*
 * The answer goes on with what fits f, which is taken, and the arguments route,
 * limit and for; or is refused.
 */
void tapping_begin(struct answer *a, struct tap_filter *f);
/* A reload: a route may have tap = no now. */
void tappings_renew(struct daemon *d);

#endif
