/*
 *   by text: "s" key "*" value -> when tokens must have been issued, until when
 *   in order: for listings, and to forget what does not hold any more
 */
#include "gate/revocations.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/table.h"
#include "codec/token/jwt.h"
#include "conf/form.h"
#include "gate/bearer.h"
#include "gate/identity.h"

_Static_assert(FORM_NAME_MAX <= STATE_KEY_MAX, "any section's name is a key");

/* What tokens have in common: one letter, a key or none, '*', the value. */
#define TEXT_MAX (1 + STATE_KEY_MAX + 1 + STATE_VALUE_MAX)

struct entry {
	struct table_entry by_text;
	TAILQ_ENTRY(entry) next;
	/* Until 0: it is not revoked, or not banned. */
	int64_t before_ms, revoked_until_ms, banned_until_ms;
	enum state_of of;
	size_t key_n, n; /* of text */
	char text[];
};

struct revocations {
	pthread_mutex_t lock;
	atomic_size_t n; /* entries; written under the lock */
	struct table by_text;
	TAILQ_HEAD(, entry) list;
	int64_t first_until_ms; /* when one may be forgotten */
};

/* --- entries --------------------------------------------------------------*/

struct text {
	size_t n;
	char p[TEXT_MAX];
};

/* False: no entry can have it. */
static bool make_text(
	struct text *x, enum state_of of, struct str key, struct str value)
{
	if (key.n > STATE_KEY_MAX || value.n == 0 || value.n > STATE_VALUE_MAX)
		return false;
	x->p[0] = (char)('a' + of);
	if (key.n > 0)
		memcpy(x->p + 1, key.p, key.n);
	x->p[1 + key.n] = '*'; /* which no key has in it */
	memcpy(x->p + key.n + 2, value.p, value.n);
	x->n = key.n + 2 + value.n;
	return true;
}

static struct entry *find(struct revocations *t, enum state_of of,
	struct str key, struct str value)
{
	struct text x;
	struct table_entry *e;

	if (!make_text(&x, of, key, value))
		return NULL;
	e = table_find(&t->by_text, x.p, x.n);
	return e ? CONTAINER_OF(e, struct entry, by_text) : NULL;
}

static void set_count(struct revocations *t)
{
	atomic_store_explicit(&t->n, t->by_text.n, memory_order_release);
}

static void forget(struct revocations *t, struct entry *e)
{
	table_remove(&t->by_text, &e->by_text);
	TAILQ_REMOVE(&t->list, e, next);
	free(e);
	set_count(t);
}

static int64_t until(const struct entry *e)
{
	return e->revoked_until_ms > e->banned_until_ms ? e->revoked_until_ms
							: e->banned_until_ms;
}

static void forget_expired(struct revocations *t, int64_t now_ms)
{
	struct entry *e, *next;

	if (now_ms < t->first_until_ms)
		return;
	t->first_until_ms = INT64_MAX;
	for (e = TAILQ_FIRST(&t->list); e; e = next) {
		next = TAILQ_NEXT(e, next);
		if (until(e) <= now_ms)
			forget(t, e);
		else if (until(e) < t->first_until_ms)
			t->first_until_ms = until(e);
	}
}

/* NULL with errno. */
static struct entry *add(struct revocations *t, const struct state_record *r)
{
	struct entry *e;
	struct text x;

	errno = EINVAL;
	if (!make_text(&x, r->of, r->key, r->value))
		return NULL;
	errno = ENOSPC;
	if (t->by_text.n >= REVOCATIONS_MAX)
		return NULL;
	e = calloc(1, sizeof(*e) + x.n);
	if (!e)
		return NULL;
	e->of = r->of;
	e->key_n = r->key.n;
	e->n = x.n;
	memcpy(e->text, x.p, x.n);
	table_add(&t->by_text, &e->by_text, e->text, e->n);
	TAILQ_INSERT_TAIL(&t->list, e, next);
	set_count(t);
	return e;
}

static void raise(int64_t *to, int64_t ms)
{
	if (ms > *to)
		*to = ms;
}

/* Under the lock. */
static int add_record(struct revocations *t, const struct state_record *r)
{
	struct entry *e = find(t, r->of, r->key, r->value);

	if (!e)
		e = add(t, r);
	if (!e)
		return -1;
	if (r->kind == STATE_BANNED) {
		raise(&e->banned_until_ms, r->until_ms);
	} else {
		raise(&e->revoked_until_ms, r->until_ms);
		raise(&e->before_ms, r->before_ms);
	}
	if (until(e) < t->first_until_ms)
		t->first_until_ms = until(e);
	return 0;
}

