#include "gate/identity.h"

#include <stdlib.h>
#include <string.h>

char *identity_new(const char *key, const char *sub)
{
	size_t key_n = strlen(key), sub_n = strlen(sub);
	char *identity = malloc(key_n + 1 + sub_n + 1);

	if (!identity)
		return NULL;
	memcpy(identity, key, key_n);
	identity[key_n] = '/';
	memcpy(identity + key_n + 1, sub, sub_n + 1);
	return identity;
}

struct str identity_key(const char *identity)
{
	return identity ? (struct str){ identity, strcspn(identity, "/") }
			: STR_NONE;
}

const char *identity_subject(const char *identity)
{
	return identity ? identity + identity_key(identity).n + 1 : NULL;
}
