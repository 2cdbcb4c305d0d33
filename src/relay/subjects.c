#include "relay/subjects.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define BUCKETS 4096

struct entry {
	struct entry *next;
	size_t route;
	int64_t connections;
	char subject[];
};

struct subjects {
	pthread_mutex_t lock;
	uint64_t seed;
	struct entry *buckets[BUCKETS];
};

struct subjects *subjects_new(void)
{
	struct subjects *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (random_bytes(NULL, (unsigned char *)&s->seed, sizeof(s->seed)) <
			0 ||
		pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s);
		return NULL;
	}
	return s;
}

void subjects_free(struct subjects *s)
{
	struct entry *e;

	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while ((e = s->buckets[i])) {
			s->buckets[i] = e->next;
			free(e);
		}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Where the entry is, or its end of the chain. */
static struct entry **find(
	struct subjects *s, size_t route, const char *subject)
{
	uint64_t hash = s->seed ^ route;
	struct entry **e;

	for (const char *p = subject; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x9e3779b97f4a7c15u;
	e = &s->buckets[(hash >> 32) % BUCKETS];
	while (*e &&
		((*e)->route != route || strcmp((*e)->subject, subject) != 0))
		e = &(*e)->next;
	return e;
}

static struct entry *entry_new(size_t route, const char *subject)
{
	size_t n = strlen(subject) + 1;
	struct entry *e = malloc(sizeof(*e) + n);

	if (!e)
		return NULL;
	*e = (struct entry){ .route = route };
	memcpy(e->subject, subject, n);
	return e;
}

int64_t subjects_enter(struct subjects *s, size_t route, const char *subject)
{
	int64_t n = -1;
	struct entry **e;

	pthread_mutex_lock(&s->lock);
	e = find(s, route, subject);
	if (!*e)
		*e = entry_new(route, subject);
	if (*e)
		n = ++(*e)->connections;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void subjects_leave(struct subjects *s, size_t route, const char *subject)
{
	struct entry **e, *gone;

	pthread_mutex_lock(&s->lock);
	e = find(s, route, subject);
	assert(*e && (*e)->connections > 0);
	if (--(*e)->connections == 0) {
		gone = *e;
		*e = gone->next;
		free(gone);
	}
	pthread_mutex_unlock(&s->lock);
}
