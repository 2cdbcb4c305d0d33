/*
 * jwt_mint.c: makes tokens, and makes them readable.
 */
#include "codec/token/jwt.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/base64.h"
#include "codec/token/jwt_algorithm.h"
#include "codec/token/jwt_json.h"

static int add_base64url(struct buf *out, const void *p, size_t n)
{
	size_t length = BASE64URL_LENGTH(n);
	char *text = malloc(length > 0 ? length : 1);
	int r;

	if (!text)
		return -1;
	base64url_encode(text, p, n);
	r = buf_add_str(out, (struct str){ text, length });
	free(text);
	return r;
}

/* Takes the object, which may be NULL. */
static int add_object(struct buf *out, json_t *object)
{
	/* 15 digits hold every millisecond up to the year 9999 exactly. */
	char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
	int r = -1;

	if (text)
		r = add_base64url(out, text, strlen(text));
	free(text);
	json_decref(object);
	return r;
}

/* A claim that is left out when it is NULL. */
static int set_text(json_t *object, const char *name, const char *text)
{
	return text ? json_object_set_new(object, name, json_string(text)) : 0;
}

static int set_date(json_t *object, const char *name, int64_t ms)
{
	if (ms < 0 || ms / 1000 > JWT_JSON_DATE_MAX)
		return -1;
	return json_object_set_new(object, name,
		ms % 1000 == 0 ? json_integer(ms / 1000)
			       : json_real((double)ms / 1000));
}

static json_t *header_new(const struct jwt_key *key, const char *alg)
{
	json_t *header = json_object();

	if (set_text(header, "alg", alg) < 0 ||
		set_text(header, "typ", "JWT") < 0 ||
		set_text(header, "kid", key->name) < 0) {
		json_decref(header);
		return NULL;
	}
	return header;
}

const char *jwt_perm_word(enum jwt_perm perm)
{
	switch (perm) {
	case JWT_READ:
		return "r";
	case JWT_WRITE:
		return "w";
	case JWT_READ_WRITE:
		return "rw";
	case JWT_SERVE:
		return "serve";
	}
	return NULL;
}

static json_t *payload_new(const struct jwt_claims *c)
{
	json_t *payload = json_object();

	if (set_text(payload, "path", c->path) < 0 ||
		set_date(payload, "iat", c->iat_ms) < 0 ||
		set_date(payload, "exp", c->exp_ms) < 0 ||
		set_text(payload, "sub", c->sub) < 0 ||
		set_text(payload, "sub_key", c->sub_key) < 0 ||
		set_text(payload, "perm", jwt_perm_word(c->perm)) < 0 ||
		set_text(payload, "jti", c->jti) < 0 ||
		set_text(payload, "iss", c->issuer) < 0 ||
		set_text(payload, "aud", c->audience) < 0 ||
		set_text(payload, "origin", c->origin) < 0 ||
		(c->expire_at_ms != JWT_NEVER &&
			set_date(payload, "expire_at", c->expire_at_ms) < 0)) {
		json_decref(payload);
		return NULL;
	}
	return payload;
}

bool jwt_can_sign(const struct jwt_key *key)
{
	return key->secret || key->private;
}

int jwt_mint(struct buf *out, const struct jwt_key *key,
	const struct jwt_claims *claims)
{
	const struct jwt_algorithm_row *row = jwt_algorithm_get(key->algorithm);
	uint8_t signature[JWT_SIGNATURE_MAX];
	size_t start = out->n;
	struct str input;
	ssize_t n;

	if (!row || !row->sign)
		return -1;
	if (add_object(out, header_new(key, row->name)) < 0 ||
		buf_add_str(out, STR(".")) < 0 ||
		add_object(out, payload_new(claims)) < 0)
		goto fail;
	input = (struct str){ (const char *)out->p + start, out->n - start };
	n = row->sign(key, input, signature);
	if (n < 0 || buf_add_str(out, STR(".")) < 0 ||
		add_base64url(out, signature, (size_t)n) < 0)
		goto fail;
	return 0;
fail:
	out->n = start;
	return -1;
}

int jwt_show(struct buf *out, struct str token, const char **why)
{
	struct jwt_json_parts parts;
	json_t *header = NULL, *payload = NULL, *both;
	char *text = NULL;
	int r = -1;

	if (jwt_json_split(&parts, token, why) < 0)
		return -1;
	if (jwt_json_load(&header, parts.header, why) != JWT_OK ||
		jwt_json_load(&payload, parts.payload, why) != JWT_OK)
		goto done;
	*why = "no memory";
	both = json_pack("{sOsO}", "header", header, "payload", payload);
	/* Untrusted text on a terminal: nothing but ASCII. */
	if (both)
		text = json_dumps(both, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	json_decref(both);
	if (text && buf_add_printf(out, "%s\n", text) == 0)
		r = 0;
done:
	free(text);
	json_decref(payload);
	json_decref(header);
	return r;
}
