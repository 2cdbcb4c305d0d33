#include "hub/letters.h"

#include <stdlib.h>
#include <string.h>

#include "base/message.h"
#include "gate/client.h"
#include "end/end.h"
#include "hub/hub.h"

struct hub_join *hub_join_new(struct worker *from, const struct client *c)
{
	struct hub_join *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->letter.kind = &hub_letter_join;
	j->from = from;
	j->id = c->id;
	j->perm = c->verdict.perm;
	j->peer = c->peer;
	j->hops = c->hops;
	if (!c->verdict.identity)
		return j;
	j->identity = str_dup(str_of(c->verdict.identity));
	if (j->identity)
		return j;
	free(j);
	return NULL;
}

void hub_join_free(struct hub_join *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->replay_n; i++)
		message_unref(j->replay[i]);
	free(j->replay);
	free(j->identity);
	free(j->protocol);
	free(j->detail);
	if (j->hub)
		hub_unref(j->hub);
	free(j);
}

void hub_letter_free_join(struct letter *l)
{
	hub_join_free(CONTAINER_OF(l, struct hub_join, letter));
}

struct hub_leave *hub_leave_new(const struct client *c)
{
	struct hub_leave *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->letter.kind = &hub_letter_leave;
	l->id = c->id;
	return l;
}

void hub_letter_free_leave(struct letter *letter)
{
	struct hub_leave *l = CONTAINER_OF(letter, struct hub_leave, letter);

	if (l->hub)
		hub_unref(l->hub);
	free(l);
}

struct hub_input_letter *hub_input_letter_new(
	struct hub *h, struct seat *s, const struct piece *whole)
{
	struct hub_input_letter *i = malloc(sizeof(*i) + whole->n);

	if (!i)
		return NULL;
	i->letter.kind = &hub_letter_input;
	i->hub = hub_ref(h);
	i->seat = s;
	i->opcode = whole->opcode;
	i->n = whole->n;
	if (whole->n > 0)
		memcpy(i->bytes, whole->data, whole->n);
	return i;
}

void hub_letter_free_input(struct letter *l)
{
	struct hub_input_letter *i = CONTAINER_OF(
		l, struct hub_input_letter, letter);

	hub_unref(i->hub);
	free(i);
}

struct hub_messages *hub_messages_new(
	struct hub *h, struct message *const *v, size_t n)
{
	struct hub_messages *m = malloc(sizeof(*m) + n * sizeof(m->v[0]));

	if (!m)
		return NULL;
	m->letter.kind = &hub_letter_messages;
	m->hub = hub_ref(h);
	m->n = n;
	for (size_t i = 0; i < n; i++)
		m->v[i] = message_ref(v[i]);
	return m;
}

void hub_letter_free_messages(struct letter *l)
{
	struct hub_messages *m = CONTAINER_OF(l, struct hub_messages, letter);

	for (size_t i = 0; i < m->n; i++)
		message_unref(m->v[i]);
	hub_unref(m->hub);
	free(m);
}

struct hub_notice *hub_notice_new(
	struct hub *h, const struct letter_kind *kind, struct hub_notice *spare)
{
	struct hub_notice *n = calloc(1, sizeof(*n));

	if (!n) {
		if (!spare || atomic_exchange(&spare->posted, true))
			return NULL;
		n = spare;
		n->spare = true;
	}
	n->letter.kind = kind;
	n->news = (struct hub_news){ .hub = hub_ref(h) };
	return n;
}

struct hub_news hub_notice_take(struct letter *l)
{
	struct hub_notice *n = CONTAINER_OF(l, struct hub_notice, letter);
	struct hub_news news = n->news;

	if (n->spare)
		atomic_store(&n->posted, false);
	else
		free(n);
	return news;
}

void hub_news_free(struct hub_news *n)
{
	free(n->text);
	hub_unref(n->hub);
}

void hub_letter_free_notice(struct letter *l)
{
	struct hub_news news = hub_notice_take(l);

	hub_news_free(&news);
}
