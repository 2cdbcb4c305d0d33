/*
 *   token -> the keys that may fit -> one that is known to have signed it?
 *                                  -> else one in a turn: verify, remember
 */
#include "gate/auth_key.h"

#include <string.h>

#include <mbedtls/md.h>

#include "codec/token/jwt_public.h"
#include "gate/verified.h"

struct search {
	const struct conf_keys *keys;
	const struct jwt *t;
	/* the key that comes next */
	size_t section, at;
	const struct conf_key *key; /* of the one that came last */
};

static bool secret_fits(const struct jwt *t, const struct conf_key *key)
{
	return key->jwt.secret && t->algorithm == key->jwt.algorithm &&
	       (!t->kid || strcmp(t->kid, key->section.name) == 0);
}

/* The next public key that may fit; NULL: no more. */
static const struct jwt_public *next_public(struct search *s)
{
	for (; s->section < s->keys->n; s->section++, s->at = 0) {
		const struct jwt_public *p;

		s->key = s->keys->v[s->section];
		p = jwt_public_next(s->t, &s->key->jwt, &s->at);
		if (p)
			return p;
	}
	return NULL;
}

static const char *kid_of(
	const struct jwt_public *p, const struct conf_key *key)
{
	return p->kid ? p->kid : key->section.name;
}

static struct auth_key find_secret(
	const struct conf_keys *keys, const struct jwt *t)
{
	struct auth_key a = { .result = JWT_UNKNOWN_KEY };
	int tries = 0;

	for (size_t i = 0; i < keys->n && tries < JWT_TRIES; i++) {
		if (!secret_fits(t, keys->v[i]))
			continue;
		tries++;
		a.result = jwt_verify(t, &keys->v[i]->jwt);
		if (a.result != JWT_OK)
			continue;
		a.key = keys->v[i];
		a.kid = a.key->section.name;
		break;
	}
	return a;
}

/* The hash of the whole token as it was sent: what is remembered of it. */
static int hash_text(uint8_t out[JWT_HASH], const struct jwt *t)
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(
		MBEDTLS_MD_SHA256);

	return md && mbedtls_md(md, (const unsigned char *)t->text.p, t->text.n,
			     out) == 0
		       ? 0
		       : -1;
}

static struct auth_key find_known(const struct conf_keys *keys,
	const struct jwt *t, const uint8_t text[JWT_HASH], struct verified *v,
	int64_t now_ms)
{
	struct search s = { .keys = keys, .t = t };
	struct auth_key a = { .result = JWT_UNKNOWN_KEY };
	const struct jwt_public *p;

	for (int tries = 0; tries < JWT_TRIES && (p = next_public(&s)); tries++)
		if (verified_has(v, text, p->id, now_ms)) {
			a = (struct auth_key){ .key = s.key,
				.kid = kid_of(p, s.key),
				.result = JWT_OK,
				.remembered = true };
			break;
		}
	return a;
}

/* The next key that may have made it; the caller counts what was tried. */
static struct auth_key try_public(const struct auth_key_search *how,
	const struct jwt *t, const uint8_t text[JWT_HASH], uint8_t *tried)
{
	struct search s = { .keys = how->keys, .t = t };
	struct auth_key a = { .result = JWT_UNKNOWN_KEY };
	const struct jwt_public *p = next_public(&s);

	for (int i = 0; p && i < *tried; i++)
		p = next_public(&s);
	if (!p || *tried >= JWT_TRIES)
		return a;
	a.waits = !how->may_verify;
	if (a.waits)
		return a;
	a.result = jwt_verify_public(t, p);
	a.verified = true;
	if (a.result == JWT_OK) {
		a.key = s.key;
		a.kid = kid_of(p, s.key);
		if (how->verified && t->exp > how->now_ms)
			verified_add(how->verified, text, p->id, t->exp);
		return a;
	}
	++*tried;
	a.waits = *tried < JWT_TRIES && next_public(&s);
	return a;
}

struct auth_key auth_key_find(
	const struct auth_key_search *how, const struct jwt *t, uint8_t *tried)
{
	uint8_t text[JWT_HASH];
	struct auth_key a;

	if (t->algorithm == JWT_HS256)
		return find_secret(how->keys, t);
	if (hash_text(text, t) < 0)
		return (struct auth_key){ .result = JWT_NO_MEMORY };
	a = (struct auth_key){ 0 };
	if (how->verified)
		a = find_known(how->keys, t, text, how->verified, how->now_ms);
	return a.key ? a : try_public(how, t, text, tried);
}
