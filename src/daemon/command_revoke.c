/*
 * revoke, ban: tokens are refused from now on, and those who came with them are
 * closed.
 *
 *   sub, kid, ...: an entry -> a walk over all sessions: which does it refuse?
 *   ids: a walk in front of that: what are they known by? -> their entries
 *
 * The entry comes first: what opens behind the walk is refused by the gate
 * (gate/revocations.h). All of it is on disk before the answer ends.
 */
#include "daemon/command.h"

#include <errno.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "daemon/closing.h"
#include "daemon/private.h"
#include "daemon/revoking.h"
#include "daemon/store.h"
#include "daemon/visit.h"
#include "end/ending.h"
#include "gate/auth.h"
#include "gate/bearer.h"
#include "gate/revocations.h"
#include "pair/session.h"
#include "worker/worker.h"

/* Ten years. */
#define FOR_MAX (INT64_C(3650) * 24 * 3600 * 1000)

struct revoke {
	struct visit visit;
	struct closing closing;
	struct daemon *daemon;
	struct answer *answer; /* when all were visited */
	struct store_wait wait;
	enum state_kind kind;
	int64_t now_ms, until_ms;
	size_t found; /* of the ids, with a token or without */
	int error;    /* errno: an entry could not be made */
};

/* --- entries --------------------------------------------------------------*/

static void add_row(struct revoke *x, const struct state_record *r)
{
	VISIT_ROW(&x->visit,
		F_STR("action", x->kind == STATE_BANNED ? "banned" : "revoked"),
		F_STR("of", state_of_word(r->of)), F_VIEW("name", r->value),
		F_VIEW("key", r->key),
		F_INT("left_ms", x->until_ms - x->now_ms),
		F_STR("kept",
			x->daemon->store ? "on disk" : "until the next start"));
}

static void add_entry(struct revoke *x, struct state_record *r)
{
	r->kind = x->kind;
	r->until_ms = x->until_ms;
	r->before_ms = x->kind == STATE_REVOKED ? x->now_ms : 0;
	if (revocations_add(x->daemon->shared.revocations, r, x->now_ms) < 0) {
		x->error = errno;
		return;
	}
	revoking_log(r, x->kind == STATE_BANNED ? "banned" : "revoked");
	add_row(x, r);
}

static const char *failure(int error)
{
	return error == ENOSPC ? "there are 10000 revocations already"
			       : "no memory";
}

/* --- sessions -------------------------------------------------------------*/

static void enter_one(struct revoke *x, const struct session *s)
{
	const struct client_verdict *v = &s->client.verdict;
	struct state_record r = { .kind = x->kind };
	char hash[2 * STATE_ID + 1], id[CLIENT_ID_TEXT];

	x->found++;
	if (!v->bearer) {
		VISIT_ROW(&x->visit, F_STR("id", client_id(&s->client, id)),
			F_STR("detail", "it came without a token: kill closes "
					"it"));
		return;
	}
	revoking_choose(&r, v->identity, v->bearer, hash);
	add_entry(x, &r);
}

static void close_one(struct revoke *x, struct session *s)
{
	enum reason r = auth_check_again(
		s->worker->shared, &s->client, x->now_ms);

	if (r != REASON_NONE)
		closing_close(&x->closing, &x->visit, s,
			&(struct ending){
				.reason = r, .detail = "by wsrelayctl" });
}

static bool run_revoke(struct visit *v, struct worker *w)
{
	struct revoke *x = CONTAINER_OF(v, struct revoke, visit);
	bool enters = v->round + 1 < v->rounds;
	struct session *s;

	do {
		s = sessions_next(w, &v->walk);
		if (!s || !session_is_open(s))
			continue;
		if (!enters)
			close_one(x, s);
		else if (closing_has_id(&x->closing, s))
			enter_one(x, s);
	} while (s && visit_goes_on(v, w));
	return s != NULL;
}

