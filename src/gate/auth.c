#include "gate/auth.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/detail.h"
#include "base/log.h"
#include "base/mbedtls.h"
#include "codec/http/cookie.h"
#include "codec/http/handshake.h"
#include "codec/http/http.h"
#include "codec/http/uri.h"
#include "codec/token/jwt.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/auth_key.h"
#include "gate/auth_reason.h"
#include "gate/bearer.h"
#include "gate/client.h"
#include "gate/identity.h"
#include "gate/request.h"
#include "gate/revocations.h"
#include "gate/used_tokens.h"

#define BEARER "Bearer "

bool auth_is_token(struct str protocol)
{
	return str_starts(protocol, STR(AUTH_SUBPROTOCOL));
}

/* --- where a token is -------------------------------------------------------------*/

struct found {
	size_t n; /* tokens, in all places */
	struct str token;
	bool alone; /* as a subprotocol with nothing beside it */
	bool odd_cookie;
};

static void found_add(struct found *f, struct str token)
{
	f->n++;
	f->token = token;
}

static void find_in_query(
	struct found *f, const struct request *r, const char *name)
{
	struct str value;
	size_t n = uri_query_get(r->query, str_of(name), &value);

	/* Base64url and '.' need no escapes: the raw value is the token. */
	for (size_t i = 0; i < n; i++)
		found_add(f, value);
}

static void find_in_fields(struct found *f, const struct request *r)
{
	for (size_t i = 0; i < r->head.n; i++) {
		struct str v = r->head.fields[i].value;

		if (!str_eq_nocase(
			    r->head.fields[i].name, STR("Authorization")) ||
			v.n < sizeof(BEARER) - 1 ||
			!str_eq_nocase((struct str){ v.p, sizeof(BEARER) - 1 },
				STR(BEARER)))
			continue;
		v.p += sizeof(BEARER) - 1;
		v.n -= sizeof(BEARER) - 1;
		found_add(f, str_trim(v));
	}
}

static void find_in_cookies(
	struct found *f, const struct request *r, const char *name)
{
	struct str value = STR_NONE;

	if (!name)
		return;
	for (size_t i = 0; i < r->head.n; i++) {
		ssize_t n;

		if (!str_eq_nocase(r->head.fields[i].name, STR("Cookie")))
			continue;
		n = cookie_find(r->head.fields[i].value, str_of(name), &value);
		f->odd_cookie |= n < 0;
		for (; n > 0; n--)
			found_add(f, value);
	}
}

/* The first of the name: see gate/invitation.h. */
static void find_invitation(
	struct found *f, const struct request *r, const char *name)
{
	struct str value = STR_NONE;

	for (size_t i = 0; i < r->head.n && f->n == 0 && !f->odd_cookie; i++) {
		int n;

		if (!str_eq_nocase(r->head.fields[i].name, STR("Cookie")))
			continue;
		n = cookie_find_first(
			r->head.fields[i].value, str_of(name), &value);
		f->odd_cookie = n < 0;
		if (n > 0)
			found_add(f, value);
	}
}

static void find_in_subprotocols(struct found *f, const struct request *r)
{
	struct handshake_offers offers;
	struct str p;
	size_t others = 0, tokens = 0;

	if (!r->upgrade)
		return;
	handshake_offers_init(&offers, &r->head);
	while (handshake_offers_next(&offers, &p)) {
		if (!auth_is_token(p)) {
			others++;
			continue;
		}
		tokens++;
		p.p += sizeof(AUTH_SUBPROTOCOL) - 1;
		p.n -= sizeof(AUTH_SUBPROTOCOL) - 1;
		found_add(f, p);
	}
	f->alone = tokens > 0 && others == 0;
}

/* --- whose it is ----------------------------------------------------------------------*/

/*
 * The subject is the signing key's, or that of the key whose invitation opened
 * the page that minted the token: only the key of such a page may say so.
 */
static enum reason take_identity(char **identity, const struct jwt *t,
	const struct conf *conf, const struct conf_key *key, const char **why)
{
	const char *of = key->section.name;

	if (!t->sub || !*t->sub)
		return REASON_NONE;
	if (t->sub_key && key->mints) {
		if (!conf_find_key(conf, str_of(t->sub_key))) {
			*why = "its sub_key names no key";
			return REASON_TOKEN_UNKNOWN_KEY;
		}
		of = t->sub_key;
	}
	*identity = identity_new(of, t->sub);
	return *identity ? REASON_NONE : REASON_INTERNAL;
}

