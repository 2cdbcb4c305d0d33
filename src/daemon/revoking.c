#include "daemon/revoking.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "codec/control.h"
#include "conf/conf.h"
#include "gate/bearer.h"
#include "gate/identity.h"

void revoking_choose(struct state_record *what, const char *identity,
	const struct bearer *b, char hash[2 * STATE_ID + 1])
{
	struct str jti = str_of(b->jti);
	bool has_jti = state_value_valid(STATE_JTI, jti);

	if (has_jti && (what->kind == STATE_REVOKED || !identity)) {
		what->of = STATE_JTI;
		what->key = str_of(b->key);
		what->value = jti;
	} else if (identity) {
		what->of = STATE_SUB;
		what->key = identity_key(identity);
		what->value = str_of(identity_subject(identity));
	} else {
		state_id_text(hash, b->id);
		what->of = STATE_TOKEN;
		what->key = STR_NONE;
		what->value = str_of(hash);
	}
}

/* sub, kid, jti ...: the argument says of which kind the record is. */
static int read_value(
	struct revoking *x, const struct control_request *r, const char **why)
{
	static const struct {
		const char *name, *expected;
		enum state_of of;
	} all[] = {
		{ "sub", "sub: expected UTF-8 of 1 to 255 bytes", STATE_SUB },
		{ "kid", "kid: expected UTF-8 of 1 to 255 bytes", STATE_KID },
		{ "jti", "jti: expected UTF-8 of 1 to 255 bytes", STATE_JTI },
		{ "hash", "hash: expected 32 digits, those of \"revoked\"",
			STATE_TOKEN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const char *text = control_text(r, all[i].name);

		if (!text)
			continue;
		*why = "expected one of sub, kid, jti, hash and token, or ids";
		if (x->named)
			return -1;
		*why = all[i].expected;
		if (!state_value_valid(all[i].of, str_of(text)))
			return -1;
		x->named = true;
		x->what.of = all[i].of;
		x->what.value = str_of(text);
	}
	return 0;
}

static int read_key(struct revoking *x, const struct conf *conf,
	const struct control_request *r, const char **why)
{
	const char *key = control_text(r, "key");

	if (!key)
		return 0;
	*why = "key: it goes with sub or jti; kid is for all tokens of a key";
	if (!x->named || (x->what.of != STATE_SUB && x->what.of != STATE_JTI))
		return -1;
	*why = "key: the configuration has no key of this name";
	if (!x->any_key && !conf_find_key(conf, str_of(key)))
		return -1;
	x->what.key = str_of(key);
	return 0;
}

static int read_token(struct revoking *x, const struct conf *conf,
	const struct control_request *r, const char **why)
{
	const char *token = control_text(r, "token");

	if (!token)
		return 0;
	*why = "expected one of sub, kid, jti, hash and token, or ids";
	if (x->named ||
		auth_read_token(&x->token, conf, str_of(token), why) < 0)
		return -1;
	x->named = true;
	revoking_choose(&x->what, x->token.identity, x->token.bearer, x->hash);
	return 0;
}

int revoking_read(struct revoking *x, const struct conf *conf,
	const struct control_request *r, const char **why)
{
	if (read_value(x, r, why) < 0 || read_key(x, conf, r, why) < 0)
		return -1;
	return read_token(x, conf, r, why);
}

void revoking_free(struct revoking *x)
{
	auth_token_free(&x->token);
}

void revoking_log(const struct state_record *r, const char *action)
{
	LOG(LOG_INFO, "revocation", F_STR("action", action),
		F_STR("of", state_of_word(r->of)), F_VIEW("name", r->value),
		F_VIEW("key", r->key),
		r->until_ms > 0 ? F_INT("until_at", r->until_ms) : F_NONE);
}
