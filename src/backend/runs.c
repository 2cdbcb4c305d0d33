#include "backend/runs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "codec/pattern.h"
#include "conf/conf.h"
#include "worker/letter.h"
#include "worker/worker.h"

/* A longer list says how many more there are. */
#define SHOWN_MAX 1000

struct runs {
	pthread_mutex_t lock;
	LIST_HEAD(, run) list;
	LIST_HEAD(, runs_watch) watches;
};

struct runs_watch {
	struct letter letter;
	LIST_ENTRY(runs_watch) next;
	struct runs *of;
	struct worker *worker;
	void (*changed)(void *owner); /* NULL: it is watched no more */
	void *owner;
	bool posted; /* under the lock, while it is in the list */
};

struct runs *runs_new(void)
{
	struct runs *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s);
		return NULL;
	}
	LIST_INIT(&s->list);
	LIST_INIT(&s->watches);
	return s;
}

void runs_free(struct runs *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- watches --------------------------------------------------------------*/

static struct runs_watch *watch_of(struct letter *l)
{
	return CONTAINER_OF(l, struct runs_watch, letter);
}

static void open_changed(struct worker *worker, struct letter *l)
{
	struct runs_watch *w = watch_of(l);

	(void)worker;
	if (!w->changed) {
		free(w);
		return;
	}
	pthread_mutex_lock(&w->of->lock);
	w->posted = false;
	pthread_mutex_unlock(&w->of->lock);
	w->changed(w->owner);
}

/* At a stop: one that is still watched is freed by runs_unwatch. */
static void free_changed(struct letter *l)
{
	struct runs_watch *w = watch_of(l);

	if (!w->changed)
		free(w);
	else
		w->posted = false;
}

static const struct letter_kind changed_kind = {
	.open = open_changed,
	.free = free_changed,
};

/* Under the lock. */
static void tell_all(struct runs *s)
{
	struct runs_watch *w;

	LIST_FOREACH (w, &s->watches, next) {
		if (w->posted)
			continue;
		w->posted = true;
		worker_post(w->worker, &w->letter);
	}
}

struct runs_watch *runs_watch(struct runs *s, struct worker *worker,
	void (*changed)(void *owner), void *owner)
{
	struct runs_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct runs_watch){ .letter.kind = &changed_kind,
		.of = s,
		.worker = worker,
		.changed = changed,
		.owner = owner };
	pthread_mutex_lock(&s->lock);
	LIST_INSERT_HEAD(&s->watches, w, next);
	pthread_mutex_unlock(&s->lock);
	return w;
}

void runs_unwatch(struct runs_watch *w)
{
	bool posted;

	pthread_mutex_lock(&w->of->lock);
	LIST_REMOVE(w, next);
	posted = w->posted;
	pthread_mutex_unlock(&w->of->lock);
	w->changed = NULL;
	if (!posted)
		free(w); /* else its letter does */
}

/* --- runs -----------------------------------------------------------------*/

void runs_remove(struct run *r)
{
	struct runs *s = r->of;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	LIST_REMOVE(r, next);
	r->of = NULL;
	tell_all(s);
	pthread_mutex_unlock(&s->lock);
}

void runs_put(struct runs *s, struct run *r, const char *path, bool ended)
{
	if (r->of && r->of != s)
		runs_remove(r);
	pthread_mutex_lock(&s->lock);
	if (!r->of) {
		r->of = s;
		r->path = path;
		LIST_INSERT_HEAD(&s->list, r, next);
	}
	if (!ended && (r->since_ms == 0 || r->ended))
		r->since_ms = clock_unix_ms(); /* a new run */
	r->ended = ended;
	tell_all(s);
	pthread_mutex_unlock(&s->lock);
}

void runs_count(struct run *r, size_t watchers)
{
	struct runs *s = r->of;

	if (!s) {
		r->watchers = watchers;
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (r->watchers != watchers)
		tell_all(s);
	r->watchers = watchers;
	pthread_mutex_unlock(&s->lock);
}

/* --- as JSON --------------------------------------------------------------*/

static json_t *text_of(struct str s)
{
	return json_stringn(s.p, s.n);
}

/* Those of its path as an object; NULL: they are not the wanted ones. */
static json_t *captures_of(const struct run *r, const struct conf_attach *a,
	const struct captures *wanted)
{
	const struct pattern *pattern = a->serves->pattern;
	struct captures captures;
	json_t *o;

	if (!pattern_match(pattern, str_of(r->path), &captures))
		return NULL;
	o = json_object();
	for (size_t i = 0; i < pattern_captures(pattern); i++) {
		struct str name = pattern_capture_name(pattern, i);
		char key[PATTERN_CAPTURE_MAX + 1];

		if (pattern_captured(wanted, name).p &&
			!str_eq(pattern_captured(wanted, name),
				captures.v[i])) {
			json_decref(o);
			return NULL;
		}
		snprintf(key, sizeof(key), "%.*s", (int)name.n, name.p);
		if (json_object_set_new(o, key, text_of(captures.v[i])) < 0)
			break;
	}
	return o;
}

static json_t *object_of(const struct run *r, json_t *captures)
{
	return json_pack("{so, ss, sf, sI, sb}", "captures", captures, "name",
		r->path, "since", (double)r->since_ms / 1000, "watchers",
		(json_int_t)r->watchers, "ended", (int)r->ended);
}

char *runs_text(struct runs *s, const struct conf_attach *a,
	const struct captures *wanted)
{
	json_t *list = json_array(), *o;
	json_int_t more = 0;
	char *text = NULL;
	struct run *r;

	pthread_mutex_lock(&s->lock);
	LIST_FOREACH (r, &s->list, next) {
		json_t *captures = captures_of(r, a, wanted);

		if (!captures)
			continue;
		if (json_array_size(list) == SHOWN_MAX) {
			json_decref(captures);
			more++;
		} else if (json_array_append_new(list, object_of(r, captures)) <
			   0) {
			break;
		}
	}
	pthread_mutex_unlock(&s->lock);
	o = r ? NULL : json_pack("{sO, sI}", "runs", list, "more", more);
	if (o)
		text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(14));
	json_decref(o);
	json_decref(list);
	return text;
}
