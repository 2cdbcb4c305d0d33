#include "gate/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "gate/identity.h"

const char *client_id(const struct client *c, char text[CLIENT_ID_TEXT])
{
	snprintf(text, CLIENT_ID_TEXT, "%llx", (unsigned long long)c->id);
	return text;
}

const char *client_subject(const struct client *c)
{
	return identity_subject(c->verdict.identity);
}

void client_free(struct client *c)
{
	free(c->verdict.identity);
	free(c->certificate);
	conf_unref(c->conf);
	*c = (struct client){ .id = c->id };
}
