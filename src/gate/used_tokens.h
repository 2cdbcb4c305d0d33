/*
 * used_tokens.h: tokens of single use that have been used, over all workers,
 * each until it expires by itself. So many for each key: tokens of one key that
 * fill its part keep out no token of another. One short lock; any thread.
 */
#ifndef GATE_USED_TOKENS_H
#define GATE_USED_TOKENS_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/reason.h"

struct buf;
struct used_tokens;

#define USED_TOKENS_ID  16
#define USED_TOKENS_MAX 100000 /* of one key */

MUST_CHECK struct used_tokens *used_tokens_new(void);
void used_tokens_free(struct used_tokens *u);
/*
 * A token (its identity) of the key of this name is used, until exp_ms; times
 * are Unix ms. REASON_NONE; TOKEN_USED: it was used before; TOKEN_STORE: the
 * key has too many that have not expired; INTERNAL without memory.
 */
MUST_CHECK enum reason used_tokens_add(struct used_tokens *u, const char *key,
	const uint8_t id[USED_TOKENS_ID], int64_t exp_ms, int64_t now_ms);
/* What used_tokens_add would say, but for memory. */
MUST_CHECK enum reason used_tokens_look(struct used_tokens *u, const char *key,
	const uint8_t id[USED_TOKENS_ID], int64_t now_ms);
/* It was not used after all. */
void used_tokens_remove(
	struct used_tokens *u, const uint8_t id[USED_TOKENS_ID]);

/*
 * Appends all that have not expired, as records (codec/state.h). -1 without
 * memory. Read again they are added with used_tokens_add.
 */
MUST_CHECK int used_tokens_write(
	struct used_tokens *u, struct buf *out, int64_t now_ms);

#endif
