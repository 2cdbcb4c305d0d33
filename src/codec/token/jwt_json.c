#include "codec/token/jwt_json.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

/*
 * jansson 2.14 aborts when a string or number that it reads cannot grow: its
 * lexer then misses a byte that it has not saved (an assertion of strbuffer).
 * So while it reads it is never refused memory: what malloc has not comes from
 * a reserve, and what was read is thrown away. jansson knows one allocator for
 * all threads, hence the variable.
 */
struct reserve {
	uint8_t *bytes;
	size_t size, n; /* n: given out */
};

static _Thread_local struct reserve *reserve; /* of the reading under way */

static void *reading_malloc(size_t n)
{
	struct reserve *r = reserve;
	size_t from;
	void *p = malloc(n);

	if (p || !r)
		return p;
	from = (r->n + 15) & ~(size_t)15;
	if (from > r->size || n > r->size - from)
		return NULL;
	r->n = from + n;
	return r->bytes + from;
}

static void reading_free(void *p)
{
	const struct reserve *r = reserve;
	uintptr_t at = (uintptr_t)p;

	if (r && at >= (uintptr_t)r->bytes &&
		at < (uintptr_t)r->bytes + r->size)
		return;
	free(p);
}

static void use_reserves(void)
{
	json_set_alloc_funcs(reading_malloc, reading_free);
}

/* NULL: not JSON, or *no_memory. */
static json_t *load_json(const void *json, size_t n, bool *no_memory)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct reserve r = { .size = (n + 64) * JWT_JSON_RESERVE };
	json_t *object;

	*no_memory = true;
	r.bytes = malloc(r.size);
	if (!r.bytes)
		return NULL;
	pthread_once(&once, use_reserves);
	reserve = &r;
	object = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
	*no_memory = r.n > 0;
	if (*no_memory) {
		json_decref(object);
		object = NULL;
	}
	reserve = NULL;
	free(r.bytes);
	return object;
}

/* Takes what is before the next '.'; false when there is none. */
static bool next_part(struct str *left, struct str *part)
{
	const char *dot = left->n > 0 ? memchr(left->p, '.', left->n) : NULL;

	if (!dot)
		return false;
	*part = (struct str){ left->p, (size_t)(dot - left->p) };
	left->n -= part->n + 1;
	left->p = dot + 1;
	return true;
}

int jwt_json_split(
	struct jwt_json_parts *parts, struct str token, const char **why)
{
	struct str left = token;

	*why = "longer than 8192 bytes";
	if (token.n > JWT_TOKEN_MAX)
		return -1;
	*why = "not three parts with dots between them";
	if (!next_part(&left, &parts->header) ||
		!next_part(&left, &parts->payload))
		return -1;
	parts->signature = left;
	parts->signing_input = (struct str){ token.p,
		(size_t)(left.p - token.p) - 1 };
	if (left.n > 0 && memchr(left.p, '.', left.n))
		return -1;
	*why = "an empty part";
	return parts->header.n > 0 && parts->payload.n > 0 && left.n > 0 ? 0
									 : -1;
}

/*
 * Whether arrays and objects nest few enough levels deep. The parser
 * recurses, and its own limit is 2048 levels.
 */
static bool is_shallow(const uint8_t *json, size_t n)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < n; i++) {
		switch (json[i]) {
		case '\\':
			i += quoted;
			break;
		case '"':
			quoted = !quoted;
			break;
		case '[':
		case '{':
			depth += !quoted;
			break;
		case ']':
		case '}':
			depth -= !quoted && depth > 0;
			break;
		default:
			break;
		}
		if (depth > JWT_JSON_DEPTH)
			return false;
	}
	return true;
}

enum jwt_result jwt_json_read(
	json_t **object, const void *json, size_t n, const char **why)
{
	bool no_memory;

	*object = NULL;
	*why = "JSON nested too deep";
	if (!is_shallow(json, n))
		return JWT_MALFORMED;
	/*
	 * Without further flags jansson also refuses bytes behind the object,
	 * bad UTF-8, and NULs in strings, which our C strings could not hold.
	 */
	*object = load_json(json, n, &no_memory);
	if (no_memory) {
		*why = "no memory";
		return JWT_NO_MEMORY;
	}
	*why = "not a JSON object, or one with a name twice";
	if (json_is_object(*object))
		return JWT_OK;
	json_decref(*object);
	*object = NULL;
	return JWT_MALFORMED;
}

enum jwt_result jwt_json_load(
	json_t **object, struct str part, const char **why)
{
	uint8_t json[JWT_TOKEN_MAX / 4 * 3 + 2];
	ssize_t n;

	*object = NULL;
	*why = "not canonical base64url (RFC 4648 section 5, no padding)";
	n = part.n > JWT_TOKEN_MAX ? -1
				   : base64url_decode(json, part.p, part.n);
	if (n < 0)
		return JWT_MALFORMED;
	return jwt_json_read(object, json, (size_t)n, why);
}

/*
 * Control characters, C0, DEL and C1 (U+0080 to U+009F), do harm in logs,
 * header fields and terminals. The string is UTF-8.
 */
static bool has_control(const char *s)
{
	for (const unsigned char *c = (const unsigned char *)s; *c; c++)
		if (*c < 0x20 || *c == 0x7f ||
			(*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
			return true;
	return false;
}

/* A JSON string holds no NUL, see jwt_json_read. */
enum jwt_result jwt_json_text(char **copy, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || has_control(text))
		return JWT_MALFORMED;
	*copy = str_dup(str_of(text));
	return *copy ? JWT_OK : JWT_NO_MEMORY;
}

int jwt_json_date(int64_t *ms, const json_t *value)
{
	if (json_is_integer(value)) {
		json_int_t seconds = json_integer_value(value);

		if (seconds < 0 || seconds > JWT_JSON_DATE_MAX)
			return -1;
		*ms = seconds * 1000;
		return 0;
	}
	if (json_is_real(value)) {
		double seconds = json_real_value(value);

		/* Written so that a NaN, which JSON has not, would fail. */
		if (!(seconds >= 0 && seconds <= (double)JWT_JSON_DATE_MAX))
			return -1;
		*ms = (int64_t)(seconds * 1000 + 0.5);
		return 0;
	}
	return -1;
}