/* --- single use -----------------------------------------------------------------------*/

/*
 * A token is known by its key and jti, or by the hash of what was signed. Not
 * by its signature: that has more than one spelling for some algorithms.
 */
static int token_identity(uint8_t out[USED_TOKENS_ID], const struct jwt *t,
	const struct conf_key *key)
{
	struct buf b = { 0 };
	uint8_t hash[JWT_HASH];
	int failed;

	if (!t->jti) {
		memcpy(out, t->hash, USED_TOKENS_ID);
		return 0;
	}
	if (buf_add_printf(&b, "%s\n%s", key->section.name, t->jti) < 0) {
		buf_free(&b);
		return -1;
	}
	failed = mbed_sha256(b.p, b.n, hash);
	buf_free(&b);
	memcpy(out, hash, USED_TOKENS_ID);
	return failed ? -1 : 0;
}

static enum reason reserve(const struct auth_params *a, const struct jwt *t,
	const struct conf_key *key, struct client *c, struct detail *detail)
{
	uint8_t id[USED_TOKENS_ID];

	if (t->iat == JWT_NEVER) {
		detail->text = "single use needs an iat";
		return REASON_TOKEN_USED;
	}
	/*
	 * Of the tokens that were used before a start without a clean stop none
	 * is known, so none that may be one of them is let in; leeway is how
	 * long before its iat a token may be used.
	 */
	if (a->shared &&
		t->iat - key->jwt.leeway_ms < a->shared->used_since_ms) {
		detail->text = "its iat is not later than the relay's start by "
			       "leeway";
		return REASON_TOKEN_USED;
	}
	if (token_identity(id, t, key) < 0)
		return REASON_INTERNAL;
	return admission_reserve_token(a->shared, c,
		&(struct admission_token){ .id = id,
			.key = key->section.name,
			.exp_ms = t->exp + key->jwt.leeway_ms,
			.now_ms = a->now_ms });
}

static void log_signature(const struct client *c, const struct auth_key *made)
{
	char id[CLIENT_ID_TEXT];

	LOG(LOG_DEBUG, "signature", F_STR("id", client_id(c, id)),
		F_STR("key", made->key->section.name),
		F_STR("remembered", made->remembered ? "yes" : "no"));
}

/*
 * What is below a folder of a page has its index, too, which has the folder's
 * own path; there the claim is compared with itself.
 */
static struct str path_to_check(const struct auth_params *a,
	const struct jwt *t, const struct request *r)
{
	return a->invitation && jwt_is_for_folder(t, r->path) ? str_of(t->path)
							      : r->path;
}

/* --- all of it ------------------------------------------------------------------------*/

enum reason auth_check_again(
	struct shared *s, const struct client *c, int64_t now_ms)
{
	if (!s) /* no daemon runs: nothing is known to be revoked */
		return REASON_NONE;
	return revocations_check(
		s->revocations, c->verdict.identity, c->verdict.bearer, now_ms);
}

static struct auth_key find_key(
	const struct auth_params *a, const struct jwt *t, struct client *c)
{
	bool look = c->tickets.look;
	struct auth_key_search search = { .keys = a->keys,
		.verified = look ? NULL : a->shared->verified,
		.now_ms = a->now_ms,
		.may_verify = look || c->verdict.may_verify };
	struct auth_key made;

	do
		made = auth_key_find(&search, t, &c->verdict.tried);
	while (made.waits && look); /* JWT_TRIES at the most */
	return made;
}

static enum reason check_parsed(const struct auth_params *a,
	const struct request *r, const struct jwt *t, struct client *c,
	struct detail *detail)
{
	struct client_verdict *v = &c->verdict;
	struct auth_key made = find_key(a, t, c);
	const struct conf_key *key = made.key;
	enum jwt_result result;
	enum reason reason;
	const char *why;

