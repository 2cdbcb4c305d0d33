#include "gate/bearer.h"

#include <stdlib.h>
#include <string.h>

#include "codec/token/jwt.h"

/* Copies a string behind the ones before. */
static const char *keep(char **end, const char *s)
{
	size_t n = strlen(s) + 1;
	char *to = *end;

	memcpy(to, s, n);
	*end += n;
	return to;
}

struct bearer *bearer_new(
	const struct jwt *t, const char *key, const char *kid, int64_t now_ms)
{
	size_t n = strlen(key) + 1 + strlen(kid) + 1 +
		   (t->jti ? strlen(t->jti) + 1 : 0);
	struct bearer *b = malloc(sizeof(*b) + n);
	char *end;

	if (!b)
		return NULL;
	end = b->text;
	_Static_assert(JWT_NEVER == INT64_MIN, "it stays what it is");
	b->issued_ms = t->iat < now_ms ? t->iat : now_ms;
	b->key = keep(&end, key);
	b->kid = keep(&end, kid);
	b->jti = t->jti ? keep(&end, t->jti) : NULL;
	_Static_assert(STATE_ID <= JWT_HASH, "a part of the hash");
	memcpy(b->id, t->hash, STATE_ID);
	return b;
}
