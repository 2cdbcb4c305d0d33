/*
 * revocations.h: tokens that are refused though their time is not over, by what
 * they have in common (codec/state.h): those that were issued before a time, or
 * all of them. Over all workers; one short lock, which is not taken while there
 * are none; any thread.
 *
 * The gate asks when it verifies a token, and again when the client's session
 * opens; the walk over living sessions asks, too (daemon/command_revoke.c). A
 * session that is not found by that walk opens behind the entry, and is refused.
 */
#ifndef GATE_REVOCATIONS_H
#define GATE_REVOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"
#include "codec/state.h"

struct bearer;
struct buf;
struct revocations;

/* Each of less than 512 bytes: 5 MiB in all. */
#define REVOCATIONS_MAX 10000

MUST_CHECK struct revocations *revocations_new(void);
void revocations_free(struct revocations *t);

/*
 * A record of kind REVOKED or BANNED, which is valid. When the same tokens are
 * revoked, or banned, already, the later times hold. -1 with errno: ENOSPC:
 * there are too many; ENOMEM. Times are Unix ms.
 */
MUST_CHECK int revocations_add(
	struct revocations *t, const struct state_record *r, int64_t now_ms);
/* Of r its of, key and value count. False: there was none. */
MUST_CHECK bool revocations_remove(
	struct revocations *t, const struct state_record *r, int64_t now_ms);

/*
 * REASON_NONE, REVOKED or BANNED: of a token with this identity (identity.h;
 * NULL: it has no subject). bearer NULL: there is no token.
 */
MUST_CHECK enum reason revocations_check(struct revocations *t,
	const char *identity, const struct bearer *bearer, int64_t now_ms);

/* Appends all that hold, as records, the oldest first. -1 without memory. */
MUST_CHECK int revocations_write(
	struct revocations *t, struct buf *out, int64_t now_ms);

#endif
