/*
 * show.c: wsrelayctl token --show -: a token in words.
 *
 *   standard input -> JSON -> its times -> the key that verifies it -> result
 */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/reason.h"
#include "base/str.h"
#include "codec/http/uri.h"
#include "codec/token/jwt.h"
#include "conf/conf.h"
#include "gate/auth_reason.h"

int ctl_read_token(
	char *text, size_t size, const char *param, struct str *token)
{
	size_t n = fread(text, 1, size, stdin);
	const char *query;

	*token = (struct str){ text, n };
	while (token->n > 0 && strchr(" \t\r\n", token->p[token->n - 1]))
		token->n--;
	while (token->n > 0 && strchr(" \t\r\n", token->p[0])) {
		token->p++;
		token->n--;
	}
	query = token->n > 0 ? memchr(token->p, '?', token->n) : NULL;
	if (query)
		uri_query_get(
			(struct str){ query + 1,
				(size_t)(token->p + token->n - query) - 1 },
			str_of(param), token);
	if (n < size && token->n > 0)
		return 0;
	ctl_complain("standard input: %s",
		n < size ? "no token" : "more than a token");
	return -1;
}

/* "exp: 2026-11-20T21:46:00Z, 42 s ago" */
static void time_print(const char *name, int64_t ms, int64_t now,
	const char *past, const char *future)
{
	time_t seconds = (time_t)(ms / 1000);
	int64_t away = (ms > now ? ms - now : now - ms) / 1000;
	char text[40] = "";
	struct tm tm;

	if (ms == JWT_NEVER)
		return;
	if (gmtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%s: %s, %s%" PRId64 " s%s\n", name, text,
		ms > now ? future : past, away, ms > now ? "" : " ago");
}

/* why: of a malformed one. */
static void result_print(enum jwt_result r, const char *why)
{
	const struct reason_info *reason = reason_get(auth_reason(r));

	if (r == JWT_OK)
		printf("result: ok, signature, time and path are good\n");
	else
		printf("result: %s, %s\n", reason->word,
			r == JWT_MALFORMED ? why : reason->text);
}

/* The key that made it; NULL and *r, the result nearest to JWT_OK. */
static const struct jwt_key *key_find(
	const struct conf *conf, const struct jwt *t, enum jwt_result *r)
{
	enum jwt_result best = JWT_UNKNOWN_KEY;

	for (size_t i = 0; i < conf->keys_n; i++) {
		*r = jwt_verify(t, &conf->keys[i].jwt);
		if (*r == JWT_OK)
			return &conf->keys[i].jwt;
		if (*r == JWT_SIGNATURE)
			best = *r;
	}
	*r = best;
	return NULL;
}

static enum ctl_status token_explain(const struct ctl_token_options *o,
	const struct conf *conf, const struct jwt *t)
{
	static const struct jwt_key none = { .max_ttl_ms = INT64_MAX,
		.pathless = true };
	const char *path = o->path ? o->path : t->path;
	const struct jwt_key *key = &none;
	const char *why = NULL;
	int64_t now = clock_unix_ms();
	enum jwt_result r = JWT_OK;

	time_print("iat", t->iat, now, "made ", "will be made in ");
	time_print("nbf", t->nbf, now, "valid since ", "not valid for ");
	time_print("exp", t->exp, now, "expired ", "valid for another ");
	if (t->expire_at != 0)
		time_print("expire_at", t->expire_at, now,
			"the connection ended ", "the connection ends in ");
	if (conf)
		key = key_find(conf, t, &r);
	printf("key: %s\n", !conf ? "unknown, no configuration was read"
			    : key ? key->name
				  : "none of the file's");
	if (key)
		r = jwt_check(t, key, now, str_of(path), &why);
	if (r == JWT_OK && !conf)
		printf("result: in time, the signature was not verified\n");
	else
		result_print(r, why);
	return r == JWT_OK ? CTL_OK : CTL_REFUSED;
}

enum ctl_status ctl_show_token(
	const struct ctl_token_options *o, const struct conf *conf)
{
	char text[CTL_TOKEN_TEXT];
	enum ctl_status status = CTL_REFUSED;
	struct buf json = { 0 };
	struct str token;
	const char *why;
	struct jwt t;

	if (ctl_read_token(text, sizeof(text), o->route.token_param, &token) <
		0)
		return CTL_REFUSED;
	if (jwt_show(&json, token, &why) < 0) {
		ctl_complain("not a token: %s", why);
		return CTL_REFUSED;
	}
	fwrite(json.p, 1, json.n, stdout);
	buf_free(&json);
	if (jwt_parse(&t, token, &why) == JWT_OK)
		status = token_explain(o, conf, &t);
	else
		printf("result: token-malformed, %s\n", why);
	jwt_free(&t);
	return status;
}
