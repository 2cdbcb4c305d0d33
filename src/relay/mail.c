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
	m->v = (struct message **)(void *)(m + 1);
	return m;
}

void mail_reset(struct mail *m, enum mail_kind kind)
{
	m->kind = kind;
	m->fd = -1;
	m->conf = NULL;
	m->hub = NULL;
	m->text = NULL;
	m->bytes = NULL;
	m->list = NULL;
	m->n = 0;
	m->code = 0;
}

void mail_move(struct mail *to, struct mail *lent)
{
	to->reason = lent->reason;
	to->code = lent->code;
	to->from = lent->from;
	to->hub = lent->hub;
	to->text = lent->text;
	lent->hub = NULL;
	lent->text = NULL;
	atomic_store(&lent->posted, false);
}

void mail_free(struct mail *m)
{
	struct message **v = m->list ? m->list : m->v;
	struct hub *hub = m->hub;

	if (m->fd >= 0)
		close(m->fd);
	if (m->kind == MAIL_HUB_JOINED || m->kind == MAIL_HUB_MESSAGES)
		for (size_t i = 0; i < m->n; i++)
			message_unref(v[i]);
	conf_unref(m->conf);
	free(m->text);
	free(m->bytes);
	free(m->list);
	if (m->lent)
		atomic_store(&m->posted, false);
	else
		free(m);
	if (hub) /* last: a mail that is lent may be a part of it */
		hub_unref(hub);
}
