/* revoked: what is revoked or banned; unrevoke: takes one back. */
#include "daemon/command.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "codec/state.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/revoking.h"
#include "daemon/store.h"
#include "gate/revocations.h"

/* --- revoked --------------------------------------------------------------*/

struct list { /* as it was when it was asked for */
	struct buf text;
	struct str left;
	int64_t now_ms;
};

static void free_list(struct answer *a)
{
	struct list *l = a->state;

	buf_free(&l->text);
	free(l);
}

static void list_more(struct answer *a)
{
	struct list *l = a->state;
	struct state_record r;

	do {
		if (state_next(&l->left, &r) <= 0) {
			answer_end(a);
			return;
		}
		ANSWER_ROW(a,
			F_STR("action",
				r.kind == STATE_BANNED ? "banned" : "revoked"),
			F_STR("of", state_of_word(r.of)),
			F_VIEW("name", r.value), F_VIEW("key", r.key),
			F_INT("left_ms", r.until_ms - l->now_ms),
			r.kind == STATE_REVOKED
				? F_INT("issued_before_at", r.before_ms)
				: F_NONE);
	} while (answer_goes_on(a));
	answer_continue(a);
}

void command_revoked(struct answer *a)
{
	struct list *l = calloc(1, sizeof(*l));

	if (!l) {
		answer_refuse(a, "no memory");
		return;
	}
	a->state = l;
	a->more = list_more;
	a->left = free_list;
	l->now_ms = clock_unix_ms();
	if (revocations_write(
		    a->daemon->shared.revocations, &l->text, l->now_ms) < 0) {
		answer_refuse(a, "no memory");
		return;
	}
	l->left = buf_str(&l->text);
	list_more(a);
}

/* --- unrevoke -------------------------------------------------------------*/

/* True: it was there, and has a row. */
static bool remove_one(struct answer *a, const struct state_record *r)
{
	if (!revocations_remove(
		    a->daemon->shared.revocations, r, clock_unix_ms()))
		return false;
	revoking_log(r, "unrevoked");
	ANSWER_ROW(a, F_STR("of", state_of_word(r->of)),
		F_VIEW("name", r->value), F_VIEW("key", r->key));
	return true;
}

/* What revoke, and what ban have chosen for a token. */
static bool remove_token(struct answer *a, struct revoking *x)
{
	bool removed = false;

	for (int i = 0; i < 2; i++) {
		x->what.kind = i == 0 ? STATE_REVOKED : STATE_BANNED;
		revoking_choose(
			&x->what, x->token.identity, x->token.bearer, x->hash);
		removed |= remove_one(a, &x->what);
	}
	return removed;
}

struct taken_back {
	struct store_wait wait;
	struct answer *answer;
};

static void end_taken_back(struct store_wait *w, const char *error)
{
	struct answer *a = CONTAINER_OF(w, struct taken_back, wait)->answer;

	if (error)
		answer_refuse(a,
			"it is taken back until the next start only: %s: %s",
			store_path(a->daemon), error);
	else
		answer_end(a);
}

static void free_taken_back(struct answer *a)
{
	struct taken_back *x = a->state;

	store_forget(a->daemon, &x->wait);
	free(x);
}

/* Takes x. The answer ends when it is on disk. */
static void save(struct answer *a, struct taken_back *x)
{
	a->state = x;
	a->left = free_taken_back;
	x->answer = a;
	x->wait.done = end_taken_back;
	if (a->daemon->store)
		store_save(a->daemon, &x->wait);
	else
		answer_end(a);
}

static bool take_back(struct answer *a, struct revoking *x)
{
	return x->token.bearer ? remove_token(a, x) : remove_one(a, &x->what);
}

void command_unrevoke(struct answer *a)
{
	struct revoking x = { .any_key = true };
	const char *why = "expected one of sub, kid, jti, hash and token";
	/* First: without memory nothing is taken back. */
	struct taken_back *back = calloc(1, sizeof(*back));

	if (!back) {
		answer_refuse(a, "no memory");
		return;
	}
	if (revoking_read(&x, a->daemon->conf, a->request, &why) < 0 ||
		!x.named) {
		answer_usage(a, "%s", why);
		free(back);
	} else if (!take_back(a, &x)) {
		answer_refuse(a, "that is neither revoked nor banned");
		free(back);
	} else {
		save(a, back);
	}
	revoking_free(&x);
}