static void end_answer(struct revoke *x, const char *not_kept)
{
	struct answer *a = x->answer;

	if (x->error)
		answer_refuse(a, "%s", failure(x->error));
	else if (x->closing.ids_n > 0 && x->found == 0)
		answer_refuse(a, "no client is that");
	else if (not_kept)
		answer_refuse(a,
			"it holds, but until the next start only: %s: %s",
			store_path(x->daemon), not_kept);
	else if (x->visit.failed)
		answer_refuse(a, "it holds; for the rows there is no memory");
	else
		answer_end(a);
}

static void saved(struct store_wait *w, const char *error)
{
	end_answer(CONTAINER_OF(w, struct revoke, wait), error);
}

static void revoke_done(struct visit *v, struct answer *a)
{
	struct revoke *x = CONTAINER_OF(v, struct revoke, visit);

	x->answer = a;
	x->wait.done = saved;
	if (x->daemon->store)
		store_save(x->daemon, a ? &x->wait : NULL);
	else if (a)
		end_answer(x, NULL);
}

static void free_revoke(struct visit *v)
{
	struct revoke *x = CONTAINER_OF(v, struct revoke, visit);

	store_forget(x->daemon, &x->wait);
	closing_free(&x->closing);
}

static const struct visit_kind revoke_kind = {
	.size = sizeof(struct revoke),
	.run = run_revoke,
	.done = revoke_done,
	.free = free_revoke,
	.finishes = true,
};

/* --- the request ----------------------------------------------------------*/

/* The longest that a token of this configuration can be good. 0: it has none. */
static int64_t longest(const struct conf *conf)
{
	int64_t ms = 0;

	for (size_t i = 0; i < conf->keys_n; i++) {
		const struct conf_key *k = &conf->keys[i];

		if (k->max_ttl + k->leeway > ms)
			ms = k->max_ttl + k->leeway;
	}
	return ms;
}

static const char *read_for(struct revoke *x, const struct answer *a)
{
	int64_t ms = control_number(a->request, "for");

	if (ms < 0)
		ms = longest(a->daemon->conf);
	if (ms == 0)
		return "for: expected a time; without one it is the longest "
		       "max_ttl, and the configuration has no key";
	if (ms > FOR_MAX)
		return "for: expected at most 3650d";
	x->now_ms = clock_unix_ms();
	x->until_ms = x->now_ms + ms;
	return NULL;
}

/* NULL, or what is wrong with it. */
static const char *read_revoke(struct revoke *x, const struct answer *a)
{
	struct revoking tokens = { .what.kind = x->kind };
	const char *why = closing_read_ids(&x->closing, a->request);

	if (!why)
		why = read_for(x, a);
	if (why)
		return why;
	if (revoking_read(&tokens, a->daemon->conf, a->request, &why) == 0)
		why = tokens.named == (x->closing.ids_n > 0)
			      ? "expected ids, or one of sub, kid, jti, hash "
				"and token"
			      : NULL;
	if (!why && tokens.named)
		add_entry(x, &tokens.what);
	revoking_free(&tokens);
	return why;
}

static void revoke(struct answer *a, enum state_kind kind)
{
	struct visit *v = visit_new(a, &revoke_kind);
	const char *why;
	struct revoke *x;

	if (!v)
		return;
	x = CONTAINER_OF(v, struct revoke, visit);
	x->daemon = a->daemon;
	x->kind = kind;
	why = read_revoke(x, a);
	if (!why && !x->error) {
		v->rounds = x->closing.ids_n > 0 ? 2 : 1;
		visit_begin(v);
		return;
	}
	if (why)
		answer_usage(a, "%s", why);
	else
		answer_refuse(a, "%s", failure(x->error));
	visit_drop(v);
}

void command_revoke(struct answer *a)
{
	revoke(a, STATE_REVOKED);
}

void command_ban(struct answer *a)
{
	revoke(a, STATE_BANNED);
}