	v->verified = made.verified;
	v->waits = made.waits;
	if (!key)
		return auth_reason(made.result);
	if (!c->tickets.look)
		log_signature(c, &made);
	reason = take_identity(&v->identity, t, c->conf, key, &detail->text);
	if (reason != REASON_NONE)
		return reason;
	v->bearer = bearer_new(t, key->section.name, made.kid, a->now_ms);
	if (!v->bearer)
		return REASON_INTERNAL;
	result = jwt_check(
		t, &key->jwt, a->now_ms, path_to_check(a, t, r), &why);
	if (result == JWT_MALFORMED)
		detail->text = why;
	if (result == JWT_PATH)
		detail_set(detail, "the token is for ", str_of(t->path));
	if (result != JWT_OK)
		return auth_reason(result);
	if ((t->perm == JWT_SERVE) != a->serve) {
		detail->text =
			a->serve ? "to attach needs perm serve"
				 : "perm serve opens no route and no page";
		return REASON_ATTACH_PERM;
	}
	if (a->serve && !t->path) {
		detail->text = "to attach needs a path, also where the key has "
			       "require_path = no";
		return REASON_TOKEN_PATH;
	}
	if (t->expire_at != JWT_NEVER && t->expire_at != 0 &&
		t->expire_at <= a->now_ms) {
		detail->text = "expire_at has passed";
		return REASON_TOKEN_EXPIRED;
	}
	if (t->origin && !str_eq_nocase(str_of(t->origin), r->origin)) {
		detail_set(detail, "the token is for ", str_of(t->origin));
		return REASON_ORIGIN;
	}
	reason = auth_check_again(a->shared, c, a->now_ms);
	if (reason != REASON_NONE)
		return reason;
	if (a->single_use) {
		reason = reserve(a, t, key, c, detail);
		if (reason != REASON_NONE)
			return reason;
	}
	v->key = key->section.name;
	v->perm = (uint8_t)t->perm;
	v->token_exp = t->exp;
	v->expire_at = t->expire_at == 0 ? JWT_NEVER : t->expire_at;
	return REASON_NONE;
}

enum reason auth_check(const struct auth_params *a, const struct request *r,
	struct client *c, struct detail *detail)
{
	struct found found = { 0 };
	struct jwt t;
	enum jwt_result result;
	enum reason reason;

	detail->text = NULL;
	find_in_query(&found, r, a->token_param);
	find_in_fields(&found, r);
	find_in_cookies(&found, r, a->token_cookie);
	find_in_subprotocols(&found, r);
	if (found.n == 0 && a->invitation)
		find_invitation(&found, r, a->invitation);
	if (found.n > 1)
		return REASON_TOKEN_TWICE;
	if (found.odd_cookie) {
		detail->text = "its cookie is not NAME=value (RFC 6265)";
		return REASON_TOKEN_MALFORMED;
	}
	if (found.n == 0)
		return REASON_TOKEN_MISSING;
	if (found.alone)
		return REASON_SUBPROTOCOL;
	result = jwt_parse(&t, found.token, &detail->text);
	/* It is about the shape: what is wrong from here on is not. */
	if (result == JWT_OK)
		detail->text = NULL;
	reason = result == JWT_OK ? check_parsed(a, r, &t, c, detail)
				  : auth_reason(result);
	jwt_free(&t);
	return reason;
}

/* --- outside of a request -------------------------------------------------------------*/

static const struct conf_key *find_signer(
	const struct conf *conf, const struct jwt *t)
{
	for (size_t i = 0; i < conf->keys_n; i++)
		if (jwt_verify(t, &conf->keys[i].jwt) == JWT_OK)
			return &conf->keys[i];
	return NULL;
}

int auth_read_token(struct auth_token *out, const struct conf *conf,
	struct str token, const char **why)
{
	const struct conf_key *key;
	struct jwt t;
	int result = -1;

	*out = (struct auth_token){ .identity = NULL };
	*why = "no memory";
	if (jwt_parse(&t, token, why) != JWT_OK)
		goto out;
	key = find_signer(conf, &t);
	*why = "no key of the configuration has signed it";
	if (!key)
		goto out;
	*why = "no memory";
	if (take_identity(&out->identity, &t, conf, key, why) != REASON_NONE)
		goto out;
	/* Its kid is that of the section: of which of its keys is not asked. */
	out->bearer = bearer_new(
		&t, key->section.name, key->section.name, clock_unix_ms());
	if (out->bearer)
		result = 0;
	else
		auth_token_free(out);
out:
	jwt_free(&t);
	return result;
}

void auth_token_free(struct auth_token *t)
{
	free(t->identity);
	free(t->bearer);
	*t = (struct auth_token){ .identity = NULL };
}
