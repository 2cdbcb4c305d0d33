/*
 * fuzz_jwt.c: the first byte says how the rest is read.
 *
 *   even  a token: parsed, shown, checked; without the secret none verifies
 *   odd   lines that are claims: what is minted must parse, verify, check and
 *         say the same, and must be refused once a bit is flipped
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/token/jwt.h"

#define NOW INT64_C(1700000000000)

static const uint8_t secret[] = "0123456789abcdef0123456789abcdef";

static const struct jwt_key key = {
	.name = "k",
	.algorithm = JWT_HS256,
	.secret = secret,
	.secret_n = sizeof(secret) - 1,
	.max_ttl_ms = 3600000,
	.leeway_ms = 5000,
};

static void read_token(struct str token)
{
	const char *why = NULL;
	struct buf shown = { 0 };
	struct jwt t;

	if (jwt_parse(&t, token, &why) == JWT_OK) {
		assert((!t.path || t.path[0] == '/') && t.exp >= 0);
		assert(t.perm >= JWT_READ && t.perm <= JWT_READ_WRITE);
		assert(!t.sub || strlen(t.sub) <= JWT_SUBJECT_MAX);
		assert(!t.sub || str_trim(str_of(t.sub)).n == strlen(t.sub));
		assert(jwt_verify(&t, &key) != JWT_OK);
		(void)!jwt_check(&t, &key, t.exp, str_of(t.path), &why);
		(void)!jwt_check(&t, &key, INT64_MIN, STR("/"), &why);
		assert(jwt_show(&shown, token, &why) == 0);
	} else {
		assert(why);
		(void)!jwt_show(&shown, token, &why);
	}
	jwt_free(&t);
	buf_free(&shown);
}

/* An owned line; NULL at the end or for an empty one. */
static char *next_line(struct str *text)
{
	const char *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	struct str line = { text->p, end ? (size_t)(end - text->p) : text->n };
	size_t used = end ? line.n + 1 : line.n;

	text->p += used;
	text->n -= used;
	return line.n > 0 ? str_dup(line) : NULL;
}

static void check_same(const char *a, const char *b)
{
	assert(!a == !b && (!a || strcmp(a, b) == 0));
}

static void check_minted(struct str token, const struct jwt_claims *c)
{
	const char *why = NULL;
	struct jwt t;

	/* What the claims say may still be refused: control characters. */
	if (jwt_parse(&t, token, &why) == JWT_OK) {
		assert(jwt_verify(&t, &key) == JWT_OK);
		assert(jwt_check(&t, &key, NOW, str_of(c->path), &why) ==
			JWT_OK);
		check_same(t.path, c->path);
		check_same(t.sub, c->sub);
		check_same(t.sub_key, c->sub_key);
		check_same(t.jti, c->jti);
		check_same(t.origin, c->origin);
		check_same(t.iss, c->issuer);
		assert(t.aud_n == (c->audience != NULL));
		assert(t.iat == c->iat_ms && t.exp == c->exp_ms);
		assert(t.expire_at == c->expire_at_ms);
		assert(t.perm == c->perm);
	}
	jwt_free(&t);
}

/* One flipped bit anywhere: never a token again. */
static void check_flipped(struct buf *token, size_t where)
{
	const char *why;
	struct jwt t;

	where %= token->n * 8;
	token->p[where / 8] ^= (uint8_t)(1u << where % 8);
	if (jwt_parse(&t, buf_str(token), &why) == JWT_OK)
		assert(jwt_verify(&t, &key) != JWT_OK);
	jwt_free(&t);
}

static void write_token(struct str text)
{
	uint16_t number = 0;
	char *lines[7];
	struct jwt_claims c = { 0 };
	struct buf token = { 0 };

	if (text.n < sizeof(number))
		return;
	memcpy(&number, text.p, sizeof(number));
	text.p += sizeof(number);
	text.n -= sizeof(number);
	for (size_t i = 0; i < 7; i++)
		lines[i] = next_line(&text);
	c.path = lines[0] ? lines[0] : "/";
	c.sub = lines[1];
	c.jti = lines[2];
	c.origin = lines[3];
	c.issuer = lines[4];
	c.audience = lines[5];
	c.sub_key = lines[6];
	c.iat_ms = NOW - number;
	c.exp_ms = NOW + number;
	c.expire_at_ms = number % 2 ? NOW * 2 + number : JWT_NEVER;
	c.perm = (enum jwt_perm)(number % 3 + 1);
	if (jwt_mint(&token, &key, &c) == 0) {
		check_minted(buf_str(&token), &c);
		check_flipped(&token, number);
	}
	buf_free(&token);
	for (size_t i = 0; i < 7; i++)
		free(lines[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest;

	if (n == 0)
		return 0;
	rest = (struct str){ (const char *)data + 1, n - 1 };
	if (data[0] % 2 == 0)
		read_token(rest);
	else
		write_token(rest);
	return 0;
}
