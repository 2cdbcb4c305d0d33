#include "gate/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "gate/identity.h"

const char *client_id(const struct client *c, char text[CLIENT_ID_TEXT])
{
	snprintf(text, CLIENT_ID_TEXT, "%llx", (unsigned long long)c->id);
	return text;
}

int client_parse_id(const char *text, uint64_t *id)
{
	char *end;

	errno = 0;
	*id = strtoull(text, &end, 16);
	return errno || end == text || *end ? -1 : 0;
}

const char *client_subject(const struct client *c)
{
	return identity_subject(c->verdict.identity);
}

void client_free(struct client *c)
{
	free(c->verdict.identity);
	free(c->verdict.bearer);
	free(c->certificate);
	conf_unref(c->conf);
	*c = (struct client){ .id = c->id };
}
