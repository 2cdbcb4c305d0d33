#include "relay/mail.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/message.h"
#include "conf/conf.h"
#include "relay/hub.h"

struct mail *mail_new(enum mail_kind kind, size_t n)
{
	struct mail *m = calloc(1, sizeof(*m) + n * sizeof(m->v[0]));

	if (!m)
		return NULL;
	m->kind = kind;
	m->fd = -1;
	return m;
}

void mail_free(struct mail *m)
{
	if (m->fd >= 0)
		close(m->fd);
	if (m->kind == MAIL_HUB_JOINED || m->kind == MAIL_HUB_MESSAGES)
		for (size_t i = 0; i < m->n; i++)
			message_unref(m->v[i]);
	conf_unref(m->conf);
	if (m->hub)
		hub_unref(m->hub);
	free(m->text);
	free(m->bytes);
	free(m);
}
