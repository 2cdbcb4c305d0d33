#include "codec/state.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mbedtls.h"
#include "codec/utf8.h"

#define FIRST_LINE "wsrelayd-state 1\n"
#define LAST_WORD  "sha256 "
#define HASH       32
/* "sha256 ", the hash in hex, LF. */
#define LAST_LINE (sizeof(LAST_WORD) - 1 + 2 * HASH + 1)
/* The end of the year 9999, as in tokens. */
#define TIME_MAX INT64_C(253402300799999)
/* A section's name has no asterisk. */
#define ANY_KEY "*"

static const char *const words_of[] = { "sub", "kid", "jti", "token" };
_Static_assert(ARRAY_SIZE(words_of) == STATE_OF_COUNT, "a word each");

const char *state_of_word(enum state_of of)
{
	return words_of[of];
}

/* --- hex ------------------------------------------------------------------*/

static void write_hex(char *out, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* -1: it is not n bytes in hex. */
static int read_hex(uint8_t *out, size_t n, struct str s)
{
	if (s.n != 2 * n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(s.p[2 * i]);
		int low = hex_digit(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

void state_id_text(char out[2 * STATE_ID + 1], const uint8_t id[STATE_ID])
{
	write_hex(out, id, STATE_ID);
	out[2 * STATE_ID] = '\0';
}

/* --- values ---------------------------------------------------------------*/

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

bool state_value_valid(enum state_of of, struct str value)
{
	uint8_t id[STATE_ID];

	if (of == STATE_TOKEN)
		return read_hex(id, STATE_ID, value) == 0;
	return value.n > 0 && value.n <= STATE_VALUE_MAX &&
	       !has_control(value) && utf8_valid(value.p, value.n);
}

/* Of SUB and JTI only: a kid names its key, and a token has one. */
static bool may_have_key(enum state_of of)
{
	return of == STATE_SUB || of == STATE_JTI;
}

static bool is_key(struct str s)
{
	if (s.n == 0 || s.n > STATE_KEY_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == ANY_KEY[0])
			return false;
	return true;
}

/* --- writing --------------------------------------------------------------*/

int state_begin(struct buf *out)
{
	return buf_add_str(out, STR(FIRST_LINE));
}

static int add_revocation(struct buf *out, const struct state_record *r)
{
	struct str key = r->key.n > 0 ? r->key : STR(ANY_KEY);
	char before[24] = "";

	if (r->kind == STATE_REVOKED)
		snprintf(before, sizeof(before), "%lld ",
			(long long)r->before_ms);
	return buf_add_printf(out, "%s %lld %s%s %.*s %.*s\n",
		r->kind == STATE_REVOKED ? "revoked" : "banned",
		(long long)r->until_ms, before, words_of[r->of], (int)key.n,
		key.p, (int)r->value.n, r->value.p);
}

int state_add(struct buf *out, const struct state_record *r)
{
	char id[2 * STATE_ID + 1];

	switch (r->kind) {
	case STATE_REVOKED:
	case STATE_BANNED:
		return add_revocation(out, r);
	case STATE_SINCE:
		return buf_add_printf(
			out, "since %lld\n", (long long)r->before_ms);
	case STATE_USED:
		state_id_text(id, r->id);
		return buf_add_printf(out, "used %lld %.*s %s\n",
			(long long)r->until_ms, (int)r->key.n, r->key.p, id);
	}
	return -1;
}

/* The last line of what is before it. -1: no memory. */
static int make_last(char line[LAST_LINE], struct str before)
{
	uint8_t hash[HASH];

	if (mbed_sha256((const unsigned char *)before.p, before.n, hash) != 0)
		return -1;
	memcpy(line, LAST_WORD, sizeof(LAST_WORD) - 1);
	write_hex(line + sizeof(LAST_WORD) - 1, hash, HASH);
	line[LAST_LINE - 1] = '\n';
	return 0;
}

int state_seal(struct buf *out)
{
	char line[LAST_LINE];

	if (make_last(line, buf_str(out)) < 0)
		return -1;
	return buf_add_str(out, (struct str){ line, LAST_LINE });
}

/* --- reading --------------------------------------------------------------*/

int state_open(struct str *records, struct str text, const char **why)
{
	char line[LAST_LINE];
	struct str body;

	*why = "it does not begin with \"wsrelayd-state 1\"";
	if (!str_starts(text, STR(FIRST_LINE)))
		return -1;
	*why = "it is cut off";
	if (text.n < sizeof(FIRST_LINE) - 1 + LAST_LINE)
		return -1;
	body = (struct str){ text.p, text.n - LAST_LINE };
	*why = "no memory";
	if (make_last(line, body) < 0)
		return -1;
	*why = "its last line is not the SHA-256 of the others";
	if (memcmp(line, body.p + body.n, LAST_LINE) != 0)
		return -1;
	records->p = body.p + sizeof(FIRST_LINE) - 1;
	records->n = body.n - (sizeof(FIRST_LINE) - 1);
	return 0;
}

/* Digits only, as they are written: no sign, no zero in front. */
static int read_time(int64_t *out, struct str s)
{
	uint64_t n;

	if (s.n > 15 || (s.n > 1 && s.p[0] == '0') ||
		str_decimal(s, TIME_MAX, &n) < 0)
		return -1;
	*out = (int64_t)n;
	return 0;
}

static int read_of(enum state_of *out, struct str s)
{
	for (size_t i = 0; i < ARRAY_SIZE(words_of); i++)
		if (str_eq(s, str_of(words_of[i]))) {
			*out = (enum state_of)i;
			return 0;
		}
	return -1;
}

static int read_revocation(struct state_record *r, struct str line)
{
	if (read_time(&r->until_ms, str_cut(&line, ' ')) < 0 ||
		(r->kind == STATE_REVOKED &&
			read_time(&r->before_ms, str_cut(&line, ' ')) < 0) ||
		read_of(&r->of, str_cut(&line, ' ')) < 0)
		return -1;
	r->key = str_cut(&line, ' ');
	r->value = line;
	if (str_eq(r->key, STR(ANY_KEY)))
		r->key = STR_NONE;
	else if (!may_have_key(r->of) || !is_key(r->key))
		return -1;
	return state_value_valid(r->of, r->value) ? 0 : -1;
}

static int read_since(struct state_record *r, struct str line)
{
	return read_time(&r->before_ms, line);
}

static int read_used(struct state_record *r, struct str line)
{
	if (read_time(&r->until_ms, str_cut(&line, ' ')) < 0)
		return -1;
	r->key = str_cut(&line, ' ');
	return is_key(r->key) ? read_hex(r->id, STATE_ID, line) : -1;
}

static int read_line(struct state_record *r, struct str line)
{
	static const struct {
		const char *word;
		enum state_kind kind;
		int (*read)(struct state_record *r, struct str line);
	} kinds[] = {
		{ "revoked", STATE_REVOKED, read_revocation },
		{ "banned", STATE_BANNED, read_revocation },
		{ "since", STATE_SINCE, read_since },
		{ "used", STATE_USED, read_used },
	};
	struct str word = str_cut(&line, ' ');

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_eq(word, str_of(kinds[i].word))) {
			*r = (struct state_record){ .kind = kinds[i].kind };
			return kinds[i].read(r, line);
		}
	return -1;
}

int state_next(struct str *left, struct state_record *r)
{
	if (left->n == 0)
		return 0;
	if (!memchr(left->p, '\n', left->n))
		return -1;
	return read_line(r, str_cut(left, '\n')) == 0 ? 1 : -1;
}
