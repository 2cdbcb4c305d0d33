/*
 * state.h: what the daemon knows beyond its end, as text: revocations, and
 * tokens of single use that were used.
 *
 *   wsrelayd-state 1
 *   revoked 1764183600000 1764180000000 sub lab alice
 *   banned 1764183600000 kid * leaked
 *   since 1764170000000
 *   used 1764180060000 lab 000102030405060708090a0b0c0d0e0f
 *   sha256 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
 *
 * One record a line, fields apart by one space, times in Unix milliseconds, the
 * first one that until which the record holds. The last field may have spaces.
 * The last line has the SHA-256 of all before it. Pure: no file, no clock.
 */
#ifndef CODEC_STATE_H
#define CODEC_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

struct buf;

#define STATE_ID        16  /* bytes that a used token is known by */
#define STATE_VALUE_MAX 255 /* bytes */
#define STATE_KEY_MAX   64

enum state_kind {
	STATE_REVOKED, /* tokens that were issued up to a time */
	STATE_BANNED,  /* all of them */
	STATE_SINCE,   /* used tokens are complete since that time */
	STATE_USED,    /* one of them */
};

/* What the tokens of a revocation have in common. */
enum state_of {
	STATE_SUB,   /* the subject, of a key or of any */
	STATE_KID,   /* the key that has signed them, by its kid */
	STATE_JTI,   /* the token's own name, signed by a key or by any */
	STATE_TOKEN, /* it is this token: its value is STATE_ID bytes in hex */
	STATE_OF_COUNT
};

struct state_record { /* members that its kind has not are 0 */
	enum state_kind kind;
	int64_t until_ms;  /* not of SINCE */
	int64_t before_ms; /* REVOKED; SINCE: that time */
	enum state_of of;  /* REVOKED, BANNED */
	struct str key;    /* the name of a [key] section; n 0: any */
	struct str value;  /* REVOKED, BANNED */
	uint8_t id[STATE_ID];
};

/* "sub", "kid", "jti", "token"; lives forever. */
const char *state_of_word(enum state_of of);
/* Whether a revocation may have this value: UTF-8 without control characters. */
MUST_CHECK bool state_value_valid(enum state_of of, struct str value);
/* STATE_ID bytes as lower-case hex, NUL behind them. */
void state_id_text(char out[2 * STATE_ID + 1], const uint8_t id[STATE_ID]);

/* The first line; a record, which is valid; the last line. -1: no memory. */
MUST_CHECK int state_begin(struct buf *out);
MUST_CHECK int state_add(struct buf *out, const struct state_record *r);
MUST_CHECK int state_seal(struct buf *out);

/*
 * The records of a whole text, to be read with state_next. -1 and *why: it is
 * not of this kind or version, cut off, or not what its checksum says.
 */
MUST_CHECK int state_open(
	struct str *records, struct str text, const char **why);
/*
 * Takes the next record off *left; its strings are borrowed. 1; 0: there is
 * none; -1: its line is no record.
 */
MUST_CHECK int state_next(struct str *left, struct state_record *r);

#endif
