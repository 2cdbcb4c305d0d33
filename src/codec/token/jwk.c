/*
 *   JSON -> keys -> each: errors? -> fits? -> has the use? -> jwt_public
 */
#include "codec/token/jwk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/base64.h"
#include "codec/token/jwt_algorithm.h"
#include "codec/token/jwt_json.h"
#include "codec/token/jwt_public.h"

#define KID_MAX 255

struct reader {
	struct jwk_set *set;
	const struct jwt_algorithm_row *row;
	char *why; /* of JWK_WHY bytes */
	/* the key under way */
	const json_t *jwk;
	size_t index;
	char *kid; /* owned until the set has it; NULL = it has none */
};

/* What becomes of a key. */
enum fate { FATE_TAKEN, FATE_LEFT_OUT, FATE_ERROR };

/* "key 2 (abc) WHAT" */
static void say_key(const struct reader *r, char *out, const char *what)
{
	/* A kid has no control characters, but may be long. */
	snprintf(out, JWK_WHY, "key %zu%s%.40s%s %s", r->index + 1,
		r->kid ? " (" : "", r->kid ? r->kid : "", r->kid ? ")" : "",
		what);
}

static enum fate key_fail(struct reader *r, const char *what)
{
	say_key(r, r->why, what);
	return FATE_ERROR;
}

/* It is of this algorithm, but its use or key_ops name another purpose. */
static enum fate leave_out(struct reader *r, const char *what)
{
	if (r->set->unused++ == 0)
		say_key(r, r->set->warning, what);
	return FATE_LEFT_OUT;
}

/* --- one key --- */

static bool is(const json_t *value, const char *text)
{
	return json_is_string(value) &&
	       strcmp(json_string_value(value), text) == 0;
}

/* A member is a string, or absent. */
static const char *text_of(struct reader *r, const char *name, enum fate *fate)
{
	const json_t *value = json_object_get(r->jwk, name);
	char what[40];

	if (value && !json_is_string(value)) {
		snprintf(what, sizeof(what), "has no string for its %s", name);
		*fate = key_fail(r, what);
	}
	return json_string_value(value);
}

/* Not public: kty "oct" is a secret, d is part of a private key. */
static enum fate check_public(struct reader *r, const char *kty)
{
	if (!kty)
		return key_fail(r, "has no kty");
	if (strcmp(kty, "oct") == 0)
		return key_fail(r, "is symmetric (kty oct)");
	if (json_object_get(r->jwk, "d"))
		return key_fail(r, "is private (it has a d)");
	return FATE_TAKEN;
}

/* RFC 7517 section 4.4: alg, or else what kind of key it is. */
static enum fate check_fits(
	struct reader *r, const char *kty, const char *crv, const char *alg)
{
	bool fits = strcmp(kty, r->row->kty) == 0;

	if (fits && r->row->crv)
		fits = crv && strcmp(crv, r->row->crv) == 0;
	if (!alg)
		return fits ? FATE_TAKEN : FATE_LEFT_OUT;
	if (strcmp(alg, r->row->name) != 0)
		return FATE_LEFT_OUT;
	return fits ? FATE_TAKEN
		    : key_fail(r, "has a kty or crv that its alg "
				  "has not");
}

/* RFC 7517 sections 4.2 and 4.3. */
static enum fate check_use(struct reader *r, const char *use)
{
	const json_t *ops = json_object_get(r->jwk, "key_ops");

	if (use && strcmp(use, "sig") != 0)
		return leave_out(r, "is left out: its use is not sig");
	if (!ops)
		return FATE_TAKEN;
	if (!json_is_array(ops))
		return key_fail(r, "has key_ops that are no array");
	for (size_t i = 0; i < json_array_size(ops); i++)
		if (is(json_array_get(ops, i), "verify"))
			return FATE_TAKEN;
	return leave_out(r, "is left out: its key_ops have no verify");
}

/*
 * Bytes of a base64url member, in memory of their own. Zeros in front of a
 * number are against RFC 7518 section 2, and yet some write one.
 */
static struct str bytes_of(const struct reader *r, const char *name)
{
	struct str text = str_of(
		json_string_value(json_object_get(r->jwk, name)));
	uint8_t *p = malloc(text.n / 4 * 3 + 2);
	ssize_t n = -1;

	if (p && text.n > 0)
		n = base64url_decode(p, text.p, text.n);
	if (n > 0)
		return (struct str){ (char *)p, (size_t)n };
	free(p);
	return STR_NONE;
}

static struct str without_zeros(struct str s)
{
	while (s.n > 0 && *s.p == '\0') {
		s.p++;
		s.n--;
	}
	return s;
}

static enum fate read_numbers(struct reader *r, struct jwt_public *p)
{
	bool rsa = !r->row->crv;
	struct str a = bytes_of(r, rsa ? "n" : "x");
	struct str b = bytes_of(r, rsa ? "e" : "y");
	const char *why = rsa ? "n or e is missing or not base64url"
			      : "x or y is missing or not base64url";
	char what[100];
	int failed = -1;

