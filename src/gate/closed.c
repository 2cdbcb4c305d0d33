#include "gate/closed.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "gate/client.h"
#include "worker/worker.h"

int closed_init(struct worker *w, size_t workers)
{
	struct closed_here *c = calloc(1, sizeof(*c));

	w->closed = c;
	if (!c)
		return -1;
	for (int i = 0; i < CLOSED_KINDS; i++)
		TAILQ_INIT(&c->lists[i].list);
	c->n_max = CLOSED_MAX / workers;
	c->bytes_max = CLOSED_BYTES / workers;
	return 0;
}

static void drop_oldest(struct closed_list *l)
{
	struct closed *c = TAILQ_FIRST(&l->list);

	walks_pass(&l->walks, c, TAILQ_NEXT(c, next));
	TAILQ_REMOVE(&l->list, c, next);
	l->n--;
	l->bytes -= c->size;
	free(c);
}

void closed_fini(struct worker *w)
{
	if (!w->closed)
		return;
	for (int i = 0; i < CLOSED_KINDS; i++)
		while (w->closed->lists[i].n > 0)
			drop_oldest(&w->closed->lists[i]);
	free(w->closed);
	w->closed = NULL;
}

static size_t kept(const char *text)
{
	return text ? strnlen(text, CLOSED_TEXT) + 1 : 0;
}

/* The copy; *room is behind it then. */
static const char *keep(char **room, const char *text)
{
	char *copy = *room;
	size_t n = kept(text);

	if (!text)
		return NULL;
	memcpy(copy, text, n - 1);
	copy[n - 1] = '\0';
	*room += n;
	return copy;
}

static struct closed *make(const struct closed_note *note)
{
	const struct client *from = note->client;
	const char *route = from->route ? from->route->section.name : NULL;
	const char *identity = from->verdict.identity;
	size_t size = sizeof(struct closed) + kept(route) + kept(identity) +
		      kept(note->path) + kept(note->detail);
	struct closed *c = malloc(size);
	char *room;

	if (!c)
		return NULL;
	*c = (struct closed){ .size = size,
		.at_ms = clock_unix_ms(),
		.age_ms = note->age_ms,
		.id = from->id,
		.messages = { note->messages[0], note->messages[1] },
		.peer = from->peer,
		.side = note->side,
		.code = note->code,
		.reason = (uint8_t)note->reason };
	room = c->text;
	c->route = keep(&room, route);
	c->identity = keep(&room, identity);
	c->path = keep(&room, note->path);
	c->detail = keep(&room, note->detail);
	return c;
}

void closed_add(
	struct worker *w, enum closed_kind kind, const struct closed_note *note)
{
	struct closed_here *here = w->closed;
	struct closed_list *l = here ? &here->lists[kind] : NULL;
	struct closed *c = l ? make(note) : NULL;

	if (!c)
		return;
	TAILQ_INSERT_TAIL(&l->list, c, next);
	l->n++;
	l->bytes += c->size;
	while (l->n > here->n_max || l->bytes > here->bytes_max)
		drop_oldest(l);
}