/* --- life -----------------------------------------------------------------*/

struct revocations *revocations_new(void)
{
	struct revocations *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	TAILQ_INIT(&t->list);
	t->first_until_ms = INT64_MAX;
	if (table_init(&t->by_text) < 0 ||
		pthread_mutex_init(&t->lock, NULL) != 0) {
		table_free(&t->by_text);
		free(t);
		return NULL;
	}
	return t;
}

void revocations_free(struct revocations *t)
{
	struct entry *e;

	if (!t)
		return;
	while ((e = TAILQ_FIRST(&t->list)))
		forget(t, e);
	table_free(&t->by_text);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int revocations_add(
	struct revocations *t, const struct state_record *r, int64_t now_ms)
{
	int result, error;

	pthread_mutex_lock(&t->lock);
	forget_expired(t, now_ms);
	result = add_record(t, r);
	error = errno;
	pthread_mutex_unlock(&t->lock);
	errno = error;
	return result;
}

bool revocations_remove(
	struct revocations *t, const struct state_record *r, int64_t now_ms)
{
	struct entry *e;

	pthread_mutex_lock(&t->lock);
	forget_expired(t, now_ms);
	e = find(t, r->of, r->key, r->value);
	if (e)
		forget(t, e);
	pthread_mutex_unlock(&t->lock);
	return e != NULL;
}

/* --- the question ---------------------------------------------------------*/

struct question {
	struct revocations *t;
	int64_t issued_ms, now_ms;
	bool revoked, banned;
};

static void ask(
	struct question *q, enum state_of of, struct str key, struct str value)
{
	const struct entry *e = find(q->t, of, key, value);

	if (!e)
		return;
	if (q->now_ms < e->banned_until_ms)
		q->banned = true;
	if (q->now_ms < e->revoked_until_ms &&
		(q->issued_ms == JWT_NEVER || q->issued_ms <= e->before_ms))
		q->revoked = true;
}

static void ask_all(
	struct question *q, const char *identity, const struct bearer *b)
{
	char id[2 * STATE_ID + 1];

	if (identity) {
		struct str sub = str_of(identity_subject(identity));

		ask(q, STATE_SUB, identity_key(identity), sub);
		ask(q, STATE_SUB, STR_NONE, sub);
	}
	ask(q, STATE_KID, STR_NONE, str_of(b->kid));
	if (b->jti) {
		ask(q, STATE_JTI, str_of(b->key), str_of(b->jti));
		ask(q, STATE_JTI, STR_NONE, str_of(b->jti));
	}
	state_id_text(id, b->id);
	ask(q, STATE_TOKEN, STR_NONE, str_of(id));
}

enum reason revocations_check(struct revocations *t, const char *identity,
	const struct bearer *bearer, int64_t now_ms)
{
	struct question q = { .t = t, .now_ms = now_ms };

	if (!bearer || atomic_load_explicit(&t->n, memory_order_acquire) == 0)
		return REASON_NONE;
	q.issued_ms = bearer->issued_ms;
	pthread_mutex_lock(&t->lock);
	forget_expired(t, now_ms);
	ask_all(&q, identity, bearer);
	pthread_mutex_unlock(&t->lock);
	if (q.banned)
		return REASON_BANNED;
	return q.revoked ? REASON_REVOKED : REASON_NONE;
}

/* --- all of them ----------------------------------------------------------*/

/* -1: no memory. */
static int write_entry(struct buf *out, const struct entry *e, int64_t now_ms)
{
	struct state_record r = { .of = e->of,
		.key = { e->text + 1, e->key_n },
		.value = { e->text + e->key_n + 2, e->n - e->key_n - 2 } };

	if (now_ms < e->revoked_until_ms) {
		r.kind = STATE_REVOKED;
		r.until_ms = e->revoked_until_ms;
		r.before_ms = e->before_ms;
		if (state_add(out, &r) < 0)
			return -1;
	}
	if (now_ms < e->banned_until_ms) {
		r.kind = STATE_BANNED;
		r.until_ms = e->banned_until_ms;
		r.before_ms = 0;
		if (state_add(out, &r) < 0)
			return -1;
	}
	return 0;
}

int revocations_write(struct revocations *t, struct buf *out, int64_t now_ms)
{
	const struct entry *e;
	int result = 0;

	pthread_mutex_lock(&t->lock);
	TAILQ_FOREACH (e, &t->list, next)
		if (write_entry(out, e, now_ms) < 0) {
			result = -1;
			break;
		}
	pthread_mutex_unlock(&t->lock);
	return result;
}