	if (a.p && b.p && rsa)
		failed = jwt_public_from_rsa(
			p, without_zeros(a), without_zeros(b), &why);
	else if (a.p && b.p)
		failed = jwt_public_from_p256(p, a, b, &why);
	free((void *)(uintptr_t)a.p);
	free((void *)(uintptr_t)b.p);
	if (!failed)
		return FATE_TAKEN;
	snprintf(what, sizeof(what), "is not good: %s", why);
	return key_fail(r, what);
}

static enum fate check_kid(struct reader *r)
{
	for (size_t i = 0; i < r->set->n && r->kid; i++)
		if (r->set->keys[i].kid &&
			strcmp(r->set->keys[i].kid, r->kid) == 0)
			return key_fail(r, "has the kid of another one");
	return FATE_TAKEN;
}

static enum fate read_kid(struct reader *r)
{
	const json_t *kid = json_object_get(r->jwk, "kid");
	enum jwt_result result;

	if (!kid)
		return FATE_TAKEN;
	if (json_string_length(kid) > KID_MAX)
		return key_fail(r, "has a kid of more than 255 bytes");
	result = jwt_json_text(&r->kid, kid);
	if (result == JWT_OK)
		return FATE_TAKEN;
	return key_fail(r, result == JWT_NO_MEMORY
				   ? "finds no memory"
				   : "has a kid that is not a string without "
				     "control characters");
}

static enum fate read_key(struct reader *r, struct jwt_public *p)
{
	enum fate fate = FATE_TAKEN;
	const char *kty, *crv, *alg, *use;

	if (!json_is_object(r->jwk))
		return key_fail(r, "is not an object");
	fate = read_kid(r);
	if (fate != FATE_TAKEN)
		return fate;
	kty = text_of(r, "kty", &fate);
	crv = text_of(r, "crv", &fate);
	alg = text_of(r, "alg", &fate);
	use = text_of(r, "use", &fate);
	if (fate == FATE_TAKEN)
		fate = check_public(r, kty);
	if (fate == FATE_TAKEN)
		fate = check_fits(r, kty, crv, alg);
	if (fate == FATE_TAKEN)
		fate = check_use(r, use);
	if (fate == FATE_TAKEN)
		fate = check_kid(r);
	return fate == FATE_TAKEN ? read_numbers(r, p) : fate;
}

/* --- the set --- */

static int read_keys(struct reader *r, const json_t *keys)
{
	struct jwk_set *set = r->set;

	for (; r->index < json_array_size(keys); r->index++) {
		struct jwt_public *p = &set->keys[set->n];
		enum fate fate;

		r->jwk = json_array_get(keys, r->index);
		fate = read_key(r, p);
		if (fate == FATE_TAKEN) {
			p->kid = r->kid;
			set->n++;
		} else {
			free(r->kid);
		}
		r->kid = NULL;
		if (fate == FATE_ERROR)
			return -1;
	}
	if (set->n > 0)
		return 0;
	snprintf(r->why, JWK_WHY, "no key for %s%s%.150s", r->row->name,
		set->unused > 0 ? "; " : "", set->warning);
	return -1;
}

static int read_set(struct reader *r, const json_t *object)
{
	const json_t *keys = json_object_get(object, "keys");
	size_t n = json_array_size(keys);

	if (!json_is_array(keys)) {
		snprintf(r->why, JWK_WHY, "no array named keys");
		return -1;
	}
	if (n > JWK_KEYS) {
		snprintf(r->why, JWK_WHY, "more than %d keys", JWK_KEYS);
		return -1;
	}
	r->set->keys = calloc(n + 1, sizeof(r->set->keys[0]));
	if (!r->set->keys) {
		snprintf(r->why, JWK_WHY, "no memory");
		return -1;
	}
	return read_keys(r, keys);
}

int jwk_set_parse(struct jwk_set *set, struct str json,
	enum jwt_algorithm algorithm, char why[JWK_WHY])
{
	struct reader r = {
		.set = set, .row = jwt_algorithm_get(algorithm), .why = why
	};
	json_t *object = NULL;
	const char *wrong = "longer than 262144 bytes";
	int result = -1;

	*set = (struct jwk_set){ 0 };
	if (!r.row || !r.row->kty)
		wrong = "the algorithm has no public keys";
	else if (json.n <= JWK_SET_MAX &&
		 jwt_json_read(&object, json.p, json.n, &wrong) == JWT_OK)
		wrong = NULL;
	if (wrong)
		snprintf(why, JWK_WHY, "%s", wrong);
	else
		result = read_set(&r, object);
	json_decref(object);
	if (result < 0)
		jwk_set_free(set);
	return result;
}

void jwk_set_free(struct jwk_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		jwt_public_free(&set->keys[i]);
	free(set->keys);
	*set = (struct jwk_set){ 0 };
}
